package netconn

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mendlink/mendlink/channel/record"
)

// A countingListener counts the transports that are open.
type countingListener struct {
	net.Listener
	open, most atomic.Int32
}

type countedConn struct {
	net.Conn
	l      *countingListener
	closed atomic.Bool
}

func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if n := l.open.Add(1); n > l.most.Load() {
		l.most.Store(n) // there is one goroutine that accepts
	}
	return &countedConn{Conn: c, l: l}, nil
}

func (c *countedConn) Close() error {
	if c.closed.CompareAndSwap(false, true) {
		c.l.open.Add(-1)
	}
	return c.Conn.Close()
}

// bounded returns a listener that allows so many handshakes, and how to connect to it without a word.
func bounded(t *testing.T, handshakes int, rc *Config) (*Listener, *countingListener, func() net.Conn) {
	t.Helper()
	rc.MaxHandshakes = handshakes
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	counting := &countingListener{Listener: inner}
	l := NewListener(counting, rc)
	t.Cleanup(func() { l.Close() })
	return l, counting, func() net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
}

// A flood of peers that connect and say nothing keeps this end busy with so many of them and no more,
// and gives way to one that speaks.
func TestAFloodOfHandshakesIsBounded(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	rc.HandshakeTimeout = 200 * time.Millisecond
	const places, flood = 8, 50
	l, counting, stall := bounded(t, places, rc)
	served := make(chan error, 1)
	accepting := make(chan struct{})
	go func() {
		defer close(accepting)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if err := c.(*Conn).Handshake(); err != nil {
					return
				}
				_, err := io.Copy(c, c)
				served <- err
			}()
		}
	}()
	for range flood {
		stall()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	// Who waits for too long is cut off, and comes again. An end that has not heard of that yet
	// may believe that its handshake is complete.
	var client net.Conn
	for through := false; !through; {
		c, err := (&Dialer{Config: ic}).DialContext(ctx, "tcp", l.Addr().String())
		if err == nil {
			client = c
			err = echoes(c.(*Conn))
		}
		if through = err == nil; !through && ctx.Err() != nil {
			t.Fatal(err)
		}
		if !through && client != nil {
			client.Close()
		}
	}
	if n := counting.most.Load(); n > places+1 { // one is through
		t.Errorf("%d connections at a time, want %d in their handshake at most", n, places)
	}
	client.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
	l.Close()
	<-accepting
}

// A place is free again when a handshake is complete, has failed, or Close was called.
func TestAPlaceIsGivenBack(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	rc.HandshakeTimeout = -1
	l, _, stall := bounded(t, 1, rc)
	accepted := make(chan *Conn)
	ended := make(chan error, 1)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				ended <- err
				return
			}
			accepted <- c.(*Conn)
		}
	}()
	next := func(after string) (c *Conn) {
		t.Helper()
		within(t, "accepting after "+after, func() { c = <-accepted })
		return c
	}
	first := stall()
	c := next("nothing")
	stall()
	select {
	case <-accepted:
		t.Fatal("a second handshake, want one at a time")
	case <-time.After(50 * time.Millisecond):
	}
	first.Close()
	if err := c.Handshake(); err == nil {
		t.Fatal("a handshake with nobody")
	}
	defer c.Close()
	c = next("a handshake that failed")
	c.Close()
	c.Close()
	dialled := make(chan error, 1)
	var client net.Conn
	go func() {
		var err error
		client, err = (&Dialer{Config: ic}).DialContext(t.Context(), "tcp", l.Addr().String())
		dialled <- err
	}()
	c = next("a Close")
	if err := errors.Join(c.Handshake(), <-dialled); err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	defer c.Close()
	stall()
	last := next("a handshake that is complete")
	defer last.Close()
	// Nobody waits at a listener that is closed.
	l.Close()
	within(t, "Accept", func() {
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("error %v, want %v", err, net.ErrClosed)
		}
	})
}

// An oneOctet is a transport on which one octet comes, and then nothing for now.
type oneOctet struct {
	net.Conn
	come bool
}

func (c *oneOctet) Read(p []byte) (int, error) {
	if c.come {
		return 0, os.ErrDeadlineExceeded
	}
	c.come = true
	return copy(p, []byte{byte(record.ContentHandshake)}), nil
}

// Whoever connects and sends an octet has room for one record held, and not for all that is read at once later.
func TestAnOctetOfAStrangerCostsLittle(t *testing.T) {
	checkGoroutines(t)
	_, rc := newConfigs(t)
	a, b := net.Pipe()
	defer a.Close()
	server := Server(&oneOctet{Conn: b}, rc)
	defer server.Close()
	if err := server.Handshake(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	held := server.receiver.source.buf
	if held == nil {
		t.Fatal("it holds no octet")
	}
	if len(held.data) > record.MaxRecord {
		t.Errorf("it holds %d octets, want %d at the most", len(held.data), record.MaxRecord)
	}
}

// What comes in one piece with the end of a handshake, and does not fit the room of before, is read all the same.
func TestAFlightBehindTheHandshake(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	a, b := tcpPair(t)
	client, server := Client(a, ic), Server(b, rc)
	defer client.Close()
	defer server.Close()
	const size = 1 << 20
	sent := make(chan error, 1)
	go func() {
		_, err := client.Write(make([]byte, size))
		sent <- err
	}()
	_, err := io.ReadFull(server, make([]byte, size))
	if err := errors.Join(err, <-sent); err != nil {
		t.Fatal(err)
	}
	if pool := server.receiver.source.pool; pool != readBuffers {
		t.Error("after the handshake there is still little room")
	}
}
