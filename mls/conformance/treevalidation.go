package conformance

import (
	"fmt"
	"slices"

	"github.com/mendlink/mendlink/mls/internal/hooks"
	"github.com/mendlink/mendlink/mls/internal/treemath"
)

// treeValidation has a valid tree with what is computed of its nodes.
type treeValidation struct {
	suited
	Tree        hexBytes               `json:"tree"`
	GroupID     hexBytes               `json:"group_id"`
	Resolutions [][]treemath.NodeIndex `json:"resolutions"`
	TreeHashes  []hexBytes             `json:"tree_hashes"`
}

func (v *treeValidation) check(c *checker) {
	tree, err := hooks.MLS.ParseTree(v.Tree)
	if !c.ok("tree", err) {
		return
	}
	c.equal("tree, encoded again", tree.Encode(), v.Tree)
	if !c.ok("tree", tree.Verify(c.suite, v.GroupID)) {
		return
	}
	n := tree.Nodes()
	if !c.that(len(v.Resolutions) == n && len(v.TreeHashes) == n,
		"%d resolutions and %d tree hashes, want %d", len(v.Resolutions), len(v.TreeHashes), n) {
		return
	}
	for i := range n {
		x := treemath.NodeIndex(i)
		got, want := tree.Resolution(x), v.Resolutions[i]
		c.that(slices.Equal(got, want), "resolutions[%d] is %v, want %v", i, got, want)
		c.equal(fmt.Sprintf("tree_hashes[%d]", i), tree.TreeHash(c.suite, x), v.TreeHashes[i])
	}
}

// generateTreeValidation shows, in turn, a tree with blanks and unmerged leaves, a
// full one, one with blanks, and one with an unmerged leaf.
func generateTreeValidation(g *generator) (vector, error) {
	p, err := newParty(g, partyOptions{})
	if err != nil {
		return nil, err
	}
	shape := []struct {
		size    int
		removed []int
		added   int // by a commit without a path
	}{
		{size: 5, removed: []int{1}, added: 2}, {size: 2}, {size: 5, removed: []int{2, 3}}, {size: 3, added: 1},
	}[g.turn(4)]
	for i := range shape.size - 1 {
		if err := p.addMembers(i, 1, false); err != nil {
			return nil, err
		}
	}
	for i := len(shape.removed) - 1; i >= 0; i-- {
		if err := p.removeMember(0, shape.removed[i]); err != nil {
			return nil, err
		}
	}
	if shape.added > 0 {
		if err := p.addMembers(0, shape.added, true); err != nil {
			return nil, err
		}
	}
	group := p.members[0].group
	v := &treeValidation{Tree: group.RatchetTree(), GroupID: group.GroupID()}
	v.CipherSuite = g.suite.ID()
	tree, err := hooks.MLS.ParseTree(v.Tree)
	if err != nil {
		return nil, err
	}
	for i := range tree.Nodes() {
		x := treemath.NodeIndex(i)
		v.Resolutions = append(v.Resolutions, append([]treemath.NodeIndex{}, tree.Resolution(x)...))
		v.TreeHashes = append(v.TreeHashes, tree.TreeHash(g.suite, x))
	}
	return v, nil
}
