package main

import (
	"context"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/mendlink/mendlink/examples/internal/keyfile"
	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/quicmls"
)

// testContext bounds what a test waits for.
func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// TestRun runs the whole program.
func TestRun(t *testing.T) {
	if err := run(testContext(t), 8); err != nil {
		t.Fatal(err)
	}
}

// TestTwoPrograms runs the ends as -listen and -dial do, with keys out of files.
func TestTwoPrograms(t *testing.T) {
	dir := t.TempDir()
	client, server := filepath.Join(dir, "client.pem"), filepath.Join(dir, "server.pem")
	for _, key := range []string{client, server} {
		if _, _, err := keyfile.Generate(key); err != nil {
			t.Fatal(err)
		}
	}
	err := withKeys(server, client+".pub", func(config *quicmls.Config) error {
		address := serveWith(t, config, serve)
		return withKeys(client, server+".pub", func(config *quicmls.Config) error {
			return runClient(testContext(t), address, config, 2)
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := withKeys(client, "", nil); err == nil {
		t.Error("ran without knowing who the other end is")
	}
}

// serveWith runs a server until the test ends, and returns its address.
func serveWith(t *testing.T, config *quicmls.Config, serve func(context.Context, *quicmls.Listener)) string {
	t.Helper()
	listener, err := quicmls.Listen("127.0.0.1:0", withServer(config))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		serve(ctx, listener)
	}()
	t.Cleanup(func() {
		cancel()
		listener.Close()
		<-done
	})
	return listener.Addr().String()
}

// TestVerdictsCanFail shows that the client would notice a server that gets things wrong.
func TestVerdictsCanFail(t *testing.T) {
	cc, sc, err := newConfigs()
	if err != nil {
		t.Fatal(err)
	}
	// This one sends back something else.
	address := serveWith(t, sc, func(ctx context.Context, listener *quicmls.Listener) {
		conn, err := listener.Accept(ctx)
		if err != nil {
			return
		}
		defer conn.CloseWithError(0, "")
		go func() {
			for {
				d, err := conn.ReceiveDatagram(ctx)
				if err != nil {
					return
				}
				conn.SendDatagram(append(d, '!'))
			}
		}()
		for {
			stream, err := conn.AcceptStream(ctx)
			if err != nil {
				return
			}
			go io.Copy(stream, io.MultiReader(io.LimitReader(stream, 1), io.LimitReader(zeros{}, messageSize)))
			defer stream.Close()
		}
	})
	ctx := testContext(t)
	c, err := dial(ctx, address, cc)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if err := c.talkOnStreams(ctx, 1); err == nil {
		t.Error("streams: something else was taken")
	}
	if _, err := c.talkByDatagrams(ctx); err == nil {
		t.Error("datagrams: something else was taken")
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestStrangerIsNotLetIn shows that the keys matter.
func TestStrangerIsNotLetIn(t *testing.T) {
	_, sc, err := newConfigs()
	if err != nil {
		t.Fatal(err)
	}
	stranger, _, err := newConfigs()
	if err != nil {
		t.Fatal(err)
	}
	address := serveWith(t, sc, serve)
	if err := runClient(testContext(t), address, stranger, 1); err == nil {
		t.Error("a client took a server that it does not know")
	}
	known := *stranger
	if known.Validator, err = identity.NewPinned(sc.Identity.Signer.Public()); err != nil {
		t.Fatal(err)
	}
	if err := runClient(testContext(t), address, &known, 1); err == nil {
		t.Error("a server let in a client that it does not know")
	}
}
