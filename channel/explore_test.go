package channel

import (
	"flag"
	"testing"
)

var exploreDeep = flag.Bool("explore.deep", false, "explore more joint states, which takes many minutes")

// oneLink is the setting in which one connection follows another, once both ends
// have given it up.
func oneLink() *setting {
	return &setting{commitsOnce: true, keepsSession: true, maxLinks: 1, resumeOnly: true, reasons: []UpdateReason{ReasonRequested}}
}

// twoLinks is the setting in which there can also be an old connection, which one
// end has not noticed to be dead.
func twoLinks() *setting {
	s := oneLink()
	s.maxLinks = 2
	return s
}

// crossingLinks is the setting in which both ends can dial at the same time.
func crossingLinks() *setting {
	s := twoLinks()
	s.crossing = true
	return s
}

// overlappingLinks is the setting in which an end can also dial while it believes
// in another connection.
func overlappingLinks() *setting {
	s := crossingLinks()
	s.overlapping = true
	return s
}

func (s *setting) withFullHandshakes() *setting {
	s.resumeOnly = false
	return s
}

func (s *setting) withRotations() *setting {
	s.rotating = true
	return s
}

// withEarlyData has early data sent, the same again with the same request or not.
func (s *setting) withEarlyData(repeating bool) *setting {
	s.early, s.repeating = true, repeating
	return s
}

// ofTwoGroups makes it a session of two groups, which updates one or both.
func (s *setting) ofTwoGroups() *setting {
	s.paired = true
	return s.because(ReasonRequested, ReasonFullAge)
}

// whereTheResponderPrevails has the greater key decide, which is the responder's.
func (s *setting) whereTheResponderPrevails() *setting {
	s.byKey = true
	return s
}

func (s *setting) because(reasons ...UpdateReason) *setting {
	s.reasons = reasons
	return s
}

// A family is a set of joint states that is explored to its end: all that two
// machines can come to within a budget, with every order of deliveries, cuts,
// reconnections and updates.
type family struct {
	name    string
	setting *setting
	left    budget
	// states and transitions are how many there are at the least. They tell an
	// exploration that is complete from one that has nothing to explore.
	states, transitions int
}

var families = []family{
	// Any number of updates, resumptions and cuts: there are no more states.
	{"one connection after another", oneLink().because(ReasonBytes, ReasonRequested), budget{unlimited, unlimited, 0, 0, 0}, 10500, 63000},
	{"a store that fails", oneLink(), budget{unlimited, unlimited, 1, 0, 0}, 13600, 59000},
	{"an attacker", oneLink(), budget{2, 2, 0, 1, 0}, 2100, 6600},
	{"an old connection beside the new one", twoLinks(), budget{3, 2, 0, 0, 0}, 4000, 14000},
	{"two connections at once", crossingLinks().withFullHandshakes(), budget{3, 1, 0, 0, 0}, 1700, 4600},
	{"connections that overlap", overlappingLinks(), budget{3, 0, 0, 0, 0}, 4000, 11000},
	{"the responder prevails", oneLink().whereTheResponderPrevails(), budget{unlimited, unlimited, 0, 0, 0}, 2300, 8800},
	{"the responder prevails, on two connections", crossingLinks().whereTheResponderPrevails(), budget{3, 1, 0, 0, 0}, 1770, 4700},
	{"identities that change", oneLink().withRotations(), budget{2, 1, 0, 0, 0}, 2500, 9300},
	{"keys that step", oneLink(), budget{2, 1, 0, 0, 1}, 1900, 8300},
	{"early data", oneLink().withEarlyData(true), budget{3, 2, 0, 0, 0}, 1630, 4250},
	{"early data and an attacker", oneLink().withEarlyData(false), budget{2, 2, 0, 1, 0}, 4800, 19000},
	{"two groups", oneLink().ofTwoGroups(), budget{2, 2, 0, 0, 0}, 1600, 6000},
	{"two groups and a store that fails", oneLink().ofTwoGroups(), budget{1, 1, 1, 0, 0}, 1000, 4000},
	{"two groups and identities that change", oneLink().ofTwoGroups().withRotations(), budget{1, 1, 0, 0, 0}, 500, 2000},
	{"two groups and two connections at once", crossingLinks().ofTwoGroups().withFullHandshakes(), budget{2, 1, 0, 0, 0}, 1750, 6500},
	{"two groups and an attacker", oneLink().ofTwoGroups(), budget{2, 1, 0, 1, 0}, 2570, 7500},
}

