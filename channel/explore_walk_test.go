package channel

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var (
	exploreSteps = flag.Int("explore.steps", 50_000, "number of random actions in TestExploreAtRandom")
	exploreSeed  = flag.Uint64("explore.seed", 0, "seed of TestExploreAtRandom; 0: that of the clock")
)

// walkLength is how many actions a walk has at most, so that one that fails can
// be made short again.
const walkLength = 400

// A walker takes random actions from a start, and makes what fails short.
type walker struct {
	start func() *joint
	// check is made after each action, beside the rules, and atEnd at the end.
	check, atEnd func(*joint) *violation
}

// wild starts where everything can happen.
func wild() *joint { return anything(overlappingLinks()) }

// wildPair is wild in a session of two groups.
func wildPair() *joint { return anything(overlappingLinks().ofTwoGroups()) }

func anything(s *setting) *joint {
	s.withFullHandshakes().because(append(s.reasons, ReasonBytes, ReasonAge)...)
	s.maxLinks, s.rotating, s.early, s.repeating = 3, true, true, true
	return newJoint(s, budget{unlimited, unlimited, unlimited, unlimited, unlimited})
}

// weights say how often actions of a kind are taken, compared with others.
var weights = map[kind]int{
	deliver: 60, update: 12, dial: 12, notice: 10, cutOne: 3, cutBoth: 2, crash: 2, failStore: 2, intercept: 2, replay: 1, refuse: 1, rotate: 3, reconfigure: 2, step: 5,
}

// walk takes random actions. It returns those taken and the rule that was broken.
func (w *walker) walk(seed uint64, n, steps int) ([]action, *violation) {
	random := rand.New(rand.NewPCG(seed, uint64(n)))
	j := w.start()
	var trace []action
	for range steps {
		a, ok := choose(random, j.actions())
		if !ok {
			break
		}
		trace = append(trace, a)
		if v := w.take(j, a); v != nil {
			return trace, v
		}
	}
	return trace, w.atEnd(j)
}

// take has an action happen. What an attacker keeps is bounded.
func (w *walker) take(j *joint, a action) *violation {
	j.apply(a)
	if n := len(j.captured); n > 16 {
		j.captured = slices.Clone(j.captured[n-16:])
	}
	if j.violated == nil && w.check != nil {
		return w.check(j)
	}
	return j.violated
}

// choose draws a kind of action and then one of that kind.
func choose(random *rand.Rand, all []action) (action, bool) {
	total := 0
	byKind := make(map[kind][]action)
	for _, a := range all {
		if byKind[a.kind] == nil {
			total += weights[a.kind]
		}
		byKind[a.kind] = append(byKind[a.kind], a)
	}
	if total == 0 {
		return action{}, false
	}
	n := random.IntN(total)
	for k := deliver; k <= step; k++ {
		if byKind[k] == nil {
			continue
		}
		if n -= weights[k]; n < 0 {
			return byKind[k][random.IntN(len(byKind[k]))], true
		}
	}
	panic("unreachable")
}

// settlesAndHeals checks that a state heals once all messages are delivered.
func (j *joint) settlesAndHeals() *violation {
	k := j.kind()
	k.settle()
	if k.violated != nil {
		return k.violated
	}
	return new(healer).heals(&found{joint: k})
}

// again takes those actions of a trace that can happen, and returns them with
// the rule that was broken.
func (w *walker) again(trace []action) ([]action, *violation) {
	j := w.start()
	var taken []action
	for _, a := range trace {
		if !slices.Contains(j.actions(), a) {
			continue
		}
		taken = append(taken, a)
		if v := w.take(j, a); v != nil {
			return taken, v
		}
	}
	return taken, w.atEnd(j)
}

// shorten drops actions of a trace for as long as the same rule is broken, first
// many at a time and then single ones (delta debugging).
func (w *walker) shorten(trace []action, v *violation, until time.Time) ([]action, *violation) {
	for size := len(trace) / 2; size > 0; {
		shorter := false
		for at := 0; at < len(trace) && time.Now().Before(until); {
			end := min(at+size, len(trace))
			rest, u := w.again(slices.Concat(trace[:at], trace[end:]))
			if u != nil && u.rule == v.rule && len(rest) < len(trace) {
				trace, v, shorter = rest, u, true
			} else {
				at = end
			}
		}
		if !shorter || size > 1 {
			size /= 2
		}
	}
	return trace, v
}

// Long walks come to states that no exhaustive search gets to. Those in sessions of two groups,
// whose steps are dearer, are shorter together.
func TestExploreAtRandom(t *testing.T) {
	t.Parallel()
	seed, steps := *exploreSeed, *exploreSteps
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Run("one group", func(t *testing.T) { exploreAtRandom(t, wild, seed, steps) })
	t.Run("two groups", func(t *testing.T) { exploreAtRandom(t, wildPair, seed, steps/4) })
}

func exploreAtRandom(t *testing.T, start func() *joint, seed uint64, steps int) {
	t.Parallel()
	if testing.Short() || raceEnabled {
		steps = min(steps, 2000)
	}
	w := &walker{start: start, atEnd: (*joint).settlesAndHeals}
	taken := make(map[kind]int)
	for n := 0; steps > 0; n++ {
		trace, v := w.walk(seed, n, min(steps, walkLength))
		steps -= walkLength
		if v != nil {
			short, u := w.shorten(trace, v, time.Now().Add(time.Minute))
			t.Fatalf("seed %d, walk %d: %v after %d actions\n%s", seed, n, v, len(trace), explain(short, u))
		}
		for _, a := range trace {
			taken[a.kind]++
		}
	}
	t.Logf("seed %d: actions by kind: %s", seed, fmt.Sprint(taken))
	for k := deliver; k <= step; k++ {
		if taken[k] == 0 {
			t.Errorf("no walk has an action of kind %d", k)
		}
	}
}
