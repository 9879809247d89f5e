package mls

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/mls/internal/secrettree"
	"github.com/mendlink/mendlink/mls/internal/treemath"
)

func pathRefusals() []refusal {
	path := func(check Check, name string, early, late func(*forgedPath)) refusal {
		return refusal{check, name, func(t *testing.T) error {
			c := newCrowd(t, suite1, 5)
			return c.refused(c.forgePath(CommitOptions{}, early, late))
		}}
	}
	context := func(check Check, name string, x Extension) refusal {
		return refusal{check, name, func(t *testing.T) error {
			c := newCrowd(t, suite1, 3)
			proposal := &GroupContextExtensions{Extensions{x}}
			_, own := c.members[0].g.Commit(CommitOptions{Proposals: []Proposal{proposal}})
			err := c.refused(c.forgePath(CommitOptions{Proposals: []Proposal{proposal}}, nil, nil))
			c.sameRule(own, err)
			return err
		}}
	}
	return []refusal{
		path(CheckUpdatePathLength, "no nodes", nil, func(f *forgedPath) { f.sent.nodes = nil }),
		path(CheckUpdatePathLength, "one node too few", nil, func(f *forgedPath) { f.sent.nodes = f.sent.nodes[1:] }),
		path(CheckUpdatePathLength, "one node too many", nil, func(f *forgedPath) { f.sent.nodes = append(f.sent.nodes, f.sent.nodes[0]) }),
		path(CheckUpdatePathCiphertexts, "one ciphertext too few", nil, func(f *forgedPath) { f.sent.nodes[1].pathSecrets = f.sent.nodes[1].pathSecrets[1:] }),
		path(CheckUpdatePathCiphertexts, "one ciphertext too many", nil, func(f *forgedPath) {
			n := &f.sent.nodes[1]
			n.pathSecrets = append(n.pathSecrets, n.pathSecrets[0])
		}),
		path(CheckUpdatePathKey, "public key too short", func(f *forgedPath) { f.setKey(2, []byte{1}) }, nil),
		path(CheckUpdatePathKeyUnique, "the leaf's key", func(f *forgedPath) {
			f.made.leaf.EncryptionKey = f.made.publicKeys[1]
			f.signLeaf(f.c.members[0].id)
		}, nil),
		path(CheckUpdatePathKeyUnique, "node key in use", func(f *forgedPath) { f.setKey(0, f.c.members[4].g.tree.leafNode(4).EncryptionKey) }, nil),
		path(CheckUpdatePathKeyUnique, "node key kept", func(f *forgedPath) { f.setKey(2, f.c.members[0].g.tree.nodes[7].encryptionKey()) }, nil),
		path(CheckUpdatePathKeyUnique, "same key twice", func(f *forgedPath) { f.setKey(1, f.made.publicKeys[0]) }, nil),
		path(CheckCommitParentHash, "changed", func(f *forgedPath) {
			f.made.leaf.ParentHash = bytes.Clone(f.made.leaf.ParentHash)
			f.made.leaf.ParentHash[0] ^= 1
			f.signLeaf(f.c.members[0].id)
		}, nil),
		path(CheckCommitParentHash, "none", func(f *forgedPath) {
			f.made.leaf.ParentHash = nil
			f.signLeaf(f.c.members[0].id)
		}, nil),
		path(CheckPathSecret, "of another node", func(f *forgedPath) { f.made.secrets[0] = f.made.secrets[1] }, nil),
		path(CheckPathSecret, "too short", func(f *forgedPath) { f.made.secrets[0] = []byte{1} }, nil),
		context(CheckLeafRequiredCapabilities, "new proposal type", (&RequiredCapabilities{Proposals: []ProposalType{0x8001}}).Extension()),
		context(CheckLeafRequiredCapabilities, "new extension type", (&RequiredCapabilities{Extensions: []ExtensionType{0x8001}}).Extension()),
		context(CheckLeafRequiredCapabilities, "new credential type", (&RequiredCapabilities{Credentials: []CredentialType{CredentialX509}}).Extension()),
		context(CheckContextExtensionSupport, "new", Extension{Type: 0x8001}),
	}
}

