package driver

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"math/big"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// An end is a driver on a transport that keeps messages until the test delivers them.
type end struct {
	Driver
	ctx      context.Context
	end      context.CancelFunc
	config   *channel.Config
	confirms bool // that the keys of an update are in place, at once

	mu      sync.Mutex
	sent    []channel.Message
	carried []channel.Event
	aborted error
}

func (e *end) Context() context.Context { return e.ctx }

func (e *end) Abort(err error) {
	e.mu.Lock()
	e.aborted = err
	e.mu.Unlock()
	e.Fail(err)
}

func (e *end) Carry(events []channel.Event) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, event := range events {
		e.carried = append(e.carried, event)
		if send, ok := event.(channel.Send); ok {
			e.sent = append(e.sent, send.Message)
		}
	}
	if e.confirms {
		e.Confirm(e.Acked())
	}
	return nil
}

// take returns what was sent and not delivered.
func (e *end) take() []channel.Message {
	e.mu.Lock()
	defer e.mu.Unlock()
	sent := e.sent
	e.sent = nil
	return sent
}

func (e *end) abortedBy() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.aborted
}

// A moody validator changes its mind.
type moody struct {
	mu    sync.Mutex
	err   error
	asked int
}

func (m *moody) ValidateLeaf(*mls.LeafNode, *mls.LeafNode) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked++
	return m.err
}

func (m *moody) times() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.asked
}

func (m *moody) refuse(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

// A clock stands still until somebody moves it.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// failingStore fails to save on demand.
type failingStore struct {
	channel.Store
	fail atomic.Bool
}

var errDisk = errors.New("disk full")

func (s *failingStore) Save(ctx context.Context, session channel.StoredSession) (uint64, error) {
	if s.fail.Load() {
		return 0, errDisk
	}
	return s.Store.Save(ctx, session)
}

func newIdentity(t *testing.T, name string) mls.Identity {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return mls.Identity{Credential: mls.BasicCredential([]byte(name)), Signer: key}
}

// certified returns an identity with a certificate that ends at some time.
func certified(t *testing.T, notAfter time.Time) mls.Identity {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: notAfter.Add(-time.Hour), NotAfter: notAfter}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return mls.Identity{Credential: mls.X509Credential(certificate), Signer: private}
}

// errs are those of this test's transport.
var errs = Errors{NoIdentityFits: errors.New("no identity fits"), ExpiresTooSoon: errors.New("expires too soon")}

// newEnd returns an end that makes no updates by itself, with what change changes in its configuration.
func newEnd(t *testing.T, name string, change func(*channel.Config, *Config)) *end {
	t.Helper()
	e := &end{confirms: true}
	e.ctx, e.end = context.WithCancel(t.Context())
	e.config = &channel.Config{
		Identity:  newIdentity(t, name),
		Validator: new(moody),
		Suites:    []ciphersuite.ID{ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519},
		Now:       time.Now,
	}
	config := &Config{Rekey: channel.UpdatePolicy{Every: -1, Bytes: -1, Records: -1}, Rand: rand.Reader, Settings: Settings{Errors: &errs}}
	if change != nil {
		change(e.config, config)
	}
	config.Identity, config.Now = e.config.Identity, e.config.Now
	e.Init(e, config)
	e.config.Validator = e.Validator(e.config.Validator)
	t.Cleanup(func() {
		e.end()
		e.Fail(context.Canceled)
		e.Close()
	})
	return e
}

// deliver gives each end what the other has sent, until nothing is left.
func deliver(t *testing.T, a, b *end) {
	t.Helper()
	for {
		toB, toA := a.take(), b.take()
		if len(toA)+len(toB) == 0 {
			return
		}
		for _, d := range []struct {
			to       *end
			messages []channel.Message
		}{{b, toB}, {a, toA}} {
			for _, m := range d.messages {
				if err := d.to.Advance(func(s *channel.Session) ([]channel.Event, error) { return s.Receive(t.Context(), m) }); err != nil {
					d.to.Abort(err)
				}
			}
		}
	}
}

// begin makes the sessions of both ends, and takes their first steps.
func begin(t *testing.T, a, b *end) {
	t.Helper()
	first, err := a.Initiator(t.Context(), a.config)
	if err != nil {
		t.Fatal(err)
	}
	second, err := channel.NewResponder(b.config)
	if err != nil {
		t.Fatal(err)
	}
	start := func(s *channel.Session) ([]channel.Event, error) { return s.Start(t.Context()) }
	if err := errors.Join(b.Start(second, start), a.Start(first, start)); err != nil {
		t.Fatal(err)
	}
}

// connect performs the handshake.
func connect(t *testing.T, a, b *end) {
	t.Helper()
	begin(t, a, b)
	deliver(t, a, b)
	for _, e := range []*end{a, b} {
		if err := e.abortedBy(); err != nil || !e.State().HandshakeComplete {
			t.Fatalf("the handshake is not complete: %v", err)
		}
		e.Establish()
	}
}

// pair returns two ends after the handshake. change is for the first.
func pair(t *testing.T, change func(*channel.Config, *Config)) (a, b *end) {
	t.Helper()
	a, b = newEnd(t, "a", change), newEnd(t, "b", nil)
	connect(t, a, b)
	return a, b
}

// eventually fails the test if something does not become true for so long that it never will.
// Messages are delivered meanwhile.
func eventually(t *testing.T, a, b *end, what string, true func() bool) {
	t.Helper()
	for range 6000 {
		deliver(t, a, b)
		if true() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("not in 30 s: %s", what)
}
