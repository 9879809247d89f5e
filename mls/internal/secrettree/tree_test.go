package secrettree

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
)

func TestOutOfOrderWithinTheWindowWorksOutsideItFails(t *testing.T) {
	s := testSuite(t)
	want := derive(s, 1, 1, Application, 40)
	tree := New(s, testSecret, 2, Limits{MaxForward: 20, MaxSkipped: 5})
	take := func(generation uint32) {
		t.Helper()
		k := mustPeek(t, tree, 1, Application, generation)
		if !bytes.Equal(k.Key, want.keys[generation]) || !bytes.Equal(k.Nonce, want.nonces[generation]) {
			t.Errorf("generation %d has another key", generation)
		}
		k.Consume()
	}
	refuse := func(generation uint32, want error) {
		t.Helper()
		if _, err := tree.Peek(1, Application, generation); !errors.Is(err, want) {
			t.Errorf("generation %d: %v, want %v", generation, err, want)
		}
	}
	refuse(21, ErrTooFarAhead)
	take(20) // keeps 15 to 19
	refuse(14, ErrConsumed)
	take(17)
	refuse(17, ErrConsumed)
	refuse(20, ErrConsumed)
	take(23) // keeps 16, 18, 19, 21, 22
	refuse(15, ErrConsumed)
	refuse(44+1, ErrTooFarAhead)
	for _, generation := range []uint32{22, 16, 19, 18, 21, 24} {
		take(generation)
	}
	for generation := range uint32(25) {
		refuse(generation, ErrConsumed)
	}
	if r := mustRatchets(t, tree, 1)[Application]; r.skipped != nil || r.next != 25 {
		t.Errorf("%d skipped keys before generation %d", len(r.skipped), r.next)
	}
}

func TestLimitsHaveDefaultsAndCanForbidSkipping(t *testing.T) {
	s := testSuite(t)
	tree := New(s, testSecret, 2, Limits{})
	mustPeek(t, tree, 0, Handshake, DefaultMaxForward).Consume()
	if n := len(mustRatchets(t, tree, 0)[Handshake].skipped); n != DefaultMaxSkipped {
		t.Errorf("%d skipped keys, want %d", n, DefaultMaxSkipped)
	}
	if _, err := tree.Peek(0, Handshake, 2*DefaultMaxForward+2); !errors.Is(err, ErrTooFarAhead) {
		t.Errorf("beyond the default: %v", err)
	}
	tree = New(s, testSecret, 2, Limits{MaxSkipped: -1})
	mustPeek(t, tree, 0, Handshake, 3).Consume()
	if _, err := tree.Peek(0, Handshake, 2); !errors.Is(err, ErrConsumed) {
		t.Errorf("skipped without a window: %v", err)
	}
}

// A jump of 2^32-2 generations would take half an hour: what counts is that
// nothing at all is derived for a message that is refused.
func TestRefusalsCostNoDerivation(t *testing.T) {
	kdf := &recordingKDF{kdf: testSuite(t)}
	tree := newTree(kdf, testSecret, 8, Limits{MaxForward: 100})
	refuse := func(leaf uint32, generation uint32, want error) {
		t.Helper()
		before := len(kdf.derived)
		if _, err := tree.Peek(leaf, Application, generation); !errors.Is(err, want) {
			t.Errorf("leaf %d, generation %d: %v, want %v", leaf, generation, err, want)
		}
		if n := len(kdf.derived) - before; n != 0 {
			t.Errorf("leaf %d, generation %d: %d derivations", leaf, generation, n)
		}
	}
	refuse(3, 101, ErrTooFarAhead)
	refuse(3, math.MaxUint32, ErrTooFarAhead)
	refuse(8, 0, ErrNoSuchLeaf)
	refuse(math.MaxUint32, 0, ErrNoSuchLeaf)
	mustPeek(t, tree, 3, Application, 5).Consume()
	refuse(3, 107, ErrTooFarAhead)
	refuse(3, math.MaxUint32, ErrTooFarAhead)
	refuse(3, 5, ErrConsumed)
}

func TestAForgedJumpCostsOneDerivationPerGeneration(t *testing.T) {
	kdf := &recordingKDF{kdf: testSuite(t)}
	tree := newTree(kdf, testSecret, 2, Limits{MaxForward: 100})
	mustNext(t, tree, 0, Application).Discard()
	kdf.derived = nil
	mustPeek(t, tree, 0, Application, 101).Discard()
	if n := len(kdf.derived); n != 100+3 {
		t.Errorf("%d derivations to look 100 generations ahead, want 103", n)
	}
	kdf.derived = nil
	mustPeek(t, tree, 0, Application, 1).Consume()
	mustNext(t, tree, 0, Application).Discard()
	if n := len(kdf.derived); n != 3+3 {
		t.Errorf("%d derivations for two messages in order, want 6", n)
	}
}

