package mls

import (
	"bytes"
	"slices"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// A CommittedProposal is a proposal as a commit covers it.
type CommittedProposal struct {
	Proposal    Proposal
	Sender      Sender
	ByReference bool
}

// cachedProposal is a proposal that was sent in this epoch, for a commit that
// refers to it. RFC 9420, Section 12.1.
type cachedProposal struct {
	ref      []byte // ProposalRef
	sender   Sender
	proposal Proposal
	// Of an Update of this member's own: the private key and, if it changes,
	// the signer that take effect with it.
	leafKey *sharedKey
	signer  signerChange
}

func (p *cachedProposal) erase() {
	if p.leafKey != nil {
		p.leafKey.drop()
	}
}

// coveredProposal is a proposal of a commit with what the cache knows of it.
type coveredProposal struct {
	CommittedProposal
	cached *cachedProposal // nil: by value
}

// transition is the effect of a commit's proposals, before its path.
type transition struct {
	tree         *ratchetTree
	extensions   Extensions
	added        []addedMember
	removed      []LeafIndex
	psks         []PreSharedKeyID
	ownUpdate    *cachedProposal // an Update of this member's own
	externalInit *ExternalInit
	reInit       *ReInit
	pathRequired bool
}

type addedMember struct {
	leaf       LeafIndex
	keyPackage *KeyPackage
}

// addedLeaves returns the new members, to whom paths are not encrypted.
func (t *transition) addedLeaves() map[LeafIndex]bool {
	added := make(map[LeafIndex]bool, len(t.added))
	for _, a := range t.added {
		added[a.leaf] = true
	}
	return added
}

// apply validates a commit's proposals and applies them to a copy of the tree.
// RFC 9420, Sections 12.2 and 12.3.
func (g *Group) apply(committer Sender, proposals []coveredProposal) (*transition, error) {
	t := &transition{tree: g.tree.clone(), extensions: g.context.extensions}
	t.pathRequired = len(proposals) == 0
	for _, p := range proposals {
		t.pathRequired = t.pathRequired || proposalTypes[p.Proposal.ProposalType()].pathRequired
	}
	var err error
	if committer.Type == SenderNewMemberCommit {
		err = verifyExternalProposals(proposals)
	} else {
		err = g.verifyProposals(committer, proposals)
	}
	if err != nil {
		return nil, err
	}
	if err := g.applyContext(t, proposals); err != nil {
		return nil, err
	}
	if err := g.applyUpdates(t, proposals); err != nil {
		return nil, err
	}
	if err := g.applyRemoves(t, proposals); err != nil {
		return nil, err
	}
	if err := g.applyAdds(t, proposals); err != nil {
		return nil, err
	}
	return t, nil
}

// verifyProposals checks the rules on the list of a commit by a member that do
// not depend on the tree. RFC 9420, Section 12.2.
func (g *Group) verifyProposals(committer Sender, proposals []coveredProposal) error {
	touched := make(map[LeafIndex]bool) // by an Update or a Remove
	addKeys := make(map[string]bool)
	psks := make(map[string]bool)
	contexts := 0
	touch := func(i LeafIndex) error {
		if touched[i] {
			return invalid(CheckProposalSameLeaf, "leaf %d is updated or removed twice", i)
		}
		touched[i] = true
		return nil
	}
	for _, p := range proposals {
		switch p := p.Proposal.(type) {
		case *Add:
			key := string(p.KeyPackage.LeafNode.SignatureKey)
			if addKeys[key] {
				return invalid(CheckProposalAddTwice, "two key packages with the same signature key")
			}
			addKeys[key] = true
		case *Remove:
			if p.Removed == committer.Leaf {
				return invalid(CheckProposalRemovesCommitter, "leaf %d removes itself", p.Removed)
			}
			if err := touch(p.Removed); err != nil {
				return err
			}
		case *PreSharedKey:
			if err := g.verifyPSK(&p.PSK); err != nil {
				return err
			}
			id := string(marshal(&p.PSK))
			if psks[id] {
				return invalid(CheckProposalPSKTwice, "a pre-shared key is named twice")
			}
			psks[id] = true
		case *GroupContextExtensions:
			if contexts++; contexts > 1 {
				return invalid(CheckProposalContextTwice, "%d GroupContextExtensions proposals", contexts)
			}
		case *ReInit:
			if len(proposals) > 1 {
				return invalid(CheckProposalReInitAlone, "ReInit together with other proposals")
			}
			if p.Version < MLS10 {
				return invalid(CheckProposalReInitVersion, "version %d, want %d or higher", p.Version, MLS10)
			}
		case *ExternalInit:
			return invalid(CheckProposalExternalInit, "ExternalInit in a member's commit")
		}
		if _, ok := p.Proposal.(*Update); ok {
			if p.Sender.Type != SenderMember {
				return invalid(CheckProposalUpdateSender, "Update from a sender of type %d", p.Sender.Type)
			}
			if p.Sender.Leaf == committer.Leaf {
				return invalid(CheckProposalUpdateByCommitter, "leaf %d commits its own Update", committer.Leaf)
			}
			if err := touch(p.Sender.Leaf); err != nil {
				return err
			}
		}
	}
	return nil
}

// verifyPSK checks a PreSharedKey proposal. RFC 9420, Section 12.1.4.
func (g *Group) verifyPSK(id *PreSharedKeyID) error {
	if id.Type == PSKResumption && id.Usage != ResumptionApplication {
		return invalid(CheckProposalPSK, "resumption PSK for usage %d in an ordinary commit", id.Usage)
	}
	if len(id.Nonce) != g.suite.HashSize() {
		return invalid(CheckProposalPSKNonce, "nonce of %d octets, want %d", len(id.Nonce), g.suite.HashSize())
	}
	return nil
}

// verifyExternalProposals checks the list of an external commit.
// RFC 9420, Section 12.2.
func verifyExternalProposals(proposals []coveredProposal) error {
	inits, removes := 0, 0
	for _, p := range proposals {
		if p.ByReference {
			return invalid(CheckExternalCommit, "proposal by reference")
		}
		switch p.Proposal.(type) {
		case *ExternalInit:
			inits++
		case *Remove:
			removes++
		case *PreSharedKey:
		default:
			return invalid(CheckExternalCommit, "proposal of type %v", p.Proposal.ProposalType())
		}
	}
	if inits != 1 || removes > 1 {
		return invalid(CheckExternalCommit, "%d ExternalInit and %d Remove proposals, want 1 and at the most 1", inits, removes)
	}
	return nil
}

// applyContext applies all proposals that leave the tree alone.
func (g *Group) applyContext(t *transition, proposals []coveredProposal) error {
	for _, p := range proposals {
		switch p := p.Proposal.(type) {
		case *GroupContextExtensions:
			t.extensions = p.Extensions
			if _, err := requiredCapabilities(t.extensions); err != nil {
				return invalid(CheckLeafRequiredCapabilities, "%w", err)
			}
		case *PreSharedKey:
			if err := g.verifyPSK(&p.PSK); err != nil {
				return err
			}
			t.psks = append(t.psks, p.PSK)
		case *ExternalInit:
			t.externalInit = p
		case *ReInit:
			t.reInit = p
		}
	}
	return nil
}

func (g *Group) applyUpdates(t *transition, proposals []coveredProposal) error {
	for _, p := range proposals {
		update, ok := p.Proposal.(*Update)
		if !ok {
			continue
		}
		i, leaf := p.Sender.Leaf, update.LeafNode
		old := t.tree.leafNode(i)
		if old == nil {
			return invalid(CheckProposalUpdateSender, "leaf %d is blank", i)
		}
		if err := g.verifyReplacement(leaf, old, i, LeafNodeSourceUpdate); err != nil {
			return err
		}
		if i == g.own {
			t.ownUpdate = p.cached
		}
		t.tree.update(i, leaf)
	}
	return nil
}

// verifyReplacement checks a leaf that takes the place of old, which is nil for
// an external commit that joins. RFC 9420, Section 7.3.
func (g *Group) verifyReplacement(leaf, old *LeafNode, i LeafIndex, source LeafNodeSource) error {
	if err := verifyLeafContents(g.suite, leaf, source); err != nil {
		return err
	}
	if old != nil && bytes.Equal(leaf.EncryptionKey, old.EncryptionKey) {
		return invalid(CheckLeafEncryptionKeyNew, "leaf %d keeps its encryption key", i)
	}
	if err := leaf.verifySignature(g.suite, g.context.groupID, i); err != nil {
		return invalid(CheckLeafSignature, "leaf %d: %w", i, err)
	}
	if i == g.own && old != nil {
		return nil
	}
	if err := g.cfg.AuthenticationService.ValidateLeaf(leaf, old); err != nil {
		return invalid(CheckLeafCredential, "leaf %d: %w", i, err)
	}
	return nil
}

func (g *Group) applyRemoves(t *transition, proposals []coveredProposal) error {
	for _, p := range proposals {
		remove, ok := p.Proposal.(*Remove)
		if !ok {
			continue
		}
		if t.tree.leafNode(remove.Removed) == nil {
			return invalid(CheckProposalRemoveBlank, "leaf %d is blank", remove.Removed)
		}
		t.tree.remove(remove.Removed)
		t.removed = append(t.removed, remove.Removed)
	}
	if len(t.removed) > 0 {
		t.tree.truncate()
	}
	return nil
}

func (g *Group) applyAdds(t *transition, proposals []coveredProposal) error {
	for _, p := range proposals {
		add, ok := p.Proposal.(*Add)
		if !ok {
			continue
		}
		k := add.KeyPackage
		if err := k.verify(g.suite, g.cfg); err != nil {
			return err
		}
		for i, member := range t.tree.leaves {
			if bytes.Equal(member.SignatureKey, k.LeafNode.SignatureKey) {
				return invalid(CheckProposalAddMember, "leaf %d has the same signature key", i)
			}
		}
		if err := g.cfg.AuthenticationService.ValidateLeaf(&k.LeafNode, nil); err != nil {
			return invalid(CheckLeafCredential, "new member: %w", err)
		}
		leaf := k.LeafNode
		t.added = append(t.added, addedMember{leaf: t.tree.add(&leaf), keyPackage: k})
	}
	return nil
}

// findProposal returns the proposal that a commit refers to.
func (g *Group) findProposal(ref []byte) *cachedProposal {
	i := slices.IndexFunc(g.proposals, func(p *cachedProposal) bool { return bytes.Equal(p.ref, ref) })
	if i < 0 {
		return nil
	}
	return g.proposals[i]
}

// proposalRef returns the ProposalRef of a proposal's message. RFC 9420, Section 5.2.
func proposalRef(s *ciphersuite.Suite, a *authenticatedContent) []byte {
	return s.RefHash("MLS 1.0 Proposal Reference", marshal(a))
}
