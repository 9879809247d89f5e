package quicmls

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/mendlink/mendlink/internal/netsim"
)

// newTransport returns a QUIC transport on a UDP port of its own, until the end of the test.
func newTransport(t testing.TB) *quic.Transport {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	tr := &quic.Transport{Conn: c}
	t.Cleanup(func() {
		tr.Close()
		c.Close()
	})
	return tr
}

// connectOn is connect on transports of the caller's.
func connectOn(t testing.TB, from, to *quic.Transport, initiator, responder *Config) (client, server *Conn) {
	t.Helper()
	l, err := ListenTransport(to, responder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	accepted := make(chan error, 1)
	go func() {
		c, err := l.Accept(t.Context())
		if err == nil {
			server = c
			err = c.HandshakeContext(t.Context())
		}
		accepted <- err
	}()
	if client, err = DialTransport(t.Context(), from, l.Addr(), initiator); err != nil {
		t.Fatal(err)
	}
	if err := <-accepted; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.CloseWithError(0, "")
		server.CloseWithError(0, "")
	})
	return client, server
}

// busily runs a crowd between the ends again and again, while both update and datagrams flow, until f
// has returned, which may only be once it was called. Nothing of it may fail.
func busily(t *testing.T, client, server *Conn, f func(epoch func() uint64)) {
	t.Helper()
	each := 20
	if underRace {
		each = 8
	}
	c := &crowd{t: t, most: 30 << 10}
	within(t, "a busy connection", func() {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for _, conn := range []*Conn{client, server} {
			wg.Go(func() { keepUpdating(ctx, t, conn) })
			wg.Go(func() { scatter(ctx, t, conn) })
			wg.Go(func() { gather(ctx, t, conn) })
		}
		var done atomic.Bool
		wg.Go(func() {
			defer done.Store(true)
			// Not Conn.ConnectionState: quic-go's must not be called while a path is switched.
			f(func() uint64 { return min(client.driver.State().Epoch, server.driver.State().Epoch) })
		})
		for rounds := 0; !t.Failed() && (rounds == 0 || !done.Load()); rounds++ {
			c.run(client, server, each)
		}
		cancel()
		wg.Wait()
	})
	update(t, client)
	update(t, server)
	a, b := openPair(t, client, server)
	exchange(t, a, b)
	t.Logf("%d octets on streams; epoch %d", c.octets.Load(), client.ConnectionState().Epoch)
}

// awaitAddress waits until the responder sees the initiator at an address that f likes, and
// for some epochs more.
func awaitAddress(t *testing.T, server *Conn, epoch func() uint64, f func(address string) bool) {
	t.Helper()
	for !f(server.RemoteAddr().String()) && !t.Failed() {
		time.Sleep(time.Millisecond)
	}
	for since := epoch(); epoch() < since+4 && !t.Failed(); {
		time.Sleep(time.Millisecond)
	}
}

func TestMigrationToOtherPortsDisturbsNothing(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	home := newTransport(t)
	client, server := connectOn(t, home, newTransport(t), ic, rc)
	session := client.ConnectionState().SessionID
	away := []*quic.Transport{newTransport(t), newTransport(t)}
	busily(t, client, server, func(epoch func() uint64) {
		for _, tr := range away {
			path, err := client.QUIC().AddPath(tr)
			if err == nil {
				err = path.Probe(t.Context())
			}
			if err == nil {
				err = path.Switch()
			}
			if err != nil {
				t.Error(err)
				return
			}
			awaitAddress(t, server, epoch, func(address string) bool { return address == tr.Conn.LocalAddr().String() })
		}
	})
	if s := server.ConnectionState(); s.SessionID != session || s.Resumed {
		t.Errorf("the session is another one: %+v", s)
	}
	if got, want := server.RemoteAddr().String(), away[1].Conn.LocalAddr().String(); got != want {
		t.Errorf("the initiator is at %v, want %v", got, want)
	}
}

func TestAnotherAddressBehindANATDisturbsNothing(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	via, network := network(t, 2, netsim.UDPFaults{Delay: time.Millisecond})
	client, server := connectThrough(t, ic, rc, via)
	session := client.ConnectionState().SessionID
	const times = 3
	moved := 0
	busily(t, client, server, func(epoch func() uint64) {
		for range times {
			before := server.RemoteAddr().String()
			if err := network().Rebind(); err != nil {
				t.Error(err)
				return
			}
			awaitAddress(t, server, epoch, func(address string) bool { return address != before })
			moved++ // perhaps to an address that it had before, whose port the system had back
		}
	})
	if s := server.ConnectionState(); s.SessionID != session || s.Resumed {
		t.Errorf("the session is another one: %+v", s)
	}
	if moved != times {
		t.Errorf("the responder has seen the initiator move %d times, want %d", moved, times)
	}
}

func TestAShortOutageDisturbsNothing(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	via, network := network(t, 4, netsim.UDPFaults{Delay: time.Millisecond})
	client, server := connectThrough(t, ic, rc, via)
	busily(t, client, server, func(epoch func() uint64) {
		for range 3 {
			network().Cut()
			before := network().Stats().Dropped
			for network().Stats().Dropped < before+6 && !t.Failed() { // both ends send in vain
				time.Sleep(time.Millisecond)
			}
			network().Heal()
			for since := epoch(); epoch() < since+4 && !t.Failed(); {
				time.Sleep(time.Millisecond)
			}
		}
	})
}