func welcomeRefusals() []refusal {
	// join spoils a Welcome to a group in which everybody has committed.
	join := func(check Check, name string, spoil, afterwards func(*forgedWelcome)) refusal {
		return refusal{check, name, func(t *testing.T) error {
			c := newCrowd(t, suite1, 5)
			for by := range c.members {
				c.commit(by, CommitOptions{})
			}
			return c.refusedWelcome(LeafOptions{}, CommitOptions{}, spoil, afterwards)
		}}
	}
	parent := func(f *forgedWelcome, x treemath.NodeIndex, change func(*parentNode)) {
		p := *f.tree.nodes[x].parent
		change(&p)
		f.tree.set(x, node{parent: &p})
	}
	unmerged := func(x treemath.NodeIndex, leaves ...LeafIndex) func(*forgedWelcome) {
		return func(f *forgedWelcome) { parent(f, x, func(p *parentNode) { p.unmergedLeaves = leaves }) }
	}
	// vouched spoils a Welcome to a group in which no parent is set so far.
	vouched := func(check Check, name string, spoil func(*forgedWelcome)) refusal {
		return refusal{check, name, func(t *testing.T) error {
			return strictCrowd(t).refusedWelcome(strictLeaf, CommitOptions{OmitPath: true}, spoil, nil)
		}}
	}
	nothing := func(*forgedWelcome) {}
	shape := func(check Check, name string, encode func(*wire.Writer)) refusal {
		return refusal{check, name, func(*testing.T) error {
			var w wire.Writer
			w.Vector(func() { encode(&w) })
			_, err := parseTree(w.Data())
			return err
		}}
	}
	return []refusal{
		{CheckWelcomeKeyPackage, "for another key package", func(t *testing.T) error {
			c := newCrowd(t, suite1, 2)
			pending, err := c.members[0].g.Commit(CommitOptions{Proposals: []Proposal{c.invite(LeafOptions{})}})
			if err != nil {
				t.Fatal(err)
			}
			c.invite(LeafOptions{})
			_, err = Join(c.invited[1].cfg, pending.Welcome(), c.invited[1].bundle, JoinOptions{})
			return err
		}},
		{CheckWelcomeSuite, "of another suite", func(t *testing.T) error {
			c := newCrowd(t, suite1, 2)
			pending, err := c.members[0].g.Commit(CommitOptions{Proposals: []Proposal{c.invite(LeafOptions{})}})
			if err != nil {
				t.Fatal(err)
			}
			message := bytes.Clone(pending.Welcome())
			message[5] = byte(ciphersuite.MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519)
			_, err = Join(c.invited[0].cfg, message, c.invited[0].bundle, JoinOptions{})
			return err
		}},
		{CheckGroupIDUnique, "of another group", func(t *testing.T) error {
			f, other := newFleet(t, 2), otherFleet(t, 1)
			d := f.devices[1]
			inviter := other.devices[0]
			twin, err := inviter.c.CreateGroup(background, GroupOptions{Suite: suite1, Identity: inviter.id, GroupID: d.m.GroupID()})
			if err != nil {
				t.Fatal(err)
			}
			out, err := twin.Commit(background, CommitOptions{Proposals: []Proposal{d.keyPackage()}})
			if err != nil {
				t.Fatal(err)
			}
			remembered, stored := d.remembers(), d.stored()
			_, err = d.c.Join(background, out.Welcome, nil)
			d.sameAs("the refusal", remembered, stored)
			return err
		}},
		join(CheckGroupInfoSigner, "blank", func(f *forgedWelcome) { f.info.signer = 6 }, nil),
		join(CheckGroupInfoSigner, "out of the tree", func(f *forgedWelcome) { f.info.signer = math.MaxUint32 }, nil),
		join(CheckGroupInfoSignature, "signed by another", func(f *forgedWelcome) { f.signer = f.c.members[1] }, nil),
		join(CheckGroupInfoSignature, "changed", nothing, func(f *forgedWelcome) { f.info.context.epoch++ }),
		join(CheckGroupInfoSuite, "other", func(f *forgedWelcome) { f.info.context.cipherSuite = 3 }, nil),
		join(CheckTreeMissing, "no tree", func(f *forgedWelcome) { f.tree = nil }, nil),
		shape(CheckTreeTrailingBlank, "empty", func(*wire.Writer) {}),
		shape(CheckTreeTrailingBlank, "one blank leaf", func(w *wire.Writer) { w.Optional(false) }),
		shape(CheckTreeTrailingBlank, "ends with a blank node", func(w *wire.Writer) {
			for i := range 3 {
				w.Optional(i == 1)
				if i == 1 {
					w.Uint8(nodeTypeParent)
					(&parentNode{}).encode(w)
				}
			}
		}),
		shape(CheckTreeNodeType, "parent in a leaf's place", func(w *wire.Writer) {
			w.Optional(true)
			w.Uint8(nodeTypeParent)
			(&parentNode{}).encode(w)
		}),
		shape(CheckTreeNodeType, "leaf in a parent's place", func(w *wire.Writer) {
			w.Optional(false)
			w.Optional(true)
			w.Uint8(nodeTypeLeaf)
			(&LeafNode{Source: LeafNodeSourceUpdate, Credential: BasicCredential(nil)}).encode(w)
		}),
		shape(CheckTreeNodeType, "unknown node type", func(w *wire.Writer) {
			w.Optional(true)
			w.Uint8(3)
		}),
		vouched(CheckTreeHash, "other leaf", func(f *forgedWelcome) {
			f.tree = f.tree.clone()
			f.changeLeaf(1, func(l *LeafNode) { l.Capabilities.Extensions = append(l.Capabilities.Extensions, 0xF0F0) })
			f.signLeaf(1)
		}),
		join(CheckTreeHash, "other tree", func(f *forgedWelcome) {
			f.tree = f.tree.clone()
			f.changeLeaf(1, func(l *LeafNode) { l.ParentHash = nil })
			f.signLeaf(1)
		}, nil),
		join(CheckParentHash, "leaf's changed", func(f *forgedWelcome) {
			f.changeLeaf(4, func(l *LeafNode) { l.ParentHash = make([]byte, 32) })
			f.signLeaf(4)
		}, nil),
		join(CheckParentHash, "parent's changed", func(f *forgedWelcome) {
			parent(f, 3, func(p *parentNode) { p.parentHash = make([]byte, 32) })
		}, nil),
		join(CheckParentHash, "parent's key changed", func(f *forgedWelcome) {
			key, err := f.c.suite.GenerateHPKEKeyPair(f.c.rand)
			if err != nil {
				f.c.t.Fatal(err)
			}
			parent(f, 3, func(p *parentNode) { p.encryptionKey = key.PublicKey() })
		}, nil),
		{CheckParentHash, "of a leaf that does not stand for its subtree", func(t *testing.T) error {
			// Leaf 0 vouches for node 3, but leaf 1, next to it below the blank
			// node 1, could not know that key.
			return strictCrowd(t).refusedWelcome(strictLeaf, CommitOptions{OmitPath: true}, func(f *forgedWelcome) {
				key, err := f.c.suite.GenerateHPKEKeyPair(f.c.rand)
				if err != nil {
					f.c.t.Fatal(err)
				}
				f.tree.set(3, node{parent: &parentNode{encryptionKey: key.PublicKey()}})
				f.changeLeaf(0, func(l *LeafNode) {
					l.Source, l.Lifetime = LeafNodeSourceCommit, Lifetime{}
					l.ParentHash = f.tree.parentHash(f.c.suite, 3, 5)
				})
				f.signLeaf(0)
			}, nil)
		}},
		vouched(CheckUnmergedLeavesMembers, "out of the tree", func(f *forgedWelcome) { f.vouch(5) }),
		vouched(CheckUnmergedLeavesMembers, "far out of the tree", func(f *forgedWelcome) { f.vouch(1 << 31) }),
		join(CheckUnmergedLeavesMembers, "blank", unmerged(7, 6), nil),
		join(CheckUnmergedLeavesMembers, "not below", unmerged(3, 4), nil),
		vouched(CheckUnmergedLeavesOrder, "out of order", func(f *forgedWelcome) { f.vouch(3, 2) }),
		vouched(CheckUnmergedLeavesOrder, "twice", func(f *forgedWelcome) { f.vouch(3, 3) }),
		vouched(CheckUnmergedLeavesPath, "merged below", func(f *forgedWelcome) {
			// Leaf 2 has set node 5, so whoever sets the root knows of it.
			f.tree.set(5, node{parent: &parentNode{encryptionKey: f.c.newHPKEKey()}})
			f.commitLeaf(2, f.tree.parentHash(f.c.suite, 5, 6))
			f.vouch(2)
		}),
		vouched(CheckTreeKey, "parent's too short", func(f *forgedWelcome) {
			f.mergePath(0, f.tree.filteredDirectPath(0), [][]byte{f.c.newHPKEKey(), {1}})
		}),
		{CheckTreeKeyUnique, "leaf's at a parent", func(t *testing.T) error {
			return strictCrowd(t).refusedWelcome(strictLeaf, CommitOptions{OmitPath: true}, func(f *forgedWelcome) {
				steps := f.tree.filteredDirectPath(0)
				keys := make([][]byte, len(steps))
				for i := range keys {
					keys[i] = f.c.newHPKEKey()
				}
				f.changeLeaf(2, func(l *LeafNode) { l.EncryptionKey = keys[0] })
				leaf := f.tree.leafNode(2)
				leaf.Source, leaf.Lifetime = LeafNodeSourceUpdate, Lifetime{}
				f.signLeaf(2)
				f.mergePath(0, steps, keys)
			}, nil)
		}},
		{CheckTreeKeyUnique, "parents' twice", func(t *testing.T) error {
			return strictCrowd(t).refusedWelcome(strictLeaf, CommitOptions{OmitPath: true}, func(f *forgedWelcome) {
				key := f.c.newHPKEKey()
				f.mergePath(0, f.tree.filteredDirectPath(0), [][]byte{key, key})
			}, nil)
		}},
		{CheckTreeKeyUnique, "by an Add", func(t *testing.T) error {
			// Those who join later would refuse the tree.
			c := newCrowd(t, suite1, 4)
			c.commit(2, CommitOptions{})
			return c.refusedProposals(c.spoiltAdd(LeafOptions{}, func(k *KeyPackage) {
				k.LeafNode.EncryptionKey = c.members[0].g.tree.nodes[5].encryptionKey()
			}))
		}},
		{CheckWelcomeOwnLeaf, "not in the tree", func(t *testing.T) error {
			return strictCrowd(t).refusedWelcome(strictLeaf, CommitOptions{OmitPath: true}, func(f *forgedWelcome) {
				f.tree.remove(3)
				f.tree.truncate()
			}, nil)
		}},
		{CheckWelcomeOwnLeaf, "changed", func(t *testing.T) error {
			return strictCrowd(t).refusedWelcome(strictLeaf, CommitOptions{OmitPath: true}, func(f *forgedWelcome) {
				leaf := *f.tree.leafNode(3)
				leaf.Credential = BasicCredential([]byte("somebody else"))
				if err := leaf.sign(f.c.suite, f.c.rand, &f.joiner.id, nil, 0); err != nil {
					f.c.t.Fatal(err)
				}
				f.tree.set(leafPosition(3), node{leaf: &leaf})
			}, nil)
		}},
		join(CheckWelcomePSKUsage, "for a branch", func(f *forgedWelcome) {
			f.secrets.psks = []PreSharedKeyID{{Type: PSKResumption, Usage: ResumptionBranch, Nonce: make([]byte, 32)}}
		}, nil),
		join(CheckWelcomePSKUsage, "for a re-initialization", func(f *forgedWelcome) {
			f.secrets.psks = []PreSharedKeyID{{Type: PSKResumption, Usage: ResumptionReInit, Nonce: make([]byte, 32)}}
		}, nil),
		join(CheckPathSecret, "changed", func(f *forgedWelcome) { f.secrets.pathSecret[0] ^= 1 }, nil),
		join(CheckPathSecret, "too short", func(f *forgedWelcome) { f.secrets.pathSecret = nil }, nil),
		{CheckWelcomePathSecret, "without a path", func(t *testing.T) error {
			return strictCrowd(t).refusedWelcome(strictLeaf, CommitOptions{OmitPath: true}, func(f *forgedWelcome) {
				f.secrets.hasPathSecret, f.secrets.pathSecret = true, make([]byte, 32)
			}, nil)
		}},
		{CheckWelcomePathSecret, "signed by the new member itself", func(t *testing.T) error {
			return strictCrowd(t).refusedWelcome(strictLeaf, CommitOptions{OmitPath: true}, func(f *forgedWelcome) {
				f.secrets.hasPathSecret, f.secrets.pathSecret = true, make([]byte, 32)
				f.info.signer = 3
				f.signer = &client{g: &Group{signer: f.joiner.id.Signer}}
			}, nil)
		}},
		join(CheckGroupInfoConfirmationTag, "changed", func(f *forgedWelcome) {
			f.sign = func() { f.info.confirmationTag[0] ^= 1 }
		}, nil),
		join(CheckGroupInfoConfirmationTag, "other transcript", func(f *forgedWelcome) {
			f.sign = func() { f.info.context.confirmedTranscriptHash = make([]byte, 32) }
		}, nil),
		join(CheckWelcomePSKNonce, "too short", func(f *forgedWelcome) {
			f.c.psks["key"] = []byte("a pre-shared key")
			f.secrets.psks = []PreSharedKeyID{{Type: PSKExternal, ID: []byte("key"), Nonce: make([]byte, 31)}}
		}, nil),
	}
}

