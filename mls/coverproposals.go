package mls

import "slices"

// maxSelected bounds the work of selectPending. Proposals beyond it are left
// to a later commit.
const maxSelected = 1024

// coverProposals returns what a commit of this member covers, and the effect of
// that: the caller's own proposals, which have to be valid, and all pending ones,
// or as many of them as fit, so that nobody can keep others from committing by
// a bad proposal. RFC 9420, Sections 12.2 and 12.4.
func (g *Group) coverProposals(o *CommitOptions) ([]coveredProposal, *transition, error) {
	pending, own, err := g.candidates(o)
	if err != nil {
		return nil, nil, err
	}
	all := slices.Concat(pending, own)
	t, err := g.try(o, all)
	if err == nil || len(pending) == 0 {
		return all, t, err
	}
	return g.selectPending(o, own, pending)
}

// candidates returns the pending proposals that a commit of this member may
// cover, and the caller's own.
func (g *Group) candidates(o *CommitOptions) (pending, own []coveredProposal, err error) {
	if !o.WithoutPending {
		now := g.cfg.Now()
		for _, p := range g.proposals {
			// A key package may have run out since it was proposed. RFC 9420, Section 7.3.
			if add, ok := p.proposal.(*Add); ok && verifyLifetime(&add.KeyPackage.LeafNode, now, g.cfg.MaxLifetime) != nil {
				continue
			}
			covered := coveredProposal{CommittedProposal{p.proposal, p.sender, true}, p}
			// A committer commits neither its own Update nor its own SelfRemove.
			if !covered.isOwnUpdate() && !covered.isSelfRemoveOf(Sender{Type: SenderMember, Leaf: g.own}) {
				pending = append(pending, covered)
			}
		}
	}
	committer := Sender{Type: SenderMember, Leaf: g.own}
	for _, p := range o.Proposals {
		if p, err = g.complete(p); err != nil {
			return nil, nil, err
		}
		own = append(own, coveredProposal{CommittedProposal{Proposal: p, Sender: committer}, nil})
	}
	return pending, own, nil
}

// selectPending adds to own the pending proposals that fit, one at a time: first
// SelfRemoves, beside which a Remove of the same leaf is invalid, then Removes, then
// Updates from the newest, then the rest, and ReInit only if there is nothing else.
func (g *Group) selectPending(o *CommitOptions, own, pending []coveredProposal) ([]coveredProposal, *transition, error) {
	selected := own
	t, err := g.try(o, selected)
	if err != nil {
		return nil, nil, err
	}
	var ranks [5][]coveredProposal
	for _, p := range pending {
		rank := 3
		switch p.Proposal.ProposalType() {
		case ProposalSelfRemove:
			rank = 0
		case ProposalRemove:
			rank = 1
		case ProposalUpdate:
			rank = 2
		case ProposalReInit:
			rank = 4
		}
		ranks[rank] = append(ranks[rank], p)
	}
	slices.Reverse(ranks[2])
	candidates := slices.Concat(ranks[:]...)
	for _, p := range candidates[:min(len(candidates), maxSelected)] {
		more := append(slices.Clip(selected), p)
		if with, err := g.try(o, more); err == nil {
			selected, t = more, with
		}
	}
	return selected, t, nil
}

// try returns the effect of proposals if all rules are kept but those on the
// path, which is made later, and all PSKs are known.
func (g *Group) try(o *CommitOptions, proposals []coveredProposal) (*transition, error) {
	t, err := g.apply(Sender{Type: SenderMember, Leaf: g.own}, proposals)
	if err != nil || len(proposals) == 0 && o.Leaf == (LeafChanges{}) {
		return t, err
	}
	// The committer's leaf counts as a path would make it.
	leaf, _, err := o.Leaf.apply(g, t.tree.leafNode(g.own))
	if err != nil {
		return nil, err
	}
	after := t.tree.clone()
	after.set(leafPosition(g.own), node{leaf: leaf})
	if err := g.verifyMembersOf(after, t.extensions); err != nil {
		return nil, err
	}
	pskSecret, err := g.pskSecret(t.psks)
	if err != nil {
		return nil, err
	}
	clear(pskSecret)
	return t, nil
}
