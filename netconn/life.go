package netconn

import (
	"context"
	"sync"
)

// A life is the time until Close. Its context is made when something first needs one: an
// idle connection does without.
type life struct {
	mu     sync.Mutex
	ended  bool
	ctx    context.Context // nil: not needed so far
	cancel context.CancelFunc
	before func() // see beforeEnd
}

// context returns one that ends with the life.
func (l *life) context() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx == nil {
		l.ctx, l.cancel = context.WithCancel(context.Background())
		if l.ended {
			l.cancel()
		}
	}
	return l.ctx
}

// beforeEnd has f called when the life ends, or now if it has, in place of what was to be
// called before. The handshake, whose context is the caller's, ends that way. f must not wait.
func (l *life) beforeEnd(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.before = f
	if l.ended && f != nil {
		f()
	}
}

func (l *life) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	if l.before != nil {
		l.before()
	}
	if l.cancel != nil {
		l.cancel()
	}
}
