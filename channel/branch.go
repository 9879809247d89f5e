package channel

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/mendlink/mendlink/mls"
)

// A group of any size can branch off from a session (RFC 9420, Section 11.3): an MLS
// group whose first members are the two ends, and whose keys both have only because
// they share the session. To the session nothing happens; the two applications
// carry two octet strings from end to end, over the connection or otherwise:
//
//	joiner                                      founder
//	BranchKeyPackage      KeyPackage --->       Branch
//	JoinBranch            <--- Welcome
//
// The Welcome holds the resumption PSK of the epoch that the founder was in. Both
// ends go on meanwhile, so the joiner keeps those PSKs, and nothing else of past epochs, from
// BranchKeyPackage until JoinBranch.

const (
	// maxBranchKeyPackages is how many key packages of an end may wait for their Welcome.
	maxBranchKeyPackages = 4
	// maxBranchEpochs is of how many past epochs a branch can be joined.
	maxBranchEpochs = 16
)

// BranchOptions describe the group that branches off from a session, and this end's
// leaf in it. This end appears under the identity that it has in the session.
type BranchOptions struct {
	// Config is that of the group: its AuthenticationService decides who may be
	// a member, now and later. Required.
	Config *mls.Config
	// Leaf describes this end's leaf further.
	Leaf mls.LeafOptions
	// GroupID and Extensions are those of the group, for the end that founds it.
	// Default: 32 random octets, and none.
	GroupID    []byte
	Extensions mls.Extensions
}

// branches are what an end keeps to join branches. A nil *branches keeps nothing.
type branches struct {
	waiting []branchKeyPackage // the oldest first
	points  []*mls.BranchPoint // of past epochs, likewise
}

// branchKeyPackage is a key package that waits for its Welcome.
type branchKeyPackage struct {
	cfg    *mls.Config
	bundle *mls.KeyPackageBundle
	since  uint64 // the epoch in which it was made
}

// BranchKeyPackage makes a key package, an MLSMessage, for a group that the peer
// founds with it by [Session.Branch]. It can be used once, by [Session.JoinBranch]
// of this Session: a connection that ends takes it along.
//
// While it waits, the resumption PSKs of the last 16 epochs are kept: whoever steals
// them, and the key package's own keys beside them, can enter a branch that is made of
// one of these epochs. At most four key packages wait; another takes the place of the
// oldest. [Session.ForgetBranches] erases them.
//
// Errors: [ErrNotReady], [ErrClosed], and those of the options.
func (s *Session) BranchKeyPackage(o BranchOptions) ([]byte, error) {
	if err := s.mayBranch(&o); err != nil {
		return nil, err
	}
	bundle, err := s.group.BranchKeyPackage(o.Config, o.Leaf)
	if err != nil {
		return nil, fmt.Errorf("channel: making a key package for a branch: %w", err)
	}
	if s.branches == nil {
		s.branches = new(branches)
	}
	s.branches.add(branchKeyPackage{o.Config, bundle, s.group.Epoch()})
	return bundle.Message(), nil
}

