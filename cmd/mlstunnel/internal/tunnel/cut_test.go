package tunnel

import (
	"net"
	"sync"
	"testing"
	"time"

	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/config"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/testbed"
	"github.com/mendlink/mendlink/internal/netsim"
)

// A network lies between client and server, and can be cut.
type network struct {
	addr string
	// cut ends all that is on it; mend lets it go on.
	cut, mend func()
}

// newNetwork returns a network to the address of a server.
func newNetwork(t *testing.T, transport, server string) *network {
	if transport == config.QUIC {
		u, err := netsim.NewUDP(server, 1, netsim.UDPFaults{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { u.Close() })
		return &network{u.Addr(), u.Cut, u.Heal}
	}
	var mu sync.Mutex
	var streams []*netsim.Stream
	away := false
	n := &network{
		cut: func() {
			mu.Lock()
			defer mu.Unlock()
			away = true
			for _, s := range streams {
				s.Close()
			}
			streams = nil
		},
		mend: func() {
			mu.Lock()
			defer mu.Unlock()
			away = false
		},
	}
	n.addr = testbed.Service(t, func(near *net.TCPConn) {
		mu.Lock()
		if away {
			mu.Unlock()
			return
		}
		far, err := net.Dial("tcp", server)
		if err != nil {
			mu.Unlock()
			return
		}
		s := netsim.NewStream(near, far, nil, nil)
		streams = append(streams, s)
		mu.Unlock()
		s.Wait()
	})
	return n
}

func TestAfterACutTheNextConnectionResumes(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		e := pinnedEnds(t, transport, testbed.Echo(t))
		for _, f := range []*config.File{e.server, e.client} {
			f.Forwards[0].KeepAlive = 2 * time.Second // a busy machine must not look like a cut
		}
		var n *network
		server, client := e.startBoth(t, func(address string) string {
			n = newNetwork(t, transport, address)
			return n.addr
		})
		c := testbed.Dial(t, "tcp", addressOf(client, "client"))
		testbed.SayAndHear(t, c, "before the cut")
		session := statusOf(client).Links[0].Session
		n.cut()
		wantReset(t, c) // and not an end
		testbed.Eventually(t, "the link is gone at both ends", func() bool { return len(statusOf(client).Links)+len(statusOf(server).Links) == 0 })
		late := testbed.Dial(t, "tcp", addressOf(client, "client")) // it waits for the network
		if transport == config.TCP {
			testbed.Eventually(t, "attempts to dial", func() bool { return statusOf(client).DialsFailed >= 2 })
		}
		n.mend()
		testbed.SayAndHear(t, late, "after the cut")
		s := statusOf(client)
		if s.HandshakesFull != 1 || s.HandshakesResumed != 1 || len(s.Links) != 1 || !s.Links[0].Resumed || s.Links[0].Session != session || s.Links[0].LastHeal == nil {
			t.Errorf("the session was %s; now the client says %+v", session, s)
		}
		if s := statusOf(server); s.HandshakesFull != 1 || s.HandshakesResumed != 1 {
			t.Errorf("the server says %+v", s)
		}
	})
}

// A client whose server was away is well again when the server is back, though no connection comes that would show it.
func TestAClientIsWellAgainByItself(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		e := pinnedEnds(t, transport, testbed.Echo(t))
		e.server.Forwards[0].Listen = testbed.FreeAddress(t)
		e.client.Forwards[0].Forward, e.client.Forwards[0].ConnectTimeout = e.server.Forwards[0].Listen, 2*time.Second
		client := start(t, e.client, Options{})
		wantTurnedAway(t, addressOf(client, "client"))
		testbed.Eventually(t, "the client says that its server is away", func() bool { return !client.Status().Healthy() })
		start(t, e.server, Options{})
		testbed.Eventually(t, "the client is well", func() bool { return client.Status().Healthy() })
		testbed.Eventually(t, "nobody looks for the server any more", func() bool { return goroutinesIn("forward.(*Forward).seek") == 0 })
		if s := statusOf(client); transport == config.TCP && (s.Connections != 0 || len(s.Links) != 0) {
			t.Errorf("the client says %+v", s)
		}
	})
}

func TestConnectionsOneAfterTheOtherResumeOneSession(t *testing.T) {
	server, client := pinnedEnds(t, config.TCP, testbed.Echo(t)).startBoth(t, nil)
	for range 5 {
		c := testbed.Dial(t, "tcp", addressOf(client, "client"))
		testbed.SayAndHear(t, c, "hello")
		c.Close()
		testbed.Eventually(t, "both ends are done", func() bool { return len(statusOf(client).Links)+len(statusOf(server).Links) == 0 })
	}
	if s := statusOf(server); s.HandshakesFull != 1 || s.HandshakesResumed != 4 {
		t.Errorf("the server says %d full and %d resumed handshakes, want 1 and 4", s.HandshakesFull, s.HandshakesResumed)
	}
}
