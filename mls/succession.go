package mls

import (
	"bytes"
	"fmt"
)

// SuccessorOptions describe the group that continues another.
type SuccessorOptions struct {
	// Identity is the creator's in the new group. Default: credential and
	// signer of the old one, which have to suit the new group's cipher suite.
	Identity Identity
	// Leaf describes the creator's leaf further.
	Leaf LeafOptions
	// Config is that of the new group. Default: that of the old one.
	Config *Config
	// KeyPackages are fresh ones of all other members of the new group, for its
	// cipher suite.
	KeyPackages []*KeyPackage
	// GroupID and Extensions are those of a branch. Default (nil): 32 random octets,
	// and none. A re-initialized group has those of the ReInit proposal.
	GroupID    []byte
	Extensions Extensions
	// WithoutTree leaves the ratchet_tree extension out of the Welcome.
	WithoutTree bool
}

// ReInitialize makes the group that takes the place of g, which a commit with a
// ReInit proposal has closed. All members of g have to be members of it. The
// Welcome of the result is for them; nobody needs its commit.
// RFC 9420, Section 11.2.
func (g *Group) ReInitialize(o SuccessorOptions) (*PendingCommit, error) {
	if g.erased {
		return nil, fmt.Errorf("mls: re-initializing: %w", ErrErased)
	}
	if g.reInit == nil {
		return nil, fmt.Errorf("mls: re-initializing: %w", ErrNotClosed)
	}
	if g.reInit.Version != MLS10 {
		return nil, fmt.Errorf("mls: re-initializing to version %d: %w", g.reInit.Version, ErrUnsupported)
	}
	// Not nil even if it is empty: that would be a random ID.
	groupID := append([]byte{}, g.reInit.GroupID...)
	return g.succeed(ResumptionReInit, o, GroupOptions{
		Suite: g.reInit.CipherSuite, GroupID: groupID, Extensions: g.reInit.Extensions,
	})
}

// Branch makes a group of some of g's members, with the same cipher suite. g
// lives on. The Welcome of the result is for the others; nobody needs its
// commit. RFC 9420, Section 11.3.
func (g *Group) Branch(o SuccessorOptions) (*PendingCommit, error) {
	if err := g.usable(); err != nil {
		return nil, err
	}
	return g.succeed(ResumptionBranch, o, GroupOptions{
		Suite: g.suite.ID(), GroupID: o.GroupID, Extensions: o.Extensions,
	})
}

func (g *Group) succeed(usage ResumptionPSKUsage, o SuccessorOptions, group GroupOptions) (*PendingCommit, error) {
	group.Identity, group.Leaf = o.Identity, o.Leaf
	if group.Identity.Signer == nil {
		group.Identity = g.ownIdentity()
	}
	cfg := o.Config
	if cfg == nil {
		cfg = g.cfg
	}
	first, err := NewGroup(cfg, group)
	if err != nil {
		return nil, err
	}
	defer first.Erase()
	first.succession, first.predecessor = usage, g
	psk := PreSharedKeyID{Type: PSKResumption, Usage: usage, Group: g.context.groupID, Epoch: g.context.epoch}
	proposals := []Proposal{&PreSharedKey{PSK: psk}}
	for _, k := range o.KeyPackages {
		proposals = append(proposals, &Add{KeyPackage: k})
	}
	pending, err := first.Commit(CommitOptions{Proposals: proposals, WithoutTree: o.WithoutTree})
	if err != nil {
		return nil, err
	}
	next := pending.Group()
	s := &succession{usage: usage, previous: g, members: &g.publicState, epoch: g.context.epoch}
	if err := s.verify(&next.publicState); err != nil {
		pending.Erase()
		return nil, err
	}
	return pending, nil
}

// A succession is how a Welcome says that its group continues another.
type succession struct {
	usage    ResumptionPSKUsage // zero: it does not
	previous *Group
	epoch    uint64       // of previous
	point    *BranchPoint // of that epoch; nil: previous has its PSK, or nobody
	members  *publicState // of previous, in the epoch that is known best
}

