package mls

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// suspicious is an AuthenticationService that refuses impostors.
type suspicious struct{}

func (suspicious) ValidateLeaf(leaf, previous *LeafNode) error {
	if string(leaf.Credential.Identity) == "impostor" {
		return errors.New("impostor")
	}
	return nil
}

const (
	requiredExtension ExtensionType = 0x8002 // required by the strict group
	contextExtension  ExtensionType = 0x8003 // in its GroupContext
)

var strictLeaf = LeafOptions{Capabilities: Capabilities{Extensions: []ExtensionType{requiredExtension, contextExtension}}}

// strictCrowd is a group of three that asks something of its members. No
// parent node is set.
func strictCrowd(t failer) *crowd {
	t.Helper()
	c := emptyCrowd(t, suite1)
	c.as = suspicious{}
	required := RequiredCapabilities{Extensions: []ExtensionType{requiredExtension}}
	c.found(GroupOptions{Extensions: Extensions{required.Extension(), {Type: contextExtension}}, Leaf: strictLeaf})
	c.commit(0, CommitOptions{Proposals: []Proposal{c.invite(strictLeaf), c.invite(strictLeaf)}, OmitPath: true})
	return c
}

// The ways by which a leaf comes to a member.
var leafVenues = map[string]func(c *crowd, spoil func(*LeafNode, *Identity), afterwards func(*LeafNode)) error{
	"add": func(c *crowd, spoil func(*LeafNode, *Identity), afterwards func(*LeafNode)) error {
		add := c.invite(strictLeaf)
		id := c.invited[0].id
		c.invited = nil
		leaf := &add.KeyPackage.LeafNode
		spoil(leaf, &id)
		c.signKeyPackage(add.KeyPackage, id, true)
		afterwards(leaf)
		c.signKeyPackage(add.KeyPackage, id, false)
		return c.refusedProposals(add)
	},
	"update": func(c *crowd, spoil func(*LeafNode, *Identity), afterwards func(*LeafNode)) error {
		g := c.members[2].g
		key, err := c.suite.GenerateHPKEKeyPair(c.rand)
		if err != nil {
			c.t.Fatal(err)
		}
		leaf := *g.tree.leafNode(g.own)
		leaf.Source, leaf.Lifetime, leaf.EncryptionKey = LeafNodeSourceUpdate, Lifetime{}, key.PublicKey()
		id := c.members[2].id
		spoil(&leaf, &id)
		if err := leaf.sign(c.suite, c.rand, &id, g.context.groupID, g.own); err != nil {
			c.t.Fatal(err)
		}
		afterwards(&leaf)
		message := c.forge(2, ContentProposal, WireFormatPublicMessage, func(a *authenticatedContent) {
			a.content.proposal = &Update{LeafNode: &leaf}
		})
		// What is wrong by itself is refused at once.
		if _, err := c.members[0].g.Process(message); err != nil {
			return c.refused(message)
		}
		c.process(1, message)
		if left, err := c.members[0].g.Commit(CommitOptions{AuthenticatedData: c.aad}); err != nil {
			c.t.Errorf("a bad Update keeps others from committing: %v", err)
		} else {
			left.Erase()
		}
		pending, _, err := c.members[0].g.candidates(&CommitOptions{})
		if err != nil {
			c.t.Fatal(err)
		}
		_, own := c.members[0].g.try(&CommitOptions{}, pending)
		ref := c.members[0].g.proposals[0].ref
		if _, err := c.members[0].g.apply(Sender{Type: SenderMember}, pending); err != nil {
			err = c.refused(c.forgeCommit(proposalOrRef{reference: ref}))
			c.sameRule(own, err)
			return err
		}
		// The rules between members are checked once the path is applied.
		t := &transition{tree: c.members[0].g.tree.clone(), extensions: g.context.extensions}
		t.tree.update(2, &leaf)
		err = c.refused(c.forgePathOn(t, []proposalOrRef{{reference: ref}}, CommitOptions{}, nil, nil))
		c.sameRule(own, err)
		return err
	},
	"commit": func(c *crowd, spoil func(*LeafNode, *Identity), afterwards func(*LeafNode)) error {
		return c.refused(c.forgePath(CommitOptions{}, func(f *forgedPath) {
			id := c.members[0].id
			spoil(f.made.leaf, &id)
			f.signLeaf(id)
			afterwards(f.made.leaf)
		}, nil))
	},
	"join": func(c *crowd, spoil func(*LeafNode, *Identity), afterwards func(*LeafNode)) error {
		return c.refusedWelcome(strictLeaf, CommitOptions{OmitPath: true}, func(f *forgedWelcome) {
			f.changeLeaf(1, func(leaf *LeafNode) {
				id := c.members[1].id
				spoil(leaf, &id)
				if err := leaf.sign(c.suite, c.rand, &id, f.info.context.groupID, 1); err != nil {
					c.t.Fatal(err)
				}
				afterwards(leaf)
			})
		}, nil)
	},
}

