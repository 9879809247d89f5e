package secrettree

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/mendlink/mendlink/internal/wire"
	"pgregory.net/rapid"
)

// naiveRatchet says which generations are available, in the plainest way.
type naiveRatchet struct {
	next    uint32
	skipped []uint32
}

func (r *naiveRatchet) check(generation uint32, limits Limits) error {
	switch {
	case generation < r.next && !slices.Contains(r.skipped, generation):
		return ErrConsumed
	case generation > r.next+limits.MaxForward:
		return ErrTooFarAhead
	}
	return nil
}

func (r *naiveRatchet) consume(generation uint32, limits Limits) {
	for ; r.next <= generation; r.next++ {
		r.skipped = append(r.skipped, r.next)
	}
	r.skipped = slices.DeleteFunc(r.skipped, func(g uint32) bool { return g == generation })
	r.skipped = r.skipped[max(0, len(r.skipped)-limits.MaxSkipped):]
}

func TestAgreesWithANaiveModel(t *testing.T) {
	s := testSuite(t)
	const height, leaves, generations = 2, 4, 400
	var want [leaves][2]*lineage
	for leaf := range want {
		for kind := range Application + 1 {
			want[leaf][kind] = derive(s, height, uint32(leaf), kind, generations)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		limits := Limits{
			MaxForward: rapid.Uint32Range(1, 12).Draw(t, "max forward"),
			MaxSkipped: rapid.IntRange(1, 12).Draw(t, "max skipped"),
		}
		tree := New(s, testSecret, leaves, limits)
		var model [leaves][2]naiveRatchet
		check := func(leaf uint32, kind Kind, k *Key) {
			l := want[leaf][kind]
			if !bytes.Equal(k.Key, l.keys[k.Generation]) || !bytes.Equal(k.Nonce, l.nonces[k.Generation]) {
				t.Fatalf("leaf %d, kind %d: generation %d has another key", leaf, kind, k.Generation)
			}
		}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			leaf := rapid.Uint32Range(0, leaves-1).Draw(t, "leaf")
			kind := Kind(rapid.IntRange(0, 1).Draw(t, "kind"))
			r := &model[leaf][kind]
			switch rapid.SampledFrom([]string{"send", "receive", "receive", "receive", "forged", "restore"}).Draw(t, "action") {
			case "send":
				k, err := tree.Next(leaf, kind)
				if err != nil || k.Generation != r.next {
					t.Fatalf("generation %d: %v", r.next, err)
				}
				check(leaf, kind, k)
				r.consume(k.Generation, limits)
			case "receive":
				generation := rapid.Uint32Range(r.next-min(r.next, 15), r.next+15).Draw(t, "generation")
				k, err := tree.Peek(leaf, kind, generation)
				if want := r.check(generation, limits); !errors.Is(err, want) {
					t.Fatalf("generation %d: %v, want %v", generation, err, want)
				}
				if err != nil {
					continue
				}
				check(leaf, kind, k)
				k.Consume()
				r.consume(generation, limits)
			case "forged":
				before := state(tree)
				k, err := tree.Peek(leaf, kind, rapid.Uint32Range(0, r.next+15).Draw(t, "generation"))
				if err == nil {
					k.Discard()
				}
				if !bytes.Equal(state(tree), before) {
					t.Fatal("a forged message changed the tree")
				}
			case "restore":
				restored, err := Unmarshal(s, wire.NewReader(state(tree)), limits)
				if err != nil {
					t.Fatal(err)
				}
				tree.Erase()
				tree = restored.Clone()
				restored.Erase()
			}
		}
	})
}
