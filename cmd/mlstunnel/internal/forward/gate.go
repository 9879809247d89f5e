package forward

import (
	"context"
	"sync"
)

// A gate bounds how many links are in their handshake. Whoever finds it full waits, and so do those behind, in the
// system's queue. The bound may change.
type gate struct {
	bound func() int

	mu     sync.Mutex // guards what follows
	inside int
	moved  chan struct{} // closed when there may be room
}

func newGate(bound func() int) *gate { return &gate{bound: bound, moved: make(chan struct{})} }

// enter waits for room. leave makes it again; it may be called more than once.
func (g *gate) enter(ctx context.Context) (leave func(), err error) {
	for {
		g.mu.Lock()
		moved := g.moved
		room := g.inside < g.bound()
		if room {
			g.inside++
		}
		g.mu.Unlock()
		if room {
			return sync.OnceFunc(g.leave), nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	g.wake()
}

// changed says that the bound may be another one.
func (g *gate) changed() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wake()
}

// wake has those who wait look again. g.mu is locked.
func (g *gate) wake() {
	close(g.moved)
	g.moved = make(chan struct{})
}
