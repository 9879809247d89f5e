package mls

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"
)

// selfRemoveCrowd is a group of n members that all support SelfRemove.
func selfRemoveCrowd(t failer, n int) *crowd {
	t.Helper()
	c := emptyCrowd(t, suite1)
	c.configure = func(cfg *Config) { cfg.SelfRemove = true }
	c.found(GroupOptions{})
	if n > 1 {
		c.add(0, n-1)
	}
	return c
}

// leaves has a member send a SelfRemove to everybody.
func (c *crowd) leaves(by int) []byte {
	c.t.Helper()
	message, err := c.members[by].g.Propose(&SelfRemove{}, ProposeOptions{})
	if err != nil {
		c.t.Fatalf("%s leaves: %v", c.members[by].name, err)
	}
	c.broadcast(by, message)
	return message
}

// wantMembers checks that names are the members.
func (c *crowd) wantMembers(names ...string) {
	c.t.Helper()
	var got []string
	for _, m := range c.members[0].g.Members() {
		got = append(got, string(m.Leaf.Credential.Identity))
	}
	if len(got) != len(names) {
		c.t.Fatalf("members are %q, want %q", got, names)
	}
	for i := range got {
		if got[i] != names[i] {
			c.t.Fatalf("members are %q, want %q", got, names)
		}
	}
}

func TestMembersRemoveThemselves(t *testing.T) {
	c := selfRemoveCrowd(t, 5)
	o := c.observer(0)
	message := c.leaves(4)
	if h, err := ParseHeader(message); err != nil || h.WireFormat != WireFormatPublicMessage {
		t.Errorf("SelfRemove is sent in a %v, %v", h.WireFormat, err)
	}
	if _, err := o.Process(message); err != nil {
		t.Fatal(err)
	}
	c.restart() // the proposal waits
	pending, err := c.members[1].g.Commit(CommitOptions{WireFormat: WireFormatPublicMessage, OmitPath: true})
	if err != nil {
		t.Fatal(err)
	}
	received := c.process(4, pending.Message()).(*ReceivedCommit)
	if !received.Removed || !received.HasPath || received.Proposals[0].Proposal.ProposalType() != ProposalSelfRemove || received.Proposals[0].Sender.Leaf != 4 {
		t.Errorf("the one who leaves receives %+v", received)
	}
	seen, err := o.Process(pending.Message())
	if err != nil {
		t.Fatal(err)
	}
	c.deliver(1, pending)
	c.wantMembers("client 0", "client 1", "client 2", "client 3")
	c.wantSameView(seen.(*ObservedCommit).Observer())
	c.checkMessages()

	// Two leave, one is removed beside them, one is added in their place.
	c.leaves(0)
	c.leaves(3)
	c.propose(1, &Remove{Removed: 2})
	c.commit(1, CommitOptions{Proposals: []Proposal{c.invite(LeafOptions{})}})
	c.wantMembers("client 6", "client 1") // client 5 is the observer
	c.checkMessages()
}

// Whoever joins from outside takes those along who are leaving.
// draft-ietf-mls-extensions, Section 6.3.1.
func TestExternalCommitsCoverSelfRemoves(t *testing.T) {
	c := selfRemoveCrowd(t, 5)
	o := c.observer(0)
	var pending [][]byte
	for _, by := range []int{2, 4} {
		pending = append(pending, c.leaves(by))
		if _, err := o.Process(pending[len(pending)-1]); err != nil {
			t.Fatal(err)
		}
	}
	joiner := c.newClient()
	external := c.externalJoin(0, joiner, ExternalJoinOptions{SelfRemoves: append(pending, pending[0])})
	seen, err := o.Process(external.Message())
	if err != nil {
		t.Fatal(err)
	}
	var stay []*client
	for i, m := range c.members {
		received := c.process(i, external.Message()).(*ReceivedCommit)
		if received.Removed != (i == 2 || i == 4) || len(received.Proposals) != 3 {
			t.Errorf("%s receives %+v", m.name, received)
		}
		if next := received.Group(); next != nil {
			m.adopt(next)
			stay = append(stay, m)
		}
	}
	joiner.g = external.Group()
	c.members = append(stay, joiner)
	c.checkAgreement()
	c.wantMembers("client 0", "client 1", joiner.name, "client 3")
	c.wantSameView(seen.(*ObservedCommit).Observer())
	c.checkMessages()
}

