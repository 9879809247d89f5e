//lint:file-ignore SA1019 The deprecated methods are part of the interface.

package grpcmend

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/mendlink/mendlink/netconn"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

var insecureCredentials = insecure.NewCredentials()

func listen(t testing.TB) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener
}

func TestCloneIsApart(t *testing.T) {
	config, _ := newConfigs(t)
	original := NewCredentials(config)
	clone := original.Clone()
	if err := clone.OverrideServerName("other.example"); err != nil {
		t.Fatal(err)
	}
	if got := original.Info(); got.SecurityProtocol != "mendlink" || got.ServerName != "" {
		t.Errorf("the original is %+v", got)
	}
	if got := clone.Info(); got.ServerName != "other.example" {
		t.Errorf("the clone is %+v", got)
	}
}

// What the caller does to its configuration afterwards has no effect.
func TestConfigIsCopied(t *testing.T) {
	clientConfig, serverConfig := newConfigs(t)
	clientConfig.TransportBinding, serverConfig.TransportBinding = []byte("a name"), []byte("a name")
	client, server := NewCredentials(clientConfig), NewCredentials(serverConfig)
	clientConfig.TransportBinding[0] = 'b'
	*clientConfig, *serverConfig = netconn.Config{}, netconn.Config{}
	if _, _, err := shake(t, client, server, "a.example"); err != nil {
		t.Error(err)
	}
}

func TestConfigMayBeUnusable(t *testing.T) {
	for name, config := range map[string]*netconn.Config{"nil": nil, "empty": {}} {
		a, b := net.Pipe()
		defer b.Close()
		if _, _, err := NewCredentials(config).ClientHandshake(testContext(t), "a.example", a); err == nil {
			t.Errorf("%s: the client took it", name)
		}
		if _, _, err := NewCredentials(config).ServerHandshake(b); err == nil {
			t.Errorf("%s: the server took it", name)
		}
	}
}

func TestServerIsCalledByTheAuthoritysHost(t *testing.T) {
	for authority, want := range map[string]string{
		"db.example:443":  "db.example",
		"db.example.:443": "db.example",
		"db.example":      "db.example",
		"127.0.0.1:443":   "",
		"127.0.0.1":       "",
		"[::1]:443":       "",
		"[::1]":           "",
		"%2Ftmp%2Fsocket": "",
		"":                "",
	} {
		clientConfig, serverConfig := newConfigs(t)
		_, info, err := shake(t, NewCredentials(clientConfig), NewCredentials(serverConfig), authority)
		if err != nil {
			t.Errorf("%q: %v", authority, err)
			continue
		}
		if got := info.(*AuthInfo).ConnectionState().Negotiated; got.ServerName != want || got.Protocol != "h2" {
			t.Errorf("%q: name %q and protocol %q, want %q and h2", authority, got.ServerName, got.Protocol, want)
		}
	}
}

// A peer that is trusted, but was not meant for gRPC, is refused by either end.
func TestBothEndsHaveToSpeakHTTP2(t *testing.T) {
	for name, protocols := range map[string][]string{"none": nil, "another": {"postgresql"}} {
		t.Run(name, func(t *testing.T) {
			clientConfig, serverConfig := newConfigs(t)
			clientConfig.Protocols, serverConfig.Protocols = protocols, protocols
			for _, client := range []bool{true, false} {
				a, b := net.Pipe()
				done := make(chan error, 1)
				peer := netconn.Client(a, clientConfig)
				if client {
					peer = netconn.Server(a, serverConfig)
				}
				go func() {
					done <- peer.Handshake()
					io.Copy(io.Discard, peer)
				}()
				var err error
				if client {
					_, _, err = NewCredentials(clientConfig).ClientHandshake(testContext(t), "a.example", b)
				} else {
					_, _, err = NewCredentials(serverConfig).ServerHandshake(b)
				}
				if err == nil {
					t.Errorf("client %v: took a peer that does not speak h2", client)
				}
				<-done
				peer.Close()
			}
		})
	}
}

func TestSessionsAreStoredByAuthority(t *testing.T) {
	clientConfig, serverConfig := newConfigs(t)
	client, server := NewCredentials(clientConfig), NewCredentials(serverConfig)
	overridden := client.Clone()
	overridden.OverrideServerName("a.example")
	for _, step := range []struct {
		creds     credentials.TransportCredentials
		authority string
		resumed   bool
	}{
		{client, "a.example", false},
		{client, "a.example", true},
		{client, "b.example", false},
		{overridden, "b.example", true}, // it is a's
	} {
		conn, info, err := shake(t, step.creds, server, step.authority)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.(*AuthInfo).ConnectionState().Resumed; got != step.resumed {
			t.Errorf("%s: resumed %v, want %v", step.authority, got, step.resumed)
		}
		conn.Close()
	}
}

// The label is free again after a handshake that failed.
func TestFailedHandshakeFreesTheSession(t *testing.T) {
	clientConfig, serverConfig := newConfigs(t)
	client := NewCredentials(clientConfig)
	a, b := net.Pipe()
	b.Close()
	if _, _, err := client.ClientHandshake(testContext(t), "a.example", a); err == nil {
		t.Fatal("a handshake with nobody")
	}
	for _, resumed := range []bool{false, true} {
		conn, info, err := shake(t, client, NewCredentials(serverConfig), "a.example")
		if err != nil {
			t.Fatal(err)
		}
		if got := info.(*AuthInfo).ConnectionState().Resumed; got != resumed {
			t.Errorf("resumed %v, want %v", got, resumed)
		}
		conn.Close()
	}
}

// A context that ends is noticed in the middle of a handshake, and nothing is left open.
func TestCancelledHandshakeClosesTheTransport(t *testing.T) {
	config, _ := newConfigs(t)
	a, b := net.Pipe()
	ctx, cancel := context.WithCancel(testContext(t))
	done := make(chan error, 1)
	go func() {
		_, _, err := NewCredentials(config).ClientHandshake(ctx, "a.example", a)
		done <- err
	}()
	if _, err := b.Read(make([]byte, 1)); err != nil { // it has begun
		t.Fatal(err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if _, err := io.ReadAll(b); err != nil {
		t.Errorf("the transport is not closed: %v", err)
	}
}

// shake performs a handshake and returns the client's end. The server's only reads.
func shake(t testing.TB, client, server credentials.TransportCredentials, authority string) (net.Conn, credentials.AuthInfo, error) {
	t.Helper()
	a, b := net.Pipe()
	shaken, ended := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(ended)
		defer b.Close()
		conn, _, err := server.ServerHandshake(b)
		shaken <- err
		if err == nil {
			io.Copy(io.Discard, conn)
		}
	}()
	t.Cleanup(func() {
		a.Close()
		<-ended
	})
	conn, info, err := client.ClientHandshake(testContext(t), authority, a)
	return conn, info, errors.Join(err, <-shaken)
}
