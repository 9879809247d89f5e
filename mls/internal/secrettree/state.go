package secrettree

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/mls/internal/treemath"
)

// ErrState means that a marshalled state is malformed.
var ErrState = errors.New("secrettree: malformed state")

// The version is the first octet of a marshalled state.
//
//	1  the first
//	2  skipped keys know since when
const (
	stateVersion         = 2
	exporterStateVersion = 1
)

// MarshalTo writes everything that is not consumed yet, which is secret. Equal
// trees are written equally.
//
//	struct {
//	    uint8 version = 2;
//	    uint32 size;                      /* leaves of the full tree */
//	    uint32 node_count;
//	    struct {
//	        uint32 node_index;            /* ascending */
//	        opaque secret[KDF.Nh];
//	    } nodes[node_count];
//	    uint32 leaf_count;
//	    struct {
//	        uint32 leaf_index;            /* ascending */
//	        Ratchet handshake;
//	        Ratchet application;
//	    } leaves[leaf_count];
//	} State;
//
//	struct {
//	    uint32 next_generation;
//	    opaque secret[KDF.Nh];            /* of that generation */
//	    uint32 skipped_count;
//	    struct {
//	        uint32 generation;            /* ascending */
//	        uint64 since;                 /* Unix seconds; not in version 1 */
//	        opaque key[AEAD.Nk];
//	        opaque nonce[AEAD.Nn];
//	    } skipped[skipped_count];
//	} Ratchet;
func (t *Tree) MarshalTo(w *wire.Writer) {
	w.Uint8(stateVersion)
	w.Uint32(uint32(t.frontier.size))
	t.frontier.marshalTo(w)
	w.Uint32(uint32(len(t.ratchets)))
	for _, r := range t.ratchets {
		w.Uint32(r.key)
		for i := range r.value {
			r.value[i].marshalTo(w)
		}
	}
}

func (f *frontier) marshalTo(w *wire.Writer) {
	w.Uint32(uint32(len(f.secrets)))
	for _, r := range f.secrets {
		w.Uint32(uint32(r.key))
		w.Bytes(r.value)
	}
}

func (r *ratchet) marshalTo(w *wire.Writer) {
	w.Uint32(r.next)
	w.Bytes(r.secret)
	w.Uint32(uint32(len(r.skipped)))
	for _, k := range r.skipped {
		w.Uint32(k.generation)
		w.Uint64(uint64(k.since))
		w.Bytes(k.key)
		w.Bytes(k.nonce)
	}
}

// Unmarshal reads a state that [Tree.MarshalTo] wrote for the same suite; it
// need not be all that r has. Skipped keys that limits do not keep are dropped.
//
// The result is a tree in which every leaf is either in use or can be derived
// in exactly one way; any other state is an error that matches [ErrState] or
// one of package wire. Memory is allocated only for what the input holds.
func Unmarshal(s *ciphersuite.Suite, r *wire.Reader, limits Limits) (*Tree, error) {
	version := readVersion(r, stateVersion)
	size := treemath.Size(r.Uint32())
	if size != treemath.SizeFor(uint32(size)) {
		r.Fail(fmt.Errorf("%w: %d leaves are no full tree", ErrState, size))
	}
	t := emptyTree(s, size, limits)
	t.frontier.unmarshal(t.kdf, r)
	t.unmarshalLeaves(r, version)
	if r.Err() == nil && !t.isPartition() {
		r.Fail(fmt.Errorf("%w: the nodes do not cover each leaf once", ErrState))
	}
	if err := r.Err(); err != nil {
		t.Erase()
		return nil, err
	}
	return t, nil
}

func readVersion(r *wire.Reader, newest uint8) uint8 {
	version := r.Uint8()
	if version < 1 || version > newest {
		r.Fail(fmt.Errorf("%w: version %d, expected 1 to %d", ErrState, version, newest))
	}
	return version
}

func (f *frontier) unmarshal(kdf kdf, r *wire.Reader) {
	ascending := ascending(r, "node")
	for i := r.Uint32(); i > 0 && r.Err() == nil; i-- {
		n := ascending(r.Uint32())
		secret := r.Bytes(kdf.HashSize())
		if r.Err() == nil {
			f.secrets.put(treemath.NodeIndex(n), bytes.Clone(secret))
		}
	}
}

func (t *Tree) unmarshalLeaves(r *wire.Reader, version uint8) {
	ascending := ascending(r, "leaf")
	now := t.limits.now()
	for i := r.Uint32(); i > 0 && r.Err() == nil; i-- {
		leaf := ascending(r.Uint32())
		pair := new([2]ratchet)
		if r.Err() == nil {
			t.ratchets.put(leaf, pair)
		}
		for i := range pair {
			pair[i].unmarshal(t.kdf, r, version, now)
			pair[i].keepNewest(t.limits.MaxSkipped)
			pair[i].dropExpired(&t.limits)
		}
	}
}

// unmarshal reads a ratchet. The skipped keys of version 1 count as skipped now.
func (q *ratchet) unmarshal(kdf kdf, r *wire.Reader, version uint8, now int64) {
	q.next = r.Uint32()
	q.secret = bytes.Clone(r.Bytes(kdf.HashSize()))
	ascending := ascending(r, "generation")
	for i := r.Uint32(); i > 0 && r.Err() == nil; i-- {
		generation := ascending(r.Uint32())
		since := now
		if version >= 2 {
			since = int64(r.Uint64())
		}
		key, nonce := r.Bytes(kdf.KeySize()), r.Bytes(kdf.NonceSize())
		if r.Err() == nil && generation >= q.next {
			r.Fail(fmt.Errorf("%w: skipped generation %d of %d", ErrState, generation, q.next))
		}
		if r.Err() == nil {
			q.skipped = append(q.skipped, skippedKey{generation, since, bytes.Clone(key), bytes.Clone(nonce)})
		}
	}
}

// ascending returns a function that passes on the numbers of a list and fails
// the reader if they do not ascend.
func ascending(r *wire.Reader, what string) func(uint32) uint32 {
	least := uint64(0)
	return func(n uint32) uint32 {
		if uint64(n) < least {
			r.Fail(fmt.Errorf("%w: %s %d is out of order", ErrState, what, n))
		}
		least = uint64(n) + 1
		return n
	}
}

// isPartition reports whether each leaf is either in use or below exactly one
// node of the frontier.
func (t *Tree) isPartition() bool {
	nodes := t.frontier.secrets.keys()
	for _, r := range t.ratchets {
		nodes = append(nodes, treemath.LeafIndex(r.key).Node())
	}
	leaves, ok := coverage(t.frontier.size, nodes)
	return ok && leaves == uint32(t.frontier.size)
}

// coverage returns the number of leaves below the given nodes; ok is false if a
// node is outside the tree or the nodes' subtrees overlap. It sorts nodes.
func coverage(size treemath.Size, nodes []treemath.NodeIndex) (leaves uint32, ok bool) {
	slices.Sort(nodes)
	free := treemath.LeafIndex(0) // the first leaf right of the nodes so far
	for _, n := range nodes {
		first, last := n.Leaves()
		if !size.Contains(n) || first < free {
			return 0, false
		}
		leaves += uint32(last-first) + 1
		free = last + 1
	}
	return leaves, true
}
