package forward

import "sync"

// A tally counts the streams of a link. When it is closed, no more come in, and done is called once the
// last is gone.
type tally struct {
	done func()

	mu     sync.Mutex // guards what follows
	n      int
	closed bool
}

// enter counts a stream, unless no more come in.
func (t *tally) enter() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.n++
	}
	return !t.closed
}

func (t *tally) leave() {
	t.mu.Lock()
	t.n--
	over := t.closed && t.n == 0
	t.mu.Unlock()
	if over {
		t.done()
	}
}

func (t *tally) close() {
	t.mu.Lock()
	over := !t.closed && t.n == 0
	t.closed = true
	t.mu.Unlock()
	if over {
		t.done()
	}
}
