package mls

import (
	"errors"
	"testing"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// A member that has seen a proposal commits before it sends application data.
// RFC 9420, Section 12.4.
func TestApplicationDataWaitsForPendingProposals(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519, 3)
	c.propose(1, &Remove{Removed: 2})
	for i, m := range c.members[:2] { // who proposed, and who received
		before := mustMarshal(t, m.g)
		if _, err := m.g.Protect([]byte("data"), nil); !errors.Is(err, ErrPendingProposals) {
			t.Errorf("member %d: Protect: %v, want %v", i, err, ErrPendingProposals)
		}
		if string(mustMarshal(t, m.g)) != string(before) {
			t.Errorf("member %d: Protect failed and changed the state", i)
		}
	}
	c.commit(0, CommitOptions{})
	if _, err := c.members[0].g.Protect([]byte("data"), nil); err != nil {
		t.Errorf("Protect after the commit: %v", err)
	}
}

// What changes in the committer's leaf travels in the path, so there is one.
func TestLeafChangesNeedAPathEvenIfItIsToBeOmitted(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519, 2)
	add := c.invite(LeafOptions{})
	capabilities := c.members[0].g.tree.leafNode(0).Capabilities
	capabilities.Extensions = append(capabilities.Extensions, 0xFAFA)
	pending, err := c.members[0].g.Commit(CommitOptions{
		Proposals: []Proposal{add},
		OmitPath:  true,
		Leaf:      LeafChanges{Capabilities: &capabilities},
	})
	if err != nil {
		t.Fatal(err)
	}
	received, err := c.members[1].g.Process(pending.Message())
	if err != nil {
		t.Fatal(err)
	}
	next := received.(*ReceivedCommit).Group()
	if !next.tree.leafNode(0).Capabilities.supportsExtension(0xFAFA) {
		t.Error("the change of the leaf was dropped")
	}
}

func TestIdentityWithoutASignerIsAnError(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519, 2)
	g := c.members[0].g
	if _, err := g.Commit(CommitOptions{Leaf: LeafChanges{Identity: new(Identity)}}); err == nil {
		t.Error("Commit made a leaf without a key")
	}
	if _, err := g.ProposeUpdate(LeafChanges{Identity: new(Identity)}, ProposeOptions{}); err == nil {
		t.Error("ProposeUpdate made a leaf without a key")
	}
	if _, err := RestoreGroup(g.cfg, nil, mustMarshal(t, g)); err == nil {
		t.Error("RestoreGroup took no signer")
	}
	if _, err := NewGroup(g.cfg, GroupOptions{Suite: c.suite.ID()}); err == nil {
		t.Error("NewGroup made a leaf without a key")
	}
}

func TestGroupsShareAConfigWithDefaults(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519, 2)
	g := c.members[0].g
	own := Config{AuthenticationService: g.cfg.AuthenticationService, Now: g.cfg.Now}
	shared, err := own.WithDefaults()
	if err != nil {
		t.Fatal(err)
	}
	for cfg, share := range map[*Config]bool{shared: true, &own: false} {
		restored, err := RestoreGroup(cfg, g.signer, mustMarshal(t, g))
		if err != nil {
			t.Fatal(err)
		}
		if (restored.cfg == cfg) != share {
			t.Errorf("a group shares its Config: %t, want %t", !share, share)
		}
	}
	if _, err := new(Config).WithDefaults(); err == nil {
		t.Error("a Config without an AuthenticationService has defaults")
	}
}
