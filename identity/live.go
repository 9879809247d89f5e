package identity

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/mendlink/mendlink/mls"
)

// DefaultEvery is that of [Files.Every].
const DefaultEvery = 5 * time.Second

var (
	// ErrNotValidNow means that a certificate of one's own has expired, or is for later.
	ErrNotValidNow = errors.New("identity: certificate is not valid at this time")
	errNoFiles     = errors.New("identity: Files names no files")
)

// Files names what a [Live] is made of. What is not named is not there.
type Files struct {
	// Pairs are the own certificates and keys. A connection shows the first whose key fits its
	// cipher suite, so that more than one of a kind is of no use.
	Pairs []KeyPair
	// Roots are the files of the authorities to trust: see [LoadRoots].
	Roots []string
	// TrustDomains are the files of the authorities to trust for the SPIFFE IDs of each trust
	// domain. If there are any, certificates with an ID of another domain are refused, and Roots go for
	// certificates without one.
	TrustDomains map[string][]string
	// Revoked are the files that say what is not to be trusted any more: see [Revoked].
	Revoked []string
	// Also are files that something else reads, such as those of a [KnownHosts], and
	// connections are to be looked at again when they change.
	Also []string

	// Every is how often the files are looked at. A change is taken over once two looks in a row have
	// found the same, so after twice this time at the latest. Default: [DefaultEvery]. Negative: never
	// but by [Live.Reload].
	Every time.Duration
	// Report is told what could not be taken over, and nil when that is over; not again before it
	// changes. What was there before stays in force. It is called by one goroutine at a time, and must not
	// call the Live's Close, Reload or Err. Default: nobody is told but the callers of Err.
	Report func(error)
	// Now returns the current time. Default: time.Now.
	Now func() time.Time
	// Tick, if set, takes the place of a ticker with the period Every.
	Tick <-chan time.Time
}

// A Live is a [Feed] of what files hold, as they change: own identities, authorities, and what
// is revoked.
//
// Each of them changes as a whole or not at all: a file that is half written, or a key that
// does not fit its certificate yet, leaves in force what was there before. A change is seen by
// content, whichever way it is made. One goroutine looks at the files and ends with Close.
//
// All methods are safe for concurrent use.
type Live struct {
	feed  Feed
	files Files

	mu       sync.Mutex // guards what follows
	parts    []*part
	pairs    []mls.Identity // as the files have them
	expiry   []time.Time    // of each pair
	roots    *x509.CertPool
	domains  map[string]*x509.CertPool
	reported string

	cancel context.CancelFunc
	done   chan struct{} // closed when the goroutine has ended
}

// Open reads the files, all of which have to be right, and looks at them from then on.
// Errors are of type [*FileError] if they are about a file.
func Open(files Files) (*Live, error) {
	if files.Now == nil {
		files.Now = time.Now
	}
	files.Every = cmp.Or(files.Every, DefaultEvery)
	n := len(files.Pairs)
	l := &Live{files: files, done: make(chan struct{}), pairs: make([]mls.Identity, n), expiry: make([]time.Time, n)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.addParts(); err != nil {
		return nil, err
	}
	l.lookAt(true)
	if err := failures(l.parts); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	go l.run(ctx)
	return l, nil
}

// addParts makes the parts, each of which takes itself over. l.mu is locked, here and when they
// do.
func (l *Live) addParts() error {
	add := func(p part, load func(texts [][]byte) error) {
		p.load = load
		l.parts = append(l.parts, &p)
	}
	for i, pair := range l.files.Pairs {
		add(pair.part(), func(texts [][]byte) error { return l.loadPair(i, texts) })
	}
	if paths := slices.Clone(l.files.Roots); len(paths) > 0 {
		add(filesOf(paths), func(texts [][]byte) error {
			roots, err := parseRoots(paths, texts)
			if err == nil {
				l.roots = roots
			}
			return err
		})
	}
	for domain, paths := range l.files.TrustDomains {
		if err := verifyTrustDomain(domain); err != nil {
			return fmt.Errorf("%w: Files.TrustDomains: %w", ErrSPIFFEID, err)
		}
		paths := slices.Clone(paths)
		add(filesOf(paths), func(texts [][]byte) error { return l.loadDomain(domain, paths, texts) })
	}
	if paths := slices.Clone(l.files.Revoked); len(paths) > 0 {
		add(filesOf(paths), func(texts [][]byte) error {
			revoked, err := parseRevoked(paths, texts)
			if err == nil {
				l.feed.change(func(k *knowledge) { k.revoked = revoked })
			}
			return err
		})
	}
	if len(l.files.Also) > 0 {
		add(filesOf(slices.Clone(l.files.Also)), func([][]byte) error { return nil })
	}
	if len(l.parts) == 0 {
		return errNoFiles
	}
	return nil
}

// loadPair takes another identity over, if it is valid now.
func (l *Live) loadPair(i int, texts [][]byte) error {
	pair := l.files.Pairs[i]
	id, chain, err := pair.parse(texts)
	if err != nil {
		return err
	}
	now, expiry := l.files.Now(), chain[0].NotAfter
	for _, certificate := range chain {
		if certificate.NotAfter.Before(expiry) {
			expiry = certificate.NotAfter
		}
		if now.Before(certificate.NotBefore) || now.After(certificate.NotAfter) {
			return &FileError{Path: pair.Certificate, Field: "validity of the certificate", Err: fmt.Errorf("%w: that of %q is valid from %v to %v",
				ErrNotValidNow, certificate.Subject, certificate.NotBefore, certificate.NotAfter)}
		}
	}
	l.pairs[i], l.expiry[i] = id, expiry
	return nil
}

func (l *Live) loadDomain(domain string, paths []string, texts [][]byte) error {
	roots, err := parseRoots(paths, texts)
	if err != nil {
		return err
	}
	if l.domains == nil {
		l.domains = make(map[string]*x509.CertPool)
	}
	l.domains[domain] = roots
	return nil
}

// run looks at the files until ctx ends.
func (l *Live) run(ctx context.Context) {
	defer close(l.done)
	tick := l.files.Tick
	if tick == nil && l.files.Every > 0 {
		ticker := time.NewTicker(l.files.Every)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick:
			l.look(false)
		}
	}
}