// deepFamilies are explored with -explore.deep.
var deepFamilies = []family{
	{"identities that change, any number", oneLink().withRotations(), budget{unlimited, unlimited, 0, 0, 0}, 140000, 680000},
	{"keys that step, for longer", oneLink(), budget{5, 3, 0, 0, 2}, 119000, 680000},
	{"early data, for longer", oneLink().withEarlyData(true), budget{5, 3, 0, 0, 0}, 3400, 11000},
	{"a store that fails twice", oneLink().because(ReasonBytes, ReasonRequested), budget{unlimited, unlimited, 2, 0, 0}, 90000, 570000},
	{"an attacker, for longer", oneLink().withFullHandshakes(), budget{5, 3, 0, 1, 0}, 60000, 590000},
	{"an old connection beside the new one, for longer", twoLinks(), budget{5, 3, 0, 0, 0}, 70000, 360000},
	{"an old connection and a store that fails", twoLinks(), budget{4, 2, 1, 0, 0}, 103000, 530000},
	{"two connections at once, for longer", crossingLinks().withFullHandshakes(), budget{5, 2, 0, 0, 0}, 156000, 750000},
	{"the responder prevails on two connections, for longer", crossingLinks().whereTheResponderPrevails(), budget{3, 2, 0, 0, 0}, 9100, 32500},
	{"connections that overlap, for longer", overlappingLinks(), budget{4, 0, 0, 0, 0}, 16000, 53500},
	{"two groups, for longer", oneLink().ofTwoGroups(), budget{3, 2, 0, 0, 0}, 7600, 35000},
	{"two groups, for ever", oneLink().ofTwoGroups(), budget{unlimited, unlimited, 0, 0, 0}, 48000, 317000},
	{"two groups and a store that fails, for longer", oneLink().ofTwoGroups(), budget{2, 1, 1, 0, 0}, 6700, 30000},
	{"two groups and identities that change, for longer", oneLink().ofTwoGroups().withRotations(), budget{2, 1, 0, 0, 0}, 9700, 54000},
	{"two groups and an old connection", twoLinks().ofTwoGroups(), budget{3, 2, 0, 0, 0}, 27000, 133000},
}

// scaled returns n, or a part of it under the race detector, which is slow and looks for
// something else.
func scaled(n int) int {
	if raceEnabled {
		return n / 20
	}
	return n
}

// From every state that two machines can come to, a kind network brings them
// together. In none of them is any rule of explore_invariants_test.go broken.
func TestExplore(t *testing.T) {
	t.Parallel()
	all := families
	switch {
	case *exploreDeep:
		all = append(all, deepFamilies...)
	case raceEnabled:
		all = families[4:5]
	case testing.Short():
		all = families[3:]
	}
	for _, f := range all {
		t.Run(f.name, func(t *testing.T) {
			s := &search{check: new(healer).heals}
			complete := s.run(newJoint(f.setting, f.left))
			t.Log(s)
			if s.failed != nil {
				t.Fatal(explain(s.failed.trace(), s.failed.violated))
			}
			if !complete || s.states < f.states || s.transitions < f.transitions {
				t.Errorf("want at least %d states and %d transitions", f.states, f.transitions)
			}
			if !s.comesToRest() {
				t.Error("the ends can send each other messages for ever")
			}
		})
	}
}
