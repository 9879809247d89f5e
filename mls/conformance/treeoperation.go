package conformance

import (
	"encoding/binary"

	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/internal/hooks"
)

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

// generateTreeOperation shows, in turn, an Add that fills a blank leaf, an
// Update, a Remove, an Add that needs a larger tree, and a Remove that leaves a
// smaller one.
func generateTreeOperation(g *generator) (vector, error) {
	operations := []struct {
		members  int
		blank    bool // leaf 1
		sender   uint32
		proposal func(*party) ([]byte, error)
	}{
		{members: 3, blank: true, proposal: encodedAdd},
		{members: 3, sender: 1, proposal: encodedUpdate},
		{members: 3, proposal: func(*party) ([]byte, error) { return encodeRemove(1), nil }},
		{members: 2, proposal: encodedAdd},
		{members: 3, proposal: func(*party) ([]byte, error) { return encodeRemove(2), nil }},
	}
	operation := operations[g.turn(len(operations))]
	p, err := newParty(g, partyOptions{})
	if err != nil {
		return nil, err
	}
	for i := range operation.members - 1 {
		if err := p.addMembers(i, 1, false); err != nil {
			return nil, err
		}
	}
	if operation.blank {
		if err := p.removeMember(0, 1); err != nil {
			return nil, err
		}
	}
	before, err := hooks.MLS.ParseTree(p.members[0].group.RatchetTree())
	if err != nil {
		return nil, err
	}
	proposal, err := operation.proposal(p)
	if err != nil {
		return nil, err
	}
	after, err := before.Apply(operation.sender, proposal)
	if err != nil {
		return nil, err
	}
	v := &treeOperation{
		TreeBefore: before.Encode(), HashBefore: before.RootHash(g.suite),
		Proposal: proposal, Sender: operation.sender,
		TreeAfter: after.Encode(), HashAfter: after.RootHash(g.suite),
	}
	v.CipherSuite = g.suite.ID()
	return v, nil
}

// The types of proposals. RFC 9420, Section 17.4.
const (
	addType    = 1
	updateType = 2
	removeType = 3
)

// encodeAdd encodes the Proposal to add a client.
func encodeAdd(c *client) []byte {
	keyPackage := c.bundle.Message()[4:] // without version and wire format
	return append([]byte{0, addType}, keyPackage...)
}

func encodeRemove(leaf uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{0, removeType}, leaf)
}

func encodedAdd(p *party) ([]byte, error) {
	c, err := p.newClient()
	if err != nil {
		return nil, err
	}
	return encodeAdd(c), nil
}

// encodedUpdate lets the second member update its leaf, and finds the leaf in the
// tree.
func encodedUpdate(p *party) ([]byte, error) {
	if err := p.propose(p.members[1], nil); err != nil {
		return nil, err
	}
	if err := p.commit(p.members[0], mls.CommitOptions{}); err != nil {
		return nil, err
	}
	after, err := hooks.MLS.ParseTree(p.members[0].group.RatchetTree())
	if err != nil {
		return nil, err
	}
	return append([]byte{0, updateType}, after.Leaf(1)...), nil
}