// Branch founds a group of the two ends, with the session's cipher suite, from the key
// package that the peer's [Session.BranchKeyPackage] has made, and returns the Welcome by which the
// peer joins it. The peer's identity in it is the one that it shows in the session, and is
// asked about once more. The group is the caller's: others are added to it like to any group of package mls, and
// neither the session's updates nor its end concern it. It is in epoch 1.
//
// Errors: [ErrNotReady], [ErrClosed]; one that matches [ErrBranch] if the key package is
// not the peer's or of another cipher suite, [ErrPeerRefused] if [Config.Validator] does not
// accept the peer any more; those of package mls. The session lives on after any of them.
func (s *Session) Branch(keyPackage []byte, o BranchOptions) (group *mls.Group, welcome []byte, err error) {
	if err := s.mayBranch(&o); err != nil {
		return nil, nil, err
	}
	unverified, err := mls.ParseKeyPackage(keyPackage)
	if err != nil {
		return nil, nil, fmt.Errorf("channel: branching: %w", err)
	}
	if suite := unverified.CipherSuite(); suite != s.Suite().ID() {
		return nil, nil, fmt.Errorf("%w: the key package is for %v, want %v", ErrBranch, suite, s.Suite().ID())
	}
	k, err := unverified.Verify(o.Config)
	if err != nil {
		return nil, nil, fmt.Errorf("channel: branching: %w", err)
	}
	if err := s.verifyBranchPeer(&k.LeafNode); err != nil {
		return nil, nil, err
	}
	pending, err := s.group.Branch(mls.SuccessorOptions{
		Config:      o.Config,
		Leaf:        o.Leaf,
		KeyPackages: []*mls.KeyPackage{k},
		GroupID:     o.GroupID,
		Extensions:  o.Extensions,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("channel: branching: %w", err)
	}
	return pending.Group(), pending.Welcome(), nil
}

// JoinBranch enters the group that the peer has founded by [Session.Branch] with a
// key package of this end's, which is used up. The group has two members: this end
// and the peer, under the identity that it shows in the session, which is asked about once more.
//
// Errors: [ErrNotReady], [ErrClosed]; one that matches [ErrNoBranch] if the Welcome is for no key
// package that waits, [ErrBranchEpoch] if it was made of an epoch that is gone: a new key
// package helps in both cases; [ErrBranch] if the group is another than it has to be, and
// [ErrPeerRefused] if [Config.Validator] does not accept the peer any more, after both of which the
// key package is used up; those of package mls, such as for a Welcome of another session. The session lives on after
// any of them.
func (s *Session) JoinBranch(welcome []byte) (*mls.Group, error) {
	if err := s.mayBranch(nil); err != nil {
		return nil, err
	}
	if s.branches == nil {
		return nil, ErrNoBranch
	}
	points := s.branches.points
	if s.pending != nil { // the peer may be in that epoch already
		ahead := s.pending.group.BranchPoint()
		defer ahead.Erase()
		points = append(points[:len(points):len(points)], ahead)
	}
	for i, k := range s.branches.waiting {
		group, err := mls.Join(k.cfg, welcome, k.bundle, mls.JoinOptions{Previous: s.group, BranchPoints: points})
		switch {
		case breaks(err, mls.CheckWelcomeKeyPackage):
			continue
		case errors.Is(err, mls.ErrUnknownPSK):
			return nil, fmt.Errorf("%w: %w", ErrBranchEpoch, err)
		case err != nil:
			return nil, fmt.Errorf("channel: joining a branch: %w", err)
		}
		s.branches.drop(i)
		if err := s.verifyBranch(group); err != nil {
			group.Erase()
			return nil, err
		}
		return group, nil
	}
	return nil, ErrNoBranch
}

// ForgetBranches erases the key packages that wait for a Welcome, and the PSKs that
// are kept for them.
func (s *Session) ForgetBranches() {
	s.branches.erase()
	s.branches = nil
}

// mayBranch checks that there is a session to branch off from, and the options, if there are some.
func (s *Session) mayBranch(o *BranchOptions) error {
	switch {
	case s.state == StateClosed:
		return ErrClosed
	case !s.state.complete():
		return ErrNotReady
	case o != nil && o.Config == nil:
		return errors.New("channel: BranchOptions needs a Config")
	}
	return nil
}

// verifyBranch checks a group that the peer has founded.
func (s *Session) verifyBranch(g *mls.Group) error {
	if n := len(g.Members()); n != 2 || g.OwnLeaf() != 1 {
		return fmt.Errorf("%w: %d members, own leaf %d; want 2 and leaf 1", ErrBranch, n, g.OwnLeaf())
	}
	return s.verifyBranchPeer(peerLeaf(g))
}

// verifyBranchPeer checks that a leaf in a branch is the peer's: of the identity that
// it shows in the session, and that the validator accepts now. Another identity would need the validator's word that it may
// take the place of that one, and that is what updates are for.
func (s *Session) verifyBranchPeer(leaf *mls.LeafNode) error {
	peer := peerLeaf(s.group)
	if !bytes.Equal(leaf.SignatureKey, peer.SignatureKey) || !leaf.Credential.Equal(peer.Credential) {
		return fmt.Errorf("%w: the other member has the signature key %s, and the peer %s, or their credentials differ",
			ErrBranch, Fingerprint(leaf.SignatureKey), Fingerprint(peer.SignatureKey))
	}
	return s.mls.AuthenticationService.ValidateLeaf(leaf, nil)
}

func (b *branches) add(k branchKeyPackage) {
	if len(b.waiting) == maxBranchKeyPackages {
		b.drop(0)
	}
	b.waiting = append(b.waiting, k)
}

// drop erases a key package, and the PSKs that are of no more use without it.
func (b *branches) drop(i int) {
	b.waiting[i].bundle.Erase()
	b.waiting = append(b.waiting[:i:i], b.waiting[i+1:]...)
	for len(b.points) > 0 && (len(b.waiting) == 0 || b.points[0].Epoch() < b.waiting[0].since) {
		b.points[0].Erase()
		b.points = b.points[1:]
	}
}

// leave keeps what a branch of an epoch needs that is about to be erased.
func (b *branches) leave(g *mls.Group) {
	if b == nil || len(b.waiting) == 0 {
		return
	}
	if len(b.points) == maxBranchEpochs {
		b.points[0].Erase()
		b.points = b.points[1:]
	}
	b.points = append(b.points, g.BranchPoint())
}

func (b *branches) erase() {
	for b != nil && len(b.waiting) > 0 {
		b.drop(0)
	}
}
