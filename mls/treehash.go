package mls

import (
	"bytes"
	"slices"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/mls/internal/treemath"
)

// treeHash returns the tree hash of node x. RFC 9420, Section 7.8.
func (t *ratchetTree) treeHash(s *ciphersuite.Suite, x treemath.NodeIndex) []byte {
	if t.hashes[x] == nil {
		t.hashes[x] = t.computeTreeHash(s, x, nil)
	}
	return t.hashes[x]
}

// rootHash returns the tree hash of the whole tree.
func (t *ratchetTree) rootHash(s *ciphersuite.Suite) []byte {
	return t.treeHash(s, t.size.Root())
}

// originalTreeHash returns the tree hash that x had before the leaves in
// unmerged were added. RFC 9420, Section 7.9.
func (t *ratchetTree) originalTreeHash(s *ciphersuite.Suite, x treemath.NodeIndex, unmerged []LeafIndex) []byte {
	below := func(l LeafIndex) bool { return leafPosition(l).InSubtree(x) }
	if !slices.ContainsFunc(unmerged, below) {
		return t.treeHash(s, x)
	}
	return t.computeTreeHash(s, x, unmerged)
}

// computeTreeHash hashes TreeHashInput for x, without the leaves in except.
func (t *ratchetTree) computeTreeHash(s *ciphersuite.Suite, x treemath.NodeIndex, except []LeafIndex) []byte {
	if x.IsLeaf() {
		leaf := t.nodes[x].leaf
		if slices.Contains(except, LeafIndex(x.Leaf())) {
			leaf = nil
		}
		return hashOf(s, func(w *wire.Writer) {
			w.Uint8(nodeTypeLeaf)
			w.Uint32(uint32(x.Leaf()))
			w.Optional(leaf != nil)
			if leaf != nil {
				leaf.encode(w)
			}
		})
	}

	parent := t.nodes[x].parent
	if parent != nil && len(except) > 0 {
		without := *parent
		without.unmergedLeaves = slices.DeleteFunc(slices.Clone(parent.unmergedLeaves), func(l LeafIndex) bool {
			return slices.Contains(except, l)
		})
		parent = &without
	}
	left, _ := x.Left()
	right, _ := x.Right()
	leftHash, rightHash := t.originalTreeHash(s, left, except), t.originalTreeHash(s, right, except)
	return hashOf(s, func(w *wire.Writer) {
		w.Uint8(nodeTypeParent)
		w.Optional(parent != nil)
		if parent != nil {
			parent.encode(w)
		}
		w.Opaque(leftHash)
		w.Opaque(rightHash)
	})
}

// parentHash returns the parent hash of node x with copath child sibling.
// RFC 9420, Section 7.9.
func (t *ratchetTree) parentHash(s *ciphersuite.Suite, x, sibling treemath.NodeIndex) []byte {
	p := t.nodes[x].parent
	siblingHash := t.originalTreeHash(s, sibling, p.unmergedLeaves)
	return hashOf(s, func(w *wire.Writer) {
		w.Opaque(p.encryptionKey)
		w.Opaque(p.parentHash)
		w.Opaque(siblingHash)
	})
}

// hashOf returns the hash of what encode writes.
func hashOf(s *ciphersuite.Suite, encode func(w *wire.Writer)) (hash []byte) {
	wire.Lend(func(w *wire.Writer) {
		encode(w)
		hash = s.Hash(w.Data())
	})
	return hash
}

// verifyParentHashes checks that each parent node was put there by the holder
// of a leaf below it. RFC 9420, Section 7.9.2.
func (t *ratchetTree) verifyParentHashes(s *ciphersuite.Suite) error {
	for x := treemath.NodeIndex(1); int(x) < len(t.nodes); x += 2 {
		if t.nodes[x].parent == nil {
			continue
		}
		left, _ := x.Left()
		right, _ := x.Right()
		chains := t.chainsTo(s, x, left, right) + t.chainsTo(s, x, right, left)
		if chains != 1 {
			return invalid(CheckParentHash, "node %d is vouched for by %d of its descendants, want 1", x, chains)
		}
	}
	return nil
}

// chainsTo counts the nodes below the child of x whose parent hash is valid
// with respect to x.
func (t *ratchetTree) chainsTo(s *ciphersuite.Suite, x, child, sibling treemath.NodeIndex) (count int) {
	want := t.parentHash(s, x, sibling)
	resolution := t.resolution(child, nil)
	var unmerged []treemath.NodeIndex
	for _, l := range t.nodes[x].parent.unmergedLeaves {
		if at := leafPosition(l); at.InSubtree(child) {
			unmerged = append(unmerged, at)
		}
	}
	for i, d := range resolution {
		var got []byte
		if n := t.nodes[d]; n.parent != nil {
			got = n.parent.parentHash
		} else if n.leaf.Source == LeafNodeSourceCommit {
			got = n.leaf.ParentHash
		}
		if !bytes.Equal(got, want) {
			continue
		}
		// A resolution is not in order of index, so compare as sets.
		others := slices.Delete(slices.Clone(resolution), i, i+1)
		slices.Sort(others)
		if slices.Equal(others, unmerged) {
			count++
		}
	}
	return count
}
