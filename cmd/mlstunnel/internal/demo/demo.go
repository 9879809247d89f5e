// Package demo is both ends of a tunnel and a service behind it, on one machine, to look at.
package demo

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/config"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/tunnel"
	"github.com/mendlink/mendlink/identity"
)

// Options say how the demo goes.
type Options struct {
	Transport  string        // config.TCP or config.QUIC
	RekeyEvery time.Duration // of both ends
	Admin      string        // address of the status page
	Duration   time.Duration // how long it goes on, once all is up; 0 for as long as ctx
	Log        *slog.Logger
}

// Run runs an echo service, a server and a client until ctx ends, and writes to out what to try. Its keys are in a
// directory that is removed at the end.
func Run(ctx context.Context, o Options, out io.Writer) (err error) {
	echo, err := startEcho()
	if err != nil {
		return err
	}
	defer echo.close()
	directory, err := os.MkdirTemp("", "mlstunnel-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(directory)
	server, err := newEnd(directory, "server")
	if err != nil {
		return err
	}
	client, err := newEnd(directory, "client")
	if err != nil {
		return err
	}
	rekey := &config.Rekey{Every: o.RekeyEvery}
	behind := config.Forward{Name: "demo-server", Role: config.Server, Transport: o.Transport, Listen: "127.0.0.1:0", Forward: echo.addr(),
		Identity: &server.identity, Peers: &config.Peers{Fingerprints: []string{client.fingerprint}}, Rekey: rekey}
	t, err := start(o, behind)
	if err != nil {
		return err
	}
	defer stop(t)
	front := config.Forward{Name: "demo-client", Role: config.Client, Transport: o.Transport, Listen: "127.0.0.1:0", Forward: t.Forward("demo-server").Addr().String(),
		Identity: &client.identity, Peers: &config.Peers{Fingerprints: []string{server.fingerprint}}, Rekey: rekey}
	behind.Listen = "127.0.0.1:0"
	both, err := file(o, behind, front)
	if err != nil {
		return err
	}
	if err := t.Reload(both); err != nil { // the client comes in as it would in production
		return err
	}
	address := t.Forward("demo-client").Addr().String()
	if err := try(ctx, address); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, `An echo service is behind a tunnel over %s. Both ends put fresh keys into each link every %v.

  your end of it      %s
  the server          %s
  the echo service    %s
  the server's key    %s
  the client's key    %s

A line has gone through it and come back. Try:

  nc %s %s                          and type; the connection stays while its keys change
  open %s            the links, live
  mlstunnel status --admin %s
  curl %smetrics

Interrupt to end it.
`, o.Transport, o.RekeyEvery, address, behindAddress(t), echo.addr(), server.fingerprint, client.fingerprint, host, port, t.Admin(), t.Admin(), t.Admin())
	if o.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.Duration)
		defer cancel()
	}
	<-ctx.Done()
	return nil
}

func behindAddress(t *tunnel.Tunnel) string { return t.Forward("demo-server").Addr().String() }

// An end is one end's key.
type end struct {
	identity    config.Identity
	fingerprint string
}

func newEnd(directory, name string) (*end, error) {
	id, err := identity.Generate(rand.Reader, name)
	if err != nil {
		return nil, err
	}
	private, err := identity.MarshalPrivateKey(id.Signer)
	if err != nil {
		return nil, err
	}
	defer clear(private)
	public, err := identity.EncodePublicKey(id.Signer.Public())
	if err != nil {
		return nil, err
	}
	path := filepath.Join(directory, name+".key")
	return &end{config.Identity{Key: path, Name: name}, identity.Fingerprint(public)}, os.WriteFile(path, private, 0o600)
}

func file(o Options, forwards ...config.Forward) (*config.File, error) {
	c := &config.File{Admin: o.Admin, Drain: time.Second, Forwards: forwards}
	return c, c.Check()
}

func start(o Options, forwards ...config.Forward) (*tunnel.Tunnel, error) {
	c, err := file(o, forwards...)
	if err != nil {
		return nil, err
	}
	return tunnel.Start(c, tunnel.Options{Log: o.Log})
}

func stop(t *tunnel.Tunnel) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	t.Drain(ctx)
}

// try sends a line through the tunnel and wants it back.
func try(ctx context.Context, address string) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	const line = "hello through the tunnel\n"
	if _, err := io.WriteString(c, line); err != nil {
		return err
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	back, err := io.ReadAll(io.LimitReader(c, 1<<10))
	if err != nil {
		return err
	}
	if string(back) != line {
		return fmt.Errorf("sent %q, got %q back", line, back)
	}
	return nil
}

// An echoService sends back what it gets.
type echoService struct {
	listener net.Listener
	running  sync.WaitGroup

	mu     sync.Mutex // guards what follows
	conns  map[net.Conn]struct{}
	closed bool
}

func startEcho() (*echoService, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return newEcho(l), nil
}

func newEcho(l net.Listener) *echoService {
	e := &echoService{listener: l, conns: make(map[net.Conn]struct{})}
	e.running.Go(e.accept)
	return e
}

func (e *echoService) addr() string { return e.listener.Addr().String() }

func (e *echoService) accept() {
	for {
		c, err := e.listener.Accept()
		if err != nil {
			return
		}
		if !e.enter(c) {
			c.Close()
			return
		}
		e.running.Go(func() {
			defer func() {
				c.Close()
				e.mu.Lock()
				defer e.mu.Unlock()
				delete(e.conns, c)
			}()
			io.Copy(c, c) // its error is the end of the connection
		})
	}
}

// enter notes a connection, unless all have been closed.
func (e *echoService) enter(c net.Conn) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		e.conns[c] = struct{}{}
	}
	return !e.closed
}

func (e *echoService) close() {
	e.listener.Close()
	e.mu.Lock()
	e.closed = true
	for c := range e.conns {
		c.Close()
	}
	e.mu.Unlock()
	e.running.Wait()
}
