package webtoken

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls"
)

// Defaults of [SourceOptions].
const (
	DefaultEvery  = 5 * time.Second
	DefaultBefore = 5 * time.Minute
)

// SourceOptions say where tokens come from.
type SourceOptions struct {
	// Fetch gets fresh tokens, and returns the identities that show them, as [Present] makes them: one for each
	// kind of key that is to be shown. It is called by one goroutine. Required.
	Fetch func(context.Context) ([]mls.Identity, error)
	// Before is how long before a token expires the next one is fetched. If a token's whole life is shorter than
	// twice this, it is fetched halfway. Default: [DefaultBefore].
	Before time.Duration
	// Every is how often it is looked whether a token has to be fetched, so that a Fetch that fails is tried again.
	// Default: [DefaultEvery]. Negative: never but by [Source.Reload].
	Every time.Duration
	// Report is told what goes wrong, such as a token that expires without another in its place, and nil when that
	// is over. It is called by one goroutine at a time, and must not call the Source's Close or Reload. Default:
	// nobody is told but the callers of Err.
	Report func(error)
	// Now returns the current time. Default: time.Now.
	Now func() time.Time
	// Tick, if set, takes the place of a ticker with the period Every.
	Tick <-chan time.Time
}

// A Source has own identities with tokens that are replaced before they expire. It fits the Identities of a
// netconn.Config; living connections show each new token to the peer by an update.
//
// It goes on with what it has while nothing can be fetched. One goroutine ends with Close. All methods are
// safe for concurrent use.
type Source struct {
	feed    identity.Feed
	options SourceOptions
	cancel  context.CancelFunc
	ctx     context.Context // ends with Close
	done    chan struct{}   // closed when the goroutine has ended

	looking sync.Mutex // held by whoever fetches, and until it is told what has come of that

	mu     sync.Mutex // guards what follows
	due    time.Time  // when to fetch next; zero: never
	expiry time.Time  // of the first token to expire; zero: never
	err    error
}

// Open fetches the first tokens, and others in time from then on. ctx has no effect afterwards.
func Open(ctx context.Context, o SourceOptions) (*Source, error) {
	if o.Fetch == nil || o.Before < 0 {
		return nil, fmt.Errorf("webtoken: SourceOptions has Before %v; it needs Fetch", o.Before)
	}
	o.Before, o.Every = cmp.Or(o.Before, DefaultBefore), cmp.Or(o.Every, DefaultEvery)
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Source{options: o, done: make(chan struct{})}
	if err := s.fetch(ctx); err != nil {
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	go s.run()
	return s, nil
}

func (s *Source) run() {
	defer close(s.done)
	tick := s.options.Tick
	if tick == nil && s.options.Every > 0 {
		ticker := time.NewTicker(s.options.Every)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick:
			s.look()
		}
	}
}

// look fetches if it is time to.
func (s *Source) look() {
	now := s.options.Now()
	s.mu.Lock()
	due := !s.due.IsZero() && !now.Before(s.due)
	s.mu.Unlock()
	if due {
		// Err and Report have it.
		_ = s.Reload(s.ctx)
	}
}

// Reload fetches now.
func (s *Source) Reload(ctx context.Context) error {
	s.looking.Lock()
	defer s.looking.Unlock()
	err := s.fetch(ctx)
	if err != nil && ctx == s.ctx && ctx.Err() != nil {
		return err // it is Close that ends it
	}
	s.mu.Lock()
	if now := s.options.Now(); err != nil && !s.expiry.IsZero() && !now.Before(s.expiry) {
		err = fmt.Errorf("%w: the own token, at %v, and nothing has taken its place: %w", ErrExpired, s.expiry, err)
	}
	changed := err != nil || s.err != nil
	s.err = err
	s.mu.Unlock()
	if changed && s.options.Report != nil {
		s.options.Report(err)
	}
	return err
}

// fetch takes over what Fetch returns, if all of it is of use. One goroutine at a time does.
func (s *Source) fetch(ctx context.Context) error {
	identities, err := s.options.Fetch(ctx)
	if err != nil {
		return fmt.Errorf("webtoken: fetching a token: %w", err)
	}
	if len(identities) == 0 {
		return errors.New("webtoken: fetching a token: there is none")
	}
	now := s.options.Now()
	var due, expiry time.Time
	for _, id := range identities {
		at, err := s.verify(id, now)
		if err != nil {
			return err
		}
		if at.IsZero() {
			continue
		}
		if next := at.Add(-min(s.options.Before, at.Sub(now)/2)); due.IsZero() || next.Before(due) {
			due = next
		}
		if expiry.IsZero() || at.Before(expiry) {
			expiry = at
		}
	}
	s.mu.Lock()
	s.due, s.expiry = due, expiry
	s.mu.Unlock()
	s.feed.SetIdentities(identities...)
	return nil
}

// verify checks that a token is for the signer beside it, and valid now, and returns when it expires.
func (s *Source) verify(id mls.Identity, now time.Time) (expiry time.Time, err error) {
	p, err := parse(&id.Credential)
	if err != nil {
		return expiry, err
	}
	if id.Signer == nil {
		return expiry, fmt.Errorf("%w: there is no Signer", ErrKeyKind)
	}
	key, err := encodeKey(id.Signer.Public())
	if err != nil {
		return expiry, err
	}
	if err := p.verifyHolder(key); err != nil {
		return expiry, err
	}
	if expiry = p.expiry(); !expiry.IsZero() && !now.Before(expiry) {
		return expiry, fmt.Errorf("%w: the own token, at %v", ErrExpired, expiry)
	}
	return expiry, nil
}

// Err returns what is wrong at the moment, nil if all is well.
func (s *Source) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Identities returns the own identities of the moment.
func (s *Source) Identities() []mls.Identity { return s.feed.Identities() }

// PreviousIdentities returns some of before, of other keys, the newest first.
func (s *Source) PreviousIdentities() []mls.Identity { return s.feed.PreviousIdentities() }

// Watch has changed called after each change, until stop is called. It should be quick, and must not call
// Close or Reload.
func (s *Source) Watch(changed func()) (stop func()) { return s.feed.Watch(changed) }

// Close ends the fetching, and waits for one that is under way. All else goes on as things are.
func (s *Source) Close() error {
	s.cancel()
	<-s.done
	return nil
}
