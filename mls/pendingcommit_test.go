package mls

import (
	"bytes"
	"testing"
)

func (d *device) commitDetached(o CommitOptions) *PendingCommit {
	d.f.t.Helper()
	var p *PendingCommit
	d.do("prepares a commit", func() (err error) {
		p, err = d.m.CommitDetached(background, o)
		return err
	})
	return p
}

func TestOneOfSeveralDetachedCommitsIsAdopted(t *testing.T) {
	f := newFleet(t, 3)
	d := f.devices[1]
	var prepared []*PendingCommit
	for i := range 3 {
		prepared = append(prepared, d.commitDetached(CommitOptions{AuthenticatedData: []byte{byte(i)}}))
	}
	d.restart()
	for i, p := range prepared {
		for j, q := range prepared {
			if p.Is(q.Message()) != (i == j) {
				t.Errorf("commit %d is commit %d: %t", i, j, i != j)
			}
		}
	}
	chosen := prepared[1]
	f.broadcast(d, chosen.Message())
	d.do("adopts", func() error { return d.m.Adopt(background, chosen) })
	f.checkAgreement()
	f.checkMessages()
	remembered, stored := d.remembers(), d.stored()
	wantError(t, "adopting one that was not chosen", d.m.Adopt(background, prepared[0]), ErrNoCommitPending)
	wantError(t, "adopting again", d.m.Adopt(background, chosen), ErrErased)
	prepared[2].Erase()
	wantError(t, "adopting one that was dropped", d.m.Adopt(background, prepared[2]), ErrErased)
	d.sameAs("refusals", remembered, stored)
	f.checkAgreement()
}

// What the caller has erased must not take the place of the group, in the epoch
// that it was made in either.
func TestAnErasedCommitIsNotAdopted(t *testing.T) {
	f := newFleet(t, 2)
	d := f.devices[1]
	p := d.commitDetached(CommitOptions{})
	p.Erase()
	remembered, stored := d.remembers(), d.stored()
	wantError(t, "adopting", d.m.Adopt(background, p), ErrErased)
	d.sameAs("a refusal", remembered, stored)
	_, err := p.Marshal()
	wantError(t, "marshalling", err, ErrErased)
	f.commit(1, CommitOptions{})
}

func TestDetachedCommitsGoByTheEpochAndTheGroup(t *testing.T) {
	f, other := newFleet(t, 2), otherFleet(t, 2)
	stale, foreign := f.devices[1].commitDetached(CommitOptions{}), other.devices[1].commitDetached(CommitOptions{})
	wantError(t, "adopting another group's", f.devices[1].m.Adopt(background, foreign), ErrNoCommitPending)
	f.commit(0, CommitOptions{})
	wantError(t, "adopting a stale one", f.devices[1].m.Adopt(background, stale), ErrNoCommitPending)
	f.devices[1].restart()
	f.checkMessages()
}

func TestOnlyOneCommitIsPending(t *testing.T) {
	f := newFleet(t, 2)
	d := f.devices[1]
	wantError(t, "accepting nothing", d.m.Accept(background), ErrNoCommitPending)
	wantError(t, "dropping nothing", d.m.Drop(background), nil)
	if out, err := d.m.Pending(); out != nil || err != nil {
		t.Errorf("pending: %v, %v", out, err)
	}
	out := d.commit(CommitOptions{})
	d.restart()
	remembered, stored := d.remembers(), d.stored()
	_, err := d.m.Commit(background, CommitOptions{})
	wantError(t, "committing again", err, ErrCommitPending)
	d.sameAs("a refusal", remembered, stored)
	f.devices[0].process(out.Commit)
	d.accept()
	wantError(t, "accepting again", d.m.Accept(background), ErrNoCommitPending)
	d.refuses(out.Commit, ErrWrongEpoch) // it comes back late
	f.checkAgreement()
}

// A commit that was dropped is no more: when it comes back all the same, the member
// cannot follow, and stays as it is.
func TestADroppedCommitIsAnotherMessageOfOnesOwn(t *testing.T) {
	forEachFormat(t, func(t *testing.T, format WireFormat) {
		f := newFleet(t, 2)
		d := f.devices[1]
		out := d.commit(CommitOptions{WireFormat: format})
		d.do("drops", func() error { return d.m.Drop(background) })
		d.refuses(out.Commit, ErrOwnMessage)
		f.commit(0, CommitOptions{})
		f.checkMessages()
	})
}

