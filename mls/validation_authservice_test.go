package mls

import (
	"bytes"
	"errors"
	"slices"
	"testing"
)

var errNotary = errors.New("not known here")

// A notary is an Authentication Service that writes down what it is asked, and
// refuses one question.
type notary struct {
	asked  []string // "who", or "who after whom"
	refuse int      // the number of the question, from 1; 0: none
}

func (n *notary) ValidateLeaf(leaf, previous *LeafNode) error {
	question := string(leaf.Credential.Identity)
	if previous != nil {
		question += " after " + string(previous.Credential.Identity)
	}
	return n.answer(question)
}

func (n *notary) ValidateExternalSender(sender *ExternalSender) error {
	return n.answer("sender " + string(sender.Credential.Identity))
}

func (n *notary) answer(question string) error {
	if n.asked = append(n.asked, question); len(n.asked) == n.refuse {
		return errNotary
	}
	return nil
}

// An inquiry is something that a client does for which it asks the
// Authentication Service. It can be done over and over.
type inquiry struct {
	name string
	// want are the questions, in their order.
	want []string
	// start returns the deed, for a client that asks n, and the state that must
	// not change by it (nil for those who have none yet).
	start func(c *crowd, n *notary) (do func() error, state *Group)
}

// renamed returns a new identity for a member.
func (c *crowd) renamed(name string) Identity {
	c.t.Helper()
	signer, err := c.suite.GenerateSigner(c.rand)
	if err != nil {
		c.t.Fatal(err)
	}
	return Identity{Credential: BasicCredential([]byte(name)), Signer: signer}
}

func (c *crowd) boss() Extension {
	c.t.Helper()
	signer := c.renamed("boss").Signer
	key := must(c.suite.SignaturePublicKey(signer.Public()))
	return ExternalSenders(ExternalSender{SignatureKey: key, Credential: BasicCredential([]byte("boss"))})
}

