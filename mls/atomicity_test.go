package mls

import (
	"bytes"
	"crypto"
	"testing"
)

// externalProposal returns a proposal from outside of the group.
func (c *crowd) externalProposal(sender Sender, signer crypto.Signer, p Proposal) []byte {
	c.t.Helper()
	g := c.members[0].g
	a := g.newContent(ContentProposal, WireFormatPublicMessage, nil)
	a.content.sender = sender
	a.content.proposal = p
	return c.signPublic(a, signer)
}

// signPublic returns content as a PublicMessage, signed by whomever.
func (c *crowd) signPublic(a *authenticatedContent, signer crypto.Signer) []byte {
	c.t.Helper()
	g := c.members[0].g
	var err error
	if a.auth.signature, err = c.suite.SignWithLabel(c.rand, signer, "FramedContentTBS", a.toBeSigned(g.encodedContext)); err != nil {
		c.t.Fatal(err)
	}
	m, err := protectPublic(c.suite, a, g.epoch.MembershipKey, g.encodedContext)
	if err != nil {
		c.t.Fatal(err)
	}
	return marshal(&mlsMessage{wireFormat: WireFormatPublicMessage, publicMessage: m})
}

// withExternalSender returns a group of n that admits the holder of signer as
// external sender 0.
func withExternalSender(t failer, n int) (c *crowd, signer crypto.Signer) {
	t.Helper()
	c = newCrowd(t, suite1, n)
	signer, err := c.suite.GenerateSigner(c.rand)
	if err != nil {
		t.Fatal(err)
	}
	key, err := c.suite.SignaturePublicKey(signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	senders := ExternalSenders(ExternalSender{SignatureKey: key, Credential: BasicCredential([]byte("the boss"))})
	c.commit(0, CommitOptions{Proposals: []Proposal{&GroupContextExtensions{Extensions{senders}}}})
	return c, signer
}

// Every message with any one octet changed, cut short anywhere or with
// something behind it is refused. The group is as it was, to the octet, and
// still accepts the genuine message.
func TestSpoiltMessagesChangeNothing(t *testing.T) {
	must := func(t *testing.T) func([]byte, error) []byte {
		return func(message []byte, err error) []byte {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			return message
		}
	}
	for _, kind := range []struct {
		name string
		make func(t *testing.T) (c *crowd, message []byte) // to member 1
	}{
		{"application", func(t *testing.T) (*crowd, []byte) {
			c := newCrowd(t, suite1, 3)
			c.checkMessages()
			return c, must(t)(c.members[0].g.Protect([]byte("data"), []byte("more")))
		}},
		{"first application", func(t *testing.T) (*crowd, []byte) {
			c := newCrowd(t, suite1, 3)
			return c, must(t)(c.members[0].g.Protect(nil, nil))
		}},
		{"private remove", func(t *testing.T) (*crowd, []byte) {
			c := newCrowd(t, suite1, 3)
			return c, must(t)(c.members[0].g.Propose(&Remove{Removed: 2}, ProposeOptions{}))
		}},
		{"public remove", func(t *testing.T) (*crowd, []byte) {
			c := newCrowd(t, suite1, 3)
			return c, must(t)(c.members[0].g.Propose(&Remove{Removed: 2}, ProposeOptions{WireFormat: WireFormatPublicMessage}))
		}},
		{"private update", func(t *testing.T) (*crowd, []byte) {
			c := newCrowd(t, suite1, 3)
			return c, must(t)(c.members[0].g.ProposeUpdate(LeafChanges{}, ProposeOptions{AuthenticatedData: []byte("more")}))
		}},
		{"public add", func(t *testing.T) (*crowd, []byte) {
			c := newCrowd(t, suite1, 3)
			add := c.invite(LeafOptions{})
			c.invited = nil
			return c, must(t)(c.members[0].g.Propose(add, ProposeOptions{WireFormat: WireFormatPublicMessage}))
		}},
		{"proposal of an external sender", func(t *testing.T) (*crowd, []byte) {
			c, signer := withExternalSender(t, 3)
			return c, c.externalProposal(Sender{Type: SenderExternal}, signer, &Remove{Removed: 2})
		}},
		{"proposal of a new member", func(t *testing.T) (*crowd, []byte) {
			c := newCrowd(t, suite1, 3)
			add := c.invite(LeafOptions{})
			signer := c.invited[0].id.Signer
			c.invited = nil
			return c, c.externalProposal(Sender{Type: SenderNewMemberProposal}, signer, add)
		}},
		{"private commit", func(t *testing.T) (*crowd, []byte) {
			c := newCrowd(t, suite1, 3)
			pending, err := c.members[0].g.Commit(CommitOptions{})
			return c, must(t)(pending.Message(), err)
		}},
		{"public commit", func(t *testing.T) (*crowd, []byte) {
			c := newCrowd(t, suite1, 3)
			pending, err := c.members[0].g.Commit(CommitOptions{WireFormat: WireFormatPublicMessage})
			return c, must(t)(pending.Message(), err)
		}},
		{"public commit of everything", func(t *testing.T) (*crowd, []byte) {
			c := newCrowd(t, suite1, 3)
			c.proposeUpdate(1, LeafChanges{})
			add := c.invite(LeafOptions{})
			c.invited = nil
			pending, err := c.members[0].g.Commit(CommitOptions{Proposals: []Proposal{add, &Remove{Removed: 2}}, WireFormat: WireFormatPublicMessage})
			return c, must(t)(pending.Message(), err)
		}},
		{"private commit without a path", func(t *testing.T) (*crowd, []byte) {
			c := newCrowd(t, suite1, 3)
			add := c.invite(LeafOptions{})
			c.invited = nil
			pending, err := c.members[0].g.Commit(CommitOptions{Proposals: []Proposal{add}, OmitPath: true})
			return c, must(t)(pending.Message(), err)
		}},
	} {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			c, message := kind.make(t)
			g := c.members[1].g
			before := mustMarshal(t, g)
			try := func(spoilt []byte, what string, at int) {
				received, err := g.Process(spoilt)
				if err == nil {
					t.Fatalf("accepted %T with octet %d %s", received, at, what)
				}
				if !bytes.Equal(mustMarshal(t, g), before) {
					t.Fatalf("the group changed (octet %d %s: %v)", at, what, err)
				}
			}
			for i := range message {
				spoilt := bytes.Clone(message)
				spoilt[i] ^= 1 << (i % 8)
				try(spoilt, "changed", i)
				spoilt[i] = ^message[i]
				try(spoilt, "inverted", i)
				try(message[:i], "cut off", i)
			}
			try(append(bytes.Clone(message), 0), "appended", len(message))
			received, err := g.Process(message)
			if err != nil {
				t.Fatalf("the genuine message: %v", err)
			}
			if commit, ok := received.(*ReceivedCommit); ok && commit.Group() == nil {
				t.Error("there is no next epoch")
			}
		})
	}
}

