package channel

import (
	"errors"
	"strings"
	"testing"

	"github.com/mendlink/mendlink/mls"
)

// keys is a set of pre-shared keys.
type keys map[string]string

func (k keys) lookUp(id []byte) ([]byte, error) {
	if secret, ok := k[string(id)]; ok {
		return []byte(secret), nil
	}
	return nil, mls.ErrUnknownPSK
}

func TestSharedKeysGoIntoTheFirstEpoch(t *testing.T) {
	shared := keys{"one": "1", "two": "2", "other": "3"}
	a, b := shake(t, func(a, b *Config) {
		a.PSK, b.PSK = shared.lookUp, shared.lookUp
		a.PSKIdentities = [][]byte{[]byte("two"), []byte("unknown to bob"), []byte("one")}
		a.RequirePSK, b.RequirePSK = true, true
	})
	agree(t, a, b)
	for _, p := range []*peer{a, b} {
		if got := p.Negotiated().PSKs; len(got) != 2 || string(got[0]) != "two" || string(got[1]) != "one" {
			t.Errorf("%s: %q", p.name, got)
		}
	}
	canUpdate(t, a, b)
	a, b = resume(t, a, b)
	agree(t, a, b)
}

func TestKeysThatAreNotSharedEndTheHandshake(t *testing.T) {
	for _, test := range []struct {
		name  string
		a, b  keys
		ids   [][]byte
		alert Alert
	}{
		{"the responder knows none", keys{"x": "1"}, keys{}, [][]byte{[]byte("x")}, AlertUnknownPSKIdentity},
		{"the initiator offers none", keys{"x": "1"}, keys{"x": "1"}, nil, AlertUnknownPSKIdentity},
		{"the initiator has another key of that name", keys{"x": "1"}, keys{"x": "2"}, [][]byte{[]byte("x")}, 0},
	} {
		a, b := shake(t, func(a, b *Config) {
			a.PSK, b.PSK, b.RequirePSK, a.PSKIdentities = test.a.lookUp, test.b.lookUp, true, test.ids
		})
		if a.complete+b.complete != 0 {
			t.Errorf("%s: the handshake is complete", test.name)
		}
		if test.alert != 0 && (!errors.Is(b.err, ErrPSK) || AlertOf(b.err) != test.alert) {
			t.Errorf("%s: %v, alert %v", test.name, b.err, AlertOf(b.err))
		}
	}
	a, _ := shake(t, func(a, b *Config) { a.RequirePSK = true })
	if !errors.Is(a.err, ErrPSK) {
		t.Errorf("an initiator that wants a key: %v", a.err)
	}
}

func TestKeyIsInjectedIntoALiveConnection(t *testing.T) {
	shared := keys{"later": "secret"}
	var lookUps [2]int
	a, b := shake(t, func(a, b *Config) {
		for i, c := range []*Config{a, b} {
			c.PSK = func(id []byte) ([]byte, error) {
				lookUps[i]++
				return shared.lookUp(id)
			}
		}
	})
	events, err := b.InjectPSK(ctx, []byte("later"))
	b.carryOut(t, events, err)
	settle(t, a, b)
	agree(t, a, b)
	if lookUps[0] != 1 || a.Epoch() != 2 {
		t.Errorf("the other end looks up %d keys", lookUps[0])
	}
	// Where another update is under way, it follows.
	a.update(t, ReasonAge)
	events, err = a.InjectPSK(ctx, []byte("later"))
	a.carryOut(t, events, err)
	settle(t, a, b)
	agree(t, a, b)
	if a.Epoch() != 4 {
		t.Errorf("epoch %d", a.Epoch())
	}
	// Where it is dropped for the peer's, it is made again.
	a.update(t, ReasonAge)
	events, err = b.InjectPSK(ctx, []byte("later"))
	b.carryOut(t, events, err)
	before := lookUps[0]
	settle(t, a, b)
	agree(t, a, b)
	if lookUps[0] != before+1 || a.Epoch() != 6 {
		t.Errorf("epoch %d; the other end has looked up %d keys, want %d", a.Epoch(), lookUps[0], before+1)
	}
	if a.opening != nil || b.opening != nil {
		t.Error("what only the handshake needs is remembered")
	}
}

