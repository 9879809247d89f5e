package treemath

import (
	"slices"
	"testing"

	"github.com/mendlink/mendlink/internal/testvectors"
	"pgregory.net/rapid"
)

func TestVectors(t *testing.T) {
	var cases []struct {
		Leaves  uint32       `json:"n_leaves"`
		Nodes   uint32       `json:"n_nodes"`
		Root    NodeIndex    `json:"root"`
		Left    []*NodeIndex `json:"left"`
		Right   []*NodeIndex `json:"right"`
		Parent  []*NodeIndex `json:"parent"`
		Sibling []*NodeIndex `json:"sibling"`
	}
	testvectors.Load(t, "tree-math", &cases)
	if len(cases) != 10 {
		t.Fatalf("%d cases, want 10", len(cases))
	}
	for _, c := range cases {
		s := SizeFor(c.Leaves)
		if s.Nodes() != c.Nodes || s.Root() != c.Root {
			t.Errorf("%d leaves: %d nodes, root %d; want %d, %d", c.Leaves, s.Nodes(), s.Root(), c.Nodes, c.Root)
		}
		for n := range NodeIndex(c.Nodes) {
			check := func(what string, want *NodeIndex, got NodeIndex, ok bool) {
				if ok != (want != nil) || ok && got != *want {
					t.Errorf("%d leaves: %s of %d is %d, %v", c.Leaves, what, n, got, ok)
				}
			}
			left, ok := n.Left()
			check("left", c.Left[n], left, ok)
			right, ok := n.Right()
			check("right", c.Right[n], right, ok)
			parent, ok := s.Parent(n)
			check("parent", c.Parent[n], parent, ok)
			sibling, ok := s.Sibling(n)
			check("sibling", c.Sibling[n], sibling, ok)
		}
	}
}

// A node of a tree with pointers, to compare the arithmetic with.
type node struct {
	index               NodeIndex
	level               int
	left, right, parent *node
}

// build numbers the nodes of a full tree in order, starting from next.
func build(level int, next *NodeIndex) *node {
	n := &node{level: level}
	if level > 0 {
		n.left = build(level-1, next)
		n.left.parent = n
	}
	n.index = *next
	*next++
	if level > 0 {
		n.right = build(level-1, next)
		n.right.parent = n
	}
	return n
}

func (n *node) all() []*node {
	if n.left == nil {
		return []*node{n}
	}
	return append(append(n.left.all(), n), n.right.all()...)
}

func (n *node) contains(m *node) bool {
	for ; m != nil; m = m.parent {
		if m == n {
			return true
		}
	}
	return false
}

func TestAgreesWithTreeOfPointers(t *testing.T) {
	for level := range 7 {
		var next NodeIndex
		root := build(level, &next)
		nodes := root.all()
		s := SizeFor(1 << level)
		if s.Root() != root.index || s.Nodes() != uint32(len(nodes)) {
			t.Fatalf("level %d: root %d, %d nodes", level, s.Root(), s.Nodes())
		}
		for i, n := range nodes {
			var path, copath []NodeIndex
			for m := n; m.parent != nil; m = m.parent {
				path = append(path, m.parent.index)
				if m == m.parent.left {
					copath = append(copath, m.parent.right.index)
				} else {
					copath = append(copath, m.parent.left.index)
				}
			}
			if got := s.DirectPath(n.index); !slices.Equal(got, path) {
				t.Errorf("level %d: direct path of %d is %v, want %v", level, i, got, path)
			}
			if got := s.Copath(n.index); !slices.Equal(got, copath) {
				t.Errorf("level %d: copath of %d is %v, want %v", level, i, got, copath)
			}
			if n.index.Level() != n.level || n.index.IsLeaf() != (n.level == 0) {
				t.Errorf("level %d: node %d: level %d", level, i, n.index.Level())
			}
			below := n.all()
			first, last := n.index.Leaves()
			if first.Node() != below[0].index || last.Node() != below[len(below)-1].index {
				t.Errorf("level %d: leaves of %d are %d to %d", level, i, first, last)
			}
			for _, m := range nodes {
				if got := m.index.InSubtree(n.index); got != n.contains(m) {
					t.Errorf("level %d: %d in subtree of %d: %v", level, m.index, n.index, got)
				}
				if n.level > 0 || m.level > 0 {
					continue
				}
				common := n
				for !common.contains(m) {
					common = common.parent
				}
				if got := CommonAncestor(n.index.Leaf(), m.index.Leaf()); got != common.index {
					t.Errorf("common ancestor of leaves %d and %d is %d, want %d", n.index.Leaf(), m.index.Leaf(), got, common.index)
				}
			}
		}
	}
}