func TestAFailedOpenLeavesTheTreeAsItWas(t *testing.T) {
	tree := New(testSuite(t), testSecret, 8, Limits{MaxForward: 50, MaxSkipped: 10})
	attempt := func() {
		t.Helper()
		before := state(tree)
		for _, leaf := range []uint32{0, 3, 7} {
			for kind := range Application + 1 {
				for _, generation := range []uint32{0, 1, 6, 10, 30} {
					if k, err := tree.Peek(leaf, kind, generation); err == nil {
						k.Discard()
						k.Consume() // after Discard, too late
					}
				}
			}
		}
		if !bytes.Equal(state(tree), before) {
			t.Error("looking at keys changed the tree")
		}
	}
	attempt()
	mustPeek(t, tree, 3, Application, 7).Consume()
	attempt()
	mustPeek(t, tree, 3, Application, 6).Consume()
	mustNext(t, tree, 7, Handshake).Discard()
	attempt()
}

func TestKeysHeldAtTheSameTimeCanBeConsumedInAnyOrder(t *testing.T) {
	s := testSuite(t)
	for _, order := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {2, 0, 3, 1}, {1, 3, 1, 0, 2}} {
		tree := New(s, testSecret, 4, Limits{})
		var keys []*Key
		for _, c := range []struct{ leaf, generation uint32 }{{1, 0}, {1, 3}, {0, 1}, {1, 5}} {
			keys = append(keys, mustPeek(t, tree, c.leaf, Application, c.generation))
		}
		for _, i := range order {
			keys[i].Consume()
		}
		want := New(s, testSecret, 4, Limits{})
		for _, c := range []struct{ leaf, generation uint32 }{{1, 0}, {1, 3}, {0, 1}, {1, 5}} {
			mustPeek(t, want, c.leaf, Application, c.generation).Consume()
		}
		if !bytes.Equal(state(tree), state(want)) {
			t.Errorf("order %v ends in another state", order)
		}
	}
}

func TestOneRatchetSendsAndReceives(t *testing.T) {
	tree := New(testSuite(t), testSecret, 2, Limits{})
	if k := mustNext(t, tree, 0, Application); k.Generation != 0 {
		t.Errorf("first generation is %d", k.Generation)
	}
	mustPeek(t, tree, 0, Application, 3).Consume()
	if k := mustNext(t, tree, 0, Application); k.Generation != 4 {
		t.Errorf("generation after one received is %d, want 4", k.Generation)
	}
	mustPeek(t, tree, 0, Application, 2).Consume()
	if _, err := tree.Peek(0, Application, 0); !errors.Is(err, ErrConsumed) {
		t.Errorf("receiving what was sent: %v", err)
	}
	held := mustPeek(t, tree, 0, Application, 5)
	mustNext(t, tree, 0, Application)
	held.Consume()
	if _, err := tree.Peek(0, Application, 5); !errors.Is(err, ErrConsumed) {
		t.Errorf("sent and received: %v", err)
	}
}

func TestGenerationsDoNotWrapAround(t *testing.T) {
	tree := New(testSuite(t), testSecret, 2, Limits{})
	mustNext(t, tree, 0, Application)
	r := &mustRatchets(t, tree, 0)[Application]
	r.next = math.MaxUint32 - 2
	mustPeek(t, tree, 0, Application, math.MaxUint32-1).Discard()
	if _, err := tree.Peek(0, Application, math.MaxUint32); !errors.Is(err, ErrExhausted) {
		t.Errorf("receiving generation 2^32-1: %v", err)
	}
	mustNext(t, tree, 0, Application)
	if k := mustNext(t, tree, 0, Application); k.Generation != math.MaxUint32-1 {
		t.Errorf("last generation is %d", k.Generation)
	}
	before := state(tree)
	for range 3 {
		if _, err := tree.Next(0, Application); !errors.Is(err, ErrExhausted) {
			t.Errorf("sending generation 2^32-1: %v", err)
		}
	}
	if _, err := tree.Peek(0, Application, 0); !errors.Is(err, ErrConsumed) {
		t.Errorf("generation 0 at the end: %v", err)
	}
	if !bytes.Equal(state(tree), before) {
		t.Error("refusals changed the tree")
	}
}

