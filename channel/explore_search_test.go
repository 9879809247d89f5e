package channel

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"
)

// A found is a joint state that a search has come to, and how.
type found struct {
	*joint
	print  fingerprint
	before *found
	action action
	depth  int
	// delivered are the states after the deliveries that the budget allows.
	delivered []fingerprint
}

// trace returns the actions that led to a state.
func (f *found) trace() []action {
	if f.before == nil {
		return nil
	}
	return append(f.before.trace(), f.action)
}

// A search visits all joint states that can be reached within a budget, those
// that take the fewest actions first. A state is not visited again if it was
// visited with at least as much of the budget left.
type search struct {
	check func(*found) *violation // each state, once what comes after it is known
	again func(*found)            // each time that a state is come to, if not nil
	limit int                     // of states, if not 0

	mu          sync.Mutex
	visited     map[fingerprint][]budget
	delivered   map[fingerprint][]fingerprint
	failed      *found
	states      int // with other budgets left counted once
	visits      int
	transitions int
	depth       int
	elapsed     time.Duration
}

// run explores from a joint state. It reports whether it came to an end before
// it met a violation or the limit.
func (s *search) run(start *joint) bool {
	began := time.Now()
	s.visited, s.delivered = make(map[fingerprint][]budget), make(map[fingerprint][]fingerprint)
	frontier := s.admit(nil, &found{joint: start, print: start.fingerprint()})
	for len(frontier) > 0 && s.failed == nil && (s.limit == 0 || s.states < s.limit) {
		frontier = s.level(frontier)
		s.depth++
	}
	s.elapsed = time.Since(began)
	return len(frontier) == 0 && s.failed == nil
}

// level visits the states of a frontier, on all processors, and returns the next.
func (s *search) level(frontier []*found) []*found {
	var next []*found
	var wg sync.WaitGroup
	work := make(chan *found)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for f := range work {
				successors, bad := s.visit(f)
				s.mu.Lock()
				s.transitions += len(successors)
				s.delivered[f.print] = append(s.delivered[f.print], f.delivered...)
				for _, g := range successors {
					next = s.admit(next, g)
				}
				if bad != nil && s.failed == nil {
					s.failed = bad
				}
				s.mu.Unlock()
			}
		})
	}
	for _, f := range frontier {
		work <- f
	}
	close(work)
	wg.Wait()
	return next
}

// visit returns the states after a state, and one that breaks a rule.
func (s *search) visit(f *found) (successors []*found, bad *found) {
	for _, a := range f.actions() {
		j := f.after(a)
		if j == nil {
			continue
		}
		g := &found{joint: j, before: f, action: a, depth: f.depth + 1}
		if j.violated != nil {
			return successors, g
		}
		g.print = j.fingerprint()
		if a.kind == deliver {
			f.delivered = append(f.delivered, g.print)
		}
		successors = append(successors, g)
	}
	if v := s.check(f); v != nil {
		f.violated = v
		return successors, f
	}
	f.joint = nil // for the garbage collector: only the way is needed now
	return successors, nil
}

// admit adds a state to a frontier unless it was visited before.
func (s *search) admit(frontier []*found, f *found) []*found {
	if s.again != nil {
		s.again(f)
	}
	before := s.visited[f.print]
	for _, left := range before {
		if left.covers(f.left) {
			return frontier
		}
	}
	if len(before) == 0 {
		s.states++
	}
	s.visits++
	s.visited[f.print] = append(before, f.left)
	return append(frontier, f)
}

// comesToRest reports whether, from every state that was visited, there are only
// so many messages to deliver if nothing else happens.
func (s *search) comesToRest() bool {
	const open, closed = 1, 2
	mark := make(map[fingerprint]int)
	var rests func(fingerprint) bool
	rests = func(f fingerprint) bool {
		if mark[f] != 0 {
			return mark[f] == closed
		}
		mark[f] = open
		for _, next := range s.delivered[f] {
			if !rests(next) {
				return false
			}
		}
		mark[f] = closed
		return true
	}
	for f := range s.delivered {
		if !rests(f) {
			return false
		}
	}
	return true
}

func (s *search) String() string {
	return fmt.Sprintf("%d states (%d with what is left of the budget), %d transitions, %d actions deep, in %v", s.states, s.visits, s.transitions, s.depth, s.elapsed.Round(time.Millisecond))
}

// explain writes a trace down.
func explain(trace []action, v *violation) string {
	var b strings.Builder
	for n, a := range trace {
		fmt.Fprintf(&b, "%3d  %v\n", n+1, a)
	}
	if v != nil {
		fmt.Fprintf(&b, "     %v", v)
	}
	return b.String()
}
