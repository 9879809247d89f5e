package conformance

import (
	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/mls/internal/treemath"
)

// treeMath has the relatives of each node of a tree.
type treeMath struct {
	Leaves  uint32    `json:"n_leaves"`
	Nodes   uint32    `json:"n_nodes"`
	Root    uint32    `json:"root"`
	Left    []*uint32 `json:"left"`
	Right   []*uint32 `json:"right"`
	Parent  []*uint32 `json:"parent"`
	Sibling []*uint32 `json:"sibling"`
}

func (*treeMath) suiteID() ciphersuite.ID { return 0 }

func (v *treeMath) check(c *checker) {
	s := treemath.SizeFor(v.Leaves)
	c.that(s != 0, "no tree has %d leaves", v.Leaves)
	c.that(s.Nodes() == v.Nodes, "n_nodes is %d, want %d", s.Nodes(), v.Nodes)
	c.that(uint32(s.Root()) == v.Root, "root is %d, want %d", s.Root(), v.Root)
	c.relatives("left", s, v.Left, treemath.NodeIndex.Left)
	c.relatives("right", s, v.Right, treemath.NodeIndex.Right)
	c.relatives("parent", s, v.Parent, s.Parent)
	c.relatives("sibling", s, v.Sibling, s.Sibling)
}

// relatives compares one relation of all nodes of a tree.
func (c *checker) relatives(what string, s treemath.Size, want []*uint32, relative func(treemath.NodeIndex) (treemath.NodeIndex, bool)) {
	if !c.that(uint64(len(want)) == uint64(s.Nodes()), "%s has %d nodes, want %d", what, len(want), s.Nodes()) {
		return
	}
	for n, want := range want {
		got, ok := relative(treemath.NodeIndex(n))
		c.that(ok == (want != nil), "%s[%d] exists: %v", what, n, ok)
		if ok && want != nil {
			c.that(uint32(got) == *want, "%s[%d] is %d, want %d", what, n, got, *want)
		}
	}
}
