package channel

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/mendlink/mendlink/mls"
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

// wild is the setting in which everything can happen.
func wild() *setting {
	s := overlappingLinks().withFullHandshakes().because(ReasonBytes, ReasonAge, ReasonRequested)
	s.maxLinks, s.rotating, s.early, s.repeating = 3, true, true, true
	return s
}

// wildly starts in a setting without a bound on what can happen.
func (s *setting) wildly() func() *joint {
	return func() *joint { return newJoint(s, budget{unlimited, unlimited, unlimited, unlimited, unlimited}) }
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

// Long walks come to states that no exhaustive search gets to.
func TestExploreAtRandom(t *testing.T) {
	t.Parallel()
	pairs := wild()
	pairs.paired, pairs.reasons = true, append(pairs.reasons, ReasonFullAge)
	hellos := wild()
	hellos.oneSignature = true
	taken := make(map[kind]int)
	for _, e := range []struct {
		name    string
		setting *setting
		share   int // percent of the actions
		hello   mls.WireFormat
	}{
		{"one group", wild(), 50, mls.WireFormatKeyPackage},
		{"the responder prevails", wild().whereTheResponderPrevails(), 10, mls.WireFormatKeyPackage},
		{"two groups", pairs, 30, mls.WireFormatAPQMessagePair}, // of which everything takes longer
		{"hellos with one signature", hellos, 10, mls.WireFormatOneSignatureKeyPackage},
	} {
		t.Run(e.name, func(t *testing.T) { walkAtRandom(t, e.setting, *exploreSteps*e.share/100, e.hello, taken) })
	}
	for k := deliver; k <= step; k++ {
		if taken[k] == 0 && !t.Failed() {
			t.Errorf("no walk has an action of kind %d", k)
		}
	}
}

// walkAtRandom takes about so many actions, in walks in which sessions begin with hellos of the
// given format, and counts them.
func walkAtRandom(t *testing.T, s *setting, steps int, hello mls.WireFormat, taken map[kind]int) {
	seed := *exploreSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	if testing.Short() || raceEnabled {
		steps = min(steps, 2000)
	}
	hellos := 0
	check := func(j *joint) *violation {
		for _, r := range j.captured {
			if r.message.Type != MessageClientHello {
				continue
			}
			hellos++
			if got := mls.WireFormat(r.message.Body[2])<<8 | mls.WireFormat(r.message.Body[3]); got != hello {
				return &violation{"hello", fmt.Sprintf("a ClientHello is a %v, want %v", got, hello)}
			}
		}
		return j.violated
	}
	w := &walker{start: s.wildly(), check: check, atEnd: (*joint).settlesAndHeals}
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
	t.Logf("seed %d: actions by kind so far: %s, hellos seen %d times", seed, fmt.Sprint(taken), hellos)
	if hellos == 0 {
		t.Error("no walk has a full handshake")
	}
}
