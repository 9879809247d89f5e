package conformance

import "github.com/mendlink/mendlink/mls/internal/hooks"

// treeOperation has a tree before and after a proposal. What the proposal holds
// need not be valid: the signature in the update of the official file is not.
type treeOperation struct {
	suited
	TreeBefore hexBytes `json:"tree_before"`
	Proposal   hexBytes `json:"proposal"`
	Sender     uint32   `json:"proposal_sender"`
	HashBefore hexBytes `json:"tree_hash_before"`
	TreeAfter  hexBytes `json:"tree_after"`
	HashAfter  hexBytes `json:"tree_hash_after"`
}

func (v *treeOperation) check(c *checker) {
	before, err := hooks.MLS.ParseTree(v.TreeBefore)
	if !c.ok("tree_before", err) {
		return
	}
	c.equal("tree_hash_before", before.RootHash(c.suite), v.HashBefore)
	after, err := before.Apply(v.Sender, v.Proposal)
	if !c.ok("proposal", err) {
		return
	}
	c.equal("tree_after", after.Encode(), v.TreeAfter)
	c.equal("tree_hash_after", after.RootHash(c.suite), v.HashAfter)
	c.equal("tree_before, after the proposal", before.Encode(), v.TreeBefore)
	c.equal("tree_hash_before, after the proposal", before.RootHash(c.suite), v.HashBefore)
}