func TestPendingCommitsRoundTrip(t *testing.T) {
	c := newCrowd(t, suite1, 4)
	c.psks["key"] = []byte("a pre-shared key")
	c.propose(0, &Remove{Removed: 3})
	newID := c.newClient().id
	psk := &PreSharedKey{PSK: PreSharedKeyID{Type: PSKExternal, ID: []byte("key")}}
	reInit := &ReInit{GroupID: []byte("next"), Version: MLS10, CipherSuite: suite1}
	for name, test := range map[string]struct {
		o    CommitOptions
		want []CommittedProposal // but for their contents
	}{
		"by reference": {CommitOptions{}, []CommittedProposal{{&Remove{}, Sender{SenderMember, 0, 0}, true}}},
		"without path": {CommitOptions{Proposals: []Proposal{psk}, OmitPath: true, WithoutPending: true}, []CommittedProposal{{psk, Sender{SenderMember, 1, 0}, false}}},
		"new identity": {CommitOptions{Leaf: LeafChanges{Identity: &newID}, WithoutPending: true}, nil},
		"re-initialize": {CommitOptions{Proposals: []Proposal{reInit}, WithoutPending: true, WireFormat: WireFormatPublicMessage},
			[]CommittedProposal{{reInit, Sender{SenderMember, 1, 0}, false}}},
		"everything": {CommitOptions{Proposals: []Proposal{c.invite(LeafOptions{}), psk}, AuthenticatedData: []byte("more")},
			[]CommittedProposal{{&Remove{}, Sender{SenderMember, 0, 0}, true}, {&Add{}, Sender{SenderMember, 1, 0}, false}, {psk, Sender{SenderMember, 1, 0}, false}}},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := c.members[1].clone(t).Commit(test.o)
			if err != nil {
				t.Fatal(err)
			}
			state, err := p.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			signer := c.members[1].id.Signer
			if test.o.Leaf.Identity != nil {
				if _, err := RestorePendingCommit(c.members[1].cfg, signer, state); err == nil {
					t.Error("restored with the signer of the epoch before")
				}
				signer = newID.Signer
			}
			given := bytes.Clone(state)
			q, err := RestorePendingCommit(c.members[1].cfg, signer, given)
			if err != nil {
				t.Fatal(err)
			}
			wantEqual(t, "what was given", given, state)
			clear(given)
			again, err := q.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			wantEqual(t, "restored commit", again, state)
			wantEqual(t, "message", q.Message(), p.Message())
			wantEqual(t, "Welcome", q.Welcome(), p.Welcome())
			wantEqual(t, "tree", q.RatchetTree(), p.RatchetTree())
			if (q.Welcome() == nil) != (p.Welcome() == nil) || !q.Is(p.Message()) || q.Is(p.Message()[1:]) {
				t.Error("the restored commit is another")
			}
			for _, commit := range []*PendingCommit{p, q} {
				got := commit.Proposals()
				if len(got) != len(test.want) {
					t.Fatalf("%d proposals, want %d", len(got), len(test.want))
				}
				for i, want := range test.want {
					if got[i].Proposal.ProposalType() != want.Proposal.ProposalType() || got[i].Sender != want.Sender || got[i].ByReference != want.ByReference {
						t.Errorf("proposal %d is %+v, want %+v", i, got[i], want)
					}
				}
			}

			// It leads to where the others go.
			received, err := c.members[2].clone(t).Process(q.Message())
			if err != nil {
				t.Fatal(err)
			}
			wantEqual(t, "epoch authenticator", q.Group().EpochAuthenticator(), received.(*ReceivedCommit).Group().EpochAuthenticator())
			for n := range len(state) {
				if _, err := RestorePendingCommit(c.members[1].cfg, signer, state[:n]); err == nil {
					t.Fatalf("restored from the first %d octets", n)
				}
			}
			state[0] ^= 0xff
			_, err = RestorePendingCommit(c.members[1].cfg, signer, state)
			wantError(t, "another version", err, ErrUnsupported)
		})
	}
}
