package tunnel

import (
	"net"
	"testing"
	"time"

	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/config"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/testbed"
)

func TestATunnelIsAliveThatReloadsAndDrains(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		e := pinnedEnds(t, transport, testbed.Echo(t))
		server, client := e.startBoth(t, nil)
		c := testbed.Dial(t, "tcp", addressOf(client, "client")).(*net.TCPConn)
		testbed.SayAndHear(t, c, "hello")
		wantAlive := func(when string) {
			t.Helper()
			if err := server.Alive(); err != nil {
				t.Errorf("%s: %v", when, err)
			}
		}
		wantAlive("at first")
		second := e.server.Forwards[0]
		second.Name = "second"
		reload(t, server, with(e.server, e.server.Forwards[0], second))
		reload(t, server, e.server)
		wantAlive("after reloads")
		cut, drained := drainNow(server)
		testbed.Eventually(t, "it drains", func() bool { return server.Reload(e.server) == ErrDraining })
		wantAlive("while it drains")
		cut()
		<-drained
	})
}

func TestATunnelThatIsStuckIsNotAlive(t *testing.T) {
	server := start(t, pinnedEnds(t, config.TCP, testbed.Echo(t)).server, Options{})
	server.mu.Lock() // as if somebody had forgotten it
	alive := make(chan error, 1)
	go func() { alive <- server.Alive() }()
	time.Sleep(50 * time.Millisecond) // for an answer that must not come
	if len(alive) != 0 {
		t.Error("it is alive though it is stuck")
	}
	server.mu.Unlock()
	if err := <-alive; err != nil {
		t.Error(err)
	}
}
