package demo

import (
	"net"
	"sync"
	"testing"
	"time"

	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/testbed"
)

// A listing is a listener for connections that there are.
type listing chan net.Conn

func (l listing) Accept() (net.Conn, error) {
	if c, ok := <-l; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (l listing) Close() error   { return nil }
func (l listing) Addr() net.Addr { return nil }

// A closing connection does something when it is closed.
type closing struct {
	net.Conn
	act func()
}

func (c *closing) Close() error {
	c.act()
	return c.Conn.Close()
}

// A connection that is accepted while the service closes those that it has is closed as well.
func TestTheEchoServiceClosesWhatComesMeanwhile(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	late, end := net.Pipe()
	defer end.Close()
	l := make(listing, 2)
	l <- &closing{far, sync.OnceFunc(func() {
		l <- late
		close(l)
	})}
	e := newEcho(l)
	testbed.SayAndHear(t, near, "the first is there")
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.close()
	}()
	select {
	case <-done:
	case <-time.After(testbed.HangBound):
		t.Fatal("it waits for the end of the one that came")
	}
}
