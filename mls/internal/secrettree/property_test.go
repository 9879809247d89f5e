package secrettree

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/mendlink/mendlink/internal/wire"
	"pgregory.net/rapid"
)

// naiveRatchet says which generations are available, in the plainest way.
type naiveRatchet struct {
	next    uint32
	skipped []uint32
	since   map[uint32]int64 // when a generation was skipped
}

func (r *naiveRatchet) check(generation uint32, limits Limits) error {
	switch {
	case generation < r.next && !slices.Contains(r.skipped, generation):
		return ErrConsumed
	case generation < r.next && r.since[generation] < limits.oldest():
		return ErrConsumed
	case generation > r.next+limits.MaxForward:
		return ErrTooFarAhead
	}
	return nil
}

func (r *naiveRatchet) consume(generation uint32, limits Limits) {
	r.expire(limits)
	if r.since == nil {
		r.since = make(map[uint32]int64)
	}
	for ; r.next <= generation; r.next++ {
		r.skipped = append(r.skipped, r.next)
		r.since[r.next] = limits.now()
	}
	r.skipped = slices.DeleteFunc(r.skipped, func(g uint32) bool { return g == generation })
	r.skipped = r.skipped[max(0, len(r.skipped)-limits.MaxSkipped):]
}

// expire forgets what is too old, for good: clocks can be set back.
func (r *naiveRatchet) expire(limits Limits) {
	r.skipped = slices.DeleteFunc(r.skipped, func(g uint32) bool { return r.since[g] < limits.oldest() })
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
		now := time.Unix(1_000_000, 0)
		limits := Limits{
			MaxForward: rapid.Uint32Range(1, 12).Draw(t, "max forward"),
			MaxSkipped: rapid.IntRange(1, 12).Draw(t, "max skipped"),
			MaxAge:     time.Duration(rapid.IntRange(0, 60).Draw(t, "max age")) * time.Second,
			Now:        func() time.Time { return now },
		}
		tree := New(s, testSecret, leaves, limits)
		var model [leaves][2]naiveRatchet
		check := func(leaf uint32, kind Kind, k *Key) {
			l := want[leaf][kind]
			if !bytes.Equal(k.Key, l.keys[k.Generation]) || !bytes.Equal(k.Nonce, l.nonces[k.Generation]) {
				t.Fatalf("leaf %d, kind %d: generation %d has another key", leaf, kind, k.Generation)
			}
		}
		type heldKey struct {
			*Key
			leaf uint32
			kind Kind
		}
		var held []heldKey // of messages whose signatures are being verified
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			leaf := rapid.Uint32Range(0, leaves-1).Draw(t, "leaf")
			kind := Kind(rapid.IntRange(0, 1).Draw(t, "kind"))
			r := &model[leaf][kind]
			switch rapid.SampledFrom([]string{"send", "receive", "receive", "receive", "hold", "finish", "forged", "restore", "wait", "expire"}).Draw(t, "action") {
			case "send":
				k, err := tree.Next(leaf, kind)
				if err != nil || k.Generation != r.next {
					t.Fatalf("generation %d: %v", r.next, err)
				}
				check(leaf, kind, k)
				r.next++ // and what is too old stays, should the clock be set back
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
			case "hold":
				generation := rapid.Uint32Range(r.next-min(r.next, 15), r.next+15).Draw(t, "generation")
				if k, err := tree.Peek(leaf, kind, generation); err == nil {
					check(leaf, kind, k)
					held = append(held, heldKey{k, leaf, kind})
				}
			case "finish":
				for _, k := range held {
					check(k.leaf, k.kind, k.Key) // whatever happened since
					if rapid.Bool().Draw(t, "authentic") {
						model[k.leaf][k.kind].consume(k.Generation, limits)
						k.Consume()
					} else {
						k.Discard()
					}
				}
				held = nil
			case "wait":
				now = now.Add(time.Duration(rapid.IntRange(-5, 40).Draw(t, "seconds")) * time.Second)
			case "expire":
				tree.EraseExpired()
				for leaf := range model {
					for kind := range model[leaf] {
						model[leaf][kind].expire(limits)
					}
				}
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
				for _, k := range held { // keys of the erased tree
					k.Consume()
				}
				held = nil
				for leaf := range model {
					for kind := range model[leaf] {
						model[leaf][kind].expire(limits)
					}
				}
			}
		}
	})
}
