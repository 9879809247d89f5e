package mls

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// verifyAPQ checks that two groups are the pair that the APQInfo in both says,
// and returns that.
func verifyAPQ(t, pq *publicState) (APQInfo, error) {
	info, err := apqInfoOf(t.context.extensions)
	if err != nil {
		return APQInfo{}, err
	}
	other, err := apqInfoOf(pq.context.extensions)
	if err != nil {
		return APQInfo{}, err
	}
	if !bytes.Equal(marshal(&info), marshal(&other)) {
		return APQInfo{}, invalid(CheckAPQInfoEqual, "the groups say %+v and %+v", info, other)
	}
	if !bytes.Equal(info.TGroupID, t.context.groupID) || !bytes.Equal(info.PQGroupID, pq.context.groupID) {
		return APQInfo{}, invalid(CheckAPQGroups, "the groups are %x and %x, the APQInfo says %x and %x", t.context.groupID, pq.context.groupID, info.TGroupID, info.PQGroupID)
	}
	if info.TSuite != t.suite.ID() || info.PQSuite != pq.suite.ID() {
		return APQInfo{}, invalid(CheckAPQInfoSuites, "the suites are %v and %v, the APQInfo says %v and %v", t.suite.ID(), pq.suite.ID(), info.TSuite, info.PQSuite)
	}
	if err := verifyAPQSuites(t.suite, pq.suite, info.Mode); err != nil {
		return APQInfo{}, err
	}
	for _, s := range []*publicState{t, pq} {
		if err := s.requiresPairs(); err != nil {
			return APQInfo{}, err
		}
	}
	return info, verifyAPQMembers(t, pq, nil)
}

// verifyAPQEpochs checks that a full commit has led to the epochs that the
// APQInfo says.
func verifyAPQEpochs(info *APQInfo, t, pq *publicState) error {
	if info.TEpoch != t.context.epoch || info.PQEpoch != pq.context.epoch {
		return invalid(CheckAPQEpochs, "the epochs are %d and %d, the APQInfo says %d and %d", t.context.epoch, pq.context.epoch, info.TEpoch, info.PQEpoch)
	}
	return nil
}

// verifyAPQSuites checks that two suites go together.
// draft-ietf-mls-combiner, Section 7.1.
func verifyAPQSuites(t, pq *ciphersuite.Suite, mode APQMode) error {
	if kind := t.KEMResistance(); kind != ciphersuite.Traditional {
		return invalid(CheckAPQTraditional, "the KEM of %v is %v", t.ID(), kind)
	}
	if kind := pq.KEMResistance(); kind != ciphersuite.PostQuantum {
		return invalid(CheckAPQPure, "the KEM of %v is %v", pq.ID(), kind)
	}
	if kind := pq.SignatureResistance(); mode == APQAuthenticity && kind != ciphersuite.PostQuantum {
		return invalid(CheckAPQSignatures, "the signatures of %v are %v", pq.ID(), kind)
	}
	return nil
}

// requiresPairs checks that all members have to understand pairs of messages.
func (s *publicState) requiresPairs() error {
	required, err := s.context.extensions.RequiredWireFormats()
	if err != nil {
		return err
	}
	if !slices.Contains(required, WireFormatAPQMessagePair) {
		return invalid(CheckAPQWireFormats, "required_wire_formats of group %x lacks %v", s.context.groupID, WireFormatAPQMessagePair)
	}
	return nil
}

// verifyAPQMembers checks that each client has the same leaf in both groups. It
// looks at those leaves of t that differ from before, or at all if that is nil.
//
// The draft wants the same members. That they stand at the same leaves follows
// where all who come and go do so in both groups, and in the same order, which is
// what this package asks for.
func verifyAPQMembers(t, pq *publicState, before *publicState) error {
	if before == nil && len(t.tree.members()) != len(pq.tree.members()) {
		return invalid(CheckAPQMembers, "the groups have %d and %d members", len(t.tree.members()), len(pq.tree.members()))
	}
	for i, leaf := range t.tree.leaves {
		if before != nil && before.tree.leafNode(i) == leaf {
			continue
		}
		if other := pq.tree.leafNode(i); other == nil || !t.cfg.sameClient(leaf, other) {
			return invalid(CheckAPQClient, "leaf %d is not of the same client in both groups", i)
		}
	}
	return nil
}

// verifyPartial checks a partial commit of the traditional group, which changes
// neither the members nor the APQInfo.
func verifyPartial(before, after, pq *publicState, proposals []CommittedProposal) error {
	for _, p := range proposals {
		if !allowedInPartial(p.Proposal) {
			return invalid(CheckAPQPartial, "a commit in the traditional group alone has a %v", p.Proposal.ProposalType())
		}
	}
	return verifyAPQMembers(after, pq, before)
}

// allowedInPartial reports whether a proposal can be committed in the
// traditional group alone.
func allowedInPartial(p Proposal) bool {
	switch p := p.(type) {
	case *Add, *Remove, *SelfRemove, *ReInit, *ExternalInit, *GroupContextExtensions:
		return false
	case *AppDataUpdate:
		return p.Component != ComponentAPQInfo && p.Component != ComponentAppComponents
	case *PreSharedKey:
		return !isAPQPSK(&p.PSK)
	}
	return true
}

// verifyAPQProposal checks a proposal that waits for a commit. Who comes and goes,
// and what ties the groups together, is settled by commits alone, by value: so
// nobody can make others' commits fall apart.
func verifyAPQProposal(p Proposal, paired bool) error {
	if !allowedInPartial(p) || paired && p.ProposalType() != ProposalUpdate {
		return invalid(CheckAPQProposal, "a %v is proposed", p.ProposalType())
	}
	return nil
}

// verifyFull checks what the two halves of a full commit hold.
func verifyFull(t, pq []CommittedProposal, psk *apqPSK) error {
	named := 0
	for _, p := range t {
		if p, ok := p.Proposal.(*PreSharedKey); ok && isAPQPSK(&p.PSK) {
			named++
		}
	}
	if err := psk.verifyUse(named); err != nil {
		return err
	}
	for _, p := range pq {
		if p, ok := p.Proposal.(*PreSharedKey); ok && isAPQPSK(&p.PSK) {
			return invalid(CheckAPQPSKPlace, "the post-quantum half names a key of the pair")
		}
	}
	for _, p := range slices.Concat(t, pq) {
		if _, ok := p.Proposal.(*ReInit); ok {
			return fmt.Errorf("mls: a pair of groups is re-initialized: %w", ErrUnsupported)
		}
	}
	return nil
}
