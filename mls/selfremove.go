package mls

import (
	"fmt"
	"maps"
	"slices"

	"github.com/mendlink/mendlink/internal/wire"
)

// ProposalSelfRemove is the type of [SelfRemove].
const ProposalSelfRemove ProposalType = 0x000A

// SelfRemove asks that its sender, a member, be removed. Unlike a [Remove], it
// also reaches those who join from outside: it is sent in the clear, and their
// commits refer to it. A client that has [Config.SelfRemove] may send it, once in
// an epoch, to a group whose members all have that. The sender stays until
// somebody else has committed it. draft-ietf-mls-extensions, Section 6.3.
type SelfRemove struct{}

// ProposalType implements [Proposal].
func (*SelfRemove) ProposalType() ProposalType { return ProposalSelfRemove }

func (*SelfRemove) encode(*wire.Writer) {}
func (*SelfRemove) decode(*wire.Reader) {}

// withSelfRemove returns the table with SelfRemove added, which is applied after
// Updates and before Removes.
func (k *proposalKinds) withSelfRemove() *proposalKinds {
	all := &proposalKinds{kinds: maps.Clone(k.kinds)}
	all.kinds[ProposalSelfRemove] = &proposalKind{
		name: "self_remove", externalCommit: true, pathRequired: true,
		read: readAs[SelfRemove], verify: verifySelfRemove, apply: applySelfRemove, applied: truncateRemoved,
	}
	all.order = slices.Insert(slices.Clone(k.order), slices.Index(k.order, ProposalRemove), ProposalSelfRemove)
	return all
}

// verifySelfRemove checks that all members of the group, and so its sender,
// support SelfRemove.
func verifySelfRemove(s *publicState, _ Sender, _ Proposal) error {
	for i, leaf := range s.tree.leaves {
		if !leaf.Capabilities.supportsProposal(ProposalSelfRemove) {
			return invalid(CheckSelfRemoveSupport, "leaf %d does not support SelfRemove", i)
		}
	}
	return nil
}

func applySelfRemove(_ *publicState, t *transition, p *coveredProposal) error {
	t.tree.remove(p.Sender.Leaf)
	t.removed = append(t.removed, p.Sender.Leaf)
	return nil
}

// verifySelfRemoveIsPublic checks that a SelfRemove is sent so that those who
// join from outside can read it.
func verifySelfRemoveIsPublic(p Proposal, f WireFormat) error {
	if _, ok := p.(*SelfRemove); ok && f != WireFormatPublicMessage {
		return invalid(CheckSelfRemovePublic, "SelfRemove in a %v, want %v", f, WireFormatPublicMessage)
	}
	return nil
}

// verifyFirstSelfRemove checks that the member has not sent a SelfRemove in this
// epoch already, if p is one. If another member has, in spite of that, a commit
// may still cover any one of them: who got which first is not the same everywhere.
func (g *Group) verifyFirstSelfRemove(p Proposal) error {
	if _, ok := p.(*SelfRemove); !ok {
		return nil
	}
	if own := (Sender{Type: SenderMember, Leaf: g.own}); g.selfRemoveOf(own.Leaf) != nil {
		return invalid(CheckSelfRemoveTwice, "leaf %d has sent a SelfRemove in this epoch", own.Leaf)
	}
	return nil
}

// isSelfRemoveOf reports whether p is a SelfRemove that sender has sent.
func (p *coveredProposal) isSelfRemoveOf(sender Sender) bool {
	_, ok := p.Proposal.(*SelfRemove)
	return ok && p.Sender == sender
}

// selfRemoveOf returns the first pending SelfRemove of a member, nil if there is
// none.
func (s *publicState) selfRemoveOf(leaf LeafIndex) *cachedProposal {
	for _, p := range s.proposals {
		if _, ok := p.proposal.(*SelfRemove); ok && p.sender.Leaf == leaf {
			return p
		}
	}
	return nil
}

// verifySelfRemovesByReference is a [listRule].
func verifySelfRemovesByReference(_ *publicState, _ Sender, proposals []coveredProposal) error {
	for i := range proposals {
		if _, ok := proposals[i].Proposal.(*SelfRemove); ok && !proposals[i].ByReference {
			return invalid(CheckSelfRemoveReference, "proposal %d is a SelfRemove by value", i)
		}
	}
	return nil
}

// takeSelfRemoves verifies the SelfRemoves that are pending in a group, for who is
// about to join it, and remembers them. All is checked that a member would
// check, but for the membership tags.
func (s *publicState) takeSelfRemoves(messages [][]byte) error {
	for i, message := range messages {
		if err := s.takeSelfRemove(message); err != nil {
			return fmt.Errorf("mls: joining: SelfRemove %d: %w", i, err)
		}
	}
	return nil
}

func (s *publicState) takeSelfRemove(message []byte) error {
	var m mlsMessage
	if err := s.cfg.unmarshal(message, &m); err != nil {
		return fmt.Errorf("mls: parsing a message: %w", err)
	}
	if m.publicMessage == nil {
		return fmt.Errorf("mls: message is %v, want %v: %w", m.wireFormat, WireFormatPublicMessage, ErrUnsupported)
	}
	c := &m.publicMessage.content
	if _, ok := c.proposal.(*SelfRemove); !ok || c.sender.Type != SenderMember {
		return fmt.Errorf("mls: message is no SelfRemove of a member: %w", ErrUnsupported)
	}
	if err := s.verifyAddress(c.groupID, c.epoch); err != nil {
		return err
	}
	if err := s.isMember(c.sender.Leaf); err != nil {
		return err
	}
	a, err := s.verifyContent(m.publicMessage.authenticatedContent())
	if err != nil {
		return err
	}
	_, err = s.receiveProposal(a)
	return err
}

// coverSelfRemoves returns the pending SelfRemoves for a commit from outside,
// one of each member.
func (s *publicState) coverSelfRemoves() (covered []coveredProposal) {
	leaving := make(map[LeafIndex]bool)
	for _, p := range s.proposals {
		if _, ok := p.proposal.(*SelfRemove); ok && !leaving[p.sender.Leaf] {
			leaving[p.sender.Leaf] = true
			covered = append(covered, coveredProposal{CommittedProposal{p.proposal, p.sender, true}, p})
		}
	}
	return covered
}
