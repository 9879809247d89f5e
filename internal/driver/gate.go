package driver

import (
	"context"
	"net"
	"sync"
)

// A Gate bounds how many of a listener's connections are in their handshake. All others wait where
// nothing is kept for them yet. Its methods may be called by several goroutines at once.
type Gate struct {
	places chan struct{} // one for each connection that is inside; nil: no bound
	closed chan struct{}
	once   sync.Once
}

// NewGate returns a gate with so many places, or without a bound if there are none.
func NewGate(places int) *Gate {
	g := &Gate{closed: make(chan struct{})}
	if places > 0 {
		g.places = make(chan struct{}, places)
	}
	return g
}

// Enter waits for a place. leave gives it back; it may be called more than once. The error is net.ErrClosed
// after Close, or ctx's.
func (g *Gate) Enter(ctx context.Context) (leave func(), err error) {
	select {
	case <-g.closed:
		return nil, net.ErrClosed
	default:
	}
	if g.places == nil {
		return func() {}, nil
	}
	select {
	case g.places <- struct{}{}:
		return sync.OnceFunc(func() { <-g.places }), nil
	case <-g.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Close lets nobody in any more, and those who wait go. It may be called more than once.
func (g *Gate) Close() { g.once.Do(func() { close(g.closed) }) }
