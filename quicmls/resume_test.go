package quicmls

import (
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/internal/netsim"
	"github.com/mendlink/mendlink/mls"
)

// A host is a responder that takes all who come, and hands out their connections once
// the handshake is complete.
type host struct {
	listener *Listener
	conns    chan *Conn
	wg       sync.WaitGroup
}

func newHost(t testing.TB, address string, config *Config) *host {
	t.Helper()
	l, err := Listen(address, config)
	if err != nil {
		t.Fatal(err)
	}
	h := &host{listener: l, conns: make(chan *Conn, 100)}
	h.wg.Go(func() {
		for {
			c, err := l.Accept(t.Context())
			if err != nil {
				return
			}
			h.wg.Go(func() {
				if c.HandshakeContext(t.Context()) == nil {
					h.conns <- c // else the initiator says what is wrong
				}
			})
		}
	})
	t.Cleanup(h.close)
	return h
}

// close ends the listening and all connections that nobody has taken.
func (h *host) close() {
	h.listener.Close()
	h.wg.Wait()
	for len(h.conns) > 0 {
		(<-h.conns).CloseWithError(0, "")
	}
}

func (h *host) address() string { return h.listener.Addr().String() }

// dialTo connects to a host, and returns both ends, which are closed at the end of the test.
func dialTo(t testing.TB, address string, config *Config, h *host) (client, server *Conn) {
	t.Helper()
	client, err := Dial(t.Context(), address, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.CloseWithError(0, "") })
	select {
	case server = <-h.conns:
	case <-time.After(time.Minute):
		t.Fatal("the responder does not complete")
	}
	t.Cleanup(func() { server.CloseWithError(0, "") })
	return client, server
}

// alive fails the test unless streams work in both directions, and updates of both ends.
func alive(t testing.TB, client, server *Conn) {
	t.Helper()
	a, b := openPair(t, client, server)
	exchange(t, a, b)
	update(t, client)
	update(t, server)
	exchange(t, b, a)
}

// isResumed fails the test unless both ends have resumed the session of before, in a later epoch.
func isResumed(t testing.TB, client, server *Conn, before ConnectionState) {
	t.Helper()
	for _, c := range []*Conn{client, server} {
		if s := c.ConnectionState(); !s.Resumed || s.SessionID != before.SessionID || s.Epoch <= before.Epoch || s.Peer == nil {
			t.Errorf("resumed: %t, session %v in epoch %d; it was %v in epoch %d", s.Resumed, s.SessionID, s.Epoch, before.SessionID, before.Epoch)
		}
	}
}

func withStores(ic, rc *Config) {
	ic.Store, rc.Store = channel.NewMemoryStore(0), channel.NewMemoryStore(0)
}

func TestALostConnectionIsResumed(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	withStores(ic, rc)
	h := newHost(t, "127.0.0.1:0", rc)
	via, network := network(t, 3, netsim.UDPFaults{})
	address := via(h.address())
	to, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	from := newTransport(t)
	lost, err := DialTransport(t.Context(), from, to, ic)
	if err != nil {
		t.Fatal(err)
	}
	unaware := <-h.conns
	t.Cleanup(func() { unaware.CloseWithError(0, "") })
	if lost.ConnectionState().Resumed || unaware.ConnectionState().Resumed {
		t.Error("the first connection is said to be resumed")
	}
	alive(t, lost, unaware)
	before := lost.ConnectionState()
	from.Close() // of which the responder hears nothing: it waits for half a minute
	lost.CloseWithError(0, "")
	short := *ic
	short.QUIC = &quic.Config{MaxIdleTimeout: aliveFor}
	client, server := dialTo(t, address, &short, h)
	isResumed(t, client, server, before)
	alive(t, client, server)
	// The responder's end of the old one cannot go on with the session beside the new one.
	if err := unaware.Update(t.Context()); !errors.Is(err, channel.ErrSuperseded) {
		t.Errorf("an update on the connection before: %v, want channel.ErrSuperseded", err)
	}
	alive(t, client, server)
	before = client.ConnectionState()

	s, _ := openPair(t, client, server)
	network().Cut()
	var idle *quic.IdleTimeoutError
	if _, err := s.Read(make([]byte, 1)); !errors.As(err, &idle) {
		t.Errorf("%v, want a *quic.IdleTimeoutError", err)
	}
	if err := client.Update(t.Context()); !errors.As(err, &idle) {
		t.Errorf("an update on a connection that is lost: %v", err)
	}
	network().Heal()
	client, server = dialTo(t, address, ic, h)
	isResumed(t, client, server, before)
	alive(t, client, server)
	before = client.ConnectionState()

	client.CloseWithError(0, "") // an orderly end
	client, server = dialTo(t, address, ic, h)
	isResumed(t, client, server, before)
	alive(t, client, server)
}

func TestASecondDialLeavesTheSessionOfALivingConnectionAlone(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	withStores(ic, rc)
	h := newHost(t, "127.0.0.1:0", rc)
	first, firstServer := dialTo(t, h.address(), ic, h)
	second, secondServer := dialTo(t, h.address(), ic, h)
	if second.ConnectionState().Resumed || first.ConnectionState().SessionID == second.ConnectionState().SessionID {
		t.Error("the second connection has the session of the first")
	}
	alive(t, first, firstServer)
	alive(t, second, secondServer)
	before := first.ConnectionState()
	first.CloseWithError(0, "")
	third, thirdServer := dialTo(t, h.address(), ic, h)
	isResumed(t, third, thirdServer, before)
	alive(t, second, secondServer)
}

