package channel

import (
	"errors"
	"testing"
)

// A schedule is a path through a tree of schedules: at each step, which of the
// ends that have a message on the way gets it.
type schedule struct {
	taken, options []int
	depth          int
}

// next returns a choice among n.
func (c *schedule) next(n int) int {
	if c.depth == len(c.taken) {
		c.taken, c.options = append(c.taken, 0), append(c.options, n)
	}
	c.depth++
	return c.taken[c.depth-1]
}

// advance goes on to the next path. It reports whether there is one.
func (c *schedule) advance() bool {
	for c.depth = 0; len(c.taken) > 0; {
		last := len(c.taken) - 1
		if c.taken[last]++; c.taken[last] < c.options[last] {
			return true
		}
		c.taken, c.options = c.taken[:last], c.options[:last]
	}
	return false
}

// explore runs a scenario with every order in which its messages can be
// delivered, up to limit messages, and checks what is left each time.
func explore(t *testing.T, limit int, begin func() []*peer) (schedules int) {
	t.Helper()
	for c, more := (&schedule{}), true; more; more = c.advance() {
		ends := begin()
		for range limit {
			var ready []*peer
			for _, p := range ends {
				if len(p.in) > 0 {
					ready = append(ready, p)
				}
			}
			if len(ready) == 0 {
				break
			}
			p := ready[c.next(len(ready))]
			p.deliver(t)
			if p.err != nil && !errors.Is(p.err, ErrSuperseded) && !errors.Is(p.err, errOutdated) {
				t.Fatalf("schedule %v: %s: %v", c.taken, p.name, p.err)
			}
		}
		schedules++
		for i := 0; i < len(ends); i += 2 {
			cut(ends[i], ends[i+1])
		}
		recoverFrom(t, ways[schedules%len(ways)], ends[0].host, ends[1].host)
		if t.Failed() {
			t.Fatalf("after schedule %v", c.taken)
		}
	}
	return schedules
}

// Each end resumes over a connection of its own at the same time.
func TestEveryOrderOfResumptionsOnTwoConnections(t *testing.T) {
	t.Parallel()
	total := 0
	for _, pending := range [][]int{nil, {0}, {1}, {0, 1}} {
		for _, delivered := range []int{0, 1} {
			total += explore(t, 12, func() []*peer {
				a, b := established(t)
				updates(pending...)(t, a, b)
				deliverSome(t, a, b, true, delivered)
				cut(a, b)
				id := must(a.store.FindByPeer(ctx, "peer"))[0]
				a1, b1 := resumer(t, a.host, id), listen(t, b.host)
				a2, b2 := listen(t, a.host), resumer(t, b.host, id)
				connect(a1, b1)
				connect(a2, b2)
				a1.start(t)
				b2.start(t)
				return []*peer{a1, b1, a2, b2}
			})
		}
	}
	if total < 100 {
		t.Errorf("only %d schedules were tried", total)
	}
}

// One end believes that the connection is broken and resumes while the other's
// update, and its own, are still under way on it.
func TestEveryOrderOfOldAndNewConnection(t *testing.T) {
	t.Parallel()
	total := 0
	for _, leader := range ways[:2] {
		for resuming := range 2 {
			total += explore(t, 12, func() []*peer {
				a, b := established(t)
				a, b = resumption(leader)(t, a, b)
				settle(t, a, b)
				updates(0, 1)(t, a, b)
				var a2, b2 *peer
				if resuming == 0 {
					a2, b2 = resumer(t, a.host, a.ID()), listen(t, b.host)
				} else {
					a2, b2 = listen(t, a.host), resumer(t, b.host, b.ID())
				}
				connect(a2, b2)
				a2.start(t)
				b2.start(t)
				return []*peer{a, b, a2, b2}
			})
		}
	}
	if total < 100 {
		t.Errorf("only %d schedules were tried", total)
	}
}
