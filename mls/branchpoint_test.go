package mls

import (
	"errors"
	"slices"
	"testing"
)

// members go on while a branch of an epoch before is on its way to one of them.
func TestABranchIsJoinedByAMemberThatHasGoneOn(t *testing.T) {
	c := newCrowd(t, suite1, 3)
	founder, joiner := c.members[0], c.members[1]
	var asked []*LeafNode
	cfg := *joiner.cfg
	cfg.proposals, cfg.AuthenticationService = nil, askedService{joiner.cfg.AuthenticationService, &asked}
	bundle, err := joiner.g.BranchKeyPackage(&cfg, LeafOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if leaf := bundle.KeyPackage().LeafNode; !slices.Equal(leaf.SignatureKey, joiner.g.Leaf(joiner.g.OwnLeaf()).SignatureKey) {
		t.Error("the key package is under another identity than the group's")
	}
	pending, err := founder.g.Branch(SuccessorOptions{KeyPackages: []*KeyPackage{bundle.KeyPackage()}})
	if err != nil {
		t.Fatal(err)
	}
	made := founder.g.Epoch()
	earlier := joiner.g.BranchPoint()
	c.commit(2, CommitOptions{})
	later := c.members[1].g.BranchPoint()
	c.commit(2, CommitOptions{})
	joiner = c.members[1]
	joiner.g.pastResumptionPSKs = nil // the crowd's Config keeps some
	if earlier.Epoch() != made || later.Epoch() != made+1 {
		t.Fatalf("branch points of epochs %d and %d, want %d and %d", earlier.Epoch(), later.Epoch(), made, made+1)
	}
	another := newCrowd(t, suite1, 2).members[0].g.BranchPoint()
	another.state.context.epoch, another.state.context.groupID = made, []byte("another")
	for name, points := range map[string][]*BranchPoint{"none": nil, "of a later epoch": {later}, "of another group": {another}} {
		if _, err := Join(&cfg, pending.Welcome(), bundle, JoinOptions{Previous: joiner.g, BranchPoints: points}); !errors.Is(err, ErrUnknownPSK) {
			t.Errorf("branch points %s: error %v, want %v", name, err, ErrUnknownPSK)
		}
	}
	branch, err := Join(&cfg, pending.Welcome(), bundle, JoinOptions{Previous: joiner.g, BranchPoints: []*BranchPoint{later, earlier}})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(branch.EpochAuthenticator(), pending.Group().EpochAuthenticator()) {
		t.Error("the members of the branch are not in one epoch")
	}
	if len(asked) == 0 {
		t.Error("the branch's own Authentication Service was not asked")
	}
}

func TestAnErasedBranchPointOpensNothing(t *testing.T) {
	c := newCrowd(t, suite1, 2)
	bundle, err := c.members[1].g.BranchKeyPackage(c.members[1].cfg, LeafOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pending, err := c.members[0].g.Branch(SuccessorOptions{KeyPackages: []*KeyPackage{bundle.KeyPackage()}})
	if err != nil {
		t.Fatal(err)
	}
	point := c.members[1].g.BranchPoint()
	secret := point.psk
	c.commit(0, CommitOptions{})
	c.members[1].g.pastResumptionPSKs = nil
	point.Erase()
	if !slices.Equal(secret, make([]byte, len(secret))) {
		t.Error("the PSK is still there")
	}
	if _, err := Join(c.members[1].cfg, pending.Welcome(), bundle, JoinOptions{Previous: c.members[1].g, BranchPoints: []*BranchPoint{point}}); !errors.Is(err, ErrUnknownPSK) {
		t.Errorf("error %v, want %v", err, ErrUnknownPSK)
	}
	c.members[1].g.Erase()
	if c.members[1].g.BranchPoint() != nil {
		t.Error("an erased group has a branch point")
	}
	if _, err := c.members[1].g.BranchKeyPackage(c.members[1].cfg, LeafOptions{}); !errors.Is(err, ErrErased) {
		t.Errorf("error %v, want %v", err, ErrErased)
	}
}

// A branch may have another configuration than the group that it branches off from.
func TestABranchHasItsOwnConfig(t *testing.T) {
	c := newCrowd(t, suite1, 2)
	var asked []*LeafNode
	cfg := *c.members[0].cfg
	cfg.proposals, cfg.AuthenticationService = nil, askedService{c.members[0].cfg.AuthenticationService, &asked}
	bundle, err := c.members[1].g.BranchKeyPackage(c.members[1].cfg, LeafOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pending, err := c.members[0].g.Branch(SuccessorOptions{Config: &cfg, KeyPackages: []*KeyPackage{bundle.KeyPackage()}})
	if err != nil {
		t.Fatal(err)
	}
	if len(asked) != 1 || !slices.Equal(asked[0].SignatureKey, bundle.KeyPackage().LeafNode.SignatureKey) {
		t.Errorf("the branch's Authentication Service was asked about %d leaves, want the joiner's alone", len(asked))
	}
	pending.Erase()
	if _, err := c.members[0].g.Branch(SuccessorOptions{Config: &Config{}}); err == nil {
		t.Error("an unusable Config was taken")
	}
}

// askedService notes whom it is asked about.
type askedService struct {
	AuthenticationService
	asked *[]*LeafNode
}

func (s askedService) ValidateLeaf(leaf, previous *LeafNode) error {
	*s.asked = append(*s.asked, leaf)
	return s.AuthenticationService.ValidateLeaf(leaf, previous)
}
