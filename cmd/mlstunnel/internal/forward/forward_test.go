package forward

import (
	"context"
	"testing"
	"time"
)

func TestDelaysGrowUpToABoundAndDiffer(t *testing.T) {
	var b backoff
	most := firstDelay
	different := map[time.Duration]bool{}
	for range 20 {
		d := b.delay()
		if d < most/2 || d > most {
			t.Errorf("waits %v, want %v to %v", d, most/2, most)
		}
		different[d] = true
		most = min(2*most, lastDelay)
	}
	if len(different) < 10 {
		t.Errorf("20 delays have %d values: there is no chance in them", len(different))
	}
	b.reset()
	if d := b.delay(); d > firstDelay {
		t.Errorf("waits %v after a success", d)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.sleep(ctx); err != context.Canceled {
		t.Errorf("got %v", err)
	}
}

func TestATallyIsDoneOnceWhenClosedAndEmpty(t *testing.T) {
	done := 0
	tally := &tally{done: func() { done++ }}
	for range 2 {
		if !tally.enter() {
			t.Fatal("no way in")
		}
	}
	tally.leave()
	tally.leave()
	if !tally.enter() || done != 0 {
		t.Fatalf("done %d times before it is closed", done)
	}
	tally.close()
	if tally.enter() || done != 0 {
		t.Fatalf("done %d times with one left, or a way in", done)
	}
	tally.leave()
	tally.close()
	if done != 1 {
		t.Errorf("done %d times, want 1", done)
	}
}
