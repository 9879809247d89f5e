package channel

import (
	"math/rand/v2"
	"testing"
)

// The explorer stands on two things: that a fork is like what it was forked from,
// and that states with the same fingerprint behave alike. Here neither is taken
// for granted: states are reached again, by all actions from the beginning in
// sessions that nobody has copied.

// repeated returns the joint state after a trace, without a fork.
func repeated(start func() *joint, trace []action) *joint {
	j := start()
	for _, a := range trace {
		j.apply(a)
	}
	return j
}

func TestForkContinuesLikeTheOriginal(t *testing.T) {
	t.Parallel()
	start := func() *joint { return newJoint(oneLink(), budget{5, 3, 1, 1, 0}) }
	compared := 0
	s := &search{limit: scaled(4000)}
	s.check = func(f *found) *violation {
		if f.print[0]%32 != 0 {
			return nil
		}
		original := repeated(start, f.trace())
		if original.describe() != f.describe() {
			f.violate("fork", "the original is\n%sand the fork\n%s", original.describe(), f.describe())
			return f.violated
		}
		all := f.actions()
		if len(all) == 0 {
			return nil
		}
		a := all[rand.IntN(len(all))]
		before := f.describe()
		g := f.fork(a.actors()...)
		g.apply(a)
		original.apply(a)
		if original.describe() != g.describe() || f.describe() != before {
			f.violate("fork", "after %v the original is\n%sand the fork\n%sof\n%s", a, original.describe(), g.describe(), f.describe())
		}
		s.mu.Lock()
		compared++
		s.mu.Unlock()
		return f.violated
	}
	s.run(start())
	if s.failed != nil {
		t.Fatal(explain(s.failed.trace(), s.failed.violated))
	}
	if t.Logf("%d states compared, %v", compared, s); compared < scaled(30) {
		t.Errorf("only %d states were compared", compared)
	}
}

// Of a state that was come to in two ways, both are taken again, and what can
// happen after them is compared.
func TestStatesWithOneFingerprintBehaveAlike(t *testing.T) {
	t.Parallel()
	taken := 8 // one of so many
	if raceEnabled {
		taken = 3 // of few states: else chance alone would now and then leave too few
	}
	for _, f := range []family{
		{"one connection after another", oneLink(), budget{unlimited, unlimited, 0, 0, 0}, 2000, 7000},
		{"everything", overlappingLinks().withFullHandshakes(), budget{3, 2, 1, 1, 0}, 2000, 4000},
	} {
		t.Run(f.name, func(t *testing.T) {
			start := func() *joint { return newJoint(f.setting, f.left) }
			first := make(map[fingerprint]*found)
			left := make(map[fingerprint]budget) // the joint state is forgotten at times
			var pairs [][2]*found
			s := &search{limit: scaled(f.states), check: func(*found) *violation { return nil }}
			s.again = func(f *found) {
				if first[f.print] == nil {
					first[f.print], left[f.print] = f, f.left
				} else if left[f.print] == f.left && len(pairs) < 300 && rand.IntN(taken) == 0 {
					pairs = append(pairs, [2]*found{first[f.print], f})
				}
			}
			s.run(start())
			for _, pair := range pairs {
				x, y := repeated(start, pair[0].trace()), repeated(start, pair[1].trace())
				if x.fingerprint() != y.fingerprint() {
					t.Fatal("a trace leads elsewhere the second time")
				}
				for _, a := range x.actions() {
					v, w := x.after(a), y.after(a)
					if (v == nil) != (w == nil) || v != nil && v.fingerprint() != w.fingerprint() {
						t.Fatalf("%v makes a difference after\n%sthat is not in\n%s", a, explain(pair[1].trace(), nil), x.describe())
					}
				}
			}
			if t.Logf("%d pairs compared, %v", len(pairs), s); len(pairs) < scaled(100) {
				t.Errorf("only %d pairs were compared", len(pairs))
			}
		})
	}
}
