package mls

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
)

// noteType is a custom proposal that puts its data into a custom extension of
// the GroupContext.
const (
	noteProposal  ProposalType  = 0xF0F1
	pingProposal  ProposalType  = 0xF0F2
	noteExtension ExtensionType = 0xF0F3
)

var errNote = errors.New("notes must not be empty")

func noteType() CustomProposalType {
	return CustomProposalType{
		Type: noteProposal, Name: "note", External: true, PathRequired: true,
		Validate: func(p *CustomProposal, _ ProposalContext) error {
			if len(p.Data) == 0 {
				return errNote
			}
			return nil
		},
		Apply: func(p *CustomProposal, in ProposalContext) (Extensions, error) {
			if string(p.Data) == "impossible" {
				return nil, errNote
			}
			return in.Extensions.with(Extension{Type: noteExtension, Data: p.Data}), nil
		},
	}
}

// pingType has a body of its own framing: two octets.
func pingType() CustomProposalType {
	return CustomProposalType{Type: pingProposal, Name: "ping", ExternalCommit: true, Length: func(body []byte) (int, error) {
		if len(body) > 0 && body[0] == 0xFF {
			return 0, errors.New("bad ping")
		}
		return 2, nil
	}}
}

func customConfig(cfg *Config) {
	cfg.Proposals = []CustomProposalType{noteType(), pingType()}
	cfg.Extensions = []CustomExtensionType{{Type: noteExtension, Name: "note", Validate: func(place ExtensionPlace, data []byte) error {
		if place != InGroupContext || bytes.Contains(data, []byte("bad")) {
			return errNote
		}
		return nil
	}}}
}

// customCrowd is a group of clients that know the custom types.
func customCrowd(t failer, n int) *crowd {
	c := emptyCrowd(t, suite1)
	c.configure = customConfig
	c.found(GroupOptions{})
	if n > 1 {
		c.add(0, n-1)
	}
	return c
}

func TestCustomProposalsChangeTheGroup(t *testing.T) {
	c := customCrowd(t, 3)
	note, ping := noteType(), pingType()
	c.propose(1, note.NewProposal([]byte("remember")))
	c.propose(2, ping.NewProposal([]byte{1, 2}))
	c.restart()
	pending, err := c.members[0].g.Commit(CommitOptions{OmitPath: true})
	if err != nil {
		t.Fatal(err)
	}
	message, err := c.members[1].clone(t).Process(pending.Message())
	if err != nil {
		t.Fatal(err)
	}
	received := message.(*ReceivedCommit)
	if !received.HasPath || len(received.Proposals) != 2 {
		t.Errorf("path %v, proposals %v", received.HasPath, received.Proposals)
	}
	if p, ok := received.Proposals[1].Proposal.(*CustomProposal); !ok || p.Type != pingProposal || !bytes.Equal(p.Data, []byte{1, 2}) {
		t.Errorf("proposal is %+v", received.Proposals[1])
	}
	c.deliver(0, pending)
	data, _ := c.members[2].g.Extensions().Find(noteExtension)
	if string(data) != "remember" {
		t.Errorf("the extension holds %q", data)
	}
	c.commit(1, CommitOptions{Proposals: []Proposal{ping.NewProposal([]byte{3, 4})}, OmitPath: true})
	c.checkMessages()
}

func TestCustomProposalsComeFromOutsideWhereTheyMay(t *testing.T) {
	c := customCrowd(t, 2)
	signer := c.members[0].id.Signer
	key := must(c.suite.SignaturePublicKey(signer.Public()))
	c.commit(0, CommitOptions{Proposals: []Proposal{&GroupContextExtensions{Extensions{ExternalSenders(ExternalSender{SignatureKey: key})}}}})
	g := c.members[0].g
	o := ExternalProposalOptions{Suite: suite1, GroupID: g.GroupID(), Epoch: g.Epoch(), Signer: signer}
	note, ping := noteType(), pingType()
	message := must(ProposeAsExternalSender(g.cfg, o, note.NewProposal([]byte("from outside"))))
	for i := range c.members {
		c.process(i, message)
	}
	c.commit(1, CommitOptions{})
	if _, err := ProposeAsExternalSender(g.cfg, o, ping.NewProposal([]byte{0, 0})); !errors.Is(err, ErrUnsupported) {
		t.Errorf("error %v, want ErrUnsupported", err)
	}
}

func TestCustomTypesOfNobodyAreAnError(t *testing.T) {
	c := newCrowd(t, suite1, 2)
	note := noteType()
	if _, err := c.members[0].g.Propose(note.NewProposal([]byte("?")), ProposeOptions{}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("error %v, want ErrUnsupported", err)
	}
	if _, err := c.members[0].g.Commit(CommitOptions{Proposals: []Proposal{note.NewProposal([]byte("?"))}}); err == nil {
		t.Error("a proposal that nobody supports is committed")
	}
	message := c.forgeCommit(byValue(note.NewProposal([]byte("?")))...)
	if err := c.refused(message); !errors.Is(err, ErrUnsupported) {
		t.Errorf("error %v, want ErrUnsupported", err)
	}
}

