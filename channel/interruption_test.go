package channel

import (
	"errors"
	"fmt"
	"testing"
)

// A scenario is something that two ends do after a full handshake, up to where
// messages are on the way.
type scenario struct {
	name  string
	begin func(t tb, a, b *peer) (*peer, *peer)
}

// resumption returns a scenario in which a broken connection is resumed.
func resumption(way string) func(tb, *peer, *peer) (*peer, *peer) {
	return func(t tb, a, b *peer) (*peer, *peer) {
		id := a.ID()
		cut(a, b)
		switch way {
		case "initiator resumes":
			a, b = resumer(t, a.host, id), listen(t, b.host)
		case "responder resumes":
			a, b = listen(t, a.host), resumer(t, b.host, id)
		case "both resume":
			a, b = resumer(t, a.host, id), resumer(t, b.host, id)
		}
		connect(a, b)
		a.start(t)
		b.start(t)
		return a, b
	}
}

func updates(who ...int) func(tb, *peer, *peer) (*peer, *peer) {
	return func(t tb, a, b *peer) (*peer, *peer) {
		for _, i := range who {
			[]*peer{a, b}[i].update(t, ReasonRequested)
		}
		return a, b
	}
}

// afterwards makes the scenario of one after the end of another.
func afterwards(first, then func(tb, *peer, *peer) (*peer, *peer)) func(tb, *peer, *peer) (*peer, *peer) {
	return func(t tb, a, b *peer) (*peer, *peer) {
		a, b = first(t, a, b)
		settle(t, a, b)
		return then(t, a, b)
	}
}

var scenarios = []scenario{
	{"initiator updates", updates(0)},
	{"responder updates", updates(1)},
	{"updates cross", updates(0, 1)},
	{"updates cross, each wants two", updates(0, 1, 0, 1)},
	{"updates cross where the responder leads", afterwards(resumption("responder resumes"), updates(0, 1))},
	{"initiator resumes", resumption("initiator resumes")},
	{"responder resumes", resumption("responder resumes")},
	{"both resume", resumption("both resume")},
	{"initiator resumes with an update pending", func(t tb, a, b *peer) (*peer, *peer) {
		a.update(t, ReasonAge)
		return resumption("initiator resumes")(t, a, b)
	}},
	{"responder resumes while each has an update pending", func(t tb, a, b *peer) (*peer, *peer) {
		a.update(t, ReasonAge)
		b.update(t, ReasonAge)
		return resumption("responder resumes")(t, a, b)
	}},
}

// deliverSome delivers up to limit messages, to a first where there is a
// choice, or to b, and reports whether all could be delivered.
func deliverSome(t tb, a, b *peer, bFirst bool, limit int) bool {
	t.Helper()
	first, second := a, b
	if bFirst {
		first, second = b, a
	}
	for range limit {
		switch {
		case len(first.in) > 0:
			first.deliver(t)
		case len(second.in) > 0:
			second.deliver(t)
		default:
			return true
		}
	}
	return len(a.in)+len(b.in) == 0
}

func TestScenariosSettleInAnyOrderOfDelivery(t *testing.T) {
	for _, s := range scenarios {
		for _, bFirst := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%t", s.name, bFirst), func(t *testing.T) {
				a, b := established(t)
				a, b = s.begin(t, a, b)
				deliverSome(t, a, b, bFirst, 1000)
				agree(t, a, b)
				canUpdate(t, a, b)
			})
		}
	}
}

func TestCutAtEveryMessageThenResume(t *testing.T) {
	t.Parallel()
	cuts := 0
	for _, s := range scenarios {
		for _, bFirst := range []bool{false, true} {
			for n, done := 0, false; !done; n++ {
				for _, way := range ways {
					a, b := established(t)
					a, b = s.begin(t, a, b)
					done = deliverSome(t, a, b, bFirst, n)
					cut(a, b)
					t.Run(fmt.Sprintf("%s/%t/%d/%s", s.name, bFirst, n, way), func(t *testing.T) {
						recoverFrom(t, way, a.host, b.host)
					})
					cuts++
				}
			}
		}
	}
	if cuts < 250 {
		t.Errorf("only %d cuts were tried", cuts)
	}
}

