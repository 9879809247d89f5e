package conformance

import "github.com/mendlink/mendlink/mls"

// generatePassiveSelfRemove shows members that remove themselves, beside other
// proposals in a member's commit, and in that of a client that joins from outside
// (draft-ietf-mls-extensions, Section 6.3).
func generatePassiveSelfRemove(g *generator) (vector, error) {
	return history(g, partyOptions{selfRemove: true}, leave, leaveAsAnotherJoins, updatePath)
}

// leave commits an Add, an Update and a SelfRemove that were proposed.
func leave(p *party) error {
	committer := p.active()
	leaving, err := p.bystander(committer)
	if err != nil {
		return err
	}
	updating, err := p.bystander(committer, leaving)
	if err != nil {
		return err
	}
	c, err := p.newClient()
	if err != nil {
		return err
	}
	if err := p.propose(updating, c.add()); err != nil {
		return err
	}
	if err := p.propose(leaving, &mls.SelfRemove{}); err != nil {
		return err
	}
	if err := p.propose(updating, nil); err != nil {
		return err
	}
	return p.commit(committer, mls.CommitOptions{}, c)
}

// leaveAsAnotherJoins has a new client take a member's SelfRemove along in its
// external commit.
func leaveAsAnotherJoins(p *party) error {
	if err := p.propose(p.active(), &mls.SelfRemove{}); err != nil {
		return err
	}
	c, err := p.newIdentity()
	if err != nil {
		return err
	}
	return p.joinFromOutside(c)
}
