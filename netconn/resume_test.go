package netconn

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/internal/netsim"
	"github.com/mendlink/mendlink/mls"
)

// echoServer accepts connections and echoes on each, until the test ends. It returns its
// address and a channel that tells of each connection's end.
func echoServer(t *testing.T, config *Config) (address string, ends <-chan *Conn) {
	t.Helper()
	l, err := Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan *Conn, 100)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(c, c)
				c.Close()
				ended <- c.(*Conn)
			}()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr().String(), ended
}

func dial(t *testing.T, address string, config *Config) *Conn {
	t.Helper()
	c, err := Dial("tcp", address, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestDialResumesWhatItCan(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	ic.Store, rc.Store = newStore(), newStore()
	address, ends := echoServer(t, rc)

	first := dial(t, address, ic)
	roundTrip(t, first)
	update(t, first)
	roundTrip(t, first)
	before := first.ConnectionState()
	if before.Resumed {
		t.Error("the first connection is said to be resumed")
	}
	first.NetConn().Close() // a cut, not a clean end
	<-ends
	first.Close()

	second := dial(t, address, ic)
	roundTrip(t, second)
	after := second.ConnectionState()
	if !after.Resumed || after.SessionID != before.SessionID || after.Epoch <= before.Epoch || after.Peer == nil {
		t.Errorf("before the cut: %+v; after it: %+v", before, after)
	}
	update(t, second)
	roundTrip(t, second)
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	if end := <-ends; !end.ConnectionState().Resumed {
		t.Error("the responder does not know that its session was resumed")
	}

	third := dial(t, address, ic) // after a clean end as well
	roundTrip(t, third)
	if s := third.ConnectionState(); !s.Resumed || s.SessionID != before.SessionID {
		t.Errorf("after a clean end: %+v", s)
	}
}

func TestDialFallsBackToAFullHandshake(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	ic.Store, rc.Store = newStore(), newStore()
	address, ends := echoServer(t, rc)
	first := dial(t, address, ic)
	roundTrip(t, first)
	id := first.ConnectionState().SessionID
	first.Close()
	<-ends
	if err := rc.Store.Delete(t.Context(), id); err != nil { // the server has forgotten
		t.Fatal(err)
	}
	second := dial(t, address, ic)
	roundTrip(t, second)
	if s := second.ConnectionState(); s.Resumed || s.SessionID == id {
		t.Errorf("%+v, want a new session", s)
	}
	second.Close()
	<-ends
	third := dial(t, address, ic)
	roundTrip(t, third)
	if s := third.ConnectionState(); !s.Resumed {
		t.Errorf("%+v, want the second one's session", s)
	}
}

func TestASessionIsNotResumedWithoutAName(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	ic.Store, rc.Store = newStore(), newStore()
	for range 2 {
		a, b := tcpPair(t)
		client, server := connect(t, a, b, ic, rc)
		exchange(t, client, server)
		if client.ConnectionState().Resumed {
			t.Error("resumed")
		}
	}
}

func TestAResumedPeerIsValidatedAgain(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	ic.Store, rc.Store = newStore(), newStore()
	ic.PeerName = "peer"
	a, b := tcpPair(t)
	client, server := connect(t, a, b, ic, rc)
	exchange(t, client, server)
	client.Close()
	server.Close()
	revoked := *rc
	revoked.Validator = pin(t)
	a, b = tcpPair(t)
	client, server = Client(a, ic), Server(b, &revoked)
	defer client.Close()
	defer server.Close()
	if _, err := handshakeBoth(client, server); !errors.Is(err, channel.ErrPeerRefused) {
		t.Errorf("%v, want ErrPeerRefused", err)
	}
}

// Cut at any point of a resumption, the next one still works.
func TestAResumptionThatIsCutCanBeTriedAgain(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	ic.Store, rc.Store = newStore(), newStore()
	ic.PeerName = "peer"
	again := func() *Conn {
		a, b := tcpPair(t)
		client, server := connect(t, a, b, ic, rc)
		exchange(t, client, server)
		defer client.Close()
		return client
	}
	id := again().ConnectionState().SessionID
	for direction := range 2 {
		for i := int64(0); i < 700; i += 61 {
			handshakeThrough(ic, rc, nil, in(direction, netsim.CutAt(i, netsim.CutClosed)))
			if s := again().ConnectionState(); s.SessionID != id {
				t.Fatalf("cut at octet %d of direction %d: the session is lost: %+v", i, direction, s)
			}
		}
	}
}

// A request that was sent under the former identity is repeated as it is. The update that
// moves the session to the present one begins with the connection then, and comes through though
// nobody calls Read at this end.
func TestAResumedSessionMovesToThePresentIdentityByItself(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	ic.Store, rc.Store, ic.PeerName = newStore(), newStore(), "peer"
	makeSession(t, ic, rc)
	handshakeThrough(ic, rc, nil, in(1, netsim.CutAt(0, netsim.CutClosed))) // the answer is lost
	ic.PreviousIdentities = []mls.Identity{ic.Identity}
	ic.Identity = newIdentity(t, "present")
	rc.Validator = pin(t, ic.PreviousIdentities[0], ic.Identity)
	a, b := tcpPair(t)
	client, server := connect(t, a, b, ic, rc)
	go server.Read(make([]byte, 1))
	within(t, "the update", func() {
		for string(server.ConnectionState().Peer.Credential.Identity) != "present" || client.driver.Pending() {
			time.Sleep(time.Millisecond)
		}
	})
	if !client.ConnectionState().Resumed {
		t.Error("the session is another one")
	}
}

// The update of before is under way when the handshake has still to send something. Who sets a deadline
// meanwhile has nobody read beside the handshake, which would be tried without end.
func TestNobodyReadsBesideTheHandshake(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	ic.Store, rc.Store, ic.PeerName = newStore(), newStore(), "peer"
	makeSession(t, ic, rc)
	handshakeThrough(ic, rc, nil, in(1, netsim.CutAt(0, netsim.CutClosed)))
	ic.PreviousIdentities = []mls.Identity{ic.Identity}
	ic.Identity = newIdentity(t, "present")
	rc.Validator = pin(t, ic.PreviousIdentities[0], ic.Identity)
	a, b := tcpPair(t)
	acting := &actingConn{Conn: a}
	client := Client(acting, ic)
	pending := false
	acting.act = func() {
		if client.driver.Established() {
			return
		}
		pending = pending || client.driver.Pending()
		client.SetReadDeadline(time.Time{})
		if client.receiver.pumping.Load() || client.receiver.needed() {
			t.Error("somebody is to read beside the handshake")
		}
	}
	server := Server(b, rc)
	defer server.Close()
	defer client.Close()
	if err := errors.Join(handshakeBoth(client, server)); err != nil {
		t.Fatal(err)
	}
	if !pending {
		t.Error("no update is under way before the handshake is over")
	}
}

// A takenStore has the session that is to be resumed taken over by another process at the last moment.
type takenStore struct {
	channel.Store
	conflicts int
}

func (s *takenStore) Save(ctx context.Context, session channel.StoredSession) (uint64, error) {
	if session.Version != 0 && s.conflicts == 0 {
		s.conflicts++
		return 0, channel.ErrConflict
	}
	return s.Store.Save(ctx, session)
}

// What ended a session that could not be resumed after all is not what ends the one in its place.
func TestANewSessionDoesNotEndLikeTheOneBefore(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	ic.Store, rc.Store, ic.PeerName = newStore(), newStore(), "peer"
	makeSession(t, ic, rc)
	taken := &takenStore{Store: ic.Store}
	ic.Store = taken
	a, b := tcpPair(t)
	client, _ := connect(t, a, b, ic, rc)
	if taken.conflicts != 1 || client.ConnectionState().Resumed {
		t.Fatalf("%d conflicts, resumed: %t", taken.conflicts, client.ConnectionState().Resumed)
	}
	client.driver.Look(func(s *channel.Session) { s.Close() })
	if err := client.UpdateKeys(false); !errors.Is(err, channel.ErrClosed) || errors.Is(err, channel.ErrSuperseded) {
		t.Errorf("%v, want %v", err, channel.ErrClosed)
	}
}

var _ net.Listener = (*Listener)(nil)
