package spiffe

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls"
)

// ErrNoSVID means that the Workload API has offered no X.509-SVID that can be used.
var ErrNoSVID = errors.New("spiffe: no usable X.509-SVID")

// Options say how to reach the Workload API, and what to make of it.
type Options struct {
	// Addr is where the Workload API is, such as unix:///run/spire/agent/public/api.sock. Default: what
	// the environment variable SPIFFE_ENDPOINT_SOCKET says.
	Addr string
	// Client are further options of go-spiffe's client. Default: none.
	Client []workloadapi.ClientOption
	// Pick returns the SVIDs to use, the favourite first. A connection shows the first whose key
	// fits its cipher suite. Default: all, in the order of the Workload API.
	Pick func([]*x509svid.SVID) []*x509svid.SVID
	// Report is told what goes wrong, and nil when that is over; what was there before stays in
	// force. It is called by one goroutine. Default: nobody is told but the callers of Err.
	Report func(error)
}

// A Source has the identities and authorities that the Workload API says, at every time. It fits
// the Identities of a netconn.Config, and the RootsFor of an identity.X509Options.
//
// It goes on with what it has while the Workload API cannot be reached, and reconnects. One goroutine of
// its own, and those of gRPC, end with Close. All methods are safe for concurrent use.
type Source struct {
	feed    identity.Feed
	options Options
	client  *workloadapi.Client
	cancel  context.CancelFunc
	done    chan struct{} // closed when the goroutine has ended

	mu    sync.Mutex // guards what follows
	err   error
	ready chan struct{} // closed when there is an identity; nil then
}

// Open connects to the Workload API and waits for the first X.509-SVID, or for ctx to end:
// then the error says what was wrong last. ctx has no effect afterwards.
func Open(ctx context.Context, options Options) (*Source, error) {
	clientOptions := options.Client
	if options.Addr != "" {
		clientOptions = append([]workloadapi.ClientOption{workloadapi.WithAddr(options.Addr)}, clientOptions...)
	}
	client, err := workloadapi.New(ctx, clientOptions...)
	if err != nil {
		return nil, fmt.Errorf("spiffe: %w", err)
	}
	watching, cancel := context.WithCancel(context.Background())
	ready := make(chan struct{})
	s := &Source{options: options, client: client, cancel: cancel, done: make(chan struct{}), ready: ready}
	go s.run(watching)
	select {
	case <-ready:
		return s, nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-s.done: // the Workload API does not speak to us
	}
	return nil, errors.Join(ErrNoSVID, err, s.Err(), s.Close())
}

// restart is how long go-spiffe is left alone after it has given up.
const restart = time.Second

// run follows the Workload API until ctx ends, or the Workload API does not understand us.
func (s *Source) run(ctx context.Context) {
	defer close(s.done)
	for {
		err := s.client.WatchX509Context(ctx, watcher{s, ctx})
		if ctx.Err() != nil {
			return
		}
		if status.Code(err) == codes.InvalidArgument {
			s.report(fmt.Errorf("spiffe: the Workload API is not followed any more: %w", err))
			return
		}
		// The agent said "canceled", which go-spiffe takes for our own doing.
		select {
		case <-ctx.Done():
			return
		case <-time.After(restart):
		}
	}
}

// A watcher is what go-spiffe calls.
type watcher struct {
	*Source
	ctx context.Context // ends with the source
}

// OnX509ContextUpdate takes over what the Workload API says, if it is of use.
func (w watcher) OnX509ContextUpdate(x *workloadapi.X509Context) {
	identities, err := w.identities(x.SVIDs)
	// The authorities first: who sees the new identity may show one of theirs. They count without one as well,
	// or those that are trusted no more would stay.
	w.feed.SetTrust(trustOf(x.Bundles))
	if len(identities) > 0 {
		w.feed.SetIdentities(identities...)
	}
	w.report(err)
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(identities) > 0 && w.ready != nil {
		close(w.ready)
		w.ready = nil
	}
}

// OnX509ContextWatchError takes note of what goes wrong. Everything stays as it is.
func (w watcher) OnX509ContextWatchError(err error) {
	if w.ctx.Err() != nil {
		return // it is we who end it
	}
	w.report(fmt.Errorf("spiffe: following the Workload API: %w", err))
}

// identities returns those of the SVIDs that can be used, and what is wrong with the others.
func (s *Source) identities(svids []*x509svid.SVID) ([]mls.Identity, error) {
	if s.options.Pick != nil {
		svids = s.options.Pick(svids)
	}
	var identities []mls.Identity
	var all []error
	for _, svid := range svids {
		id, err := identity.NewX509(svid.PrivateKey, svid.Certificates...)
		if err != nil {
			all = append(all, fmt.Errorf("spiffe: X.509-SVID of %v: %w", svid.ID, err))
			continue
		}
		identities = append(identities, id)
	}
	if len(identities) == 0 {
		all = append(all, ErrNoSVID)
	}
	return identities, errors.Join(all...)
}

// trustOf returns the authorities of all trust domains.
func trustOf(bundles *x509bundle.Set) *identity.TrustBundle {
	domains := make(map[string]*x509.CertPool)
	for _, bundle := range bundles.Bundles() {
		pool := x509.NewCertPool()
		for _, authority := range bundle.X509Authorities() {
			pool.AddCert(authority)
		}
		domains[bundle.TrustDomain().Name()] = pool
	}
	return identity.NewTrustBundle(nil, domains)
}

// report takes note of an error, and tells of it.
func (s *Source) report(err error) {
	s.mu.Lock()
	changed := err != nil || s.err != nil
	s.err = err
	s.mu.Unlock()
	if changed && s.options.Report != nil {
		s.options.Report(err)
	}
}

// Err returns what is wrong at the moment, nil if all is in force that the Workload API says.
func (s *Source) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Identities returns the own identities of the moment, the favourite first.
func (s *Source) Identities() []mls.Identity { return s.feed.Identities() }

// PreviousIdentities returns some that were there before, the newest first.
func (s *Source) PreviousIdentities() []mls.Identity { return s.feed.PreviousIdentities() }

// RootsFor returns the authorities of an SVID's trust domain. If there are none the error matches
// identity.ErrNoRoots.
func (s *Source) RootsFor(leaf *x509.Certificate) (*x509.CertPool, error) {
	return s.feed.RootsFor(leaf)
}

// Watch has changed called after each change, until stop is called. It should be quick, and
// must not call Close.
func (s *Source) Watch(changed func()) (stop func()) { return s.feed.Watch(changed) }

// Close ends the connection to the Workload API. All else goes on as things are.
func (s *Source) Close() error {
	s.cancel()
	<-s.done
	return s.client.Close()
}