// safeCrowd is a group of three in which all authenticated data is a SafeAAD.
func safeCrowd(t failer) *crowd {
	t.Helper()
	c := emptyCrowd(t, suite1)
	speaking := Extensions{mustExtension(AppDataDictionary{{ComponentSafeAAD, ComponentsList{0x8001}.Marshal()}})}
	leaf := LeafOptions{Extensions: speaking}
	c.found(GroupOptions{Extensions: speaking, Leaf: leaf})
	empty, err := SafeAAD{}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	c.commit(0, CommitOptions{Proposals: []Proposal{c.invite(leaf), c.invite(leaf)}, AuthenticatedData: empty})
	return c
}

func safeRefusals() []refusal {
	aad := func(name string, data []byte) refusal {
		return refusal{CheckSafeAAD, name, func(t *testing.T) error {
			c := safeCrowd(t)
			g := c.members[0].g
			_, own := g.Protect(nil, data)
			a := g.newContent(ContentApplication, WireFormatPrivateMessage, data)
			var err error
			if a.auth.signature, err = c.suite.SignWithLabel(c.rand, g.signer, "FramedContentTBS", a.toBeSigned(g.encodedContext)); err != nil {
				t.Fatal(err)
			}
			message, err := g.protect(a)
			if err != nil {
				t.Fatal(err)
			}
			err = c.refused(message)
			c.sameRule(own, err)
			return err
		}}
	}
	dictionary := func(name string, d AppDataDictionary, change func([]byte) []byte) refusal {
		return refusal{CheckAppDataDictionary, name, func(t *testing.T) error {
			var w wire.Writer
			writeVector(&w, d)
			data := change(w.Data())
			if _, err := ParseAppDataDictionary(data); err == nil {
				t.Error("ParseAppDataDictionary accepts it")
			}
			c := safeCrowd(t)
			// Nobody could read the messages of such a group.
			p := &GroupContextExtensions{Extensions{{Type: ExtensionAppDataDictionary, Data: data}}}
			_, own := c.members[0].g.Commit(CommitOptions{Proposals: []Proposal{p}, AuthenticatedData: []byte{0}})
			f := c.makePath(c.force(byValue(p)), LeafChanges{})
			if err := f.encrypt(); err != nil {
				t.Fatal(err)
			}
			err := c.refused(f.commit(byValue(p), []byte{0}))
			c.sameRule(own, err)
			return err
		}}
	}
	same := func(b []byte) []byte { return b }
	return []refusal{
		aad("nothing", nil),
		aad("cut short", []byte{3, 0x80, 1}),
		aad("trailing octet", []byte{0, 0}),
		aad("twice", []byte{6, 0x80, 1, 0, 0x80, 1, 0}),
		aad("out of order", []byte{6, 0x80, 2, 0, 0x80, 1, 0}),
		dictionary("twice", AppDataDictionary{{ID: 0x8001}, {ID: 0x8001}}, same),
		dictionary("out of order", AppDataDictionary{{ID: 0x8002}, {ID: 0x8001}}, same),
		dictionary("trailing octet", AppDataDictionary{{ID: 0x8001}}, func(b []byte) []byte { return append(b, 0) }),
		{CheckAppDataDictionary, "made out of order", func(*testing.T) error {
			_, err := AppDataDictionary{{ID: 2}, {ID: 1}}.Extension()
			return err
		}},
		{CheckComponentsList, "components list cut short", func(*testing.T) error {
			_, err := ParseComponentsList([]byte{2, 0})
			return err
		}},
		{CheckSafeAAD, "made out of order", func(*testing.T) error {
			_, err := SafeAAD{{ID: 2}, {ID: 1}}.Marshal()
			return err
		}},
	}
}

