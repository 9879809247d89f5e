package quicmls

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/channel/record"
	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// quiet is a policy without updates of its own.
var quiet = channel.UpdatePolicy{Every: -1, Bytes: -1, Records: -1}

// newConfigs returns the configurations of two ends that accept each other, and
// nobody else. They use the cheapest suite, make no updates by themselves and show other identities at once.
func newConfigs(t testing.TB) (initiator, responder *Config) {
	t.Helper()
	a, b := newIdentity(t, "initiator"), newIdentity(t, "responder")
	return newConfig(a, pin(t, b)), newConfig(b, pin(t, a))
}

func newConfig(own mls.Identity, peer mls.AuthenticationService) *Config {
	return &Config{Config: channel.Config{Identity: own, Validator: peer, Suites: []ciphersuite.ID{1}}, Rekey: quiet, IdentitySpread: -1,
		HandshakeTimeout: time.Minute, EpochGrace: time.Minute} // on a machine that has other things to do
}

func newIdentity(t testing.TB, name string) mls.Identity {
	t.Helper()
	id, err := identity.Generate(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func pin(t testing.TB, peers ...mls.Identity) *identity.Pinned {
	t.Helper()
	var keys []crypto.PublicKey
	for _, p := range peers {
		keys = append(keys, p.Signer.Public())
	}
	pinned, err := identity.NewPinned(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return pinned
}

// connect performs the handshake between two ends over loopback, and closes them at the end of
// the test.
func connect(t testing.TB, initiator, responder *Config) (client, server *Conn) {
	t.Helper()
	return connectThrough(t, initiator, responder, func(address string) string { return address })
}

// connectThrough is connect by way of another address.
func connectThrough(t testing.TB, initiator, responder *Config, via func(address string) string) (client, server *Conn) {
	t.Helper()
	l, err := Listen("127.0.0.1:0", responder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	accepted := make(chan error, 1)
	go func() {
		c, err := l.Accept(ctx)
		if err == nil {
			server = c
			err = c.HandshakeContext(ctx)
		}
		accepted <- err
	}()
	client, err = Dial(ctx, via(l.Addr().String()), initiator)
	if err := errors.Join(err, <-accepted); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.CloseWithError(0, "")
		server.CloseWithError(0, "")
	})
	return client, server
}

func newConnPair(t testing.TB) (client, server *Conn) {
	t.Helper()
	ic, rc := newConfigs(t)
	return connect(t, ic, rc)
}

// openPair returns the two ends of a new stream.
func openPair(t testing.TB, from, to *Conn) (a, b *Stream) {
	t.Helper()
	a, err := from.OpenStreamSync(t.Context())
	if err == nil {
		err = a.Announce()
	}
	if err != nil {
		t.Fatal(err)
	}
	if b, err = to.AcceptStream(t.Context()); err != nil {
		t.Fatal(err)
	}
	return a, b
}

// checkGoroutines fails the test if goroutines are left once all else is cleaned up.
// It must be called first.
func checkGoroutines(t testing.TB) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		var after int
		for range 12000 { // two minutes: quic-go keeps a socket for some round trips, which are long on a busy machine
			if after = runtime.NumGoroutine(); after <= before {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		stacks := make([]byte, 1<<18)
		t.Errorf("%d goroutines, %d before:\n%s", after, before, stacks[:runtime.Stack(stacks, true)])
	})
}

// within fails the test if f takes so long that it must have hung.
func within(t testing.TB, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(120 * time.Second):
		stacks := make([]byte, 1<<18)
		t.Fatalf("%s hangs:\n%s", what, stacks[:runtime.Stack(stacks, true)])
	}
}

// exchange sends a message each way.
func exchange(t testing.TB, a, b io.ReadWriter) {
	t.Helper()
	for _, c := range []struct{ from, to io.ReadWriter }{{a, b}, {b, a}} {
		want := []byte("over to you")
		if _, err := c.from.Write(want); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(c.to, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("read %q, %v", got, err)
		}
	}
}

func update(t testing.TB, c *Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := c.Update(ctx); err != nil {
		t.Fatal(err)
	}
}

var _ net.Listener = streamListener{}

// earlyPairTLS returns TLS configurations of two ends that may use 0-RTT with each other.
func earlyPairTLS(t testing.TB) (client, server *tls.Config) {
	t.Helper()
	c := new(Config)
	client = c.earlyTLS()
	client.ClientSessionCache = &ticketWaiter{tls.NewLRUClientSessionCache(8), make(chan struct{}, 16)}
	c.Allow0RTT = true
	server, err := c.serverTLS()
	if err != nil {
		t.Fatal(err)
	}
	return client, server
}

// newQUICPair is newConnPair with other QUIC configurations than the default one.
func newQUICPair(t testing.TB, initiator, responder *quic.Config) (client, server *Conn) {
	t.Helper()
	ic, rc := newConfigs(t)
	ic.QUIC, rc.QUIC = initiator, responder
	return connect(t, ic, rc)
}

// narrow lets the peer send that many octets on a stream before they are read.
func narrow(window uint64) *quic.Config {
	return &quic.Config{InitialStreamReceiveWindow: window, MaxStreamReceiveWindow: window, EnableDatagrams: true}
}