func TestInjectedKeyHasToBeKnownToBoth(t *testing.T) {
	a, b := shake(t, func(a, b *Config) { a.PSK, b.PSK = (keys{"mine": "1"}).lookUp, (keys{}).lookUp })
	if _, err := a.InjectPSK(ctx, []byte("yours")); !errors.Is(err, mls.ErrUnknownPSK) || a.State() != StateSynced {
		t.Errorf("a key that this end does not know: %v", err)
	}
	if _, err := a.InjectPSK(ctx, nil); err == nil {
		t.Error("a key without a name can be injected")
	}
	events, err := a.InjectPSK(ctx, []byte("mine"))
	a.carryOut(t, events, err)
	b.deliver(t)
	if !errors.Is(b.err, mls.ErrUnknownPSK) || AlertOf(b.err) != AlertUnknownPSKIdentity {
		t.Errorf("a key that the other end does not know: %v", b.err)
	}
}

// Who sends a Welcome has not been authenticated yet. It learns nothing of keys that were not offered, and has none looked up
// twice.
func TestAWelcomeAsksForNoOtherKeysThanWereOffered(t *testing.T) {
	known := keys{"offered": "1", "kept": "2"}
	for _, test := range []struct {
		name, ids string
		lookUps   int
	}{
		{"one that is known and was not offered", "kept", 0},
		{"one that is not known", "none", 0},
		{"the offered one again and again", "offered offered offered", 1},
	} {
		ha, hb := newHost(t, "alice"), newHost(t, "bob")
		var lookUps int
		ha.cfg.PSK = func(id []byte) ([]byte, error) {
			lookUps++
			return known.lookUp(id)
		}
		ha.cfg.PSKIdentities = [][]byte{[]byte("offered")}
		hb.cfg.PSK = func([]byte) ([]byte, error) { return []byte("a guess"), nil }
		a, b := initiate(t, ha, hb)
		hello := must(a.Session.Start(ctx))[0].(Send).Message.Body
		keyPackage := must(must(mls.ParseKeyPackage(hello)).Verify(b.mls))
		group := must(mls.NewGroup(b.mls, mls.GroupOptions{Suite: suite, Identity: hb.cfg.Identity, Leaf: b.leafOptions(nil)}))
		var proposals []mls.Proposal
		for _, id := range strings.Fields(test.ids) {
			proposals = append(proposals, must(b.pskProposals(group, [][]byte{[]byte(id)}))...)
		}
		welcome := must(group.Commit(mls.CommitOptions{Proposals: append(proposals, &mls.Add{KeyPackage: keyPackage}), OmitPath: true})).Welcome()
		_, err := a.Receive(ctx, Message{Type: MessageServerHello, Body: welcome})
		if AlertOf(err) != AlertUnknownPSKIdentity || lookUps != test.lookUps {
			t.Errorf("%s: %v, alert %v after %d look-ups; want %v after %d", test.name, err, AlertOf(err), lookUps, AlertUnknownPSKIdentity, test.lookUps)
		}
	}
}

// Nor does who sends a ClientHello and is not accepted.
func TestWhoIsNotAcceptedLearnsNothingOfKeys(t *testing.T) {
	refusal := errors.New("not you")
	for _, apq := range []*APQ{nil, {}} {
		for _, id := range []string{"known", "unknown"} {
			ha, hb := newHost(t, "mallory"), newHost(t, "bob")
			ha.cfg.PSKIdentities, ha.cfg.APQ = [][]byte{[]byte(id)}, apq
			var lookUps int
			hb.cfg.PSK = func(id []byte) ([]byte, error) {
				lookUps++
				return keys{"known": "1"}.lookUp(id)
			}
			hb.cfg.RequirePSK, hb.cfg.APQ, hb.refuses = true, apq, refusal
			_, err := listen(t, hb).Receive(ctx, must(must(NewInitiator(&ha.cfg)).Start(ctx))[0].(Send).Message)
			if !errors.Is(err, refusal) || AlertOf(err) != AlertBadCertificate || lookUps != 0 {
				t.Errorf("one that is %s, two groups: %t: %v, alert %v after %d look-ups", id, apq != nil, err, AlertOf(err), lookUps)
			}
		}
	}
}
