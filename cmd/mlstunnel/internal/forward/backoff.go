package forward

import (
	"context"
	"math/rand/v2"
	"time"
)

// The delays between attempts to connect.
const (
	firstDelay = 100 * time.Millisecond
	lastDelay  = 30 * time.Second
)

// A backoff is how long to wait before the next attempt: twice as long each time, and at random between half
// of that and all of it, so that those that were cut off together do not come back together. The zero value is
// ready.
type backoff struct{ next time.Duration }

// delay returns the next wait.
func (b *backoff) delay() time.Duration {
	if b.next == 0 {
		b.next = firstDelay
	}
	d := b.next/2 + rand.N(b.next/2+1)
	b.next = min(2*b.next, lastDelay)
	return d
}

func (b *backoff) reset() { b.next = 0 }

// sleep waits. It returns ctx's error if that ends first.
func (b *backoff) sleep(ctx context.Context) error {
	t := time.NewTimer(b.delay())
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