// openUniPair returns the two ends of a new unidirectional stream.
func openUniPair(t testing.TB, from, to *Conn) (*SendStream, *ReceiveStream) {
	t.Helper()
	a, err := from.OpenUniStreamSync(t.Context())
	if err == nil {
		err = a.Announce()
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := to.AcceptUniStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return a, b
}

// A rawStream is a QUIC stream beneath a Conn, with the keys of its records: what a peer
// has that is authenticated and breaks the rules.
type rawStream struct {
	*quic.Stream
	t          testing.TB
	protection *record.StreamProtection
	peer       *Stream // nil until accepted
}

func openRaw(t testing.TB, c *Conn) *rawStream {
	t.Helper()
	q, err := c.quic.OpenStreamSync(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.sending.begin(uint64(q.StreamID()))
	if err != nil {
		t.Fatal(err)
	}
	return &rawStream{Stream: q, t: t, protection: p}
}

// seal returns a record.
func (s *rawStream) seal(ct record.ContentType, content string) []byte {
	s.t.Helper()
	rec, err := s.protection.Seal(nil, ct, []byte(content))
	if err != nil {
		s.t.Fatal(err)
	}
	return rec
}

// send writes octets to the QUIC stream.
func (s *rawStream) send(octets ...[]byte) {
	s.t.Helper()
	if _, err := s.Write(bytes.Join(octets, nil)); err != nil {
		s.t.Fatal(err)
	}
}

// data sends a record of application data.
func (s *rawStream) data(content string) {
	s.t.Helper()
	s.send(s.seal(record.ContentApplicationData, content))
}

// accept returns the next stream that the peer has opened.
func accept(t testing.TB, c *Conn) *Stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	s, err := c.AcceptStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// expect reads exactly this.
func expect(t testing.TB, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v, want %q", got[:n], err, want)
	}
}

// send writes all of it.
func send(t testing.TB, w io.Writer, content string) {
	t.Helper()
	if n, err := io.WriteString(w, content); err != nil || n != len(content) {
		t.Fatalf("%d of %d octets written, %v", n, len(content), err)
	}
}

// eventually fails the test if something does not become true for so long that it never will.
func eventually(t testing.TB, what string, true func() bool) {
	t.Helper()
	for range 3000 {
		if true() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("not in 30 s: %s", what)
}

// cancelled checks that an error is that of a stream that was given up with a code.
func cancelled(t testing.TB, what string, err error, code quic.StreamErrorCode, remote bool) {
	t.Helper()
	var got *quic.StreamError
	if !errors.As(err, &got) || got.ErrorCode != code || got.Remote != remote {
		t.Errorf("%s: %v, want code %d, remote %t", what, err, code, remote)
	}
}

// known returns how many streams each direction's keys know of.
func (c *Conn) known() (sending, receiving int) {
	c.sending.mu.Lock()
	sending = len(c.sending.streams)
	c.sending.mu.Unlock()
	c.receiving.mu.Lock()
	defer c.receiving.mu.Unlock()
	return sending, len(c.receiving.streams)
}

// quicPair returns the two ends of a QUIC connection, over which there is no session yet.
func quicPair(t testing.TB, initiator, responder *Config) (client, server *quic.Conn) {
	t.Helper()
	tlsConfig, err := responder.serverTLS()
	if err != nil {
		t.Fatal(err)
	}
	l, err := quic.ListenAddr("127.0.0.1:0", tlsConfig, responder.quicConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	client, err = quic.DialAddr(ctx, l.Addr().String(), initiator.clientTLS(), initiator.quicConfig())
	if err != nil {
		t.Fatal(err)
	}
	server, err = l.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.CloseWithError(0, "")
		server.CloseWithError(0, "")
	})
	return client, server
}

// holdBack has from begin an update and holds back, until release is called, the message that
// tells the peer that the next epoch's keys are in use, which it returns. If there are to be two epochs, the
// peer begins an update as well, and from confirms it.
func holdBack(t testing.TB, from, to *Conn, epochs int) (next []*record.EpochSecret, release func()) {
	t.Helper()
	updated := make(chan error, 2)
	begin := func(c *Conn) { updated <- c.Update(t.Context()) }
	to.control.writeMu.Lock() // and with it the acknowledgement
	go begin(from)
	state := func(want channel.State) func() bool {
		return func() (reached bool) {
			to.driver.Look(func(s *channel.Session) { reached = s.State() == want })
			return reached
		}
	}
	eventually(t, "the update has come", state(channel.StateAcknowledged))
	if epochs == 2 {
		go begin(to)
		eventually(t, "another one is on its way back", state(channel.StateAcknowledgedUpdating))
	}
	from.control.writeMu.Lock()
	to.control.writeMu.Unlock()
	q := &from.control.queue
	eventually(t, "the keys wait", func() bool {
		q.mu.Lock()
		defer q.mu.Unlock()
		next = nil
		for _, i := range q.items {
			if e := i.keys; e != nil {
				s, err := record.NewEpochSecret(e.Suite, e.Epoch, e.Secret, e.RecordSize)
				if err != nil {
					t.Fatal(err)
				}
				next = append(next, s)
			}
		}
		return len(next) == epochs
	})
	return next, func() {
		t.Helper()
		from.control.writeMu.Unlock()
		for range epochs {
			if err := <-updated; err != nil {
				t.Error(err)
			}
		}
	}
}

// blocked waits until a Write on a, of more than the window and than 16 KiB, waits for b to read.
func blocked(t testing.TB, a, b *Stream) {
	t.Helper()
	some := make([]byte, 8<<10)
	if _, err := b.receive.quic.(*quic.Stream).Peek(some); err != nil {
		t.Fatal(err)
	}
	eventually(t, "Write waits for room", a.send.waits)
}

// waits reports that octets are on their way into the QUIC stream.
func (s *SendStream) waits() bool {
	if s.writeMu.TryLock() {
		s.writeMu.Unlock()
		return false
	}
	return true
}
