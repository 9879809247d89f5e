package driver

import "sync"

// Spawn runs f in a goroutine that Stop waits for. After Stop it does nothing and
// returns false.
func (d *Driver) Spawn(f func()) bool { return d.background.spawn(f) }

// background counts a connection's own goroutines.
type background struct {
	mu     sync.Mutex
	closed bool
	wg     sync.WaitGroup
}

func (b *background) spawn(f func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.wg.Go(f)
	return true
}

// wait lets no more begin and waits for those that did.
func (b *background) wait() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.wg.Wait()
}
