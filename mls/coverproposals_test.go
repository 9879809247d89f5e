package mls

import (
	"slices"
	"testing"
	"time"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// TestCommitLeavesOutWhatDoesNotFit has members propose things that are bad or
// contradict one another: nobody is kept from committing, and the rest goes in.
func TestCommitLeavesOutWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		propose func(c *crowd)
		want    []ProposalType
	}{
		"a Remove of the committer": {func(c *crowd) {
			c.propose(1, &Remove{Removed: 0})
		}, nil},
		"two Removes of a leaf": {func(c *crowd) {
			c.propose(1, &Remove{Removed: 3})
			c.propose(2, &Remove{Removed: 3})
		}, []ProposalType{ProposalRemove}},
		"an Update and a Remove of a leaf": {func(c *crowd) {
			c.proposeUpdate(3, LeafChanges{})
			c.propose(1, &Remove{Removed: 3})
		}, []ProposalType{ProposalRemove}},
		"a ReInit among others": {func(c *crowd) {
			c.propose(1, &ReInit{GroupID: []byte("next"), Version: MLS10, CipherSuite: ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519})
			c.propose(2, &Remove{Removed: 3})
		}, []ProposalType{ProposalRemove}},
		"two changes of the GroupContext": {func(c *crowd) {
			c.propose(1, &GroupContextExtensions{})
			c.propose(2, &GroupContextExtensions{})
		}, []ProposalType{ProposalGroupContextExtensions}},
		"all good": {func(c *crowd) {
			c.proposeUpdate(1, LeafChanges{})
			c.proposeUpdate(2, LeafChanges{})
			c.propose(2, &Remove{Removed: 3})
		}, []ProposalType{ProposalRemove, ProposalUpdate, ProposalUpdate}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCrowd(t, ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519, 5)
			test.propose(c)
			proposed := len(c.members[0].g.PendingProposals())
			pending, err := c.members[0].g.Commit(CommitOptions{})
			if err != nil {
				t.Fatal(err)
			}
			received, err := c.members[4].g.Process(pending.Message())
			if err != nil {
				t.Fatal(err)
			}
			var got []ProposalType
			for _, p := range received.(*ReceivedCommit).Proposals {
				got = append(got, p.Proposal.ProposalType())
			}
			slices.Sort(got)
			slices.Sort(test.want)
			if !slices.Equal(got, test.want) {
				t.Errorf("of %d proposals the commit covers %v, want %v", proposed, got, test.want)
			}
		})
	}
}

// TestCommitLeavesOutWhatHasRunOut has a key package run out while its Add waits:
// nobody who joins later would accept its leaf. A member that was restarted, and verifies
// the Add once more, accepts the commit as the others do.
func TestCommitLeavesOutWhatHasRunOut(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519, 3)
	c.propose(1, c.invite(LeafOptions{Lifetime: LifetimeFrom(c.now, time.Minute)}))
	c.propose(1, c.invite(LeafOptions{Lifetime: LifetimeFrom(c.now, time.Hour)}))
	c.members[2].g = c.members[2].clone(t)
	c.invited = c.invited[1:]
	c.now = c.now.Add(time.Minute + time.Second)
	c.commit(0, CommitOptions{})
	c.wantMembers("client 0", "client 1", "client 2", "client 4")
	c.add(0, 1)
	c.checkMessages()
}

// TestCommitPrefersTheNewestUpdate has a member propose two Updates.
func TestCommitPrefersTheNewestUpdate(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519, 3)
	c.proposeUpdate(1, LeafChanges{})
	c.proposeUpdate(1, LeafChanges{})
	newest := c.members[0].g.PendingProposals()[1].Proposal.(*Update).LeafNode
	c.commit(0, CommitOptions{})
	if got := c.members[2].g.tree.leafNode(1); string(got.EncryptionKey) != string(newest.EncryptionKey) {
		t.Error("an older Update was committed")
	}
	c.checkAgreement()
}

// TestCommitRefusesTheCallersOwnBadProposal does not leave that out in silence.
func TestCommitRefusesTheCallersOwnBadProposal(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519, 3)
	c.propose(1, &Remove{Removed: 2})
	_, err := c.members[0].g.Commit(CommitOptions{Proposals: []Proposal{&Remove{Removed: 7}}})
	wantCheck(t, err, CheckProposalRemoveBlank)
}