// successionOf returns the succession that the PSKs of a Welcome stand for.
func successionOf(psks []PreSharedKeyID, previous *Group, points []*BranchPoint) (*succession, error) {
	s := new(succession)
	for i := range psks {
		id := &psks[i]
		if id.Type != PSKResumption || id.Usage == ResumptionApplication {
			continue
		}
		if s.usage != 0 {
			return nil, invalid(CheckWelcomePSKUsage, "more than one resumption PSK for re-initialization or branching")
		}
		if previous == nil || !bytes.Equal(id.Group, previous.context.groupID) {
			return nil, invalid(CheckWelcomePSKUsage, "the group continues %x, which is not JoinOptions.Previous", id.Group)
		}
		s.usage, s.epoch = id.Usage, id.Epoch
	}
	if s.usage == 0 && previous != nil {
		return nil, invalid(CheckWelcomePSKUsage, "the group does not continue JoinOptions.Previous")
	}
	if previous == nil {
		return s, nil
	}
	s.previous, s.members = previous, &previous.publicState
	for _, p := range points {
		if s.usage == ResumptionBranch && p.Epoch() == s.epoch && bytes.Equal(p.state.context.groupID, previous.context.groupID) {
			s.point, s.members = p, &p.state
		}
	}
	return s, nil
}

// resumptionPSK answers for the PSKs of the previous group.
func (s *succession) resumptionPSK(id *PreSharedKeyID) []byte {
	switch {
	case s.previous == nil:
		return nil
	case s.point != nil && id.Type == PSKResumption && id.Epoch == s.epoch && bytes.Equal(id.Group, s.members.context.groupID):
		return s.point.psk
	}
	return s.previous.resumptionPSK(id)
}

// verify checks that next is what the previous group was to become.
// RFC 9420, Sections 11.2, 11.3 and 12.4.3.1.
func (s *succession) verify(next *publicState) error {
	if s.usage == 0 {
		return nil
	}
	if next.context.epoch != 1 {
		return invalid(CheckSuccessionEpoch, "epoch is %d, want 1", next.context.epoch)
	}
	if s.usage == ResumptionReInit {
		if err := s.verifyReInit(next); err != nil {
			return err
		}
		return verifyContains(CheckReInitMembers, next, s.members)
	}
	if next.suite.ID() != s.previous.suite.ID() {
		return invalid(CheckBranchSuite, "suite is %v, want %v", next.suite.ID(), s.previous.suite.ID())
	}
	return verifyContains(CheckBranchMembers, s.members, next)
}

// verifyReInit checks the parameters of a re-initialized group.
func (s *succession) verifyReInit(next *publicState) error {
	r := s.previous.reInit
	if r == nil || s.epoch != s.previous.context.epoch {
		return invalid(CheckReInitCommit, "the last commit of the previous group, to epoch %d, has no ReInit", s.epoch)
	}
	if !bytes.Equal(next.context.groupID, r.GroupID) {
		return invalid(CheckReInitGroupID, "group ID is %x, want %x", next.context.groupID, r.GroupID)
	}
	if r.Version != MLS10 {
		return invalid(CheckReInitVersion, "version is %d, want %d", MLS10, r.Version)
	}
	if next.suite.ID() != r.CipherSuite {
		return invalid(CheckReInitSuite, "suite is %v, want %v", next.suite.ID(), r.CipherSuite)
	}
	if !bytes.Equal(marshal(next.context.extensions), marshal(r.Extensions)) {
		return invalid(CheckReInitExtensions, "the extensions are not those of the ReInit")
	}
	return nil
}

// verifyContains checks that each member of part has a leaf of the same client
// in whole.
func verifyContains(check Check, whole, part *publicState) error {
	for i, leaf := range part.tree.leaves {
		found := false
		for _, candidate := range whole.tree.leaves {
			if found = part.cfg.sameClient(candidate, leaf); found {
				break
			}
		}
		if !found {
			return invalid(check, "the client of leaf %d is not in both groups", i)
		}
	}
	return nil
}