// inquiries are all the places where the Authentication Service is asked, in a
// group of the clients 0, 1 and 2.
func inquiries() []inquiry {
	// process has member 0 commit and member 1 receive that.
	process := func(options func(c *crowd) CommitOptions) func(*crowd, *notary) (func() error, *Group) {
		return func(c *crowd, n *notary) (func() error, *Group) {
			o := options(c)
			o.WireFormat = WireFormatPublicMessage
			pending, err := c.members[0].g.Commit(o)
			if err != nil {
				c.t.Fatal(err)
			}
			return receive(c, n, pending.Message())
		}
	}
	// commit has member 1 commit.
	commit := func(options func(c *crowd) CommitOptions) func(*crowd, *notary) (func() error, *Group) {
		return func(c *crowd, n *notary) (func() error, *Group) {
			o, g := options(c), c.members[1].g
			o.WireFormat = WireFormatPublicMessage
			g.cfg.AuthenticationService = n
			return func() error { return second(g.Commit(o)) }, g
		}
	}
	add := func(c *crowd) CommitOptions { return CommitOptions{Proposals: []Proposal{c.invite(LeafOptions{})}} }
	update := func(c *crowd) CommitOptions {
		id := c.renamed("client 2a")
		c.proposeUpdate(2, LeafChanges{Identity: &id})
		return CommitOptions{}
	}
	join := func(c *crowd) CommitOptions {
		o := add(c)
		message := c.externalProposal(Sender{Type: SenderNewMemberProposal}, c.invited[0].id.Signer, o.Proposals[0])
		for i := range c.members {
			c.process(i, message)
		}
		return CommitOptions{}
	}
	path := func(c *crowd) CommitOptions {
		id := c.renamed("client 0a")
		return CommitOptions{Leaf: LeafChanges{Identity: &id}}
	}
	senders := func(c *crowd) CommitOptions {
		return CommitOptions{Proposals: []Proposal{&GroupContextExtensions{Extensions{c.boss()}}}}
	}
	// external has client 3 join by itself and member 1 receive that.
	external := func(options func(joiner *client, c *crowd) ExternalJoinOptions) func(*crowd, *notary) (func() error, *Group) {
		return func(c *crowd, n *notary) (func() error, *Group) {
			joiner := c.newClient()
			return receive(c, n, c.externalJoin(0, joiner, options(joiner, c)).Message())
		}
	}
	fresh := func(*client, *crowd) ExternalJoinOptions { return ExternalJoinOptions{} }
	resync := func(joiner *client, c *crowd) ExternalJoinOptions {
		joiner.id = c.renamed("client 2a")
		return ExternalJoinOptions{Resync: func(l *LeafNode) bool { return string(l.Credential.Identity) == "client 2" }}
	}
	// succeed has member 1 make, or member 2 join, the group that continues c.
	succeed := func(make func(*Group, SuccessorOptions) (*PendingCommit, error), close []Proposal, joins bool) func(*crowd, *notary) (func() error, *Group) {
		return func(c *crowd, n *notary) (func() error, *Group) {
			for _, p := range close {
				c.commit(0, CommitOptions{Proposals: []Proposal{p}})
			}
			g := c.members[1].g
			var o SuccessorOptions
			bundles := []*KeyPackageBundle{0: nil, 2: nil}
			for _, i := range []int{0, 2} {
				bundles[i] = c.bundle(c.members[i])
				o.KeyPackages = append(o.KeyPackages, bundles[i].KeyPackage())
			}
			if !joins {
				g.cfg.AuthenticationService = n
				return func() error { return second(make(g, o)) }, g
			}
			pending, err := make(g, o)
			if err != nil {
				c.t.Fatal(err)
			}
			m := c.members[2]
			m.cfg.AuthenticationService = n
			return func() error {
				return second(Join(m.cfg, pending.Welcome(), bundles[2], JoinOptions{Previous: m.g}))
			}, m.g
		}
	}
	reInit := []Proposal{&ReInit{GroupID: []byte("next"), Version: MLS10, CipherSuite: suite1}}
	return []inquiry{
		{"a commit with an Add is received", []string{"client 3", "client 0 after client 0"}, process(add)},
		{"a commit with a proposal of a new member is received", []string{"client 3", "client 0 after client 0"}, process(join)},
		{"a commit with an Update is received", []string{"client 2a after client 2", "client 0 after client 0"}, process(update)},
		{"a commit with another identity is received", []string{"client 0a after client 0"}, process(path)},
		{"a commit with external senders is received", []string{"sender boss", "client 0 after client 0"}, process(senders)},
		{"an Add is committed", []string{"client 3"}, commit(add)},
		{"external senders are committed", []string{"sender boss"}, commit(senders)},
		{"an external commit is received", []string{"client 3"}, external(fresh)},
		{"an external commit in place of a member is received", []string{"client 2a after client 2"}, external(resync)},
		{"a group is joined by a Welcome", []string{"client 0", "client 1", "client 2", "sender boss"}, func(c *crowd, n *notary) (func() error, *Group) {
			c.commit(0, senders(c))
			pending, err := c.members[0].g.Commit(add(c))
			if err != nil {
				c.t.Fatal(err)
			}
			joiner := c.invited[0]
			joiner.cfg.AuthenticationService = n
			return func() error { return second(Join(joiner.cfg, pending.Welcome(), joiner.bundle, JoinOptions{})) }, nil
		}},
		{"a group is joined by an external commit", []string{"client 0", "client 1", "client 2", "sender boss"}, func(c *crowd, n *notary) (func() error, *Group) {
			c.commit(0, senders(c))
			info, joiner := must(c.members[0].g.GroupInfo(GroupInfoOptions{})), c.newClient()
			joiner.cfg.AuthenticationService = n
			return func() error {
				return second(JoinExternal(joiner.cfg, info, ExternalJoinOptions{Identity: joiner.id}))
			}, nil
		}},
		{"a group is observed", []string{"client 0", "client 1", "client 2", "sender boss"}, func(c *crowd, n *notary) (func() error, *Group) {
			c.commit(0, senders(c))
			info, cfg := must(c.members[0].g.GroupInfo(GroupInfoOptions{})), c.newClient().cfg
			cfg.AuthenticationService = n
			return func() error { return second(NewObserver(cfg, info, nil)) }, nil
		}},
		{"an observer receives a commit", []string{"client 0a after client 0"}, func(c *crowd, n *notary) (func() error, *Group) {
			o, options := c.observer(0), path(c)
			options.WireFormat = WireFormatPublicMessage
			pending, err := c.members[0].g.Commit(options)
			if err != nil {
				c.t.Fatal(err)
			}
			o.cfg.AuthenticationService = n
			return func() error { return second(o.Process(pending.Message())) }, nil
		}},
		{"a group is created with external senders", []string{"sender boss"}, func(c *crowd, n *notary) (func() error, *Group) {
			founder, boss := c.newClient(), c.boss()
			founder.cfg.AuthenticationService = n
			return func() error {
				return second(NewGroup(founder.cfg, GroupOptions{Suite: suite1, Identity: founder.id, Extensions: Extensions{boss}}))
			}, nil
		}},
		{"a group is re-initialized", []string{"client 0", "client 2"}, succeed((*Group).ReInitialize, reInit, false)},
		{"a re-initialized group is joined", []string{"client 1", "client 0"}, succeed((*Group).ReInitialize, reInit, true)},
		{"a group branches off", []string{"client 0", "client 2"}, succeed((*Group).Branch, nil, false)},
		{"a branch is joined", []string{"client 1", "client 0"}, succeed((*Group).Branch, nil, true)},
	}
}