func TestSafeAADReachesTheReceivers(t *testing.T) {
	c := safeCrowd(t)
	data, err := SafeAAD{{ID: 0x8001, Data: []byte("one")}, {ID: 0x8003, Data: []byte("three")}}.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	message, err := c.members[0].g.Protect(nil, data)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseSafeAAD(c.process(1, message).(*ReceivedApplication).AuthenticatedData)
	if err != nil {
		t.Fatal(err)
	}
	one, ok1 := got.Find(0x8001)
	_, ok2 := got.Find(0x8002)
	three, ok3 := got.Find(0x8003)
	if string(one) != "one" || string(three) != "three" || !ok1 || ok2 || !ok3 {
		t.Errorf("SafeAAD is %v", got)
	}
	dictionary, err := c.members[2].g.Extensions().AppDataDictionary()
	if err != nil {
		t.Fatal(err)
	}
	list, _ := dictionary.Find(ComponentSafeAAD)
	if components, err := ParseComponentsList(list); err != nil || !components.Contains(0x8001) || components.Contains(0x8002) {
		t.Errorf("components %v, %v", components, err)
	}
	if none, err := (Extensions{}).AppDataDictionary(); none != nil || err != nil {
		t.Errorf("dictionary of no extensions: %v, %v", none, err)
	}
}

