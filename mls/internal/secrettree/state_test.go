package secrettree

import (
	"bytes"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// usedTree has nodes, two leaves in use and skipped keys.
func usedTree(t testing.TB, s *ciphersuite.Suite) *Tree {
	tree := New(s, testSecret, 8, Limits{})
	mustPeek(t, tree, 2, Application, 3).Consume()
	mustPeek(t, tree, 2, Application, 1).Consume()
	mustNext(t, tree, 5, Handshake).Discard()
	return tree
}

func TestStateRoundTripsForEverySuite(t *testing.T) {
	for _, id := range ciphersuite.Default().IDs() {
		s, err := ciphersuite.Default().Lookup(id)
		if err != nil {
			t.Fatal(err)
		}
		for _, tree := range []*Tree{New(s, make([]byte, s.HashSize()), 2, Limits{}), New(s, nil, 0, Limits{}), usedTree(t, s)} {
			b := state(tree)
			r := wire.NewReader(append(bytes.Clone(b), "rest"...))
			restored, err := Unmarshal(s, r, Limits{})
			if err != nil {
				t.Fatalf("%v: %v", s, err)
			}
			if string(r.Rest()) != "rest" {
				t.Errorf("%v: the reader has %d octets left", s, len(r.Rest()))
			}
			if !bytes.Equal(state(restored), b) {
				t.Errorf("%v: the state changed", s)
			}
		}
	}
}

func TestRestoredTreesGoOnWhereTheyWere(t *testing.T) {
	s := testSuite(t)
	tree := usedTree(t, s)
	b := state(tree)
	restored, err := Unmarshal(s, wire.NewReader(b), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	clear(b) // the tree must not share memory with its input
	want := derive(s, 3, 2, Application, 6)
	for _, generation := range []uint32{2, 5, 0, 4} {
		k := mustPeek(t, restored, 2, Application, generation)
		if !bytes.Equal(k.Key, want.keys[generation]) || !bytes.Equal(k.Nonce, want.nonces[generation]) {
			t.Errorf("generation %d has another key", generation)
		}
		k.Consume()
	}
	for _, generation := range []uint32{1, 3} {
		if _, err := restored.Peek(2, Application, generation); !errors.Is(err, ErrConsumed) {
			t.Errorf("generation %d: %v", generation, err)
		}
	}
	if k := mustNext(t, restored, 7, Handshake); !bytes.Equal(k.Key, derive(s, 3, 7, Handshake, 1).keys[0]) {
		t.Error("leaf 7 has another key")
	}
}

func TestStateIsTrimmedToNarrowerLimits(t *testing.T) {
	s := testSuite(t)
	tree, err := Unmarshal(s, wire.NewReader(state(usedTree(t, s))), Limits{MaxSkipped: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tree.Peek(2, Application, 0); !errors.Is(err, ErrConsumed) {
		t.Errorf("oldest skipped key: %v", err)
	}
	mustPeek(t, tree, 2, Application, 2).Consume()
}

func TestSkippedKeysLiveForALimitedTime(t *testing.T) {
	s := testSuite(t)
	now := time.Unix(1e9, 0)
	limits := Limits{MaxAge: time.Minute, Now: func() time.Time { return now }}
	tree := New(s, testSecret, 4, limits)
	mustPeek(t, tree, 2, Application, 2).Consume() // skips 0 and 1
	now = now.Add(30 * time.Second)
	mustPeek(t, tree, 2, Application, 4).Consume() // skips 3
	want := func(tree *Tree, generation uint32, want error) {
		t.Helper()
		k, err := tree.Peek(2, Application, generation)
		if !errors.Is(err, want) {
			t.Errorf("generation %d: %v, want %v", generation, err, want)
		}
		if err == nil {
			k.Discard()
		}
	}
	restore := func(b []byte) *Tree {
		t.Helper()
		restored, err := Unmarshal(s, wire.NewReader(b), limits)
		if err != nil {
			t.Fatal(err)
		}
		return restored
	}
	for generation := range uint32(2) {
		want(tree, generation, nil)
	}
	saved := state(tree)
	now = now.Add(31 * time.Second)
	for _, tree := range []*Tree{tree, restore(saved)} {
		want(tree, 0, ErrConsumed)
		want(tree, 1, ErrConsumed)
		want(tree, 3, nil)
		mustPeek(t, tree, 2, Application, 5).Consume()
		if n := len(mustRatchets(t, tree, 2)[Application].skipped); n != 1 {
			t.Errorf("%d skipped keys are kept, want 1", n)
		}
		want(tree, 3, nil)
	}
	now = now.Add(time.Hour)
	kept := mustRatchets(t, tree, 2)[Application].skipped[0].key
	tree.EraseExpired()
	if len(mustRatchets(t, tree, 2)[Application].skipped) != 0 || !bytes.Equal(kept, make([]byte, len(kept))) {
		t.Error("an expired key is left")
	}
	want(tree, 6, nil)
}

func TestStateOfTheFirstVersionIsReadable(t *testing.T) {
	s := testSuite(t)
	var w wire.Writer
	w.Uint8(1)
	w.Uint32(1) // size
	w.Uint32(0) // nodes
	w.Uint32(1) // leaves
	w.Uint32(0)
	for _, skipped := range [][]uint32{{1, 3}, nil} {
		w.Uint32(4)
		w.Bytes(make([]byte, s.HashSize()))
		w.Uint32(uint32(len(skipped)))
		for _, generation := range skipped {
			w.Uint32(generation)
			w.Bytes(make([]byte, s.KeySize()+s.NonceSize()))
		}
	}
	now := time.Unix(1e9, 0)
	tree, err := Unmarshal(s, wire.NewReader(w.Data()), Limits{MaxAge: time.Minute, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	mustPeek(t, tree, 0, Handshake, 1).Consume()
	now = now.Add(2 * time.Minute) // counted from when the state was read
	if _, err := tree.Peek(0, Handshake, 3); !errors.Is(err, ErrConsumed) {
		t.Errorf("generation 3: %v", err)
	}
}

func TestMalformedStatesAreRefused(t *testing.T) {
	s := testSuite(t)
	secret := make([]byte, s.HashSize())
	node := func(w *wire.Writer, index uint32) { w.Uint32(index); w.Bytes(secret) }
	ratchet := func(w *wire.Writer, next uint32, skipped ...uint32) {
		w.Uint32(next)
		w.Bytes(secret)
		w.Uint32(uint32(len(skipped)))
		for _, generation := range skipped {
			w.Uint32(generation)
			w.Uint64(0)
			w.Bytes(make([]byte, s.KeySize()+s.NonceSize()))
		}
	}
	leaf := func(w *wire.Writer, index uint32, skipped ...uint32) {
		w.Uint32(index)
		ratchet(w, 5, skipped...)
		ratchet(w, 0)
	}
	build := func(version uint8, size uint32, nodes []uint32, leaves func(w *wire.Writer)) []byte {
		var w wire.Writer
		w.Uint8(version)
		w.Uint32(size)
		w.Uint32(uint32(len(nodes)))
		for _, n := range nodes {
			node(&w, n)
		}
		if leaves == nil {
			w.Uint32(0)
		} else {
			leaves(&w)
		}
		return w.Data()
	}
	one := func(index uint32, skipped ...uint32) func(w *wire.Writer) {
		return func(w *wire.Writer) { w.Uint32(1); leaf(w, index, skipped...) }
	}
	two := func(a, b uint32) func(w *wire.Writer) {
		return func(w *wire.Writer) { w.Uint32(2); leaf(w, a); leaf(w, b) }
	}
	for name, c := range map[string]struct {
		state []byte
		want  error // nil: well-formed
	}{
		"fresh":                       {build(2, 4, []uint32{3}, nil), nil},
		"nodes and leaf":              {build(2, 4, []uint32{2, 5}, one(0, 0, 4)), nil},
		"only leaves":                 {build(2, 2, nil, two(0, 1)), nil},
		"empty":                       {build(2, 0, nil, nil), nil},
		"other version":               {build(3, 4, []uint32{3}, nil), ErrState},
		"size no power of two":        {build(2, 3, []uint32{3}, nil), ErrState},
		"covered, but not full":       {build(2, 3, []uint32{1, 4}, nil), ErrState},
		"size too large":              {build(2, 1<<31+1, []uint32{3}, nil), ErrState},
		"no secrets":                  {build(2, 4, nil, nil), ErrState},
		"root missing":                {build(2, 8, []uint32{3}, nil), ErrState},
		"gap":                         {build(2, 4, []uint32{2}, one(0)), ErrState},
		"gap in the middle":           {build(2, 4, []uint32{0, 5}, nil), ErrState},
		"nodes overlap":               {build(2, 4, []uint32{1, 3}, nil), ErrState},
		"node above a leaf in use":    {build(2, 4, []uint32{3}, one(0)), ErrState},
		"node is a leaf in use":       {build(2, 2, []uint32{0, 2}, one(1)), ErrState},
		"node outside the tree":       {build(2, 2, []uint32{3}, nil), ErrState},
		"node outside every tree":     {build(2, 1<<31, []uint32{1<<32 - 1}, nil), ErrState},
		"leaf outside the tree":       {build(2, 1, nil, one(1)), ErrState},
		"leaf outside every tree":     {build(2, 1, nil, one(1<<31)), ErrState},
		"nodes descend":               {build(2, 4, []uint32{5, 1}, nil), ErrState},
		"node twice":                  {build(2, 4, []uint32{3, 3}, nil), ErrState},
		"leaves descend":              {build(2, 2, nil, two(1, 0)), ErrState},
		"leaf twice":                  {build(2, 1, nil, two(0, 0)), ErrState},
		"skipped generations descend": {build(2, 1, nil, one(0, 2, 1)), ErrState},
		"skipped generation twice":    {build(2, 1, nil, one(0, 2, 2)), ErrState},
		"skipped is the next one":     {build(2, 1, nil, one(0, 5)), ErrState},
		"nothing":                     {nil, wire.ErrTruncated},
	} {
		tree, err := Unmarshal(s, wire.NewReader(c.state), Limits{})
		if !errors.Is(err, c.want) || (tree == nil) != (c.want != nil) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestTruncatedStatesAreRefused(t *testing.T) {
	s := testSuite(t)
	b := state(usedTree(t, s))
	for n := range b {
		if _, err := Unmarshal(s, wire.NewReader(b[:n]), Limits{}); !errors.Is(err, wire.ErrTruncated) {
			t.Errorf("first %d octets: %v", n, err)
		}
	}
}

func TestClaimedCountsAllocateNothing(t *testing.T) {
	s := testSuite(t)
	var nodes, skipped wire.Writer
	for _, w := range []*wire.Writer{&nodes, &skipped} {
		w.Uint8(stateVersion)
		w.Uint32(1 << 31)
	}
	nodes.Uint32(1<<32 - 1)
	skipped.Uint32(0)
	skipped.Uint32(1<<32 - 1)
	skipped.Uint32(0) // leaf
	skipped.Uint32(1<<32 - 1)
	skipped.Bytes(make([]byte, s.HashSize()))
	skipped.Uint32(1<<32 - 1)
	for _, w := range []*wire.Writer{&nodes, &skipped} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := Unmarshal(s, wire.NewReader(w.Data()), Limits{}); !errors.Is(err, wire.ErrTruncated) {
			t.Error(err)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 64<<10 {
			t.Errorf("%d octets of state made the reader allocate %d", w.Len(), n)
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	s := testSuite(f)
	f.Add(state(New(s, testSecret, 2, Limits{})))
	f.Add(state(New(s, testSecret, 0, Limits{})))
	f.Add(state(usedTree(f, s)))
	f.Add(state(usedTree(f, s))[:100])
	f.Add([]byte{1, 0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := wire.NewReader(b)
		tree, err := Unmarshal(s, r, Limits{MaxForward: 4, MaxSkipped: 1 << 20})
		if err != nil {
			return
		}
		if read := b[:len(b)-len(r.Rest())]; read[0] == stateVersion && !bytes.Equal(state(tree), read) {
			t.Fatalf("%x is written back as %x", read, state(tree))
		}
		// Whatever was read behaves as a tree: nothing is used twice.
		for leaf := range uint32(min(tree.frontier.size, 4)) {
			if k, err := tree.Next(leaf, Application); err == nil {
				if _, err := tree.Peek(leaf, Application, k.Generation); !errors.Is(err, ErrConsumed) {
					t.Fatalf("leaf %d, generation %d: %v", leaf, k.Generation, err)
				}
			} else if !errors.Is(err, ErrExhausted) {
				t.Fatal(err)
			}
		}
		if _, err := Unmarshal(s, wire.NewReader(state(tree)), Limits{MaxSkipped: 1 << 20}); err != nil {
			t.Fatalf("after use: %v", err)
		}
	})
}