func leafRefusals() []refusal {
	const all = "add update commit join"
	var list []refusal
	at := func(venues string, check Check, name string, spoil func(*crowd, *LeafNode, *Identity), afterwards func(*LeafNode)) {
		if afterwards == nil {
			afterwards = func(*LeafNode) {}
		}
		for _, venue := range bytes.Fields([]byte(venues)) {
			list = append(list, refusal{check, name + " by " + string(venue), func(t *testing.T) error {
				c := strictCrowd(t)
				return leafVenues[string(venue)](c, func(l *LeafNode, id *Identity) { spoil(c, l, id) }, afterwards)
			}})
		}
	}
	at(all, CheckLeafSignature, "changed", func(*crowd, *LeafNode, *Identity) {}, func(l *LeafNode) {
		l.Signature = bytes.Clone(l.Signature)
		l.Signature[0] ^= 1
	})
	at(all, CheckLeafSignature, "over other content", func(c *crowd, l *LeafNode, id *Identity) {}, func(l *LeafNode) {
		l.Capabilities.CipherSuites = append([]ciphersuite.ID{2}, l.Capabilities.CipherSuites...)
	})
	at(all, CheckLeafCredential, "impostor", func(c *crowd, l *LeafNode, id *Identity) {
		l.Credential = BasicCredential([]byte("impostor"))
	}, nil)
	at(all, CheckLeafCredentialOwn, "own", func(c *crowd, l *LeafNode, id *Identity) {
		l.Capabilities.Credentials = []CredentialType{CredentialX509}
	}, nil)
	at(all, CheckLeafCredentialSupport, "another's", func(c *crowd, l *LeafNode, id *Identity) {
		l.Credential = Credential{Type: CredentialX509, Certificates: [][]byte{{1}}}
		l.Capabilities.Credentials = []CredentialType{CredentialX509}
	}, nil)
	at(all, CheckLeafExtensionSupport, "own", func(c *crowd, l *LeafNode, id *Identity) {
		l.Extensions = Extensions{{Type: 0x8001}}
	}, nil)
	at(all, CheckLeafRequiredCapabilities, "missing", func(c *crowd, l *LeafNode, id *Identity) {
		l.Capabilities.Extensions = []ExtensionType{contextExtension}
	}, nil)
	at(all, CheckContextExtensionSupport, "missing", func(c *crowd, l *LeafNode, id *Identity) {
		l.Capabilities.Extensions = []ExtensionType{requiredExtension}
	}, nil)
	at(all, CheckLeafSuiteSupport, "other suite", func(c *crowd, l *LeafNode, id *Identity) {
		l.Capabilities.CipherSuites = []ciphersuite.ID{2}
	}, nil)
	at(all, CheckLeafVersionSupport, "other version", func(c *crowd, l *LeafNode, id *Identity) {
		l.Capabilities.Versions = []ProtocolVersion{2}
	}, nil)
	at("add update commit", CheckLeafSource, "other", func(c *crowd, l *LeafNode, id *Identity) {
		l.Source = l.Source%3 + 1
	}, nil)
	at("add update commit", CheckLeafEncryptionKey, "encryption key too short", func(c *crowd, l *LeafNode, id *Identity) {
		l.EncryptionKey = []byte{1}
	}, nil)
	at("join", CheckLeafEncryptionKey, "too short", func(c *crowd, l *LeafNode, id *Identity) {
		l.EncryptionKey = []byte{1}
	}, nil)
	at("add update commit", CheckLeafSignatureKey, "signature key too short", func(c *crowd, l *LeafNode, id *Identity) {
		l.SignatureKey = []byte{1}
	}, nil)
	at("add update", CheckLeafEncryptionKeyUnique, "encryption key", func(c *crowd, l *LeafNode, id *Identity) {
		l.EncryptionKey = c.members[0].g.tree.leafNode(1).EncryptionKey
	}, nil)
	at("join", CheckLeafEncryptionKeyUnique, "twice", func(c *crowd, l *LeafNode, id *Identity) {
		l.EncryptionKey = c.members[0].g.tree.leafNode(0).EncryptionKey
	}, nil)
	at("commit", CheckUpdatePathKeyUnique, "leaf key in use", func(c *crowd, l *LeafNode, id *Identity) {
		l.EncryptionKey = c.members[1].g.tree.leafNode(1).EncryptionKey
	}, nil)
	at("update", CheckLeafEncryptionKeyNew, "kept", func(c *crowd, l *LeafNode, id *Identity) {
		l.EncryptionKey = c.members[2].g.tree.leafNode(2).EncryptionKey
	}, nil)
	at("commit", CheckLeafEncryptionKeyNew, "kept", func(c *crowd, l *LeafNode, id *Identity) {
		l.EncryptionKey = c.members[0].g.tree.leafNode(0).EncryptionKey
	}, nil)
	at("update join", CheckLeafSignatureKeyUnique, "signature key", func(c *crowd, l *LeafNode, id *Identity) {
		l.SignatureKey, *id = c.members[0].g.tree.leafNode(0).SignatureKey, c.members[0].id
	}, nil)
	at("commit", CheckLeafSignatureKeyUnique, "signature key", func(c *crowd, l *LeafNode, id *Identity) {
		l.SignatureKey, *id = c.members[2].g.tree.leafNode(2).SignatureKey, c.members[2].id
	}, nil)
	lifetime := func(check Check, name string, lifetime Lifetime) {
		at("add join", check, name, func(c *crowd, l *LeafNode, id *Identity) { l.Lifetime = lifetime }, nil)
	}
	lifetime(CheckLeafLifetime, "to come", LifetimeFrom(testTime.Add(2*time.Hour), time.Hour))
	lifetime(CheckLeafLifetime, "over", LifetimeFrom(testTime.Add(-2*time.Hour), time.Hour))
	lifetime(CheckLeafLifetimeLength, "too long", LifetimeFrom(testTime, DefaultMaxLifetime))
	lifetime(CheckLeafLifetimeLength, "absurd", Lifetime{0, 1<<64 - 1})
	return list
}

