package mls

import (
	"crypto/subtle"
	"slices"

	"github.com/mendlink/mendlink/mls/internal/keysched"
)

// processCommit validates a commit, whose signature is verified, and returns
// it with the epoch that it leads to. RFC 9420, Section 12.4.2.
func (g *Group) processCommit(a *authenticatedContent) (received *ReceivedCommit, err error) {
	c := a.content.commit
	if t := a.content.sender.Type; t != SenderMember && t != SenderNewMemberCommit {
		return nil, invalid(CheckSender, "commit from a sender of type %d", t)
	}
	covered, err := g.resolveProposals(a)
	if err != nil {
		return nil, err
	}
	t, err := g.apply(a.content.sender, covered)
	if err != nil {
		return nil, err
	}
	received = &ReceivedCommit{
		Sender:            a.content.sender,
		AuthenticatedData: a.content.authenticatedData,
		HasPath:           c.path != nil,
	}
	for _, p := range covered {
		received.Proposals = append(received.Proposals, p.CommittedProposal)
	}
	if slices.Contains(t.removed, g.own) {
		return received, nil
	}
	if t.pathRequired && c.path == nil {
		return nil, invalid(CheckPathRequired, "the commit has no path")
	}

	next := g.nextGroup(t)
	defer func() {
		if err != nil {
			next.discard()
		}
	}()
	commitSecret, err := g.processPath(a, t, next)
	if err != nil {
		return nil, err
	}
	defer clear(commitSecret)
	joinerSecret, pskSecret, err := g.advance(next, t, a, commitSecret)
	if err != nil {
		return nil, err
	}
	clear(joinerSecret)
	clear(pskSecret)
	want := keysched.ConfirmationTag(g.suite, next.epoch.ConfirmationKey, next.context.confirmedTranscriptHash)
	if subtle.ConstantTimeCompare(a.auth.confirmationTag, want) != 1 {
		return nil, invalid(CheckConfirmationTag, "the members do not agree on the new epoch")
	}
	next.setConfirmationTag(want)
	received.next = next
	return received, nil
}

// resolveProposals looks up the proposals that a commit refers to.
func (g *Group) resolveProposals(a *authenticatedContent) ([]coveredProposal, error) {
	covered := make([]coveredProposal, 0, len(a.content.commit.proposals))
	for _, p := range a.content.commit.proposals {
		if p.proposal != nil {
			covered = append(covered, coveredProposal{CommittedProposal{Proposal: p.proposal, Sender: a.content.sender}, nil})
			continue
		}
		cached := g.findProposal(p.reference)
		if cached == nil {
			return nil, invalid(CheckProposalUnknownRef, "no proposal %x", p.reference)
		}
		covered = append(covered, coveredProposal{CommittedProposal{cached.proposal, cached.sender, true}, cached})
	}
	return covered, nil
}

// processPath applies a received commit's path, if it has one, to the new tree
// and gives the keys in it to next. It returns the commit secret.
func (g *Group) processPath(a *authenticatedContent, t *transition, next *Group) (commitSecret []byte, err error) {
	path := a.content.commit.path
	if path == nil {
		if err := t.tree.verifyMembers(g.suite, t.extensions); err != nil {
			return nil, err
		}
		next.context.treeHash = t.tree.rootHash(g.suite)
		return make([]byte, g.suite.HashSize()), nil
	}

	committer, old := a.content.sender.Leaf, t.tree.leafNode(a.content.sender.Leaf)
	if a.content.sender.Type == SenderNewMemberCommit {
		committer, old = t.tree.nextFreeLeaf(), nil
		if len(t.removed) > 0 {
			old = g.tree.leafNode(t.removed[0])
		}
	}
	if err := g.verifyReplacement(&path.leaf, old, committer, LeafNodeSourceCommit); err != nil {
		return nil, err
	}
	added := t.addedLeaves()
	steps, err := t.tree.applyPath(g.suite, committer, path, added)
	if err != nil {
		return nil, err
	}
	if err := t.tree.verifyMembers(g.suite, t.extensions); err != nil {
		return nil, err
	}
	next.context.treeHash = t.tree.rootHash(g.suite)
	// The provisional GroupContext still has the old confirmed transcript hash.
	derived, commitSecret, err := t.tree.decryptPath(g.suite, g.own, next.keys, path, steps, added, marshal(&next.context))
	if err != nil {
		return nil, err
	}
	// What the path replaced is erased with the epochs that used it.
	next.keys.replace(derived)
	return commitSecret, nil
}
