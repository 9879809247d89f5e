package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"
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

// serve runs server until the test ends, and returns a client's configuration and the address.
func serve(t *testing.T, server *http.Server) (*netconn.Config, string) {
	t.Helper()
	clientConfig, serverConfig, err := newConfigs()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := netconn.Listen("tcp", "127.0.0.1:0", serverConfig)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return clientConfig, listener.Addr().String()
}

func dialled(t *testing.T, server *http.Server) *client {
	t.Helper()
	config, addr := serve(t, server)
	c, err := dial(testContext(t), config, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.socket.CloseNow() })
	return c
}

func TestPingIsAnsweredWhileKeysChange(t *testing.T) {
	c, ctx := dialled(t, newServer()), testContext(t)
	reading := c.socket.CloseRead(ctx) // somebody has to read the answers
	for range 10 {
		if err := errors.Join(c.socket.Ping(ctx), c.link.Update(ctx)); err != nil {
			t.Fatal(err)
		}
	}
	if reading.Err() != nil {
		t.Error(reading.Err())
	}
}

func TestTooLargeMessageEndsTheSocket(t *testing.T) {
	c, ctx := dialled(t, newServer()), testContext(t)
	if err := c.socket.Write(ctx, websocket.MessageBinary, make([]byte, maxMessage+1)); err != nil {
		t.Fatal(err)
	}
	_, _, err := c.socket.Read(ctx)
	if got := websocket.CloseStatus(err); got != websocket.StatusMessageTooBig {
		t.Errorf("got %v, want status %v", err, websocket.StatusMessageTooBig)
	}
}

// A link that is cut is not a goodbye.
func TestCutIsAnError(t *testing.T) {
	c, ctx := dialled(t, newServer()), testContext(t)
	c.link.NetConn().Close()
	_, _, err := c.socket.Read(ctx)
	if err == nil || websocket.CloseStatus(err) != -1 {
		t.Errorf("got %v, want an error without a status", err)
	}
}

func TestUnknownServerIsRefused(t *testing.T) {
	config, addr := serve(t, newServer())
	config.Validator, _ = identity.NewPinned()
	if _, err := dial(testContext(t), config, addr); !errors.Is(err, identity.ErrUnknownPeer) {
		t.Errorf("got %v, want ErrUnknownPeer", err)
	}
}

// TestVerdictsCanFail shows that the program would notice a server that gets things wrong.
func TestVerdictsCanFail(t *testing.T) {
	ctx := testContext(t)
	for name, handler := range map[string]http.HandlerFunc{
		"no upgrade": func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") },
		"another message": func(w http.ResponseWriter, r *http.Request) {
			socket, err := websocket.Accept(w, r, nil)
			if err != nil {
				return
			}
			defer socket.CloseNow()
			socket.Write(context.Background(), websocket.MessageBinary, []byte("another"))
			socket.CloseRead(context.Background())
		},
		"no answer": func(w http.ResponseWriter, r *http.Request) {
			socket, err := websocket.Accept(w, r, nil)
			if err != nil {
				return
			}
			socket.Close(websocket.StatusNormalClosure, "")
		},
	} {
		config, addr := serve(t, &http.Server{Handler: handler})
		if err := show(ctx, config, addr); err == nil {
			t.Errorf("%s: it was not noticed", name)
		}
	}
}