// Who comes back in the place of a leaf that is leaving needs no Remove for it.
func TestResyncOfALeafThatLeaves(t *testing.T) {
	c := selfRemoveCrowd(t, 3)
	lost := c.members[2]
	message := c.leaves(2)
	joiner := c.newClient()
	joiner.id.Credential = lost.id.Credential
	c.joinExternal(0, joiner, ExternalJoinOptions{
		SelfRemoves: [][]byte{message}, Resync: func(leaf *LeafNode) bool { return leaf.Credential.Equal(lost.id.Credential) },
	})
	c.wantMembers("client 0", "client 1", "client 2")
	c.checkMessages()
}

// draft-ietf-mls-extensions, Section 6.3.1.
func TestSelfRemovesAreAppliedBetweenUpdatesAndRemoves(t *testing.T) {
	cfg, err := (&Config{AuthenticationService: acceptAll{}, Now: time.Now, SelfRemove: true}).WithDefaults()
	if err != nil {
		t.Fatal(err)
	}
	order := cfg.proposals.order
	at := slices.Index(order, ProposalSelfRemove)
	if at < 1 || order[at-1] != ProposalUpdate || order[at+1] != ProposalRemove || len(order) != len(builtinProposals.order)+1 {
		t.Errorf("the order is %v", order)
	}
}

// All may leave while somebody joins.
func TestEverybodyLeaves(t *testing.T) {
	c := selfRemoveCrowd(t, 3)
	var pending [][]byte
	for i := range c.members {
		pending = append(pending, c.leaves(i))
	}
	joiner := c.newClient()
	c.joinExternal(0, joiner, ExternalJoinOptions{SelfRemoves: pending})
	c.wantMembers(joiner.name)
	c.add(0, 2)
	c.checkMessages()
}