// A connection may also be cut for a second time, while it is being resumed.
func TestCutTwiceAtEveryMessageThenResume(t *testing.T) {
	t.Parallel()
	for _, first := range []int{0, 1, 2} {
		for _, crossing := range []bool{false, true} {
			for _, way := range ways {
				for n, done := 0, false; !done; n++ {
					last := ways[(n+first)%len(ways)]
					a, b := established(t)
					a.update(t, ReasonRequested)
					if crossing {
						b.update(t, ReasonRequested)
					}
					deliverSome(t, a, b, true, first)
					a, b = resumption(way)(t, a, b)
					done = deliverSome(t, a, b, false, n)
					cut(a, b)
					t.Run(fmt.Sprintf("%d/%t/%s/%d/%s", first, crossing, way, n, last), func(t *testing.T) {
						recoverFrom(t, last, a.host, b.host)
					})
				}
			}
		}
	}
}

// The store of one end fails once, at each of its saves in turn: before the save
// took effect, or after. A crash at that moment looks the same from outside.
func TestStoreFailureAtEverySaveThenResume(t *testing.T) {
	t.Parallel()
	for _, s := range scenarios {
		for _, failing := range []int{0, 1} {
			for _, effective := range []bool{false, true} {
				for n, done := 1, false; !done; n++ {
					a, b := established(t)
					store := []*host{a.host, b.host}[failing].store
					fails, base := 0, store.saves
					store.fail = func(save int) (error, bool) {
						if save != base+n {
							return nil, false
						}
						fails++
						return errStore, effective
					}
					a, b = s.begin(t, a, b)
					for _, p := range []*peer{a, b} {
						if p.State() == StateClosed && p.err == nil {
							t.Fatalf("%s was closed without an error", p.name)
						}
					}
					deliverSome(t, a, b, false, 1000)
					for _, p := range []*peer{a, b} {
						if p.err != nil && !errors.Is(p.err, errStore) && !errors.Is(p.err, ErrSuperseded) {
							t.Fatalf("%s: %v", p.name, p.err)
						}
					}
					done = fails == 0
					store.fail = nil
					cut(a, b)
					t.Run(fmt.Sprintf("%s/%d/%t/%d", s.name, failing, effective, n), func(t *testing.T) {
						recoverFrom(t, ways[n%len(ways)], a.host, b.host)
					})
				}
			}
		}
	}
}

func TestCutInFullHandshakeEndsInAnother(t *testing.T) {
	for n := range 4 {
		ha, hb := newHost(t, "alice"), newHost(t, "bob")
		a, b := initiate(t, ha, hb)
		a.start(t)
		deliverSome(t, a, b, false, n)
		cut(a, b)
		if ids := ha.sessions(); len(ids) > 0 {
			a, b = resumer(t, ha, ids[0]), listen(t, hb)
			connect(a, b)
		} else {
			a, b = initiate(t, ha, hb)
		}
		a.start(t)
		settle(t, a, b)
		agree(t, a, b)
		if want := n == 3; a.Resumed() != want {
			t.Errorf("cut after %d messages: resumed: %t, want %t", n, a.Resumed(), want)
		}
		if len(ha.sessions()) != 1 || len(hb.sessions()) != 1 {
			t.Errorf("cut after %d messages: %d and %d sessions are stored, want 1 each", n, len(ha.sessions()), len(hb.sessions()))
		}
		canUpdate(t, a, b)
	}
}

// The schedule of DRAFTS 4.1 under which -01's order of rules destroys
// both ends' states.
func TestCrossingRequestsAfterLostAcknowledgement(t *testing.T) {
	a, b := established(t)
	a.update(t, ReasonRequested)
	b.deliver(t) // B applies the commit and acknowledges it,
	cut(a, b)    // which A never sees
	id := a.ID()
	a, b = resumer(t, a.host, id), resumer(t, b.host, id)
	connect(a, b)
	a.start(t) // repeats the pending commit
	b.start(t) // builds on the epoch that A's commit led to
	a.deliver(t)
	if a.State() != StateAwaitingResumptionResponse || a.err != nil {
		t.Fatalf("the initial initiator is %v after a crossing request (%v)", a.State(), a.err)
	}
	settle(t, a, b)
	agree(t, a, b)
	canUpdate(t, a, b)
}
