package tunnel

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"

	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/config"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/links"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/testbed"
)

// transports has f run over each transport.
func transports(t *testing.T, f func(t *testing.T, transport string)) {
	for _, transport := range []string{config.TCP, config.QUIC} {
		t.Run(transport, func(t *testing.T) { f(t, transport) })
	}
}

// ends are the configurations of a server in front of a service and of its client, each a file of its own with
// nothing but that forward. The client does not know the server's address yet.
type ends struct{ server, client *config.File }

// pinnedEnds know each other by their keys.
func pinnedEnds(t *testing.T, transport, service string) *ends {
	serverKey, serverPrint := testbed.Key(t, "server")
	clientKey, clientPrint := testbed.Key(t, "client")
	return newEnds(transport, service, config.Identity{Key: serverKey, Name: "server"}, config.Identity{Key: clientKey, Name: "client"},
		&config.Peers{Fingerprints: []string{clientPrint}}, &config.Peers{Fingerprints: []string{serverPrint}})
}

func newEnds(transport, service string, server, client config.Identity, serverPeers, clientPeers *config.Peers) *ends {
	file := func(f config.Forward) *config.File {
		f.Transport, f.ConnectTimeout = transport, testbed.HangBound // however busy the machine is
		return &config.File{Admin: "off", Forwards: []config.Forward{f}}
	}
	return &ends{
		file(config.Forward{Name: "server", Role: config.Server, Listen: "127.0.0.1:0", Forward: service, Identity: &server, Peers: serverPeers}),
		file(config.Forward{Name: "client", Role: config.Client, Listen: "127.0.0.1:0", Identity: &client, Peers: clientPeers}),
	}
}

// start starts a tunnel that ends with the test.
func start(t *testing.T, c *config.File, o Options) *Tunnel {
	t.Helper()
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	tunnel, err := Start(c, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tunnel.Drain(ended) })
	return tunnel
}

// startBoth starts both ends. The client reaches the server through what via makes of its address.
func (e *ends) startBoth(t *testing.T, via func(address string) string) (server, client *Tunnel) {
	t.Helper()
	server = start(t, e.server, Options{})
	address := addressOf(server, "server")
	if via != nil {
		address = via(address)
	}
	e.client.Forwards[0].Forward = address
	return server, start(t, e.client, Options{})
}

func addressOf(t *Tunnel, name string) string { return t.Forward(name).Addr().String() }

// statusOf returns that of the only forward.
func statusOf(t *Tunnel) links.ForwardStatus { return t.Status().Forwards[0] }

// testWriter has a test log what is written.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(string(bytes.TrimSpace(p)))
	return len(p), nil
}

// A syncBuffer is a bytes.Buffer for several goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// drainNow drains within a context that a test ends.
func drainNow(t *Tunnel) (cut context.CancelFunc, drained chan struct{}) {
	ctx, cancel := context.WithCancel(context.Background())
	drained = make(chan struct{})
	go func() {
		defer close(drained)
		t.Drain(ctx)
	}()
	return cancel, drained
}