// The one who leaves cannot commit that, but may commit other things.
func TestASelfRemoveIsCommittedByOthers(t *testing.T) {
	c := selfRemoveCrowd(t, 3)
	c.leaves(2)
	c.propose(1, &Remove{Removed: 0})
	pending, err := c.members[2].g.Commit(CommitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := pending.Group().Members(); len(got) != 2 || got[1].Index != 2 {
		t.Errorf("%d members after a commit of the one who leaves", len(got))
	}
	c.deliver(2, pending)
	// The proposal is over with its epoch.
	c.leaves(1)
	c.commit(0, CommitOptions{})
	c.wantMembers("client 1")
}

// What does not go with a SelfRemove is left out of a commit, and not the
// SelfRemove. draft-ietf-mls-extensions, Section 6.3.1.
func TestASelfRemoveComesFirst(t *testing.T) {
	c := selfRemoveCrowd(t, 4)
	c.proposeUpdate(3, LeafChanges{})
	c.propose(1, &Remove{Removed: 3})
	c.leaves(3)
	pending, err := c.members[0].g.Commit(CommitOptions{WireFormat: WireFormatPublicMessage})
	if err != nil {
		t.Fatal(err)
	}
	covered := c.process(1, pending.Message()).(*ReceivedCommit).Proposals
	if len(covered) != 1 || covered[0].Proposal.ProposalType() != ProposalSelfRemove {
		t.Errorf("covered are %+v", covered)
	}
	c.deliver(0, pending)
	c.wantMembers("client 0", "client 1", "client 2")
}

// Whoever sends two is removed once, by either.
func TestTwoSelfRemovesOfOneMember(t *testing.T) {
	c := selfRemoveCrowd(t, 3)
	first := c.leaves(2)
	second := c.forge(2, ContentProposal, WireFormatPublicMessage, func(a *authenticatedContent) {
		a.content.proposal, a.content.authenticatedData = &SelfRemove{}, []byte("again")
	})
	c.process(0, second)
	c.process(1, second)
	joiner := c.newClient()
	external := c.externalJoin(0, joiner, ExternalJoinOptions{SelfRemoves: [][]byte{second, first}})
	if received := c.process(0, external.Message()).(*ReceivedCommit); len(received.Proposals) != 2 {
		t.Errorf("the external commit covers %+v", received.Proposals)
	}
	c.commit(0, CommitOptions{})
	c.wantMembers("client 0", "client 1")
}

func TestSelfRemoveIsOptional(t *testing.T) {
	c := newCrowd(t, suite1, 2)
	if proposals := c.members[0].g.Leaf(0).Capabilities.Proposals; len(proposals) != 0 {
		t.Errorf("capabilities list %v", proposals)
	}
	message := c.forge(0, ContentProposal, WireFormatPublicMessage, func(a *authenticatedContent) { a.content.proposal = &SelfRemove{} })
	if err := c.refused(message); !errors.Is(err, ErrUnsupported) {
		t.Errorf("error %v, want ErrUnsupported", err)
	}
	if err := c.refusedToSend(func(g *Group) error { return second(g.Propose(&SelfRemove{}, ProposeOptions{})) }); !errors.Is(err, ErrUnsupported) {
		t.Errorf("sending: error %v, want ErrUnsupported", err)
	}
	if got := ProposalSelfRemove.String(); got != "self_remove" {
		t.Errorf("its name is %q", got)
	}
	cfg := c.newClient().cfg
	cfg.SelfRemove, cfg.Proposals = true, []CustomProposalType{{Type: ProposalSelfRemove}}
	if _, err := cfg.WithDefaults(); err == nil {
		t.Error("a proposal of the application takes the place of SelfRemove")
	}
}

// What a joiner is given must be valid SelfRemoves. draft-ietf-mls-extensions,
// Section 6.3.1.
func TestJoinersCheckSelfRemoves(t *testing.T) {
	c := selfRemoveCrowd(t, 4)
	former := c.leaves(3)
	c.commit(0, CommitOptions{WithoutPending: true})
	good := c.leaves(3)
	other := selfRemoveCrowd(t, 3)
	other.members[0].g.context.groupID = []byte("another group")
	forged := func(fill func(*authenticatedContent)) []byte {
		return c.forge(2, ContentProposal, WireFormatPublicMessage, fill)
	}
	badTag := bytes.Clone(good)
	badTag[len(badTag)-1] ^= 1
	badSignature := bytes.Clone(good)
	badSignature[len(badSignature)-60] ^= 1
	for _, e := range []struct {
		name    string
		message []byte
		check   Check // or
		want    error
	}{
		{"signed by another", forged(func(a *authenticatedContent) { a.content.proposal, a.content.sender.Leaf = &SelfRemove{}, 3 }), CheckMessageSignature, nil},
		{"changed", badSignature, CheckMessageSignature, nil},
		{"of a blank leaf", forged(func(a *authenticatedContent) { a.content.proposal, a.content.sender.Leaf = &SelfRemove{}, 9 }), CheckSenderBlank, nil},
		{"a Remove", forged(func(a *authenticatedContent) { a.content.proposal = &Remove{Removed: 2} }), "", ErrUnsupported},
		{"a commit", c.forgeCommit(), "", ErrUnsupported},
		{"encrypted", must(c.members[2].clone(t).Propose(&Remove{Removed: 1}, ProposeOptions{})), "", ErrUnsupported},
		{"of the last epoch", former, "", ErrWrongEpoch},
		{"of another group", other.forge(0, ContentProposal, WireFormatPublicMessage, func(a *authenticatedContent) { a.content.proposal = &SelfRemove{} }), "", ErrWrongGroup},
		{"nothing", nil, "", nil},
		{"from outside", c.externalProposal(Sender{Type: SenderExternal}, c.members[2].id.Signer, &SelfRemove{}), "", ErrUnsupported},
	} {
		joiner := c.newClient()
		info := must(c.members[0].g.GroupInfo(GroupInfoOptions{}))
		_, err := JoinExternal(joiner.cfg, info, ExternalJoinOptions{Identity: joiner.id, SelfRemoves: [][]byte{good, e.message}})
		switch {
		case err == nil:
			t.Errorf("%s: accepted", e.name)
		case e.check != "":
			wantCheck(t, err, e.check)
		case e.want != nil && !errors.Is(err, e.want):
			t.Errorf("%s: error %v, want %v", e.name, err, e.want)
		}
	}
	joiner := c.newClient()
	info := must(c.members[0].g.GroupInfo(GroupInfoOptions{}))
	if _, err := JoinExternal(joiner.cfg, info, ExternalJoinOptions{Identity: joiner.id, SelfRemoves: [][]byte{badTag}}); err != nil {
		t.Errorf("a joiner cannot check the membership tag, but: %v", err)
	}
	joiner.cfg.SelfRemove = false
	if _, err := JoinExternal(joiner.cfg, info, ExternalJoinOptions{Identity: joiner.id, SelfRemoves: [][]byte{good}}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("without SelfRemove in the Config: error %v, want ErrUnsupported", err)
	}
}

func selfRemoveRefusals() []refusal {
	selfRemove := func(a *authenticatedContent) { a.content.proposal = &SelfRemove{} }
	reference := func(c *crowd, i int) proposalOrRef { return proposalOrRef{reference: c.members[1].g.proposals[i].ref} }
	return []refusal{
		{CheckSelfRemovePublic, "in a PrivateMessage", func(t *testing.T) error {
			c := selfRemoveCrowd(t, 3)
			own := c.refusedToSend(func(g *Group) error {
				return second(g.Propose(&SelfRemove{}, ProposeOptions{WireFormat: WireFormatPrivateMessage}))
			})
			err := c.refused(c.forge(0, ContentProposal, WireFormatPrivateMessage, selfRemove))
			c.sameRule(own, err)
			return err
		}},
		{CheckSelfRemoveReference, "by value", func(t *testing.T) error {
			return selfRemoveCrowd(t, 3).refusedProposals(&SelfRemove{})
		}},
		{CheckSelfRemoveReference, "by value, in an external commit", func(t *testing.T) error {
			c := selfRemoveCrowd(t, 3)
			message, _ := c.externalCommit(nil, func(o *commit) { o.proposals = append(o.proposals, byValue(&SelfRemove{})...) })
			return c.refused(message)
		}},
		{CheckSelfRemoveReference, "by value, before an observer", func(t *testing.T) error {
			c := selfRemoveCrowd(t, 3)
			return second(c.observer(1).Process(c.forgeCommit(byValue(&SelfRemove{})...)))
		}},
		{CheckSelfRemoveSupport, "one does not", func(t *testing.T) error {
			c := selfRemoveCrowd(t, 2)
			c.configure = nil
			c.add(0, 1)
			own := c.refusedToSend(func(g *Group) error { return second(g.Propose(&SelfRemove{}, ProposeOptions{})) })
			err := c.refused(c.forge(0, ContentProposal, WireFormatPublicMessage, selfRemove))
			c.sameRule(own, err)
			return err
		}},
		{CheckSelfRemoveTwice, "in one epoch", func(t *testing.T) error {
			c := selfRemoveCrowd(t, 3)
			c.leaves(0)
			c.restart()
			return c.refusedToSend(func(g *Group) error { return second(g.Propose(&SelfRemove{}, ProposeOptions{})) })
		}},
		{CheckExternalSenderContent, "SelfRemove", func(t *testing.T) error {
			c, signer := withExternalSender(t, 3)
			c.members[1].cfg.SelfRemove = true
			g, err := RestoreGroup(c.members[1].cfg, c.members[1].id.Signer, mustMarshal(t, c.members[1].g))
			if err != nil {
				t.Fatal(err)
			}
			c.members[1].g = g
			return c.refused(c.externalProposal(Sender{Type: SenderExternal}, signer, &SelfRemove{}))
		}},
		{CheckNewMemberProposalContent, "SelfRemove by a new member", func(t *testing.T) error {
			c := selfRemoveCrowd(t, 3)
			return c.refused(c.externalProposal(Sender{Type: SenderNewMemberProposal}, c.members[0].id.Signer, &SelfRemove{}))
		}},
		{CheckProposalRemovesCommitter, "by its own SelfRemove", func(t *testing.T) error {
			c := selfRemoveCrowd(t, 3)
			c.leaves(0)
			return c.refused(c.forgeCommit(reference(c, 0)))
		}},
		{CheckProposalSameLeaf, "SelfRemove and Remove", func(t *testing.T) error {
			c := selfRemoveCrowd(t, 4)
			c.leaves(2)
			return c.refused(c.forgeCommit(reference(c, 0), proposalOrRef{proposal: &Remove{Removed: 2}}))
		}},
		{CheckProposalSameLeaf, "SelfRemove and Update", func(t *testing.T) error {
			c := selfRemoveCrowd(t, 4)
			c.proposeUpdate(2, LeafChanges{})
			c.leaves(2)
			return c.refused(c.forgeCommit(reference(c, 0), reference(c, 1)))
		}},
		{CheckProposalSameLeaf, "two SelfRemoves", func(t *testing.T) error {
			c := selfRemoveCrowd(t, 4)
			c.leaves(2)
			again := c.forge(2, ContentProposal, WireFormatPublicMessage, func(a *authenticatedContent) {
				a.content.proposal, a.content.authenticatedData = &SelfRemove{}, []byte("again")
			})
			c.process(0, again)
			c.process(1, again)
			return c.refused(c.forgeCommit(reference(c, 0), reference(c, 1)))
		}},
		{CheckProposalSameLeaf, "SelfRemove and Remove, in an external commit", func(t *testing.T) error {
			c := selfRemoveCrowd(t, 4)
			c.leaves(2)
			message, _ := c.externalCommit([]LeafIndex{2}, func(o *commit) { o.proposals = append(o.proposals, reference(c, 0)) })
			return c.refused(message)
		}},
		{CheckExternalCommitReference, "beside a SelfRemove", func(t *testing.T) error {
			c := selfRemoveCrowd(t, 4)
			c.leaves(2)
			c.propose(0, &Remove{Removed: 3})
			message, _ := c.externalCommit(nil, func(o *commit) { o.proposals = append(o.proposals, reference(c, 0), reference(c, 1)) })
			return c.refused(message)
		}},
		{CheckPathRequired, "self remove", func(t *testing.T) error {
			c := selfRemoveCrowd(t, 3)
			c.leaves(2)
			return c.refused(c.forgeCommitWithoutPath(reference(c, 0)))
		}},
		{CheckProposalReInitAlone, "with a SelfRemove", func(t *testing.T) error {
			c := selfRemoveCrowd(t, 3)
			c.leaves(2)
			return c.refused(c.forgeCommit(reference(c, 0), proposalOrRef{proposal: &ReInit{Version: MLS10, CipherSuite: suite1}}))
		}},
	}
}

func TestClientsLeave(t *testing.T) {
	f := &fleet{crowd: emptyCrowd(t, suite1)}
	f.configure = func(cfg *Config) { cfg.SelfRemove = true }
	f.found(3)
	message := must(f.devices[2].m.Propose(background, &SelfRemove{}, ProposeOptions{}))
	f.broadcast(f.devices[2], message)
	f.devices[2].restart()
	f.devices[0].restart()
	out := f.devices[0].commit(CommitOptions{})
	f.devices[0].accept()
	f.devices[1].process(out.Commit)
	received, err := f.devices[2].m.Process(background, out.Commit)
	if err != nil || !received.(*ReceivedCommit).Removed {
		t.Fatalf("received %+v, %v", received, err)
	}
	_, err = f.devices[2].m.View()
	wantError(t, "a view", err, ErrRemoved)
}

// Whoever gives a joiner the GroupInfo gives it any messages as SelfRemoves.
func FuzzTakeSelfRemoves(f *testing.F) {
	c := selfRemoveCrowd(f, 3)
	f.Add(c.leaves(2))
	f.Add(must(c.members[0].g.Propose(&Remove{Removed: 1}, ProposeOptions{WireFormat: WireFormatPublicMessage})))
	f.Add(c.forgeCommit())
	info := must(c.members[0].g.GroupInfo(GroupInfoOptions{}))
	joiner := c.newClient()
	cfg, err := joiner.cfg.withDefaults()
	if err != nil {
		f.Fatal(err)
	}
	parsed, err := cfg.parseGroupInfo(info)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		state, err := parsed.verify(cfg, c.suite, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = state.takeSelfRemove(message)
		if covered := len(state.coverSelfRemoves()); (err == nil) != (covered == 1) {
			t.Errorf("%d SelfRemoves are covered, %v", covered, err)
		}
	})
}
