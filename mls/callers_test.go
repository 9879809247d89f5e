package mls

import "testing"

// What callers do with their proposals afterwards changes nothing in the group.
func TestProposalsAreTheCallersOwn(t *testing.T) {
	c := newCrowd(t, suite1, 4)
	remove := &Remove{Removed: 2}
	c.propose(0, remove)
	remove.Removed = 1
	c.commit(0, CommitOptions{})
	c.wantMembers("client 0", "client 1", "client 3")

	required := RequiredCapabilities{Credentials: []CredentialType{CredentialBasic}}
	context := &GroupContextExtensions{Extensions{required.Extension()}}
	pending, err := c.members[0].g.Commit(CommitOptions{Proposals: []Proposal{context}})
	if err != nil {
		t.Fatal(err)
	}
	clear(context.Extensions[0].Data)
	c.deliver(0, pending)
	c.commit(0, CommitOptions{})
	c.checkMessages()
}

// Nor does what they do with what a leaf and a group were made of.
func TestOptionsAreTheCallersOwn(t *testing.T) {
	options := func() LeafOptions {
		return LeafOptions{
			Capabilities: Capabilities{Extensions: []ExtensionType{0x8001}},
			Extensions:   Extensions{{0x8001, []byte("data")}},
		}
	}
	spoil := func(capabilities *Capabilities, extensions Extensions) {
		clear(capabilities.Extensions)
		clear(extensions[0].Data)
		clear(extensions)
	}
	c := emptyCrowd(t, suite1)
	own, context := options(), Extensions{{0x8001, []byte("context")}}
	c.found(GroupOptions{Leaf: own, Extensions: context})
	spoil(&own.Capabilities, own.Extensions)
	clear(context[0].Data)
	for range 2 {
		o := options()
		joiner := c.invite(o)
		spoil(&o.Capabilities, o.Extensions)
		c.commit(0, CommitOptions{Proposals: []Proposal{joiner}})
	}
	for by := range c.members {
		change := options()
		capabilities := c.members[by].g.Leaf(LeafIndex(by)).Capabilities.clone()
		pending, err := c.members[by].g.Commit(CommitOptions{Leaf: LeafChanges{Capabilities: &capabilities, Extensions: &change.Extensions}})
		if err != nil {
			t.Fatal(err)
		}
		spoil(&capabilities, change.Extensions)
		c.deliver(by, pending)
	}
	c.commit(1, CommitOptions{})
	c.checkMessages()
	for _, m := range c.members {
		wantEqual(t, "the extension of the group", m.g.Extensions()[0].Data, []byte("context"))
		wantEqual(t, "that of a leaf", m.g.Leaf(1).Extensions[0].Data, []byte("data"))
	}
}