func TestTreesOfAnySizeCostNothingUntilUsed(t *testing.T) {
	s := testSuite(t)
	tree := New(s, testSecret, 1<<31, Limits{})
	k := mustNext(t, tree, 1<<31-1, Handshake)
	if want := derive(s, 31, 1<<31-1, Handshake, 1); !bytes.Equal(k.Key, want.keys[0]) {
		t.Error("the last leaf has another key")
	}
	if n := len(tree.frontier.secrets); n != 31 {
		t.Errorf("%d nodes, want 31", n)
	}
	for _, leaves := range []uint32{0, 1<<31 + 1, math.MaxUint32} {
		if _, err := New(s, testSecret, leaves, Limits{}).Next(0, Handshake); !errors.Is(err, ErrNoSuchLeaf) {
			t.Errorf("%d leaves: %v", leaves, err)
		}
	}
}

func TestNoKeyOrNonceRepeats(t *testing.T) {
	const leaves, generations = 16, 100
	for _, id := range []string{"sent", "received"} {
		tree := New(testSuite(t), testSecret, leaves, Limits{})
		seen := make(map[string]bool)
		for leaf := range uint32(leaves) {
			for kind := range Application + 1 {
				for generation := range uint32(generations) {
					var k *Key
					if id == "sent" {
						k = mustNext(t, tree, leaf, kind)
					} else {
						k = mustPeek(t, tree, leaf, kind, generation^1)
					}
					seen[string(k.Key)], seen[string(k.Nonce)] = true, true
					k.Consume()
				}
			}
		}
		if want := leaves * 2 * generations * 2; len(seen) != want {
			t.Errorf("%s: %d different keys and nonces, want %d", id, len(seen), want)
		}
	}
}

func TestMemoryIsFlat(t *testing.T) {
	const messages = 100_000
	limits := Limits{MaxForward: 64, MaxSkipped: 64}
	losses := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		name string
		lost func() bool
		max  int // octets of state
	}{
		// Version, size and counts; the sibling of the leaf; the leaf's two ratchets.
		{"in order", func() bool { return false }, 1 + 3*4 + 36 + 4 + 2*(4+32+4)},
		{"with losses", func() bool { return losses.IntN(3) == 0 }, 1 + 3*4 + 36 + 4 + 2*(4+32+4) + 64*(4+8+16+12)},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree := New(testSuite(t), testSecret, 2, limits)
			var early uint64
			generation := uint32(0)
			for i := range messages {
				for run := 0; run < 60 && c.lost(); run++ {
					generation++
				}
				mustPeek(t, tree, 1, Application, generation).Consume()
				generation++
				if i == messages/10 {
					early = heap()
				}
				if i%1000 == 0 && len(state(tree)) > c.max {
					t.Fatalf("state of %d octets after %d messages, at most %d", len(state(tree)), i, c.max)
				}
			}
			if late := heap(); late > early+64<<10 {
				t.Errorf("heap grew from %d to %d octets", early, late)
			}
			runtime.KeepAlive(tree)
		})
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestUnusedTreesAreSmall(t *testing.T) {
	s := testSuite(t)
	const trees = 1000
	kept := make([]*Tree, trees)
	before := heap()
	for i := range kept {
		kept[i] = New(s, testSecret, 2, Limits{})
		mustNext(t, kept[i], 0, Application)
		mustPeek(t, kept[i], 1, Application, 0).Consume()
	}
	each := (heap() - before) / trees
	t.Logf("%d octets for a tree with two members in use", each)
	if each > 4<<10 {
		t.Errorf("%d octets for a tree with two members in use", each)
	}
	runtime.KeepAlive(kept)
}

func TestUsedCountsWhatNextHasGiven(t *testing.T) {
	s := testSuite(t)
	tree := New(s, testSecret, 4, Limits{})
	for want := range uint32(3) {
		for kind, n := range map[Kind]uint32{Application: want, Handshake: 0} {
			if got := tree.Used(2, kind); got != n {
				t.Errorf("%d generations of kind %d are used, want %d", got, kind, n)
			}
		}
		k, err := tree.Next(2, Application)
		if err != nil {
			t.Fatal(err)
		}
		k.Discard()
	}
	if got := tree.Used(1, Application); got != 0 {
		t.Errorf("%d generations of another leaf are used", got)
	}
}
