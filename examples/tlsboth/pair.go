package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"

	"github.com/mendlink/mendlink/netconn"
)

// An app is a connection as an application uses it: a *tls.Conn or a *netconn.Conn.
type app interface {
	net.Conn
	CloseWrite() error
}

// A stack puts one protocol on the other, on a TCP connection, and performs both
// handshakes. It returns the upper one, and the one of the two that heals. On an
// error the caller closes tcp.
type stack func(ctx context.Context, tcp net.Conn) (app, *netconn.Conn, error)

// An end is what a stack has made.
type end struct {
	app  app
	link *netconn.Conn
}

// connect connects a client to a server over loopback. relay, if any, is put between
// them: it is given the server's address and returns its own.
func connect(ctx context.Context, client, server stack, relay func(addr string) (string, error)) (c, s end, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return end{}, end{}, err
	}
	defer listener.Close()
	addr := listener.Addr().String()
	if relay != nil {
		if addr, err = relay(addr); err != nil {
			return end{}, end{}, err
		}
	}
	type result struct {
		end end
		err error
	}
	accepted := make(chan result, 1)
	go func() {
		e, err := establish(ctx, server, listener.Accept)
		accepted <- result{e, err}
	}()
	c, err = establish(ctx, client, func() (net.Conn, error) { return new(net.Dialer).DialContext(ctx, "tcp", addr) })
	if err != nil {
		listener.Close() // in case nobody came
	}
	r := <-accepted
	if err = errors.Join(err, r.err); err != nil {
		c.close()
		r.end.close()
		return end{}, end{}, err
	}
	return c, r.end, nil
}

func establish(ctx context.Context, s stack, open func() (net.Conn, error)) (end, error) {
	tcp, err := open()
	if err != nil {
		return end{}, err
	}
	app, link, err := s(ctx, tcp)
	if err != nil {
		tcp.Close()
		return end{}, err
	}
	return end{app, link}, nil
}

func (e end) close() {
	if e.app != nil {
		e.app.Close()
	}
}

// exchangeSize is what each end sends to the other.
const exchangeSize = 4 << 20

// exchange sends data both ways at once, through the whole stack, and updates both
// ends' keys meanwhile.
func exchange(ctx context.Context, c, s end) error {
	results := make(chan error)
	data := make([]byte, exchangeSize)
	rand.NewChaCha8([32]byte{'d', 'a', 't', 'a'}).Read(data)
	jobs := []func() error{
		func() error { return send(ctx, c, data) },
		func() error { return send(ctx, s, data) },
		func() error { return receive(c, data) },
		func() error { return receive(s, data) },
	}
	for _, job := range jobs {
		go func() { results <- job() }()
	}
	var errs []error
	for range jobs {
		if err := <-results; err != nil {
			errs = append(errs, err)
			c.close() // ends the others
			s.close()
		}
	}
	return errors.Join(errs...)
}

// send sends data and then its end, and updates the keys in the middle.
func send(ctx context.Context, e end, data []byte) error {
	half := len(data) / 2
	if _, err := e.app.Write(data[:half]); err != nil {
		return fmt.Errorf("sending: %w", err)
	}
	if err := e.link.Update(ctx); err != nil {
		return fmt.Errorf("updating: %w", err)
	}
	if _, err := e.app.Write(data[half:]); err != nil {
		return fmt.Errorf("sending: %w", err)
	}
	return e.app.CloseWrite()
}

// receive reads to the end, which has to be authentic, and compares with what was sent.
func receive(e end, want []byte) error {
	got, err := io.ReadAll(e.app)
	if err != nil {
		return fmt.Errorf("receiving: %w", err)
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("received %d octets, which are not the %d that were sent", len(got), len(want))
	}
	return nil
}
