// Http runs net/http over Mendlink: HTTP/1.1 and HTTP/2, without TLS and without a
// change to either.
//
// A server listens on a [netconn.Listener], and a client dials with a [netconn.Dialer].
// They exchange large bodies, streams, trailers and, for HTTP/1.1, upgrade a
// connection. In the middle of each they put fresh keys into the connection. At the
// end the server shuts down gracefully, with a request under way.
//
// The exit status is 0 only if all of it really happened.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/mendlink/mendlink/netconn"
)

// bodySize is how large the large bodies are.
const bodySize = 16 << 20

func main() {
	log.SetFlags(0)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := run(ctx); err != nil {
		log.Printf("FAILED: %v", err)
		os.Exit(1)
	}
	log.Print("all of it happened: HTTP/1.1 and HTTP/2, rekeyed in the middle of bodies and streams, shut down gracefully")
}

func run(ctx context.Context) error {
	for _, version := range []int{1, 2} {
		if err := runVersion(ctx, version); err != nil {
			return fmt.Errorf("HTTP/%d: %w", version, err)
		}
	}
	return nil
}

// runVersion shows everything over one version of HTTP.
func runVersion(ctx context.Context, version int) error {
	clientConfig, serverConfig, err := newConfigs()
	if err != nil {
		return err
	}
	listener, err := netconn.Listen("tcp", "127.0.0.1:0", serverConfig)
	if err != nil {
		return err
	}
	server := newServer()
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	c := newClient(clientConfig, listener.Addr().String(), version)
	err = errors.Join(show(ctx, c), shutDown(ctx, c, server))
	c.close()
	server.Close()
	if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}

// show makes the requests, one kind after the other.
func show(ctx context.Context, c *client) error {
	name, err := c.whoAmI(ctx)
	if err != nil {
		return err
	}
	if name != "client" {
		return fmt.Errorf("the server takes the client for %q", name)
	}
	log.Printf("HTTP/%d: the server knows who asks: %q", c.version, name)

	steps := []struct {
		what string
		do   func() error
	}{
		{"sent 16 MiB, their hash came back as a trailer", func() error { return c.upload(ctx, bodySize) }},
		{"received 16 MiB, with their hash as a trailer", func() error { return c.download(ctx, bodySize) }},
		{"sent and received 8 messages in one request", func() error {
			return c.talk(ctx, 8, func(int) error { return c.update(ctx) })
		}},
	}
	for _, step := range steps {
		before := c.epoch()
		if err := step.do(); err != nil {
			return err
		}
		updates := c.epoch() - before
		if updates == 0 {
			return fmt.Errorf("%s, but no keys were updated", step.what)
		}
		log.Printf("HTTP/%d: %s; %d updates meanwhile", c.version, step.what, updates)
	}
	if c.version == 1 {
		if err := c.upgrade(ctx, 8); err != nil {
			return err
		}
		log.Print("HTTP/1: upgraded the connection to another protocol")
	}
	return nil
}

// shutDown shuts the server down in the middle of a request, which has to end well.
func shutDown(ctx context.Context, c *client, server *http.Server) error {
	began, done := make(chan struct{}), make(chan error, 1)
	server.RegisterOnShutdown(func() { close(began) })
	started := false
	err := c.talk(ctx, 3, func(i int) error {
		if i > 0 {
			return nil
		}
		started = true
		go func() { done <- server.Shutdown(ctx) }()
		<-began
		return c.update(ctx)
	})
	if !started {
		return err // nobody will send to done
	}
	if err = errors.Join(err, <-done); err != nil {
		return err
	}
	if _, err := c.whoAmI(ctx); err == nil {
		return errors.New("the server answers after it has shut down")
	}
	log.Printf("HTTP/%d: the server shut down, and the request under way ended well", c.version)
	return nil
}
