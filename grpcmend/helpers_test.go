package grpcmend

import (
	"context"
	"crypto/rand"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/netconn"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/peer"
)

// testContext bounds what a test waits for.
func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func newIdentity(t testing.TB, name string) mls.Identity {
	t.Helper()
	id, err := identity.Generate(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func pin(t testing.TB, peer mls.Identity) *identity.Pinned {
	t.Helper()
	pinned, err := identity.NewPinned(peer.Signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pinned
}

// newConfigs returns the configurations of two ends that accept each other and store
// their sessions. They use the cheapest suite and make no updates by themselves.
func newConfigs(t testing.TB) (client, server *netconn.Config) {
	t.Helper()
	c, s := newIdentity(t, "client"), newIdentity(t, "server")
	config := func(self, other mls.Identity) *netconn.Config {
		return &netconn.Config{
			Identity:  self,
			Validator: pin(t, other),
			Suites:    []ciphersuite.ID{ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519},
			Store:     channel.NewMemoryStore(0),
			Rekey:     netconn.RekeyPolicy{Every: -1, Bytes: -1},
		}
	}
	return config(c, s), config(s, c)
}

// serve runs service until the test ends, and returns its address.
func serve(t testing.TB, config *netconn.Config, service testgrpc.TestServiceServer) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(NewCredentials(config)))
	testgrpc.RegisterTestServiceServer(server, service)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

// wires keeps the transports that a client has dialled, to cut them.
type wires struct {
	mu    sync.Mutex
	conns []*net.TCPConn
}

func (w *wires) dial(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns = append(w.conns, conn.(*net.TCPConn))
	return conn, nil
}

// cut breaks all connections without a goodbye: both ends see an error.
func (w *wires) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		c.SetLinger(0)
		c.Close()
	}
	w.conns = nil
}

// dial returns a channel to addr, and what it runs over. It lives until the test ends.
func dial(t testing.TB, config *netconn.Config, addr string, opts ...grpc.DialOption) (*grpc.ClientConn, *wires) {
	t.Helper()
	w := new(wires)
	quick := backoff.Config{BaseDelay: 10 * time.Millisecond, Multiplier: 1, MaxDelay: 10 * time.Millisecond}
	opts = append([]grpc.DialOption{
		grpc.WithTransportCredentials(NewCredentials(config)),
		grpc.WithContextDialer(w.dial),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: quick, MinConnectTimeout: 20 * time.Second}),
	}, opts...)
	cc, err := grpc.NewClient("passthrough:///"+addr, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return cc, w
}

// newPair returns a channel to gRPC's interop service.
func newPair(t testing.TB) (*grpc.ClientConn, *wires) {
	t.Helper()
	clientConfig, serverConfig := newConfigs(t)
	return dial(t, clientConfig, serve(t, serverConfig, interop.NewTestServer()))
}

// authInfo makes a call and returns what the client knows of its connection.
func authInfo(t testing.TB, ctx context.Context, cc *grpc.ClientConn) *AuthInfo {
	t.Helper()
	var p peer.Peer
	if _, err := testgrpc.NewTestServiceClient(cc).EmptyCall(ctx, &testgrpc.Empty{}, grpc.Peer(&p), grpc.WaitForReady(true)); err != nil {
		t.Fatal(err)
	}
	info, ok := p.AuthInfo.(*AuthInfo)
	if !ok {
		t.Fatalf("AuthInfo is a %T", p.AuthInfo)
	}
	return info
}