func TestSpoiltWelcomeIsRefusedAndTheGenuineOneStillWorks(t *testing.T) {
	for _, apart := range []bool{false, true} {
		c := newCrowd(t, suite1, 2)
		c.psks["key"] = []byte("a pre-shared key")
		psk := &PreSharedKey{PreSharedKeyID{Type: PSKExternal, ID: []byte("key"), Nonce: make([]byte, c.suite.HashSize())}}
		pending, err := c.members[0].g.Commit(CommitOptions{Proposals: []Proposal{c.invite(LeafOptions{}), psk}, WithoutTree: apart})
		if err != nil {
			t.Fatal(err)
		}
		joiner := c.invited[0]
		var o JoinOptions
		if apart {
			o.RatchetTree = pending.RatchetTree()
		}
		try := func(message []byte, o JoinOptions, what string, at int) {
			if _, err := Join(joiner.cfg, message, joiner.bundle, o); err == nil {
				t.Fatalf("joined with octet %d %s", at, what)
			}
		}
		welcome := pending.Welcome()
		for i := range welcome {
			spoilt := bytes.Clone(welcome)
			spoilt[i] ^= 1 << (i % 8)
			try(spoilt, o, "changed", i)
			try(welcome[:i], o, "cut off", i)
		}
		try(append(bytes.Clone(welcome), 0), o, "appended", len(welcome))
		for i := range o.RatchetTree {
			spoilt := bytes.Clone(o.RatchetTree)
			spoilt[i] ^= 1 << (i % 8)
			try(welcome, JoinOptions{RatchetTree: spoilt}, "of the tree changed", i)
			try(welcome, JoinOptions{RatchetTree: o.RatchetTree[:i]}, "of the tree cut off", i)
		}
		c.apart = apart
		c.deliver(0, pending)
		c.checkMessages()
	}
}