// A responder that is gone without a word, and comes back with nothing but its store.
func TestAResponderIsRestartedFromItsStore(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	withStores(ic, rc)
	tr := newTransport(t)
	ic.PeerName = "peer"
	client, server := connectOn(t, newTransport(t), tr, ic, rc)
	alive(t, client, server)
	before := client.ConnectionState()
	tr.Close()
	client.CloseWithError(0, "")
	server.CloseWithError(0, "")

	restarted := newConfig(rc.Identity, rc.Validator)
	restarted.Store = copyOf(t, rc.Store, before.SessionID)
	h := newHost(t, "127.0.0.1:0", restarted)
	client, server = dialTo(t, h.address(), ic, h)
	isResumed(t, client, server, before)
	alive(t, client, server)
}

// copyOf returns another store with one of the sessions, as it is found on a disk.
func copyOf(t testing.TB, store channel.Store, id channel.SessionID) channel.Store {
	t.Helper()
	s, err := store.Load(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	c := channel.NewMemoryStore(0)
	s.Version = 0
	if _, err := c.Save(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAResponderThatHasForgottenGetsAFullHandshake(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	withStores(ic, rc)
	h := newHost(t, "127.0.0.1:0", rc)
	client, _ := dialTo(t, h.address(), ic, h)
	forgotten := client.ConnectionState().SessionID
	client.CloseWithError(0, "")
	if err := rc.Store.Delete(t.Context(), forgotten); err != nil {
		t.Fatal(err)
	}
	client, server := dialTo(t, h.address(), ic, h)
	for _, c := range []*Conn{client, server} {
		if s := c.ConnectionState(); s.Resumed || s.SessionID == forgotten {
			t.Errorf("%+v, want a new session", s)
		}
	}
	alive(t, client, server)
	before := client.ConnectionState()
	client.CloseWithError(0, "")
	client, server = dialTo(t, h.address(), ic, h)
	isResumed(t, client, server, before)
}

func TestAPeerThatWasRevokedIsNotResumed(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	withStores(ic, rc)
	ic.PeerName = "peer"
	client, _ := connect(t, ic, rc)
	client.CloseWithError(0, "")
	revoked := *rc
	revoked.Validator = pin(t, newIdentity(t, "somebody else"))
	_, _, clientErr, serverErr := dialThrough(t, ic, &revoked, func(address string) string { return address })
	var unknown *identity.UnknownPeerError
	if !errors.Is(serverErr, channel.ErrPeerRefused) || !errors.As(serverErr, &unknown) {
		t.Errorf("responder: %v, want channel.ErrPeerRefused", serverErr)
	}
	var told *AlertError
	if !errors.As(clientErr, &told) || told.Alert != channel.AlertBadCertificate {
		t.Errorf("initiator: %v, want bad_certificate", clientErr)
	}
}

// An identity that was rotated is the one under which the session is resumed.
func TestASessionIsResumedUnderTheRotatedIdentity(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	withStores(ic, rc)
	ic.PeerName = "peer"
	next := newIdentity(t, "next")
	rc.Validator = pin(t, ic.Identity, next)
	client, server := connect(t, ic, rc)
	if err := client.Rotate(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	alive(t, client, server)
	before := client.ConnectionState()
	client.CloseWithError(0, "")
	former := ic.Identity
	for _, c := range []struct {
		own      mls.Identity
		previous []mls.Identity
	}{{next, nil}, {former, []mls.Identity{next}}} {
		ic.Identity, ic.PreviousIdentities = c.own, c.previous
		client, server = connect(t, ic, rc)
		isResumed(t, client, server, before)
		alive(t, client, server)
		if got, want := string(server.ConnectionState().Peer.Credential.Identity), string(c.own.Credential.Identity); got != want {
			t.Errorf("the peer is %q, want %q", got, want)
		}
		before = client.ConnectionState()
		client.CloseWithError(0, "")
	}
}

// Whoever is told by any method that the connection has ended may dial at once, and gets its session.
func TestASessionIsFreeForWhoHasSeenTheEndOfItsConnection(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	withStores(ic, rc)
	h := newHost(t, "127.0.0.1:0", rc)
	client, server := dialTo(t, h.address(), ic, h)
	for name, notice := range map[string]func(c *Conn, s *Stream) error{
		"AcceptStream":    func(c *Conn, _ *Stream) error { _, err := c.AcceptStream(t.Context()); return err },
		"AcceptUniStream": func(c *Conn, _ *Stream) error { _, err := c.AcceptUniStream(t.Context()); return err },
		"ReceiveDatagram": func(c *Conn, _ *Stream) error { _, err := c.ReceiveDatagram(t.Context()); return err },
		"Read":            func(_ *Conn, s *Stream) error { _, err := s.Read(make([]byte, 1)); return err },
		"Write": func(_ *Conn, s *Stream) error {
			for {
				if _, err := s.Write([]byte("x")); err != nil {
					return err
				}
			}
		},
		"OpenStreamSync": func(c *Conn, _ *Stream) error {
			for {
				if _, err := c.OpenStreamSync(t.Context()); err != nil {
					return err
				}
			}
		},
	} {
		a, _ := openPair(t, client, server)
		before := client.ConnectionState()
		noticed := make(chan error)
		go func() {
			err := notice(client, a)
			if !client.driver.Ended() {
				t.Errorf("%s: the session is held still", name)
			}
			noticed <- err
		}()
		server.CloseWithError(7, "seven")
		var closed *quic.ApplicationError
		if err := <-noticed; !errors.As(err, &closed) || closed.ErrorCode != 7 {
			t.Errorf("%s: %v", name, err)
		}
		client, server = dialTo(t, h.address(), ic, h)
		isResumed(t, client, server, before)
	}
}
