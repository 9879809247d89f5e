package conformance

import (
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// generatePassiveSuccessor lets the group of a passive client be re-initialized
// or branched off, in turn.
func generatePassiveSuccessor(g *generator) (vector, error) {
	p, v, err := newHistory(g, partyOptions{}, updatePath)
	if err != nil {
		return nil, err
	}
	if g.turn(2) == 0 {
		err = p.reInitialize(v)
	} else {
		err = p.branch(v)
	}
	return v, err
}

// reInitialize moves the whole group to another cipher suite.
// RFC 9420, Section 11.2.
func (p *party) reInitialize(v *passiveClient) error {
	id := ciphersuite.MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519
	if p.suite.ID() == id {
		id = ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519
	}
	suite, err := ciphersuite.Default().Lookup(id)
	if err != nil {
		return err
	}
	creator := p.members[0]
	reInit := &mls.ReInit{GroupID: p.octets(16), Version: mls.MLS10, CipherSuite: id}
	if err := p.commit(creator, mls.CommitOptions{Proposals: []mls.Proposal{reInit}}); err != nil {
		return err
	}
	return p.succeed(v, suite, p.members, creator.group.ReInitialize)
}

// branch lets the first member and the passive client have a group of their own.
// RFC 9420, Section 11.3.
func (p *party) branch(v *passiveClient) error {
	creator := p.members[0]
	groupID := p.octets(16)
	return p.succeed(v, p.suite, []*client{creator, p.passive}, func(o mls.SuccessorOptions) (*mls.PendingCommit, error) {
		o.GroupID = groupID
		return creator.group.Branch(o)
	})
}

// succeed lets members go on in a group that the first of them creates, and adds
// how the passive client sees that to its case.
func (p *party) succeed(v *passiveClient, suite *ciphersuite.Suite, members []*client, create func(mls.SuccessorOptions) (*mls.PendingCommit, error)) error {
	p.finish(v)
	g := *p.generator
	g.suite = suite
	next := emptyParty(&g, p.partyOptions)
	var clients []*client // of members, in the next group
	for _, m := range members {
		c, err := next.identify(m.identity.Credential)
		if err != nil {
			return err
		}
		if err := next.publish(c); err != nil {
			return err
		}
		clients = append(clients, c)
	}
	leaf, err := next.leafOptions()
	if err != nil {
		return err
	}
	creator := clients[0]
	o := mls.SuccessorOptions{Identity: creator.identity, Leaf: leaf}
	for _, c := range clients[1:] {
		o.KeyPackages = append(o.KeyPackages, c.bundle.KeyPackage())
	}
	pending, err := create(o)
	if err != nil {
		return err
	}
	creator.group, next.members = pending.Group(), []*client{creator}
	for i, c := range clients[1:] {
		previous := members[1+i]
		if previous != p.passive {
			err = next.join(c, pending, previous.group)
		} else {
			v.Successor = next.newPassiveClient(c)
			err = next.joinPassive(c, v.Successor, pending, previous.group)
		}
		if err != nil {
			return err
		}
	}
	psk := next.newPSK()
	p.psks = append(p.psks, next.psks...) // for the creator, whose configuration is that of p
	if err := next.commitProposals(psk); err != nil {
		return err
	}
	next.finish(v.Successor)
	return nil
}