func TestRelationsHoldInTreesOfEverySize(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Size(1) << rapid.IntRange(0, 31).Draw(t, "level")
		n := NodeIndex(rapid.Uint32Range(0, s.Nodes()-1).Draw(t, "node"))
		path, copath := s.DirectPath(n), s.Copath(n)
		if len(path) != s.Root().Level()-n.Level() || len(copath) != len(path) {
			t.Fatalf("paths of %d and %d nodes", len(path), len(copath))
		}
		below := n
		for i, p := range path {
			left, _ := p.Left()
			right, ok := p.Right()
			if !ok || !s.Contains(p) || !n.InSubtree(p) || p.InSubtree(below) {
				t.Fatalf("%d is no ancestor of %d", p, n)
			}
			if sibling := copath[i]; !(left == below && right == sibling || left == sibling && right == below) {
				t.Fatalf("children of %d are %d and %d, want %d and %d", p, left, right, below, sibling)
			}
			if n.InSubtree(copath[i]) {
				t.Fatalf("%d is below %d of its copath", n, copath[i])
			}
			below = p
		}
		if below != s.Root() {
			t.Fatalf("the path ends at %d, not at the root %d", below, s.Root())
		}
	})
}

func TestSizeForRoundsUpAndRefusesWhatDoesNotFit(t *testing.T) {
	for _, c := range []struct {
		leaves uint32
		want   Size
	}{
		{0, 0}, {1, 1}, {2, 2}, {3, 4}, {4, 4}, {5, 8}, {1<<30 + 1, 1 << 31}, {1 << 31, 1 << 31},
		{1<<31 + 1, 0}, {1<<32 - 1, 0},
	} {
		if got := SizeFor(c.leaves); got != c.want {
			t.Errorf("SizeFor(%d) = %d, want %d", c.leaves, got, c.want)
		}
	}
}

func TestIndicesOutsideTheTreeHaveNoRelations(t *testing.T) {
	for _, s := range []Size{0, 1, 2, 8, MaxLeaves} {
		for _, n := range []NodeIndex{NodeIndex(s.Nodes()), LeafIndex(MaxLeaves).Node(), LeafIndex(1<<32 - 1).Node(), nowhere} {
			_, parent := s.Parent(n)
			_, sibling := s.Sibling(n)
			if s.Contains(n) || parent || sibling || s.DirectPath(n) != nil || s.Copath(n) != nil {
				t.Errorf("size %d: node %d is taken for a member", s, n)
			}
		}
		if s.Contains(CommonAncestor(0, MaxLeaves)) || s.Contains(CommonAncestor(MaxLeaves, MaxLeaves+1)) {
			t.Errorf("size %d: a common ancestor of leaves that do not exist", s)
		}
	}
	if Size(0).Contains(Size(0).Root()) {
		t.Error("the empty tree contains its root")
	}
	if left, ok := nowhere.Left(); !ok || left != 1<<31-1 {
		t.Errorf("left of %d is %d", nowhere, left)
	}
}

func BenchmarkDirectPath(b *testing.B) {
	s := SizeFor(1 << 16)
	for b.Loop() {
		s.DirectPath(LeafIndex(12345).Node())
	}
}
