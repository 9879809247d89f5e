package channel

import (
	"bytes"
	"errors"
	"testing"
)

// byKey returns two ends after a full handshake that negotiated the tie-break by
// key, in which the initiator's key is the greater one or not.
func byKey(t tb, initiatorPrevails bool) (a, b *peer) {
	t.Helper()
	for range 100 {
		a, b = shake(t, func(a, b *Config) { a.Features, b.Features = FeatureTieBreakByKey, FeatureTieBreakByKey })
		agree(t, a, b)
		if a.prevails == initiatorPrevails {
			return a, b
		}
	}
	t.Fatal("one end's key is always the greater one")
	return nil, nil
}

func TestTheGreaterKeyPrevailsIfBothWantThat(t *testing.T) {
	for _, initiator := range []bool{false, true} {
		a, b := byKey(t, initiator)
		if greater := bytes.Compare(b.Peer().SignatureKey, a.Peer().SignatureKey) > 0; greater != initiator || a.prevails == b.prevails {
			t.Errorf("the initiator's key is greater: %t; it prevails: %t, the responder: %t", greater, a.prevails, b.prevails)
		}
		id := a.ID()
		cut(a, b)
		a, b = resumer(t, a.host, id), resumer(t, b.host, id)
		connect(a, b)
		a.start(t)
		b.start(t)
		settle(t, a, b)
		agree(t, a, b)
		if a.leads != initiator {
			t.Errorf("the initiator's request stands: %t", a.leads)
		}
		// It is settled for good, whatever keys follow.
		a.rotate(t, "carol")
		settle(t, a, b)
		b.rotate(t, "dave")
		settle(t, a, b)
		a, b = recoverFrom(t, "both resume", a.host, b.host)
		if a.prevails != initiator || b.prevails == initiator {
			t.Error("a rotation changes who prevails")
		}
	}
	a, b := shake(t, func(a, b *Config) { a.Features = FeatureTieBreakByKey })
	if !a.prevails || b.prevails {
		t.Error("the initiator does not prevail where only one end wants the other rule")
	}
}

// The exhaustive tests again, where the responder prevails.
func TestEveryOrderOfResumptionsWhereTheResponderPrevails(t *testing.T) {
	t.Parallel()
	total := 0
	for _, pending := range [][]int{nil, {0}, {1}, {0, 1}} {
		begin := func() []*peer {
			a, b := byKey(t, false)
			updates(pending...)(t, a, b)
			deliverSome(t, a, b, true, 1)
			cut(a, b)
			id := must(a.store.FindByPeer(ctx, "peer"))[0]
			a1, b1 := resumer(t, a.host, id), listen(t, b.host)
			a2, b2 := listen(t, a.host), resumer(t, b.host, id)
			connect(a1, b1)
			connect(a2, b2)
			a1.start(t)
			b2.start(t)
			return []*peer{a1, b1, a2, b2}
		}
		total += explore(t, 12, begin)
	}
	if total < 50 {
		t.Errorf("only %d schedules were tried", total)
	}
}

func TestCutAtEveryMessageWhereTheResponderPrevails(t *testing.T) {
	t.Parallel()
	for _, s := range scenarios {
		for n, done := 0, false; !done; n++ {
			for _, way := range ways {
				a, b := byKey(t, false)
				a, b = s.begin(t, a, b)
				done = deliverSome(t, a, b, true, n)
				for _, p := range []*peer{a, b} {
					if p.err != nil && !errors.Is(p.err, ErrSuperseded) {
						t.Fatalf("%s: %v", s.name, p.err)
					}
				}
				cut(a, b)
				recoverFrom(t, way, a.host, b.host)
			}
		}
	}
}