func TestCustomTypesMustNotTakeTheNumbersOfOthers(t *testing.T) {
	c := emptyCrowd(t, suite1)
	for name, change := range map[string]func(*Config){
		"proposal of RFC 9420":  func(cfg *Config) { cfg.Proposals = []CustomProposalType{{Type: ProposalAdd}} },
		"proposal twice":        func(cfg *Config) { cfg.Proposals = []CustomProposalType{noteType(), noteType()} },
		"extension of RFC 9420": func(cfg *Config) { cfg.Extensions = []CustomExtensionType{{Type: ExtensionExternalPub}} },
		"extension twice":       func(cfg *Config) { cfg.Extensions = []CustomExtensionType{{Type: 0xF001}, {Type: 0xF001}} },
	} {
		founder := c.newClient()
		change(founder.cfg)
		if _, err := NewGroup(founder.cfg, GroupOptions{Suite: suite1, Identity: founder.id}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func customRefusals() []refusal {
	note, ping := noteType(), pingType()
	by := func(p Proposal) func(*testing.T) error {
		return func(t *testing.T) error { return customCrowd(t, 2).refusedProposals(p) }
	}
	return []refusal{
		{CheckProposalCustom, "refused by Validate", by(note.NewProposal(nil))},
		{CheckProposalCustom, "refused by Apply", by(note.NewProposal([]byte("impossible")))},
		{CheckExtensionData, "refused by Validate", by(&GroupContextExtensions{Extensions{{noteExtension, []byte("bad")}}})},
		{CheckExtensionData, "in a leaf", func(t *testing.T) error {
			c := customCrowd(t, 2)
			joiner := c.newClient()
			_, err := NewKeyPackage(joiner.cfg, KeyPackageOptions{Suite: suite1, Identity: joiner.id, Leaf: LeafOptions{Extensions: Extensions{{noteExtension, nil}}}})
			return err
		}},
		{CheckProposalSupport, "not by a member", func(t *testing.T) error {
			c := customCrowd(t, 1)
			joiner := c.invite(LeafOptions{Capabilities: Capabilities{Proposals: []ProposalType{}}})
			c.commit(0, CommitOptions{Proposals: []Proposal{joiner}})
			return c.refusedProposals(ping.NewProposal([]byte{0, 0}))
		}},
	}
}

func TestRemovedMembersNeedNotSupportAProposal(t *testing.T) {
	c := customCrowd(t, 2)
	c.commit(0, CommitOptions{Proposals: []Proposal{c.invite(LeafOptions{Capabilities: Capabilities{Proposals: []ProposalType{}}})}})
	ping := pingType()
	c.commit(0, CommitOptions{Proposals: []Proposal{ping.NewProposal([]byte{0, 0}), &Remove{Removed: 2}}})
	c.checkMessages()
}

// Nor need those who remove themselves.
func TestLeavingMembersNeedNotSupportAProposal(t *testing.T) {
	c := emptyCrowd(t, suite1)
	c.configure = func(cfg *Config) {
		customConfig(cfg)
		cfg.SelfRemove = true
	}
	c.found(GroupOptions{})
	c.add(0, 1)
	c.commit(0, CommitOptions{Proposals: []Proposal{c.invite(LeafOptions{Capabilities: Capabilities{Proposals: []ProposalType{ProposalSelfRemove}}})}})
	c.leaves(2)
	ping := pingType()
	c.commit(0, CommitOptions{Proposals: []Proposal{ping.NewProposal([]byte{0, 0})}})
	c.wantMembers("client 0", "client 1")
	c.checkMessages()
}

// Whoever changes its capabilities need not know what GREASE its leaf has.
func TestCapabilitiesChangeBesideGrease(t *testing.T) {
	c := newCrowd(t, suite1, 1)
	capabilities := c.members[0].g.Leaf(0).Capabilities.clone()
	c.configure = func(cfg *Config) { cfg.GREASE = true }
	c.add(0, 2)
	c.commit(1, CommitOptions{Leaf: LeafChanges{Capabilities: &capabilities}})
	c.proposeUpdate(2, LeafChanges{Capabilities: &capabilities})
	c.commit(0, CommitOptions{})
	c.checkMessages()
}

func TestGreaseIsIgnored(t *testing.T) {
	c := emptyCrowd(t, suite1)
	c.configure = func(cfg *Config) { cfg.GREASE = true }
	c.found(GroupOptions{})
	c.add(0, 20)
	c.commit(3, CommitOptions{})
	c.joinExternal(2, c.newClient(), ExternalJoinOptions{})
	c.checkMessages()
	isGrease := func(v uint16) bool {
		var b [2]byte
		binary.BigEndian.PutUint16(b[:], v)
		return b[0] == b[1] && b[0]&0x0F == 0x0A && b[0] != 0xFA
	}
	seen := make(map[uint16]bool)
	for _, m := range c.members[0].g.Members() {
		capabilities := m.Leaf.Capabilities
		last := []uint16{
			uint16(capabilities.CipherSuites[len(capabilities.CipherSuites)-1]),
			uint16(capabilities.Proposals[len(capabilities.Proposals)-1]),
			uint16(capabilities.Credentials[len(capabilities.Credentials)-1]),
			uint16(m.Leaf.Extensions[len(m.Leaf.Extensions)-1].Type),
		}
		for _, v := range last {
			if !isGrease(v) {
				t.Errorf("leaf %d: %#04x is not a GREASE value", m.Index, v)
			}
			seen[v] = true
		}
	}
	if len(seen) < 8 {
		t.Errorf("only the values %v are used", seen)
	}
}

func TestKeyPackagesListTheirGrease(t *testing.T) {
	c := emptyCrowd(t, suite1)
	c.configure = func(cfg *Config) { cfg.GREASE = true }
	for range 20 {
		k := c.invite(LeafOptions{}).KeyPackage
		if len(k.Extensions) == 0 {
			t.Fatal("there is none")
		}
		if err := c.invited[0].cfg.verifyKeyPackageExtensions(k); err != nil {
			t.Error(err)
		}
	}
}