// Reload looks at the files now, and takes over at once what is whole. The error says what
// is not; that stays as it was.
func (l *Live) Reload() error { return l.look(true) }

func (l *Live) look(atOnce bool) error {
	l.mu.Lock()
	changed := l.lookAt(atOnce)
	err := l.failures()
	l.report(err)
	l.mu.Unlock()
	if changed {
		l.feed.notify()
	}
	return err
}

// lookAt looks at the parts and reports whether one has changed. l.mu is locked.
func (l *Live) lookAt(atOnce bool) (changed bool) {
	for _, p := range l.parts {
		changed = p.look(atOnce) || changed
	}
	if changed {
		bundle := NewTrustBundle(l.roots, l.domains)
		l.feed.change(func(k *knowledge) {
			k.setIdentities(l.pairs)
			k.bundle = bundle
		})
	}
	return changed
}

// failures returns what is wrong: what could not be taken over, and what nobody has renewed
// in time. l.mu is locked.
func (l *Live) failures() error {
	all := []error{failures(l.parts)}
	now := l.files.Now()
	for i, expiry := range l.expiry {
		if now.After(expiry) {
			all = append(all, &FileError{Path: l.files.Pairs[i].Certificate, Field: "validity of the certificate",
				Err: fmt.Errorf("%w: it expired at %v and nothing has taken its place", ErrNotValidNow, expiry)})
		}
	}
	return errors.Join(all...)
}

// report tells of an error that is not the last one. l.mu is locked.
func (l *Live) report(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != l.reported && l.files.Report != nil {
		l.files.Report(err)
	}
	l.reported = text
}

// Err returns what could not be taken over at the last look, and which own certificate has
// expired with nothing in its place; nil if all is in force that the files hold.
func (l *Live) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failures()
}

// Identities returns the own identities of the moment, in the order of Files.Pairs.
func (l *Live) Identities() []mls.Identity { return l.feed.Identities() }

// PreviousIdentities is [Feed.PreviousIdentities].
func (l *Live) PreviousIdentities() []mls.Identity { return l.feed.PreviousIdentities() }

// RootsFor is [Feed.RootsFor].
func (l *Live) RootsFor(leaf *x509.Certificate) (*x509.CertPool, error) { return l.feed.RootsFor(leaf) }

// Revoked is [Feed.Revoked].
func (l *Live) Revoked(chain []*x509.Certificate) error { return l.feed.Revoked(chain) }

// Watch is [Feed.Watch]. Changes are made by the goroutine that looks at the files, or by
// one in Reload. What is called must not call Close or Reload.
func (l *Live) Watch(changed func()) (stop func()) { return l.feed.Watch(changed) }

// Close ends the looking at the files and waits for a look that is under way. All else goes on
// as things are.
func (l *Live) Close() error {
	l.cancel()
	<-l.done
	return nil
}
