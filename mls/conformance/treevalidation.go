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
