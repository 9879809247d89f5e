package quicmls

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/qlog"
	"github.com/quic-go/quic-go/qlogwriter"

	"github.com/mendlink/mendlink/channel"
)

// A gate is a UDP relay that holds back what the responder sends until it is opened. It makes what
// is sent on 0-RTT come before all else.
type gate struct {
	open             chan struct{}
	once             sync.Once
	client, upstream net.PacketConn
}

func newGate(t *testing.T, target net.Addr) *gate {
	t.Helper()
	g := &gate{open: make(chan struct{})}
	var err error
	if g.client, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if g.upstream, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	from := make(chan net.Addr, 1)
	var both sync.WaitGroup
	both.Go(func() {
		buf := make([]byte, 1<<16)
		for known := false; ; known = true {
			n, addr, err := g.client.ReadFrom(buf)
			if err != nil {
				return
			}
			if !known {
				from <- addr
			}
			g.upstream.WriteTo(buf[:n], target)
		}
	})
	both.Go(func() {
		buf := make([]byte, 1<<16)
		var to net.Addr
		for {
			n, _, err := g.upstream.ReadFrom(buf)
			if err != nil {
				return
			}
			if to == nil {
				<-g.open
				to = <-from
			}
			g.client.WriteTo(buf[:n], to)
		}
	})
	t.Cleanup(func() {
		g.release()
		g.client.Close()
		g.upstream.Close()
		both.Wait()
	})
	return g
}

// release opens the gate.
func (g *gate) release() { g.once.Do(func() { close(g.open) }) }

// A streamWatch is a qlog that tells when something of a stream is on its way. It keeps a known race of quic-go out of
// these tests, between the opening of a stream on 0-RTT and the arrival of the server's parameters
// (its issue 4303): the goroutine that sends a stream has seen all of its opening, and is the one that takes
// in the parameters.
type streamWatch struct {
	sent chan struct{}
	once sync.Once
}

func (w *streamWatch) trace(context.Context, bool, quic.ConnectionID) qlogwriter.Trace { return w }

// AddProducer implements [qlogwriter.Trace].
func (w *streamWatch) AddProducer() qlogwriter.Recorder { return w }

// RecordEvent implements [qlogwriter.Recorder].
func (w *streamWatch) RecordEvent(e qlogwriter.Event) {
	packet, ok := e.(qlog.PacketSent)
	if ok && slices.ContainsFunc(packet.Frames, func(f qlog.Frame) bool { _, ok := f.Frame.(*qlog.StreamFrame); return ok }) {
		w.once.Do(func() { close(w.sent) })
	}
}

// Close implements [qlogwriter.Recorder].
func (w *streamWatch) Close() error { return nil }

// dialEarly connects by way of DialEarly to a listener, and closes the two ends at the end of the test.
// If early is set, what this end sends on 0-RTT comes before anything of the responder.
func dialEarly(t *testing.T, l *Listener, config *Config, early bool) (client, server *Conn) {
	t.Helper()
	return dialEarlyBy(t, l, config, early, func(ctx context.Context, address net.Addr, config *Config) (*Conn, error) {
		return DialEarly(ctx, address.String(), config)
	})
}

// dialEarlyBy is dialEarly by another function.
func dialEarlyBy(t *testing.T, l *Listener, config *Config, early bool, dial func(context.Context, net.Addr, *Config) (*Conn, error)) (client, server *Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	done := make(chan error, 2)
	go func() {
		c, err := l.Accept(ctx)
		if err == nil {
			server = c
			err = c.HandshakeContext(ctx)
		}
		done <- err
	}()
	g := newGate(t, l.Addr())
	w := &streamWatch{sent: make(chan struct{})}
	watched := *config
	watched.QUIC = &quic.Config{EnableDatagrams: true, Tracer: w.trace}
	go func() {
		c, err := dial(ctx, g.client.LocalAddr(), &watched)
		client = c
		done <- err
	}()
	if early {
		select {
		case <-w.sent:
		case <-ctx.Done():
			t.Fatal("nothing is sent on 0-RTT")
		}
	}
	g.release()
	if err := errors.Join(<-done, <-done); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.CloseWithError(0, "")
		server.CloseWithError(0, "")
	})
	config.TLS.ClientSessionCache.(*ticketWaiter).wait(t)
	return client, server
}

// A ticketWaiter is a cache of TLS tickets that tells when there is another one.
type ticketWaiter struct {
	tls.ClientSessionCache
	put chan struct{}
}

func (w *ticketWaiter) Put(key string, s *tls.ClientSessionState) {
	w.ClientSessionCache.Put(key, s)
	if s != nil {
		w.put <- struct{}{}
	}
}