func keyPackageRefusals() []refusal {
	add := func(check Check, name string, spoil func(*crowd, *KeyPackage)) refusal {
		return refusal{check, name, func(t *testing.T) error {
			c := newCrowd(t, suite1, 2)
			return c.refusedProposals(c.spoiltAdd(LeafOptions{}, func(k *KeyPackage) { spoil(c, k) }))
		}}
	}
	// own is what a client must not make itself.
	own := func(check Check, name string, o KeyPackageOptions) refusal {
		return refusal{check, name, func(t *testing.T) error {
			c := emptyCrowd(t, suite1)
			m := c.newClient()
			o.Suite, o.Identity = suite1, m.id
			return second(NewKeyPackage(m.cfg, o))
		}}
	}
	return []refusal{
		own(CheckLeafDefaultTypes, "an extension", KeyPackageOptions{Leaf: LeafOptions{Capabilities: Capabilities{Extensions: []ExtensionType{ExtensionExternalPub}}}}),
		own(CheckLeafDefaultTypes, "a proposal", KeyPackageOptions{Leaf: LeafOptions{Capabilities: Capabilities{Proposals: []ProposalType{ProposalAdd}}}}),
		{CheckLeafDefaultTypes, "in an update", func(t *testing.T) error {
			c := newCrowd(t, suite1, 2)
			capabilities := c.members[0].g.tree.leafNode(0).Capabilities
			capabilities.Proposals = []ProposalType{ProposalAdd}
			return c.refusedToSend(func(g *Group) error {
				return second(g.ProposeUpdate(LeafChanges{Capabilities: &capabilities}, ProposeOptions{}))
			})
		}},
		own(CheckLeafLifetime, "of one's own, over", KeyPackageOptions{Leaf: LeafOptions{Lifetime: LifetimeFrom(testTime.Add(-2*time.Hour), time.Hour)}}),
		own(CheckLeafLifetimeLength, "of one's own", KeyPackageOptions{Leaf: LeafOptions{Lifetime: LifetimeFrom(testTime, DefaultMaxLifetime)}}),
		own(CheckKeyPackageExtensionSupport, "not listed", KeyPackageOptions{
			Extensions: Extensions{{Type: 0x8001}}, Leaf: LeafOptions{Capabilities: Capabilities{Extensions: []ExtensionType{0x8002}}},
		}),
		own(CheckExtensionTwice, "in a key package", KeyPackageOptions{Extensions: Extensions{{Type: 0x8001}, {Type: 0x8001}}}),
		own(CheckExtensionTwice, "in a leaf", KeyPackageOptions{Leaf: LeafOptions{Extensions: Extensions{{Type: 0x8001}, {Type: 0x8001}}}}),
		add(CheckExtensionTwice, "in an added key package", func(c *crowd, k *KeyPackage) { k.Extensions = Extensions{{Type: 0x8001}, {Type: 0x8001}} }),
		add(CheckKeyPackageSuite, "other suite", func(c *crowd, k *KeyPackage) { k.CipherSuite = 3 }),
		add(CheckKeyPackageVersion, "other version", func(c *crowd, k *KeyPackage) { k.Version = 2 }),
		add(CheckKeyPackageInitKeyReuse, "the leaf's", func(c *crowd, k *KeyPackage) { k.InitKey = k.LeafNode.EncryptionKey }),
		add(CheckKeyPackageInitKey, "too short", func(c *crowd, k *KeyPackage) { k.InitKey = []byte{1} }),
		{CheckKeyPackageSignature, "changed", func(t *testing.T) error {
			c := newCrowd(t, suite1, 2)
			add := c.invite(LeafOptions{})
			add.KeyPackage.Signature[0] ^= 1
			return c.refusedProposals(add)
		}},
		{CheckKeyPackageSignature, "by another", func(t *testing.T) error {
			c := newCrowd(t, suite1, 2)
			add := c.invite(LeafOptions{})
			c.signKeyPackage(add.KeyPackage, c.members[0].id, false)
			return c.refusedProposals(add)
		}},
	}
}
