package driver

import (
	"testing"
	"time"

	"github.com/mendlink/mendlink/channel"
)

// Post-quantum keys are replaced when the policy says so, and only then: the updates
// between are partial ones.
func TestFullUpdatesByAge(t *testing.T) {
	clock := newClock()
	change := func(c *channel.Config, d *Config) {
		c.APQ = &channel.APQ{}
		c.Now, d.Now, d.Rekey.Every, d.Rekey.FullEvery, d.Rekey.Jitter = clock.Now, clock.Now, time.Minute, time.Hour, -1
	}
	quiet := func(c *channel.Config, d *Config) { c.APQ = &channel.APQ{} }
	a, b := newEnd(t, "a", quiet), newEnd(t, "b", change)
	begin(t, a, b)
	deliver(t, a, b)
	a.Establish()
	b.Establish()
	full := func() (n int) {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, e := range b.carried {
			if e, ok := e.(channel.Updated); ok && e.Own && e.Full {
				n++
			}
		}
		return n
	}
	for minute := range 125 {
		clock.advance(time.Minute)
		b.FollowPolicy()
		deliver(t, a, b)
		if got, want := full(), (minute+1)/60; got != want {
			t.Fatalf("after %d minutes there were %d full updates, want %d", minute+1, got, want)
		}
	}
	if epoch := b.State().Epoch; epoch < 120 || a.State().Negotiated.PQSuite == 0 {
		t.Errorf("epoch %d, post-quantum suite %v", epoch, a.State().Negotiated.PQSuite)
	}
	number, err := a.UpdateFull(channel.ReasonRequested)
	if err != nil {
		t.Fatal(err)
	}
	deliver(t, a, b)
	if a.waits(number) {
		t.Error("the update is not done")
	}
}