func TestAFailedCommitChangesNothing(t *testing.T) {
	c := newCrowd(t, suite1, 3)
	c.propose(1, &Remove{Removed: 2})
	g := c.members[0].g
	before := mustMarshal(t, g)
	broken := *g.cfg
	for name, try := range map[string]func() error{
		"bad proposal": func() error {
			_, err := g.Commit(CommitOptions{Proposals: []Proposal{&Remove{Removed: 9}}})
			return err
		},
		"unknown PSK": func() error {
			_, err := g.Commit(CommitOptions{Proposals: []Proposal{&PreSharedKey{PreSharedKeyID{Type: PSKExternal, ID: []byte("?"), Nonce: make([]byte, 32)}}}})
			return err
		},
		"no such change": func() error {
			_, err := g.Commit(CommitOptions{Leaf: LeafChanges{Capabilities: &Capabilities{}}})
			return err
		},
		"closed to updates": func() error {
			_, err := g.Propose(&Update{}, ProposeOptions{})
			return err
		},
		"no randomness": func() error {
			old := g.cfg
			g.cfg = &broken
			defer func() { g.cfg = old }()
			for n := range 200 { // fails at each draw in turn
				broken.Rand = &shortReader{n}
				if _, err := g.Commit(CommitOptions{WireFormat: WireFormatPublicMessage}); err == nil {
					if n == 0 {
						t.Error("a commit needs no randomness")
					}
					_, err := g.ProposeUpdate(LeafChanges{}, ProposeOptions{WireFormat: WireFormatPublicMessage})
					if err == nil {
						t.Fatal("the reader should be at its end")
					}
					return err
				}
				if !bytes.Equal(mustMarshal(t, g), before) {
					t.Fatalf("the group changed when randomness ended after %d reads", n)
				}
			}
			return nil
		},
	} {
		if err := try(); err == nil {
			t.Errorf("%s: no error", name)
		}
		if !bytes.Equal(mustMarshal(t, g), before) {
			t.Errorf("%s: the group changed", name)
		}
	}
	c.commit(0, CommitOptions{})
	c.checkMessages()
}

// A hostile member can sign what it likes. Whatever octet it changes in a
// commit, the others refuse that, or at the least do not agree on the epoch.
func TestCommitsSpoiltByTheirSenderChangeNothing(t *testing.T) {
	c := newCrowd(t, suite1, 4)
	c.psks["key"] = []byte("a pre-shared key")
	c.proposeUpdate(1, LeafChanges{})
	add := c.invite(LeafOptions{})
	psk := &PreSharedKey{PreSharedKeyID{Type: PSKExternal, ID: []byte("key"), Nonce: make([]byte, c.suite.HashSize())}}
	pending, err := c.members[0].g.Commit(CommitOptions{
		Proposals:  []Proposal{add, psk, &Remove{Removed: 2}, &GroupContextExtensions{Extensions{(&RequiredCapabilities{}).Extension()}}},
		WireFormat: WireFormatPublicMessage,
	})
	if err != nil {
		t.Fatal(err)
	}
	var m mlsMessage
	mustUnmarshal(t, pending.Message(), &m)
	genuine := m.publicMessage.authenticatedContent()
	encoded := marshal(genuine.content.commit)
	g, hostile := c.members[1].g, c.members[0].g
	before := mustMarshal(t, g)
	signed := 0
	for i := range encoded {
		for _, change := range []byte{1 << (i % 8), 0xff} {
			spoilt := bytes.Clone(encoded)
			spoilt[i] ^= change
			a := *genuine
			a.content.commit, a.content.body = new(commit), nil
			if unmarshal(spoilt, a.content.commit) != nil {
				continue
			}
			signed++
			message, err := hostile.signAndProtect(&a)
			if err != nil {
				t.Fatal(err)
			}
			received, err := g.Process(message)
			if commit, ok := received.(*ReceivedCommit); err == nil && (!ok || commit.Group() != nil) {
				t.Fatalf("accepted a commit with octet %d changed", i)
			}
			if !bytes.Equal(mustMarshal(t, g), before) {
				t.Fatalf("the group changed (octet %d: %v)", i, err)
			}
		}
	}
	if signed < len(encoded) {
		t.Errorf("%d of %d changes were well-formed: the test does not reach deep", signed, 2*len(encoded))
	}
	c.deliver(0, pending)
	c.checkMessages()
}
