package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"github.com/mendlink/mendlink/netconn"
)

// A dialer dials connections that may be in use at the same time, as those of a pool are,
// and resumes their sessions.
//
// A session lives on one connection: if it is resumed on a second one, the first ends.
// So each connection has a number, the lowest that is free, and stores its session under
// that. The one that takes a number over resumes what its predecessor has left.
// Not only the pool dials: to cancel a query the driver makes a connection of its own.
type dialer struct {
	config *netconn.Config

	mu    sync.Mutex
	inUse []bool // by number
}

func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	number := d.take()
	config := *d.config
	config.PeerName = fmt.Sprintf("%s, connection %d", addr, number)
	conn, err := (&netconn.Dialer{Config: &config}).DialContext(ctx, network, addr)
	if err != nil {
		d.release(number)
		return nil, err
	}
	return &numbered{Conn: conn.(*netconn.Conn), release: sync.OnceFunc(func() { d.release(number) })}, nil
}

func (d *dialer) take() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	for number, taken := range d.inUse {
		if !taken {
			d.inUse[number] = true
			return number
		}
	}
	d.inUse = append(d.inUse, true)
	return len(d.inUse) - 1
}

func (d *dialer) release(number int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.inUse[number] = false
}

// A numbered connection gives its number back when its transport fails or it is closed. After
// a failure the driver uses it no more, but takes its time to close it. After a deadline,
// by which the driver cancels a query, it lives on until it is closed.
type numbered struct {
	*netconn.Conn
	release func()
}

func (c *numbered) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.see(err)
	return n, err
}

func (c *numbered) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.see(err)
	return n, err
}

func (c *numbered) see(err error) {
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		c.release()
	}
}

func (c *numbered) Close() error {
	defer c.release()
	return c.Conn.Close()
}
