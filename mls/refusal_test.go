package mls

import (
	"bytes"
	"testing"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/internal/keysched"
	"github.com/mendlink/mendlink/mls/internal/secrettree"
)

// A refusal is one way to break a rule.
type refusal struct {
	check Check
	name  string
	try   func(t *testing.T) error
}

func messageRefusals() []refusal {
	return []refusal{
		{CheckApplicationPrivate, "public application data", func(t *testing.T) error {
			c := newCrowd(t, suite1, 3)
			a := c.members[0].g.newContent(ContentApplication, WireFormatPublicMessage, nil)
			m := &publicMessage{content: a.content}
			if err := c.members[0].g.sign(a); err != nil {
				t.Fatal(err)
			}
			m.auth = a.auth
			m.membershipTag = membershipTag(c.suite, a, c.members[0].g.epoch.MembershipKey, c.members[0].g.encodedContext)
			return c.refused(marshal(&mlsMessage{wireFormat: WireFormatPublicMessage, publicMessage: m}))
		}},
		{CheckMembershipTag, "changed", func(t *testing.T) error {
			c := newCrowd(t, suite1, 3)
			message := c.forgeCommit()
			message[len(message)-1] ^= 1
			return c.refused(message)
		}},
		{CheckMembershipTag, "of the last epoch", func(t *testing.T) error {
			c := newCrowd(t, suite1, 3)
			key := bytes.Clone(c.members[0].g.epoch.MembershipKey)
			c.commit(0, CommitOptions{})
			c.members[0].g.epoch.MembershipKey = key
			return c.refused(c.forgeCommit())
		}},
		{CheckMessageSignature, "public, by another member", func(t *testing.T) error {
			c := newCrowd(t, suite1, 3)
			c.members[0].g.signer = c.members[2].g.signer
			return c.refused(c.forge(0, ContentProposal, WireFormatPublicMessage, func(a *authenticatedContent) {
				a.content.proposal = &Remove{Removed: 2}
			}))
		}},
		{CheckMessageSignature, "private, by another member", func(t *testing.T) error {
			c := newCrowd(t, suite1, 3)
			c.members[0].g.signer = c.members[2].g.signer
			message, err := c.members[0].g.Protect(nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			return c.refused(message)
		}},
		{CheckMessageSignature, "over another wire format", func(t *testing.T) error {
			c := newCrowd(t, suite1, 3)
			g := c.members[0].g
			a := g.newContent(ContentProposal, WireFormatPrivateMessage, nil)
			a.content.proposal = &Remove{Removed: 2}
			if err := g.sign(a); err != nil {
				t.Fatal(err)
			}
			a.wireFormat = WireFormatPublicMessage
			message, err := g.protect(a)
			if err != nil {
				t.Fatal(err)
			}
			return c.refused(message)
		}},
		{CheckConfirmationTag, "changed", func(t *testing.T) error {
			c := newCrowd(t, suite1, 3)
			return c.refused(c.changeCommit(func(a *authenticatedContent) { a.auth.confirmationTag[0] ^= 1 }))
		}},
		{CheckConfirmationTag, "missing", func(t *testing.T) error {
			c := newCrowd(t, suite1, 3)
			return c.refused(c.changeCommit(func(a *authenticatedContent) { a.auth.confirmationTag = nil }))
		}},
		{CheckPadding, "not zero", func(t *testing.T) error {
			c := newCrowd(t, suite1, 3)
			return c.refused(c.forgePadding(1))
		}},
		{CheckSenderBlank, "public", func(t *testing.T) error {
			c := newCrowd(t, suite1, 3)
			return c.refused(c.forge(0, ContentCommit, WireFormatPublicMessage, func(a *authenticatedContent) {
				a.content.commit = &commit{}
				a.content.sender.Leaf = 3
			}))
		}},
		{CheckSenderBlank, "private", func(t *testing.T) error {
			c := newCrowd(t, suite1, 3)
			c.members[0].g.own = 3
			message, err := c.members[0].g.Protect(nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			return c.refused(message)
		}},
		{CheckSenderBlank, "out of the tree", func(t *testing.T) error {
			c := newCrowd(t, suite1, 3)
			return c.refused(c.forge(0, ContentCommit, WireFormatPublicMessage, func(a *authenticatedContent) {
				a.content.commit = &commit{}
				a.content.sender.Leaf = 1<<32 - 1
			}))
		}},
	}
}

// changeCommit has member 0 commit and changes that before it is protected.
func (c *crowd) changeCommit(change func(*authenticatedContent)) []byte {
	c.t.Helper()
	g := c.members[0].g
	pending, err := g.Commit(CommitOptions{WireFormat: WireFormatPublicMessage})
	if err != nil {
		c.t.Fatal(err)
	}
	var m mlsMessage
	mustUnmarshal(c.t, pending.Message(), &m)
	a := m.publicMessage.authenticatedContent()
	change(a)
	return must(g.protect(a))
}

// forgePadding returns application data with padding of one octet.
func (c *crowd) forgePadding(octet byte) []byte {
	c.t.Helper()
	g := c.members[0].g
	// One more octet behind the signature is padding to the receiver.
	g.cfg.Padding = func(int) int { return 1 }
	message, err := g.Protect([]byte("data"), nil)
	if err != nil {
		c.t.Fatal(err)
	}
	var m mlsMessage
	mustUnmarshal(c.t, message, &m)
	// Encrypt again what the receiver would have got, but for the last octet.
	reader := c.members[2].clone(c.t)
	p := m.privateMessage
	a, key, err := openPrivate(g.cfg, g.suite, p, reader.secrets, g.epoch.SenderDataSecret, reader.isOtherMember)
	if err != nil {
		c.t.Fatal(err)
	}
	data := senderData{leaf: g.own, generation: key.Generation}
	aead, err := g.suite.NewAEAD(key.Key)
	if err != nil {
		c.t.Fatal(err)
	}
	var plaintext, aad, senderAAD wire.Writer
	a.content.encodeBody(&plaintext)
	a.auth.encode(&plaintext, WireFormatPrivateMessage, ContentApplication)
	plaintext.Uint8(octet)
	p.encodeContentAAD(&aad)
	p.encodeSenderDataAAD(&senderAAD)
	p.ciphertext = aead.Seal(nil, data.guardedNonce(key.Nonce), plaintext.Data(), aad.Data())
	senderKey, senderNonce := secrettree.SenderDataKey(g.suite, g.epoch.SenderDataSecret, p.ciphertext)
	if aead, err = g.suite.NewAEAD(senderKey); err != nil {
		c.t.Fatal(err)
	}
	p.encryptedSenderData = aead.Seal(nil, senderNonce, marshal(&data), senderAAD.Data())
	return marshal(&m)
}

func TestForgedPaddingOfZeroIsAccepted(t *testing.T) {
	c := newCrowd(t, suite1, 3)
	if _, err := c.members[1].g.Process(c.forgePadding(0)); err != nil {
		t.Error(err)
	}
}

func proposalRefusals() []refusal {
	psk := func(change func(*PreSharedKeyID)) *PreSharedKey {
		p := &PreSharedKey{PreSharedKeyID{Type: PSKExternal, ID: []byte("key"), Nonce: make([]byte, 32)}}
		change(&p.PSK)
		return p
	}
	proposals := func(n int, make func(c *crowd) []Proposal) func(t *testing.T) error {
		return func(t *testing.T) error {
			c := newCrowd(t, suite1, n)
			c.psks["key"] = []byte("a pre-shared key")
			return c.refusedProposals(make(c)...)
		}
	}
	return []refusal{
		{CheckProposalUpdateByCommitter, "by reference", func(t *testing.T) error {
			c := newCrowd(t, suite1, 3)
			c.proposeUpdate(0, LeafChanges{})
			return c.refused(c.forgeCommit(proposalOrRef{reference: c.members[1].g.proposals[0].ref}))
		}},
		{CheckProposalUpdateByCommitter, "by value", func(t *testing.T) error {
			c := newCrowd(t, suite1, 3)
			return c.refusedProposals(&Update{LeafNode: c.members[0].g.tree.leafNode(0)})
		}},
		{CheckProposalRemovesCommitter, "by value", proposals(3, func(c *crowd) []Proposal {
			return []Proposal{&Remove{Removed: 0}}
		})},
		{CheckProposalSameLeaf, "two removes", proposals(3, func(c *crowd) []Proposal {
			return []Proposal{&Remove{Removed: 2}, &Remove{Removed: 2}}
		})},
		{CheckProposalSameLeaf, "update and remove", func(t *testing.T) error {
			c := newCrowd(t, suite1, 4)
			c.proposeUpdate(2, LeafChanges{})
			return c.refused(c.forgeCommit(proposalOrRef{reference: c.members[1].g.proposals[0].ref}, proposalOrRef{proposal: &Remove{Removed: 2}}))
		}},
		{CheckProposalSameLeaf, "two updates", func(t *testing.T) error {
			c := newCrowd(t, suite1, 4)
			c.proposeUpdate(2, LeafChanges{})
			c.proposeUpdate(2, LeafChanges{})
			p := c.members[1].g.proposals
			return c.refused(c.forgeCommit(proposalOrRef{reference: p[0].ref}, proposalOrRef{reference: p[1].ref}))
		}},
		{CheckProposalAddTwice, "one key package", proposals(2, func(c *crowd) []Proposal {
			add := c.invite(LeafOptions{})
			return []Proposal{add, add}
		})},
		{CheckProposalAddTwice, "two key packages of one client", proposals(2, func(c *crowd) []Proposal {
			one := c.invite(LeafOptions{})
			b, err := NewKeyPackage(c.invited[0].cfg, KeyPackageOptions{Suite: suite1, Identity: c.invited[0].id})
			if err != nil {
				c.t.Fatal(err)
			}
			return []Proposal{one, &Add{b.KeyPackage()}}
		})},
		{CheckProposalAddMember, "of the group", proposals(3, func(c *crowd) []Proposal {
			b, err := NewKeyPackage(c.members[2].cfg, KeyPackageOptions{Suite: suite1, Identity: c.members[2].id})
			if err != nil {
				c.t.Fatal(err)
			}
			return []Proposal{&Add{b.KeyPackage()}}
		})},
		{CheckProposalRemoveBlank, "blank", proposals(3, func(c *crowd) []Proposal { return []Proposal{&Remove{Removed: 3}} })},
		{CheckProposalRemoveBlank, "out of the tree", proposals(3, func(c *crowd) []Proposal { return []Proposal{&Remove{Removed: 1<<32 - 1}} })},
		{CheckProposalPSKTwice, "external", proposals(2, func(c *crowd) []Proposal {
			p := psk(func(*PreSharedKeyID) {})
			return []Proposal{p, p}
		})},
		{CheckProposalPSKReInit, "for a re-initialization", proposals(2, func(c *crowd) []Proposal {
			return []Proposal{c.resumption(ResumptionReInit)}
		})},
		{CheckProposalPSKBranch, "for a branch", proposals(2, func(c *crowd) []Proposal {
			return []Proposal{c.resumption(ResumptionBranch)}
		})},
		{CheckProposalPSKNonce, "too short", proposals(2, func(c *crowd) []Proposal {
			return []Proposal{psk(func(p *PreSharedKeyID) { p.Nonce = p.Nonce[1:] })}
		})},
		{CheckProposalContextTwice, "empty", proposals(2, func(c *crowd) []Proposal {
			return []Proposal{&GroupContextExtensions{}, &GroupContextExtensions{}}
		})},
		{CheckProposalReInitAlone, "with a remove", proposals(3, func(c *crowd) []Proposal {
			return []Proposal{&ReInit{Version: MLS10, CipherSuite: suite1}, &Remove{Removed: 2}}
		})},
		{CheckProposalReInitVersion, "zero", proposals(2, func(c *crowd) []Proposal { return []Proposal{&ReInit{CipherSuite: suite1}} })},
		{CheckProposalExternalInit, "by a member", proposals(2, func(c *crowd) []Proposal { return []Proposal{&ExternalInit{}} })},
		{CheckProposalUnknownRef, "never sent", func(t *testing.T) error {
			c := newCrowd(t, suite1, 2)
			return c.refused(c.forgeCommit(proposalOrRef{reference: make([]byte, 32)}))
		}},
		{CheckProposalUnknownRef, "of the last epoch", func(t *testing.T) error {
			c := newCrowd(t, suite1, 3)
			c.propose(2, &Remove{Removed: 0})
			ref := c.members[1].g.proposals[0].ref
			c.commit(1, CommitOptions{WithoutPending: true})
			return c.refused(c.forgeCommit(proposalOrRef{reference: ref}))
		}},
		{CheckPathRequired, "no proposals", func(t *testing.T) error {
			c := newCrowd(t, suite1, 2)
			return c.refused(c.forgeCommitWithoutPath())
		}},
		{CheckPathRequired, "remove", func(t *testing.T) error {
			c := newCrowd(t, suite1, 3)
			return c.refused(c.forgeCommitWithoutPath(byValue(&Remove{Removed: 2})...))
		}},
		{CheckPathRequired, "context extensions", func(t *testing.T) error {
			c := newCrowd(t, suite1, 3)
			return c.refused(c.forgeCommitWithoutPath(byValue(&GroupContextExtensions{})...))
		}},
		{CheckRequiredCapabilitiesFormat, "cut short", proposals(2, func(c *crowd) []Proposal {
			return []Proposal{&GroupContextExtensions{Extensions{{ExtensionRequiredCapabilities, []byte{1}}}}}
		})},
		{CheckRequiredCapabilitiesFormat, "in a ReInit", proposals(2, func(c *crowd) []Proposal {
			return []Proposal{&ReInit{Version: MLS10, CipherSuite: suite1, Extensions: Extensions{{ExtensionRequiredCapabilities, []byte{1}}}}}
		})},
		{CheckExternalSendersFormat, "cut short", proposals(2, func(c *crowd) []Proposal {
			return []Proposal{&GroupContextExtensions{Extensions{{ExtensionExternalSenders, []byte{1}}}}}
		})},
		{CheckExternalSenderKey, "too short", proposals(2, func(c *crowd) []Proposal {
			return []Proposal{&GroupContextExtensions{Extensions{ExternalSenders(ExternalSender{SignatureKey: []byte{1}, Credential: BasicCredential(nil)})}}}
		})},
		{CheckExtensionTwice, "in a GroupContext", proposals(2, func(c *crowd) []Proposal {
			x := (&RequiredCapabilities{}).Extension()
			return []Proposal{&GroupContextExtensions{Extensions{x, x}}}
		})},
		{CheckExtensionTwice, "in a ReInit of another version", proposals(2, func(c *crowd) []Proposal {
			return []Proposal{&ReInit{Version: 2, CipherSuite: suite1, Extensions: Extensions{{Type: 1}, {Type: 1}}}}
		})},
	}
}

// resumption returns a proposal to use the resumption PSK of the epoch.
func (c *crowd) resumption(usage ResumptionPSKUsage) *PreSharedKey {
	g := c.members[0].g
	return &PreSharedKey{PreSharedKeyID{Type: PSKResumption, Usage: usage, Group: g.GroupID(), Epoch: g.Epoch(), Nonce: make([]byte, 32)}}
}

func externalRefusals() []refusal {
	// from returns what comes of a message from outside.
	from := func(sender Sender, t ContentType, fill func(*authenticatedContent)) func(*testing.T) error {
		return func(test *testing.T) error {
			c, signer := withExternalSender(test, 3)
			a := c.members[0].g.newContent(t, WireFormatPublicMessage, nil)
			a.content.sender = sender
			fill(a)
			return c.refused(c.signPublic(a, signer))
		}
	}
	proposal := func(p Proposal) func(*authenticatedContent) {
		return func(a *authenticatedContent) { a.content.proposal = p }
	}
	empty := func(a *authenticatedContent) { a.content.commit = &commit{} }
	external := Sender{Type: SenderExternal}
	externalCommit := func(spoil func(*commit)) func(*testing.T) error {
		return func(t *testing.T) error {
			c := newCrowd(t, suite1, 3)
			message, _ := c.externalCommit(nil, spoil)
			return c.refused(message)
		}
	}
	return []refusal{
		{CheckExternalSenderIndex, "index out of range", from(Sender{Type: SenderExternal, Index: 1}, ContentProposal, proposal(&Remove{Removed: 2}))},
		{CheckExternalSenderIndex, "no external senders", func(t *testing.T) error {
			c := newCrowd(t, suite1, 3)
			return c.refused(c.externalProposal(external, c.members[0].id.Signer, &Remove{Removed: 2}))
		}},
		{CheckMessageSignature, "external proposal by a member", func(t *testing.T) error {
			c, _ := withExternalSender(t, 3)
			return c.refused(c.externalProposal(external, c.members[0].id.Signer, &Remove{Removed: 2}))
		}},
		{CheckExternalSenderContent, "external update", func(t *testing.T) error {
			c, signer := withExternalSender(t, 3)
			return c.refused(c.externalProposal(external, signer, &Update{LeafNode: c.members[2].g.tree.leafNode(2)}))
		}},
		{CheckExternalSenderContent, "external init", from(external, ContentProposal, proposal(&ExternalInit{}))},
		{CheckExternalSenderContent, "external commit", from(external, ContentCommit, empty)},
		{CheckNewMemberProposalContent, "commit as a new member's proposal", from(Sender{Type: SenderNewMemberProposal}, ContentCommit, empty)},
		{CheckNewMemberProposalContent, "remove by a new member", from(Sender{Type: SenderNewMemberProposal}, ContentProposal, proposal(&Remove{Removed: 2}))},
		{CheckNewMemberCommitContent, "proposal as an external commit", from(Sender{Type: SenderNewMemberCommit}, ContentProposal, proposal(&Remove{Removed: 2}))},
		{CheckExternalCommitPath, "no path", from(Sender{Type: SenderNewMemberCommit}, ContentCommit, empty)},
		{CheckExternalCommitInit, "two ExternalInit", externalCommit(func(c *commit) { c.proposals = append(c.proposals, c.proposals[0]) })},
		{CheckExternalCommitInit, "no ExternalInit", externalCommit(func(c *commit) { c.proposals = nil })},
		{CheckExternalCommitRemove, "two removes", func(t *testing.T) error {
			c := newCrowd(t, suite1, 4)
			message, _ := c.externalCommit([]LeafIndex{2, 3}, nil)
			return c.refused(message)
		}},
		{CheckExternalCommitProposal, "context extensions", externalCommit(func(c *commit) {
			c.proposals = append(c.proposals, byValue(&GroupContextExtensions{})...)
		})},
		{CheckExternalInitKEM, "KEM output too short", externalCommit(func(c *commit) {
			c.proposals = byValue(&ExternalInit{KEMOutput: []byte{1}})
		})},
		{CheckConfirmationTag, "other KEM output", externalCommit(func(c *commit) {
			init := c.proposals[0].proposal.(*ExternalInit)
			init.KEMOutput[0] ^= 1
		})},
		{CheckExternalCommitReference, "by reference", func(t *testing.T) error {
			c := newCrowd(t, suite1, 3)
			c.propose(0, &Remove{Removed: 2})
			message, _ := c.externalCommit([]LeafIndex{2}, func(o *commit) {
				o.proposals[1] = proposalOrRef{reference: c.members[1].g.proposals[0].ref}
			})
			return c.refused(message)
		}},
	}
}

// externalCommit has an outsider who knows the tree join by a commit of its
// own. It returns the epoch authenticator as the newcomer computes it.
func (c *crowd) externalCommit(removes []LeafIndex, spoil func(*commit)) (message, epochAuthenticator []byte) {
	c.t.Helper()
	must := func(err error) {
		c.t.Helper()
		if err != nil {
			c.t.Fatal(err)
		}
	}
	g := c.members[0].g
	outsider := c.newClient()
	key, err := keysched.ExternalKeyPair(c.suite, g.epoch.ExternalSecret)
	must(err)
	kemOutput, initSecret, err := keysched.SendExternalInit(c.suite, c.rand, key.PublicKey())
	must(err)
	proposals := []Proposal{&ExternalInit{KEMOutput: kemOutput}}
	tree := g.tree.clone()
	for _, i := range removes {
		proposals = append(proposals, &Remove{Removed: i})
		tree.remove(i)
		tree.truncate()
	}
	leaf, _, err := newLeaf(g.cfg, c.suite, &outsider.id, &LeafOptions{})
	must(err)
	own := tree.nextFreeLeaf()
	path, err := tree.createPath(c.suite, c.rand, own, leaf, &outsider.id, g.context.groupID)
	must(err)
	next := g.context
	next.epoch++
	next.treeHash = tree.rootHash(c.suite)
	sent, err := tree.encryptPath(c.suite, c.rand, path, nil, marshal(&next))
	must(err)
	a := g.newContent(ContentCommit, WireFormatPublicMessage, nil)
	a.content.sender = Sender{Type: SenderNewMemberCommit}
	a.content.commit = &commit{proposals: byValue(proposals...), path: sent}
	if spoil != nil {
		spoil(a.content.commit)
	}
	a.auth.signature, err = c.suite.SignWithLabel(c.rand, outsider.id.Signer, "FramedContentTBS", a.toBeSigned(g.encodedContext))
	must(err)
	next.confirmedTranscriptHash = keysched.ConfirmedTranscriptHash(c.suite, g.interimTranscriptHash, a.confirmedTranscriptHashInput())
	encoded := marshal(&next)
	epoch := keysched.NewEpoch(c.suite, keysched.JoinerSecret(c.suite, initSecret, path.commitSecret, encoded), nil, encoded)
	a.auth.confirmationTag = keysched.ConfirmationTag(c.suite, epoch.ConfirmationKey, next.confirmedTranscriptHash)
	return c.signPublic(a, outsider.id.Signer), epoch.EpochAuthenticator
}

func TestExternalCommitsAreAccepted(t *testing.T) {
	for _, c := range []struct {
		name    string
		members int
		removes []LeafIndex
		leaf    LeafIndex
		size    int
	}{
		{"in a free place", 3, nil, 3, 4},
		{"in a larger tree", 4, nil, 4, 8},
		{"in the place of another", 4, []LeafIndex{2}, 2, 4},
		{"after the tree has shrunk", 5, []LeafIndex{4}, 4, 8},
	} {
		t.Run(c.name, func(t *testing.T) {
			crowd := newCrowd(t, suite1, c.members)
			message, want := crowd.externalCommit(c.removes, nil)
			for i, m := range crowd.members {
				next := crowd.process(i, message).(*ReceivedCommit).Group()
				if next == nil {
					if len(c.removes) == 0 || m.g.own != c.removes[0] {
						t.Errorf("%s is removed", m.name)
					}
					continue
				}
				wantEqual(t, "epoch authenticator", next.EpochAuthenticator(), want)
				if next.tree.leafNode(c.leaf) == nil || int(next.tree.size) != c.size {
					t.Errorf("no leaf %d in a tree of %d, want %d", c.leaf, next.tree.size, c.size)
				}
			}
		})
	}
}

func TestProposalsFromOutsideAreCommitted(t *testing.T) {
	c, signer := withExternalSender(t, 3)
	remove := c.externalProposal(Sender{Type: SenderExternal}, signer, &Remove{Removed: 2})
	add := c.invite(LeafOptions{})
	join := c.externalProposal(Sender{Type: SenderNewMemberProposal}, c.invited[0].id.Signer, add)
	for i := range c.members {
		c.process(i, remove)
		c.process(i, remove) // twice is once
		c.process(i, join)
	}
	c.commit(1, CommitOptions{})
	c.checkMessages()
	if len(c.members) != 3 {
		t.Errorf("%d members, want 3", len(c.members))
	}
}