func (w *ticketWaiter) wait(t *testing.T) {
	t.Helper()
	select {
	case <-w.put:
	case <-time.After(30 * time.Second):
		t.Fatal("no TLS ticket comes")
	}
}

func newEarlyConfigs(t *testing.T) (initiator, responder *Config) {
	ic, rc := newConfigs(t)
	ic.Store, rc.Store = channel.NewMemoryStore(0), channel.NewMemoryStore(0)
	ic.PeerName, ic.ServerName = "peer", "peer"
	ic.TLS, rc.TLS = earlyPairTLS(t)
	rc.Allow0RTT = true
	return ic, rc
}

func TestResumptionRidesOnTheFirstPacket(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newEarlyConfigs(t)
	l := listenOn(t, rc)
	client, server := dialEarly(t, l, ic, false)
	if client.ConnectionState().Resumed || client.ConnectionState().QUIC.Used0RTT {
		t.Error("the first connection resumes something")
	}
	for range 3 {
		a, b := openPair(t, client, server)
		exchange(t, a, b) // by then the TLS ticket is there
		update(t, client)
		client.CloseWithError(0, "")
		server.CloseWithError(0, "")
		client, server = dialEarly(t, l, ic, true)
		for _, c := range []*Conn{client, server} {
			if s := c.ConnectionState(); !s.Resumed || !s.QUIC.Used0RTT {
				t.Errorf("resumed: %t, on 0-RTT: %t", s.Resumed, s.QUIC.Used0RTT)
			}
		}
	}
	a, b := openPair(t, server, client)
	exchange(t, a, b)
	update(t, server)
	exchange(t, a, b)
}

func TestResumptionOnACallersTransportRidesOnTheFirstPacket(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newEarlyConfigs(t)
	tr := newTransport(t)
	dial := func(ctx context.Context, address net.Addr, config *Config) (*Conn, error) {
		return DialTransportEarly(ctx, tr, address, config)
	}
	l := listenOn(t, rc)
	for i, early := range []bool{false, true} {
		client, server := dialEarlyBy(t, l, ic, early, dial)
		for _, c := range []*Conn{client, server} {
			if s := c.ConnectionState(); s.Resumed != early || s.QUIC.Used0RTT != early {
				t.Errorf("connection %d: resumed: %t, on 0-RTT: %t", i, s.Resumed, s.QUIC.Used0RTT)
			}
		}
		if got, want := client.LocalAddr().String(), tr.Conn.LocalAddr().String(); got != want {
			t.Errorf("dialed from %v, want the transport's %v", got, want)
		}
		a, b := openPair(t, client, server)
		exchange(t, a, b)
		client.CloseWithError(0, "")
		server.CloseWithError(0, "")
	}
}

func TestResumptionGoesOnWhere0RTTIsRejected(t *testing.T) {
	for name, edit := range map[string]func(c *Config){
		"by a responder that has lost its ticket keys": func(c *Config) { _, c.TLS = earlyPairTLS(t) },
		"by a responder that does not allow it":        func(c *Config) { c.Allow0RTT = false },
	} {
		t.Run(name, func(t *testing.T) {
			checkGoroutines(t)
			ic, rc := newEarlyConfigs(t)
			client, server := dialEarly(t, listenOn(t, rc), ic, false)
			client.CloseWithError(0, "")
			server.CloseWithError(0, "")
			other := *rc
			edit(&other)
			client, server = dialEarly(t, listenOn(t, &other), ic, true)
			if s := client.ConnectionState(); !s.Resumed || s.QUIC.Used0RTT {
				t.Errorf("resumed: %t, on 0-RTT: %t", s.Resumed, s.QUIC.Used0RTT)
			}
			a, b := openPair(t, client, server)
			exchange(t, a, b)
		})
	}
}

func listenOn(t *testing.T, config *Config) *Listener {
	t.Helper()
	l, err := Listen("127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// A session that the responder does not have is refused on 0-RTT, and a full handshake follows.
func TestRefusalOn0RTT(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newEarlyConfigs(t)
	l := listenOn(t, rc)
	client, server := dialEarly(t, l, ic, false)
	a, b := openPair(t, client, server)
	exchange(t, a, b)
	id := client.ConnectionState().SessionID
	client.CloseWithError(0, "")
	server.CloseWithError(0, "")
	if err := rc.Store.Delete(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	client, server = dialEarly(t, l, ic, true)
	if s := client.ConnectionState(); s.Resumed || !s.QUIC.Used0RTT || s.SessionID == id {
		t.Errorf("resumed: %t, on 0-RTT: %t", s.Resumed, s.QUIC.Used0RTT)
	}
	a, b = openPair(t, client, server)
	exchange(t, a, b)
}