func TestErrorsThatNameNoRule(t *testing.T) {
	c := newCrowd(t, suite1, 3)
	g := c.members[0].g
	application, err := g.Protect(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	public := c.forgeCommit()
	other := newCrowd(t, suite1, 2)
	other.members[0].g.context.groupID = []byte("another group")
	replayed, err := g.Protect([]byte("once"), nil)
	if err != nil {
		t.Fatal(err)
	}
	c.process(1, replayed)
	psk := &PreSharedKey{PreSharedKeyID{Type: PSKExternal, ID: []byte("?"), Nonce: make([]byte, 32)}}
	c.psks["?"] = []byte("known to the sender only")
	withPSK := c.forgePath(CommitOptions{Proposals: []Proposal{psk}}, nil, nil)
	delete(c.psks, "?")
	garbled := c.forgePath(CommitOptions{}, nil, func(f *forgedPath) { f.sent.nodes[0].pathSecrets[0].ciphertext[0] ^= 1 })
	far := c.members[0].clone(t)
	for range secrettree.DefaultMaxForward + 2 {
		if _, err := far.Protect(nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	tooFar, err := far.Protect(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []struct {
		name    string
		message []byte
		want    error
	}{
		{"another group, private", must(other.members[0].g.Protect(nil, nil)), ErrWrongGroup},
		{"another group, public", other.forgeCommit(), ErrWrongGroup},
		{"own message, private", must(c.members[1].g.Protect(nil, nil)), ErrOwnMessage},
		{"own message, public", c.forge(1, ContentCommit, WireFormatPublicMessage, func(a *authenticatedContent) { a.content.commit = &commit{} }), ErrOwnMessage},
		{"replayed", replayed, ErrKeyConsumed},
		{"too far ahead", tooFar, ErrTooFarAhead},
		{"unknown PSK", withPSK, ErrUnknownPSK},
		{"garbled path secret", garbled, ErrDecrypt},
		{"a key package", c.newKeyPackage(), ErrUnsupported},
		{"unknown wire format", []byte{0, 1, 0, 9}, ErrUnsupported},
		{"unknown proposal type", c.unknownProposal(), ErrUnsupported},
		{"nothing", nil, wire.ErrTruncated},
		{"a claim of 2^30 octets", []byte{0, 1, 0, 2, 0xbf, 0xff, 0xff, 0xff}, wire.ErrTruncated},
		{"a length that is not minimal", append([]byte{0, 1, 0, 2, 0x40, 0x20}, application[5:]...), wire.ErrLength},
	} {
		if err := c.refused(e.message); !errors.Is(err, e.want) {
			t.Errorf("%s: error %v, want %v", e.name, err, e.want)
		}
	}
	c.process(1, application)
	c.commit(0, CommitOptions{})
	for name, message := range map[string][]byte{"private": application, "public": public} {
		if err := c.refused(message); !errors.Is(err, ErrWrongEpoch) {
			t.Errorf("%s of the last epoch: error %v, want ErrWrongEpoch", name, err)
		}
	}
	c.commit(0, CommitOptions{Proposals: []Proposal{&Remove{Removed: 2}}})
	c.checkMessages()
}

func must(message []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return message
}

func (c *crowd) newKeyPackage() []byte {
	c.t.Helper()
	c.invite(LeafOptions{})
	message := c.invited[len(c.invited)-1].bundle.Message()
	c.invited = nil
	return message
}

// unknownProposal returns a well-made proposal of a type that nobody knows.
func (c *crowd) unknownProposal() []byte {
	c.t.Helper()
	return c.forge(0, ContentProposal, WireFormatPublicMessage, func(a *authenticatedContent) {
		a.content.proposal = unknown{&Remove{}}
	})
}

type unknown struct{ *Remove }

func (unknown) ProposalType() ProposalType { return 0xF000 }

func TestJoinRefusesWhatIsNoWelcome(t *testing.T) {
	c := newCrowd(t, suite1, 2)
	c.invite(LeafOptions{})
	b := c.invited[0].bundle
	for name, message := range map[string][]byte{"nothing": nil, "a key package": b.Message(), "a message": c.forgeCommit()} {
		if _, err := Join(c.invited[0].cfg, message, b, JoinOptions{}); err == nil {
			t.Errorf("joined with %s", name)
		}
	}
	c.invited = nil
}

func TestConfigAndOptionsAreChecked(t *testing.T) {
	c := newCrowd(t, suite1, 2)
	good := c.newClient()
	for name, err := range map[string]error{
		"no Config":                second(NewGroup(nil, GroupOptions{Suite: suite1, Identity: good.id})),
		"empty Config":             second(NewGroup(&Config{}, GroupOptions{Suite: suite1, Identity: good.id})),
		"no suite":                 second(NewGroup(good.cfg, GroupOptions{Identity: good.id})),
		"no identity":              second(NewGroup(good.cfg, GroupOptions{Suite: suite1})),
		"wrong key":                second(NewGroup(good.cfg, GroupOptions{Suite: 2, Identity: good.id})),
		"no suite, kp":             second(NewKeyPackage(good.cfg, KeyPackageOptions{Identity: good.id})),
		"no identity, kp":          second(NewKeyPackage(good.cfg, KeyPackageOptions{Suite: suite1})),
		"empty Config, kp":         second(NewKeyPackage(nil, KeyPackageOptions{Suite: suite1, Identity: good.id})),
		"unmet context":            second(NewGroup(good.cfg, GroupOptions{Suite: suite1, Identity: good.id, Extensions: Extensions{{Type: 0x8001}}})),
		"no randomness":            second(NewGroup(&Config{AuthenticationService: acceptAll{}, Now: good.cfg.Now, Rand: &shortReader{}}, GroupOptions{Suite: suite1, Identity: good.id})),
		"another's state":          second(RestoreGroup(good.cfg, good.id.Signer, mustMarshal(t, c.members[0].g))),
		"key package of a Welcome": second(ParseKeyPackage(c.forgeCommit())),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// What refusedWelcome does besides what it is told to spoil is no reason to
// refuse the Welcome.
func TestForgedWelcomeThatIsNotSpoiltIsAccepted(t *testing.T) {
	c := newCrowd(t, suite1, 5)
	c.commit(4, CommitOptions{})
	if _, _, err := c.forgedWelcome(LeafOptions{}, CommitOptions{}, func(*forgedWelcome) {}, nil); err != nil {
		t.Error(err)
	}
}
