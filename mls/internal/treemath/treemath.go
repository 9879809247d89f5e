package treemath

import "math/bits"

// MaxLeaves is the largest number of leaves of a tree whose node indices fit a
// uint32.
const MaxLeaves = 1 << 31

// nowhere is a node index that no tree contains: the largest tree ends one
// before it.
const nowhere NodeIndex = 1<<32 - 1

// A LeafIndex numbers the leaves of a tree from the left, from 0.
type LeafIndex uint32

// Node returns the leaf's node index. For a leaf at or above [MaxLeaves] it is
// an index that no tree contains.
func (l LeafIndex) Node() NodeIndex {
	if l >= MaxLeaves {
		return nowhere
	}
	return NodeIndex(l) << 1
}

// CommonAncestor returns the lowest node that has both a and b below it, which
// is the leaf itself if they are equal. It does not depend on the size of the
// tree. For a leaf at or above [MaxLeaves] it is an index that no tree contains.
func CommonAncestor(a, b LeafIndex) NodeIndex {
	if a >= MaxLeaves || b >= MaxLeaves {
		return nowhere
	}
	level := bits.Len32(uint32(a ^ b))
	return a.Node()>>(level+1)<<(level+1) | (1<<level - 1)
}

// A NodeIndex numbers the nodes of a tree from the left, from 0.
type NodeIndex uint32

// Level returns the node's height above the leaves, which are at level 0.
func (n NodeIndex) Level() int { return bits.TrailingZeros32(^uint32(n)) }

// IsLeaf reports whether the node is a leaf.
func (n NodeIndex) IsLeaf() bool { return n&1 == 0 }

// Leaf returns the leaf index of a node that is a leaf. For other nodes it
// has no meaning.
func (n NodeIndex) Leaf() LeafIndex { return LeafIndex(n >> 1) }

// Left returns the node's left child; ok is false for leaves.
func (n NodeIndex) Left() (left NodeIndex, ok bool) {
	if n.IsLeaf() {
		return 0, false
	}
	return n ^ 1<<(n.Level()-1), true
}

// Right returns the node's right child; ok is false for leaves.
func (n NodeIndex) Right() (right NodeIndex, ok bool) {
	if n.IsLeaf() {
		return 0, false
	}
	return n ^ 3<<(n.Level()-1), true
}

// InSubtree reports whether n is the node of or one of its descendants.
func (n NodeIndex) InSubtree(of NodeIndex) bool {
	level := of.Level()
	return n.Level() <= level && n>>(level+1) == of>>(level+1)
}

// Leaves returns the first and the last leaf below the node, which for a leaf
// are the leaf itself.
func (n NodeIndex) Leaves() (first, last LeafIndex) {
	reach := NodeIndex(1)<<n.Level() - 1
	return (n - reach).Leaf(), (n + reach).Leaf()
}

// A Size is the number of leaves of a full tree: a power of two up to
// [MaxLeaves], or 0 for the empty tree.
type Size uint32

// SizeFor returns the size of the smallest full tree with room for that many
// leaves. For more than [MaxLeaves] it is 0, a tree that contains nothing.
func SizeFor(leaves uint32) Size {
	if leaves == 0 || leaves > MaxLeaves {
		return 0
	}
	return 1 << bits.Len32(leaves-1)
}

// Nodes returns the number of nodes.
func (s Size) Nodes() uint32 {
	if s == 0 {
		return 0
	}
	return uint32(s-1)<<1 + 1
}

// Contains reports whether the tree has a node n.
func (s Size) Contains(n NodeIndex) bool { return uint32(n) < s.Nodes() }

// Root returns the root. For the empty tree it is an index that no tree
// contains.
func (s Size) Root() NodeIndex { return NodeIndex(s) - 1 }

// Parent returns the node's parent; ok is false for the root and for nodes that
// are not in the tree.
func (s Size) Parent(n NodeIndex) (parent NodeIndex, ok bool) {
	if !s.Contains(n) || n == s.Root() {
		return 0, false
	}
	level := n.Level()
	// x01..1 and x11..1 are the children of x0 11..1: set the bit above the
	// ones, clear the bit above that.
	return (n | 1<<level) &^ (1 << (level + 1)), true
}

// Sibling returns the other child of the node's parent; ok is false for the
// root and for nodes that are not in the tree.
func (s Size) Sibling(n NodeIndex) (sibling NodeIndex, ok bool) {
	if !s.Contains(n) || n == s.Root() {
		return 0, false
	}
	return n ^ 1<<(n.Level()+1), true
}

// DirectPath returns the ancestors of n from its parent to the root. It is
// empty for the root and for nodes that are not in the tree.
func (s Size) DirectPath(n NodeIndex) []NodeIndex {
	path := s.newPath(n)
	for p, ok := s.Parent(n); ok; p, ok = s.Parent(p) {
		path = append(path, p)
	}
	return path
}

// Copath returns the siblings of n and of its ancestors below the root, lowest
// first. It is empty for the root and for nodes that are not in the tree.
func (s Size) Copath(n NodeIndex) []NodeIndex {
	path := s.newPath(n)
	for {
		sibling, ok := s.Sibling(n)
		if !ok {
			return path
		}
		path = append(path, sibling)
		n, _ = s.Parent(n)
	}
}

// newPath returns an empty slice with room for the path from n to the root.
func (s Size) newPath(n NodeIndex) []NodeIndex {
	if !s.Contains(n) {
		return nil
	}
	return make([]NodeIndex, 0, s.Root().Level()-n.Level())
}
