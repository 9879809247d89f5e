package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"sync"
	"syscall"
	"testing"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/netconn"
)

// eachVersion runs a test over HTTP/1.1 and over HTTP/2.
func eachVersion(t *testing.T, test func(t *testing.T, version int)) {
	for _, version := range []int{1, 2} {
		t.Run(fmt.Sprintf("HTTP%d", version), func(t *testing.T) { test(t, version) })
	}
}

// serve runs server until the test ends, and returns its address.
func serve(t *testing.T, config *netconn.Config, server *http.Server) string {
	t.Helper()
	listener, err := netconn.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	server.ErrorLog = log.New(io.Discard, "", 0)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

// newPair returns a client of a server that runs until the test ends. adapt, if any,
// changes the two ends' configurations first.
func newPair(t *testing.T, version int, server *http.Server, adapt func(client, server *netconn.Config)) *client {
	t.Helper()
	cc, sc, err := newConfigs()
	if err != nil {
		t.Fatal(err)
	}
	if adapt != nil {
		adapt(cc, sc)
	}
	c := newClient(cc, serve(t, sc, server), version)
	t.Cleanup(c.close)
	return c
}

func TestRequestsShareOneConnection(t *testing.T) {
	eachVersion(t, func(t *testing.T, version int) {
		c, ctx := newPair(t, version, newServer(), nil), testContext(t)
		if _, err := c.whoAmI(ctx); err != nil {
			t.Fatal(err)
		}
		first := c.conn()
		for range 10 {
			if err := c.upload(ctx, 1000); err != nil {
				t.Fatal(err)
			}
			if err := c.download(ctx, 1000); err != nil {
				t.Fatal(err)
			}
		}
		if c.conn() != first {
			t.Error("another connection was dialled")
		}
		if got := c.epoch(); got != 1+2*10 {
			t.Errorf("epoch %d, want 21: one update in each body", got)
		}
	})
}

// The requests of one HTTP/2 connection are streams on it; those of HTTP/1.1 wait for
// each other. Neither notices that keys change.
func TestConcurrentRequestsWhileBothEndsUpdate(t *testing.T) {
	eachVersion(t, func(t *testing.T, version int) {
		c, ctx := newPair(t, version, newServer(), nil), testContext(t)
		if _, err := c.whoAmI(ctx); err != nil {
			t.Fatal(err)
		}
		before := c.epoch()
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if err := c.download(ctx, 300_000); err != nil { // the server updates
					t.Error(err)
				}
			})
			wg.Go(func() {
				if err := c.talk(ctx, 3, func(int) error { return c.update(ctx) }); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if c.epoch() == before {
			t.Error("no keys were updated")
		}
	})
}

// Each download brings one update, which the handler asks for. Others are the policy's.
func TestPolicyRekeysWhileBodiesComeIn(t *testing.T) {
	eachVersion(t, func(t *testing.T, version int) {
		c := newPair(t, version, newServer(), func(client, server *netconn.Config) {
			client.Rekey = netconn.RekeyPolicy{Every: -1, Bytes: 64 << 10}
			server.Rekey = netconn.RekeyPolicy{Every: -1, Bytes: 64 << 10}
		})
		ctx := testContext(t)
		for asked := uint64(0); asked == 0 || c.epoch() < 1+asked+2; asked++ {
			if err := c.download(ctx, 2<<20); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestServerRefusesUnknownClient(t *testing.T) {
	eachVersion(t, func(t *testing.T, version int) {
		_, sc, err := newConfigs()
		if err != nil {
			t.Fatal(err)
		}
		stranger, _, err := newConfigs()
		if err != nil {
			t.Fatal(err)
		}
		onlyServer, err := identity.NewPinned(sc.Identity.Signer.Public())
		if err != nil {
			t.Fatal(err)
		}
		stranger.Validator = onlyServer
		c := newClient(stranger, serve(t, sc, newServer()), version)
		defer c.close()
		_, err = c.whoAmI(testContext(t))
		if alert := new(netconn.AlertError); !errors.As(err, &alert) || alert.Alert == channel.AlertCloseNotify {
			t.Errorf("got %v, want the server's alert", err)
		}
	})
}

func TestClientRefusesUnknownServer(t *testing.T) {
	eachVersion(t, func(t *testing.T, version int) {
		c := newPair(t, version, newServer(), func(client, server *netconn.Config) {
			client.Validator, _ = identity.NewPinned() // nobody
		})
		if _, err := c.whoAmI(testContext(t)); !errors.Is(err, identity.ErrUnknownPeer) {
			t.Errorf("got %v, want ErrUnknownPeer", err)
		}
	})
}

// A request that is cancelled takes its HTTP/1.1 connection with it, but not that of HTTP/2.
func TestCancelledRequest(t *testing.T) {
	eachVersion(t, func(t *testing.T, version int) {
		c, ctx := newPair(t, version, newServer(), nil), testContext(t)
		cancelled, cancel := context.WithCancel(ctx)
		// net/http notices at some time after cancel, and until then the talk goes on.
		err := c.talk(cancelled, 1<<30, func(int) error { cancel(); return nil })
		if err == nil || ctx.Err() != nil {
			t.Fatalf("got %v, which was not the cancelling", err)
		}
		before := c.conn()
		if _, err := c.whoAmI(ctx); err != nil {
			t.Fatal(err)
		}
		if kept := c.conn() == before; kept != (version == 2) {
			t.Errorf("connection kept: %v", kept)
		}
	})
}

// A server that dies in the middle of a body leaves a truncated one, not a short one.
func TestCutBodyIsAnError(t *testing.T) {
	eachVersion(t, func(t *testing.T, version int) {
		server := newServer()
		server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.CopyN(w, newData(), 1<<20)
			http.NewResponseController(w).Flush()
			connOf(r).NetConn().Close()
		})
		c := newPair(t, version, server, nil)
		// If the server had not read everything, its end is a reset.
		if err := c.download(testContext(t), 2<<20); !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("got %v, want io.ErrUnexpectedEOF or a reset", err)
		}
	})
}

func TestUpgradeIsForHTTP1Only(t *testing.T) {
	c := newPair(t, 2, newServer(), nil)
	if err := c.upgrade(testContext(t), 1); err == nil {
		t.Error("HTTP/2 was upgraded")
	}
	c = newPair(t, 1, newServer(), nil)
	if _, err := c.do(testContext(t), http.MethodGet, "/lines", nil); err == nil {
		t.Error("upgraded without having been asked for")
	}
}

// TestVerdictsCanFail shows that the program would notice a server that gets things wrong.
func TestVerdictsCanFail(t *testing.T) {
	eachVersion(t, func(t *testing.T, version int) {
		wrong := newServer()
		wrong.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/echo" { // its client sends only after an answer
				http.NewResponseController(w).EnableFullDuplex()
			} else {
				io.Copy(io.Discard, r.Body)
			}
			io.WriteString(w, "something else")
		})
		c, ctx := newPair(t, version, wrong, nil), testContext(t)
		if err := c.upload(ctx, 10); err == nil {
			t.Error("upload: a wrong hash was taken")
		}
		if err := c.download(ctx, int64(len("something else"))); err == nil {
			t.Error("download: no trailer was missed")
		}
		if err := show(ctx, c); err == nil {
			t.Error("show: a wrong name was taken")
		}
		if err := shutDown(ctx, c, wrong); err == nil {
			t.Error("shutDown: nothing was echoed")
		}
		short := newPair(t, version, &http.Server{Protocols: protocols(1, 2), Handler: http.NotFoundHandler()}, nil)
		if _, err := short.whoAmI(ctx); err == nil {
			t.Error("status 404 was taken")
		}
	})
}