// receive has member 1, which asks n, process a message.
func receive(c *crowd, n *notary, message []byte) (func() error, *Group) {
	g := c.members[1].g
	g.cfg.AuthenticationService = n
	return func() error { return second(g.Process(message)) }, g
}

// bundle returns a new key package of a client.
func (c *crowd) bundle(m *client) *KeyPackageBundle {
	c.t.Helper()
	b, err := NewKeyPackage(m.cfg, KeyPackageOptions{Suite: c.suite.ID(), Identity: m.id})
	if err != nil {
		c.t.Fatal(err)
	}
	return b
}

// The Authentication Service is asked about each leaf and external sender that
// is new, with the leaf that it replaces. Its refusal, of any of them, is
// reported as what it is and changes nothing: what was refused can be done once
// the service agrees.
func TestAuthenticationServiceHasTheLastWord(t *testing.T) {
	for _, q := range inquiries() {
		t.Run(q.name, func(t *testing.T) {
			c, n := newCrowd(t, suite1, 3), new(notary)
			do, state := q.start(c, n)
			var before []byte
			if state != nil {
				before = mustMarshal(t, state)
			}
			for n.refuse = 1; n.refuse <= len(q.want); n.refuse++ {
				n.asked = nil
				err := do()
				want := CheckLeafCredential
				if q.want[n.refuse-1] == "sender boss" {
					want = CheckExternalSenderCredential
				}
				wantCheck(t, err, want)
				if !errors.Is(err, errNotary) {
					t.Errorf("error %v does not say why", err)
				}
				if state != nil && !bytes.Equal(mustMarshal(t, state), before) {
					t.Errorf("the refusal of %q changed the group", q.want[n.refuse-1])
				}
			}
			n.asked, n.refuse = nil, 0
			if err := do(); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(n.asked, q.want) {
				t.Errorf("asked %q, want %q", n.asked, q.want)
			}
		})
	}
}

// A refused Update of somebody else does not keep a member from committing: it
// is left out.
func TestRefusedUpdatesAreLeftOutOfACommit(t *testing.T) {
	for service, want := range map[AuthenticationService]int{acceptAll{}: 1, acceptNoUpdate{}: 0} {
		c := newCrowd(t, suite1, 3)
		c.proposeUpdate(2, LeafChanges{})
		c.members[0].g.cfg.AuthenticationService = service
		pending, err := c.members[0].g.Commit(CommitOptions{})
		if err != nil {
			t.Fatal(err)
		}
		received := c.process(1, pending.Message()).(*ReceivedCommit)
		if len(received.Proposals) != want {
			t.Errorf("%T: the commit has %d proposals, want %d", service, len(received.Proposals), want)
		}
	}
}

// acceptNoUpdate is an Authentication Service that refuses Updates.
type acceptNoUpdate struct{ acceptAll }

func (acceptNoUpdate) ValidateLeaf(leaf, previous *LeafNode) error {
	if leaf.Source == LeafNodeSourceUpdate && previous != nil {
		return errNotary
	}
	return nil
}
