package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/netconn"
)

// testContext bounds what a test waits for.
func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// TestRun runs the whole program.
func TestRun(t *testing.T) {
	if err := run(testContext(t)); err != nil {
		t.Fatal(err)
	}
}

type configs struct {
	client, server       *netconn.Config
	tlsClient, tlsServer *tls.Config
}

func newAll(t *testing.T) configs {
	t.Helper()
	client, server, err := newConfigs()
	if err != nil {
		t.Fatal(err)
	}
	tlsClient, tlsServer, err := newTLS()
	if err != nil {
		t.Fatal(err)
	}
	return configs{client, server, tlsClient, tlsServer}
}

// stacks returns both ways round.
func (c configs) stacks() map[string][2]stack {
	return map[string][2]stack{
		"inside": {clientWithTLSInside(c.tlsClient, c.client), serverWithTLSInside(c.tlsServer, c.server)},
		"under":  {clientOverTLS(c.tlsClient, c.client, exported), serverOverTLS(c.tlsServer, c.server, exported)},
	}
}

// Each protocol authenticates for itself: neither lets in whom the other would.
func TestEitherProtocolRefuses(t *testing.T) {
	for what, c := range map[string]struct {
		adapt func(*configs)
		check func(error) bool
	}{
		"TLS does not trust the server": {
			func(c *configs) { c.tlsClient.ServerName = "other.example" },
			func(err error) bool { return is[*tls.CertificateVerificationError](err) },
		},
		"Mendlink does not know the server": {
			func(c *configs) { c.client.Validator, _ = identity.NewPinned() },
			func(err error) bool { return errors.Is(err, identity.ErrUnknownPeer) },
		},
		"Mendlink does not know the client": {
			func(c *configs) { c.server.Validator, _ = identity.NewPinned() },
			func(err error) bool { return errors.Is(err, identity.ErrUnknownPeer) },
		},
	} {
		all := newAll(t)
		c.adapt(&all)
		for name, stacks := range all.stacks() {
			t.Run(what+"/"+name, func(t *testing.T) {
				if _, err := connectAndExchange(testContext(t), stacks[0], stacks[1], nil); !c.check(err) {
					t.Errorf("got %v", err)
				}
			})
		}
	}
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// An end that binds takes no peer that does not.
func TestBindingIsNotOptional(t *testing.T) {
	for name, binds := range map[string][2]binding{
		"only the client binds": {exported, unbound},
		"only the server binds": {unbound, exported},
	} {
		t.Run(name, func(t *testing.T) {
			c := newAll(t)
			_, err := connectAndExchange(testContext(t), clientOverTLS(c.tlsClient, c.client, binds[0]), serverOverTLS(c.tlsServer, c.server, binds[1]), nil)
			if !errors.Is(err, channel.ErrTransportBinding) {
				t.Errorf("got %v, want ErrTransportBinding", err)
			}
		})
	}
}

// The session of one TLS connection is resumed on another, and bound to that.
func TestSessionIsResumedOverAnotherTLSConnection(t *testing.T) {
	c := newAll(t)
	c.client.Store, c.server.Store = channel.NewMemoryStore(0), channel.NewMemoryStore(0)
	c.client.PeerName = serverName
	stacks := c.stacks()["under"]
	var first channel.SessionID
	for i := range 3 {
		client, server, err := connect(testContext(t), stacks[0], stacks[1], nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := exchange(testContext(t), client, server); err != nil {
			t.Fatal(err)
		}
		state := client.link.ConnectionState()
		if i == 0 {
			first = state.SessionID
		}
		if state.Resumed != (i > 0) || state.SessionID != first {
			t.Errorf("connection %d: resumed %v, the same session: %v", i, state.Resumed, state.SessionID == first)
		}
		client.close()
		server.close()
	}
}

// Whoever has closed its direction still answers the peer's updates.
func TestHalfClosedConnectionHeals(t *testing.T) {
	for name, stacks := range newAll(t).stacks() {
		t.Run(name, func(t *testing.T) {
			ctx := testContext(t)
			client, server, err := connect(ctx, stacks[0], stacks[1], nil)
			if err != nil {
				t.Fatal(err)
			}
			defer client.close()
			defer server.close()
			if err := client.app.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			read := make(chan error, 1)
			go func() { read <- receive(client, []byte("still open")) }()
			for range 3 {
				if err := server.link.Update(ctx); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := server.app.Write([]byte("still open")); err != nil {
				t.Error(err)
			}
			if err := errors.Join(server.app.CloseWrite(), <-read); err != nil {
				t.Error(err)
			}
		})
	}
}

// A transport that is cut is an error of the upper protocol, never an end of its stream.
func TestCutIsNotAnEnd(t *testing.T) {
	for name, stacks := range newAll(t).stacks() {
		t.Run(name, func(t *testing.T) {
			var tcp net.Conn
			keep := func(ctx context.Context, conn net.Conn) (app, *netconn.Conn, error) {
				tcp = conn
				return stacks[1](ctx, conn)
			}
			client, server, err := connect(testContext(t), stacks[0], keep, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer client.close()
			defer server.close()
			tcp.Close()
			if _, err := io.ReadAll(client.app); err == nil {
				t.Error("a cut was taken for the end")
			}
		})
	}
}

// TestVerdictsCanFail shows that the program would notice what goes wrong.
func TestVerdictsCanFail(t *testing.T) {
	a, b := net.Pipe()
	go func() {
		b.Write([]byte("something else"))
		b.Close()
	}()
	if err := receive(end{app: halfCloser{a}}, bytes.Repeat([]byte("x"), 14)); err == nil {
		t.Error("other data was taken")
	}
	// Two different authorities: the one in the middle is not let in by TLS.
	c, other := newAll(t), newAll(t)
	if err := showMiddle(testContext(t), c.tlsClient, other.tlsServer, c.client, c.server); err == nil {
		t.Error("nobody was in the middle, and it was not noticed")
	}
}

type halfCloser struct{ net.Conn }

func (halfCloser) CloseWrite() error { return nil }
