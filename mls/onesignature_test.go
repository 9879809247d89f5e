package mls

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha512"
	"errors"
	"slices"
	"testing"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
	"pgregory.net/rapid"
)

// newOneSignatureCrowd is newCrowd with fewer signatures.
func newOneSignatureCrowd(t failer, id ciphersuite.ID, n int) *crowd {
	t.Helper()
	c := emptyCrowd(t, id)
	c.configure = func(cfg *Config) { cfg.OneSignature = true }
	c.oneSignature = true
	c.found(GroupOptions{})
	if n > 1 {
		c.add(0, n-1)
	}
	return c
}

// wireFormatOf returns what a message is.
func wireFormatOf(t failer, message []byte) WireFormat {
	t.Helper()
	var m mlsMessage
	mustUnmarshal(t, message, &m)
	return m.wireFormat
}

// oneSignatureMessages returns a key package and Updates of member 0, all without an
// outer signature.
func oneSignatureMessages(c *crowd) [][]byte {
	c.t.Helper()
	c.invite(LeafOptions{})
	messages := [][]byte{c.invited[0].bundle.Message()}
	c.invited = nil
	for _, format := range []WireFormat{WireFormatPublicMessage, WireFormatPrivateMessage} {
		messages = append(messages, must(c.members[0].clone(c.t).ProposeUpdate(LeafChanges{}, ProposeOptions{WireFormat: format, AuthenticatedData: []byte("aad")})))
	}
	return messages
}

// Members come by such key packages, by value and by reference, update by such
// proposals and go on as usual, in each suite and format.
func TestGroupsWithFewerSignatures(t *testing.T) {
	for _, id := range ciphersuite.Default().IDs() {
		t.Run(id.String(), func(t *testing.T) {
			c := newOneSignatureCrowd(t, id, 3)
			want := map[WireFormat]WireFormat{
				WireFormatPublicMessage: WireFormatOneSignaturePublicMessage, WireFormatPrivateMessage: WireFormatOneSignaturePrivateMessage,
			}
			for _, c.format = range []WireFormat{WireFormatPublicMessage, WireFormatPrivateMessage} {
				message := c.proposeUpdate(1, LeafChanges{})
				if got := wireFormatOf(t, message); got != want[c.format] {
					t.Errorf("the update is a %v, want a %v", got, want[c.format])
				}
				c.process(1, message) // its own comes back
				c.propose(2, c.invite(LeafOptions{}))
				if got := wireFormatOf(t, c.invited[0].bundle.Message()); got != WireFormatOneSignatureKeyPackage {
					t.Errorf("the key package is a %v", got)
				}
				c.commit(0, CommitOptions{})
				c.commit(1, CommitOptions{})                // which drops what the leaf said of the update
				c.commit(len(c.members)-1, CommitOptions{}) // and of the key package
				for _, i := range []int{1, len(c.members) - 1} {
					leaf := c.members[0].g.Leaf(c.members[i].g.OwnLeaf())
					for _, component := range oneSignatureComponents {
						if _, ok := leaf.component(component); ok {
							t.Errorf("leaf %d still speaks of a message", i)
						}
						if !leaf.supportsComponent(component) {
							t.Errorf("leaf %d does not say that it understands", i)
						}
					}
				}
				c.restart()
				c.checkMessages()
			}
		})
	}
}

// Whoever passes a key package on passes on what came.
func TestKeyPackagesKeepTheirFormat(t *testing.T) {
	c := newOneSignatureCrowd(t, suite1, 1)
	for _, c.oneSignature = range []bool{false, true} {
		c.invite(LeafOptions{})
		message := c.invited[len(c.invited)-1].bundle.Message()
		unverified, err := ParseKeyPackage(message)
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, "the key package", unverified.Message(), message)
	}
}

func TestRandomHistoriesWithFewerSignatures(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newOneSignatureCrowd(t, suite1, rapid.IntRange(1, 4).Draw(t, "members"))
		for range rapid.IntRange(1, 4).Draw(t, "epochs") {
			c.oneSignature = rapid.Bool().Draw(t, "one signature")
			randomEpoch(t, c)
		}
		c.checkMessages()
	})
}

// How long things are, and what the missing signature saves: all of it, but for
// the hash that takes its place (and what says that the member understands, which is in
// each leaf of such a client).
func TestSizesWithFewerSignatures(t *testing.T) {
	for _, want := range []struct {
		suite                ciphersuite.ID
		keyPackage, update   int // with RFC 9420's signatures
		keyPackage1, update1 int // with one
	}{
		{suite1, 280, 309, 264, 293},
		{ciphersuite.MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519, 2650, 1494, 2634, 1478},
		{ciphersuite.MLS_192_MLKEM768_AES256GCM_SHA384_MLDSA65, 10997, 9889, 7753, 6645},
		{ciphersuite.MLS_256_MLKEM1024_AES256GCM_SHA384_MLDSA87, 15041, 13549, 10479, 8987},
	} {
		sizes := func(c *crowd) (keyPackage, update int) {
			for i := range c.members {
				c.members[i].g.cfg.Padding = nil
			}
			leaf := LeafOptions{Capabilities: Capabilities{CipherSuites: []ciphersuite.ID{want.suite}}}
			c.commit(0, CommitOptions{Proposals: []Proposal{c.invite(leaf)}})
			joined := c.members[len(c.members)-1]
			message := must(joined.g.ProposeUpdate(LeafChanges{}, ProposeOptions{WireFormat: WireFormatPublicMessage}))
			return len(must(c.keyPackageOf(leaf))), len(message)
		}
		keyPackage, update := sizes(newCrowd(t, want.suite, 2))
		keyPackage1, update1 := sizes(newOneSignatureCrowd(t, want.suite, 2))
		if keyPackage != want.keyPackage || keyPackage1 != want.keyPackage1 || update != want.update || update1 != want.update1 {
			t.Errorf("%v: key packages of %d and %d octets, Updates of %d and %d; want %d and %d, %d and %d",
				want.suite, keyPackage, keyPackage1, update, update1, want.keyPackage, want.keyPackage1, want.update, want.update1)
		}
	}
}

// keyPackageOf returns a new key package as it is sent.
func (c *crowd) keyPackageOf(o LeafOptions) ([]byte, error) {
	c.invite(o)
	defer func() { c.invited = nil }()
	return c.invited[0].bundle.Message(), nil
}

func TestOneSignatureIsOneSignature(t *testing.T) {
	c := newOneSignatureCrowd(t, suite1, 2)
	joiner := c.newClient()
	signer := &countingSigner{Signer: joiner.id.Signer}
	joiner.id.Signer = signer
	for _, one := range []bool{false, true} {
		signer.made = 0
		bundle, err := NewKeyPackage(joiner.cfg, KeyPackageOptions{Suite: suite1, Identity: joiner.id, OneSignature: one})
		if err != nil {
			t.Fatal(err)
		}
		if want := map[bool]int{false: 2, true: 1}[one]; signer.made != want {
			t.Errorf("one signature %t: %d signatures, want %d", one, signer.made, want)
		}
		bundle.Erase()
	}
	own := &countingSigner{Signer: c.members[1].g.signer}
	c.members[1].g.signer = own
	c.proposeUpdate(1, LeafChanges{})
	if own.made != 1 {
		t.Errorf("%d signatures in an Update, want 1", own.made)
	}
}

// Nothing that is sent with one signature can be changed on its way.
func TestDamagedMessagesWithOneSignatureAreRefused(t *testing.T) {
	c := newOneSignatureCrowd(t, suite1, 3)
	for i, message := range oneSignatureMessages(c) {
		for at := range message {
			damaged := bytes.Clone(message)
			damaged[at] ^= 1
			for _, m := range [][]byte{damaged, message[:at]} {
				if i == 0 {
					if u, err := ParseKeyPackage(m); err == nil {
						if _, err := u.Verify(c.members[1].cfg); err == nil {
							t.Errorf("key package: octet %d was changed", at)
						}
					}
				} else if _, err := c.members[1].g.Process(m); err == nil {
					t.Errorf("message %d: octet %d was changed", i, at)
				}
			}
		}
	}
}

func TestFewerSignaturesAreOffUnlessAskedFor(t *testing.T) {
	c := newOneSignatureCrowd(t, suite1, 3)
	messages := oneSignatureMessages(c)
	off := c.members[1]
	off.g.cfg = new(Config)
	*off.g.cfg = *c.members[0].g.cfg
	off.g.cfg.OneSignature = false
	u, err := ParseKeyPackage(messages[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Verify(off.g.cfg); !errors.Is(err, ErrUnsupported) {
		t.Errorf("verifying a key package says %v, want ErrUnsupported", err)
	}
	for _, message := range messages[1:] {
		if err := c.refused(message); !errors.Is(err, ErrUnsupported) {
			t.Errorf("processing says %v, want ErrUnsupported", err)
		}
	}
	if _, err := NewKeyPackage(off.g.cfg, KeyPackageOptions{Suite: suite1, Identity: off.id, OneSignature: true}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("making a key package says %v, want ErrUnsupported", err)
	}
	if got := wireFormatOf(t, must(off.g.ProposeUpdate(LeafChanges{}, ProposeOptions{}))); got != WireFormatPrivateMessage {
		t.Errorf("the update is a %v", got)
	}
}

// An Update has an outer signature where not all understand that it need not, or the
// signature key changes.
func TestUpdatesKeepTheirSignatureWhereItIsNeeded(t *testing.T) {
	c := newOneSignatureCrowd(t, suite1, 2)
	signer, err := c.suite.GenerateSigner(c.rand)
	if err != nil {
		t.Fatal(err)
	}
	plain := Extensions{}
	without := c.members[1].g.Leaf(1).Capabilities
	without.Extensions = nil
	for what, changes := range map[string]LeafChanges{
		"another key":   {Identity: &Identity{Credential: c.members[1].id.Credential, Signer: signer}},
		"no dictionary": {Extensions: &plain, Capabilities: &without},
	} {
		g := c.members[1].clone(t)
		message := must(g.ProposeUpdate(changes, ProposeOptions{}))
		if got := wireFormatOf(t, message); got != WireFormatPrivateMessage {
			t.Errorf("%s: the update is a %v", what, got)
		}
		if _, err := c.members[0].clone(t).Process(message); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	c.configure, c.oneSignature = nil, false
	c.add(0, 1)
	if got := wireFormatOf(t, c.proposeUpdate(1, LeafChanges{})); got != WireFormatPrivateMessage {
		t.Errorf("the update is a %v, which a member does not understand", got)
	}
	c.commit(0, CommitOptions{})
	c.checkMessages()
}

// Who watches the group without its secrets follows.
func TestObserversReadUpdatesWithOneSignature(t *testing.T) {
	c := newOneSignatureCrowd(t, suite1, 3)
	c.format = WireFormatPublicMessage
	o, err := NewObserver(c.members[0].cfg, must(c.members[0].g.GroupInfo(GroupInfoOptions{})), nil)
	if err != nil {
		t.Fatal(err)
	}
	message := c.proposeUpdate(1, LeafChanges{})
	received, err := o.Process(message)
	if err != nil {
		t.Fatal(err)
	}
	if p, ok := received.(*ReceivedProposal); !ok || p.Sender.Leaf != 1 || p.Proposal.ProposalType() != ProposalUpdate {
		t.Errorf("observed %+v", received)
	}
	pending, err := c.members[0].g.Commit(CommitOptions{WireFormat: WireFormatPublicMessage})
	if err != nil {
		t.Fatal(err)
	}
	received, err = o.Process(pending.Message())
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "tree hash", received.(*ObservedCommit).Observer().TreeHash(), pending.Group().TreeHash())
}

// Key packages and Updates outlive restarts.
func TestClientsWithFewerSignatures(t *testing.T) {
	f := &fleet{crowd: emptyCrowd(t, suite1), restarting: true}
	f.configure = func(cfg *Config) { cfg.OneSignature = true }
	f.found(1)
	joiner := f.newDevice()
	var add *Add
	joiner.do("makes a key package", func() error {
		message, err := joiner.c.NewKeyPackage(background, KeyPackageOptions{Suite: suite1, Identity: joiner.id, OneSignature: true})
		if err != nil {
			return err
		}
		if got := wireFormatOf(t, message); got != WireFormatOneSignatureKeyPackage {
			t.Errorf("the key package is a %v", got)
		}
		add, err = joiner.c.ParseAdd(message)
		return err
	})
	f.commit(0, CommitOptions{Proposals: []Proposal{add}}, joiner)
	var update []byte
	f.devices[1].do("proposes an update", func() (err error) {
		update, err = f.devices[1].m.ProposeUpdate(background, LeafChanges{}, ProposeOptions{})
		return err
	})
	if got := wireFormatOf(t, update); got != WireFormatOneSignaturePrivateMessage {
		t.Errorf("the update is a %v", got)
	}
	f.devices[0].process(update)
	f.commit(0, CommitOptions{})
	f.checkMessages()
}

// What a leaf has in its dictionary stays there.
func TestComponentsOfTheApplicationStay(t *testing.T) {
	c := newOneSignatureCrowd(t, suite1, 1)
	own := AppDataDictionary{{ID: ComponentAppComponents, Data: ComponentsList{0x0009, 0x000A, 0x8001}.Marshal()}, {ID: 0x000A, Data: []byte("a")}, {ID: 0x8001, Data: []byte("b")}}
	x, err := own.Extension()
	if err != nil {
		t.Fatal(err)
	}
	c.commit(0, CommitOptions{Proposals: []Proposal{c.invite(LeafOptions{Extensions: Extensions{x}})}})
	c.proposeUpdate(1, LeafChanges{})
	for range 2 {
		dictionary, err := c.members[1].g.Leaf(1).Extensions.AppDataDictionary()
		if err != nil {
			t.Fatal(err)
		}
		list, _ := dictionary.Find(ComponentAppComponents)
		if got, err := ParseComponentsList(list); err != nil || !slices.Equal(got, ComponentsList{0x0009, 0x000A, 0x8001, 0x000C}) {
			t.Errorf("app_components are %v, %v", got, err)
		}
		for id, want := range map[ComponentID]string{0x000A: "a", 0x8001: "b"} {
			if got, _ := dictionary.Find(id); string(got) != want {
				t.Errorf("component %#04x is %q, want %q", id, got, want)
			}
		}
		c.commit(0, CommitOptions{})
	}
}

func TestOneSignatureKeyPackagesThatCannotBeMade(t *testing.T) {
	c := newOneSignatureCrowd(t, suite1, 1)
	joiner := c.newClient()
	o := KeyPackageOptions{Suite: suite1, Identity: joiner.id, OneSignature: true}
	bad := o
	bad.Leaf.Extensions = Extensions{{ExtensionAppDataDictionary, []byte{1}}}
	_, err := NewKeyPackage(joiner.cfg, bad)
	wantCheck(t, err, CheckAppDataDictionary)
	bad = o
	bad.Extensions = Extensions{{ExtensionType(0xF00D), nil}}
	bad.Leaf.Capabilities.Extensions = []ExtensionType{}
	_, err = NewKeyPackage(joiner.cfg, bad)
	wantCheck(t, err, CheckKeyPackageExtensionSupport)
	x, err := AppDataDictionary{{ID: ComponentAppComponents, Data: []byte{1}}}.Extension()
	if err != nil {
		t.Fatal(err)
	}
	bad = o
	bad.Leaf.Extensions = Extensions{x}
	_, err = NewKeyPackage(joiner.cfg, bad)
	wantCheck(t, err, CheckComponentsList)
	for reads := range 2 {
		joiner.cfg.Rand = &shortReader{reads}
		if _, err := NewKeyPackage(joiner.cfg, o); err == nil {
			t.Errorf("made with randomness for %d reads", reads)
		}
	}
	joiner.cfg.GREASE, joiner.cfg.Rand = true, c.rand
	bundle, err := NewKeyPackage(joiner.cfg, o)
	if err != nil {
		t.Fatal(err)
	}
	u, err := ParseKeyPackage(bundle.Message())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Verify(joiner.cfg); err != nil || len(bundle.KeyPackage().Extensions) != 1 {
		t.Errorf("with GREASE: %v, extensions %v", err, bundle.KeyPackage().Extensions)
	}
}

// forgeUpdate has member 0 send an Update without an outer signature. The leaf is spoilt
// before its hash is put in, and after that. It is signed by signer, and the message
// by nobody.
func (c *crowd) forgeUpdate(f WireFormat, signer *client, early, late func(a *authenticatedContent, leaf *LeafNode)) []byte {
	c.t.Helper()
	g := c.members[0].g
	a := g.newContent(ContentProposal, f, nil)
	leaf := *g.tree.leafNode(0)
	leaf.EncryptionKey, leaf.Source, leaf.Lifetime = c.newHPKEKey(), LeafNodeSourceUpdate, Lifetime{}
	a.content.proposal = &Update{LeafNode: &leaf}
	if early != nil {
		early(a, &leaf)
	}
	if err := leaf.setComponent(ComponentOuterUpdateHash, outerHash(g.outerUpdateHash(a))); err != nil {
		c.t.Fatal(err)
	}
	if late != nil {
		late(a, &leaf)
	}
	if err := leaf.sign(c.suite, c.rand, &Identity{Signer: signer.id.Signer}, g.context.groupID, 0); err != nil {
		c.t.Fatal(err)
	}
	return must(g.protect(a))
}

func TestForgedUpdatesAreValidUnlessSpoilt(t *testing.T) {
	c := newOneSignatureCrowd(t, suite1, 3)
	for _, f := range []WireFormat{WireFormatOneSignaturePublicMessage, WireFormatOneSignaturePrivateMessage} {
		if _, err := c.members[1].g.Process(c.forgeUpdate(f, c.members[0], nil, nil)); err != nil {
			t.Error(err)
		}
	}
}

// Commits without a signature cannot be made as the text has it, and are not accepted.
func TestCommitsWithOneSignatureAreUnsupported(t *testing.T) {
	c := newOneSignatureCrowd(t, suite1, 3)
	for _, f := range []WireFormat{WireFormatOneSignaturePublicMessage, WireFormatOneSignaturePrivateMessage} {
		message := c.forge(0, ContentCommit, f, func(a *authenticatedContent) { a.content.commit = &commit{} })
		if err := c.refused(message); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%v: %v, want ErrUnsupported", f, err)
		}
	}
}

func oneSignatureRefusals() []refusal {
	public, private := WireFormatOneSignaturePublicMessage, WireFormatOneSignaturePrivateMessage
	update := func(f WireFormat, early, late func(a *authenticatedContent, leaf *LeafNode)) func(t *testing.T) error {
		return func(t *testing.T) error {
			c := newOneSignatureCrowd(t, suite1, 3)
			return c.refused(c.forgeUpdate(f, c.members[0], early, late))
		}
	}
	add := func(spoil func(*KeyPackage), sign bool) func(t *testing.T) error {
		return func(t *testing.T) error {
			c := newOneSignatureCrowd(t, suite1, 3)
			p := c.invite(LeafOptions{})
			joiner := c.invited[0]
			c.invited = nil
			spoil(p.KeyPackage)
			if sign {
				if err := p.KeyPackage.LeafNode.sign(c.suite, c.rand, &joiner.id, nil, 0); err != nil {
					t.Fatal(err)
				}
			}
			u := &UnverifiedKeyPackage{p.KeyPackage, true}
			_, err := u.Verify(c.members[0].cfg)
			refused := c.refusedProposals(p)
			c.sameRule(err, refused)
			return refused
		}
	}
	return []refusal{
		{CheckOuterKeyPackageHash, "another init key", add(func(k *KeyPackage) { k.InitKey = bytes.Repeat([]byte{9}, 32) }, false)},
		{CheckOuterKeyPackageHash, "another extension", add(func(k *KeyPackage) { k.Extensions = Extensions{{ExtensionType(0xF00D), nil}} }, false)},
		{CheckOuterKeyPackageHash, "no hash", add(func(k *KeyPackage) { k.LeafNode.dropOuterHashes() }, true)},
		{CheckOuterKeyPackageHash, "no length", add(func(k *KeyPackage) {
			hash, _ := k.LeafNode.component(ComponentOuterKeyPackageHash)
			k.LeafNode.setComponent(ComponentOuterKeyPackageHash, hash[1:])
		}, true)},
		{CheckOuterKeyPackageHash, "cut", add(func(k *KeyPackage) {
			k.LeafNode.setComponent(ComponentOuterKeyPackageHash, outerHash(nil))
		}, true)},
		{CheckOuterKeyPackageHash, "as another component", add(func(k *KeyPackage) {
			hash, _ := k.LeafNode.component(ComponentOuterKeyPackageHash)
			k.LeafNode.dropOuterHashes()
			k.LeafNode.setComponent(ComponentOuterUpdateHash, hash)
		}, true)},
		{CheckLeafSignature, "of a key package with one signature", add(func(k *KeyPackage) { k.LeafNode.Signature[0] ^= 1 }, false)},
		{CheckKeyPackageSignature, "missing, and the client wants one", func(t *testing.T) error {
			c := newCrowd(t, suite1, 3)
			return c.refusedProposals(c.spoiltAddAfterSigning(func(k *KeyPackage) { k.Signature = nil }))
		}},
		{CheckOuterKeyPackageHashSource, "in an Update", update(public, nil, func(_ *authenticatedContent, leaf *LeafNode) {
			leaf.setComponent(ComponentOuterKeyPackageHash, outerHash([]byte{1}))
		})},
		{CheckOuterKeyPackageHashSource, "in a commit", func(t *testing.T) error {
			c := newOneSignatureCrowd(t, suite1, 3)
			return c.refused(c.forgePath(CommitOptions{}, func(f *forgedPath) {
				f.made.leaf.setComponent(ComponentOuterKeyPackageHash, outerHash([]byte{1}))
				f.signLeaf(c.members[0].id)
			}, nil))
		}},
		{CheckOneSignatureSupport, "a member does not say so", func(t *testing.T) error {
			c := newOneSignatureCrowd(t, suite1, 1)
			c.configure, c.oneSignature = nil, false
			c.add(0, 2)
			for _, m := range c.members {
				m.g.cfg.OneSignature = true
			}
			c.configure, c.oneSignature = func(cfg *Config) { cfg.OneSignature = true }, true
			p := c.invite(LeafOptions{})
			c.invited = nil
			return c.refusedProposals(p)
		}},
		{CheckOneSignatureContent, "a Remove", func(t *testing.T) error {
			c := newOneSignatureCrowd(t, suite1, 3)
			return c.refused(c.forge(0, ContentProposal, public, func(a *authenticatedContent) { a.content.proposal = &Remove{Removed: 2} }))
		}},
		{CheckOneSignatureContent, "application data", func(t *testing.T) error {
			c := newOneSignatureCrowd(t, suite1, 3)
			return c.refused(c.forge(0, ContentApplication, private, func(*authenticatedContent) {}))
		}},
		{CheckOneSignatureContent, "an Update of no member", func(t *testing.T) error {
			c := newOneSignatureCrowd(t, suite1, 3)
			return c.refused(c.forgeUpdate(public, c.members[0], func(a *authenticatedContent, _ *LeafNode) { a.content.sender = Sender{Type: SenderExternal} }, nil))
		}},
		{CheckApplicationPrivate, "with one signature", func(t *testing.T) error {
			c := newOneSignatureCrowd(t, suite1, 3)
			a := c.members[0].g.newContent(ContentApplication, public, nil)
			m := &publicMessage{format: public, content: a.content}
			m.membershipTag = membershipTag(c.suite, a, c.members[0].g.epoch.MembershipKey, c.members[0].g.encodedContext)
			return c.refused(marshal(&mlsMessage{wireFormat: public, publicMessage: m}))
		}},
		{CheckOneSignatureKey, "another", func(t *testing.T) error {
			c := newOneSignatureCrowd(t, suite1, 3)
			other := c.newClient()
			return c.refused(c.forgeUpdate(public, other, func(_ *authenticatedContent, leaf *LeafNode) {
				leaf.SignatureKey = other.id.Signer.Public().(ed25519.PublicKey)
			}, nil))
		}},
		{CheckOuterUpdateHash, "missing", update(public, nil, func(_ *authenticatedContent, leaf *LeafNode) { leaf.dropOuterHashes() })},
		{CheckOuterUpdateHash, "cut", update(private, nil, func(_ *authenticatedContent, leaf *LeafNode) {
			leaf.setComponent(ComponentOuterUpdateHash, outerHash(nil))
		})},
		{CheckOuterUpdateHash, "of the other format", update(private, func(a *authenticatedContent, _ *LeafNode) { a.wireFormat = public },
			func(a *authenticatedContent, _ *LeafNode) { a.wireFormat = private })},
		{CheckOuterUpdateHash, "of another sender", update(private, func(a *authenticatedContent, _ *LeafNode) { a.content.sender.Leaf = 2 },
			func(a *authenticatedContent, _ *LeafNode) { a.content.sender.Leaf = 0 })},
		{CheckOuterUpdateHash, "of another group", func(t *testing.T) error {
			c := newOneSignatureCrowd(t, suite1, 3)
			id := c.members[0].g.context.groupID
			return c.refused(c.forgeUpdate(private, c.members[0],
				func(a *authenticatedContent, _ *LeafNode) { a.content.groupID = []byte("another") },
				func(a *authenticatedContent, _ *LeafNode) { a.content.groupID = id }))
		}},
		{CheckOuterUpdateHash, "of another epoch", update(public, func(a *authenticatedContent, _ *LeafNode) { a.content.epoch++ },
			func(a *authenticatedContent, _ *LeafNode) { a.content.epoch-- })},
		{CheckOuterUpdateHash, "of a commit", update(public, func(a *authenticatedContent, _ *LeafNode) { a.content.contentType = ContentCommit },
			func(a *authenticatedContent, _ *LeafNode) { a.content.contentType = ContentProposal })},
		{CheckOuterUpdateHash, "by another hash function", update(private, nil, func(_ *authenticatedContent, leaf *LeafNode) {
			hash, _ := leaf.component(ComponentOuterUpdateHash)
			sum := sha512.Sum384(hash)
			leaf.setComponent(ComponentOuterUpdateHash, outerHash(sum[:]))
		})},
		{CheckOuterUpdateHash, "of other authenticated data", update(private, nil, func(a *authenticatedContent, _ *LeafNode) {
			a.content.authenticatedData = []byte("other")
		})},
		{CheckOuterUpdateHash, "of another GroupContext", func(t *testing.T) error {
			c := newOneSignatureCrowd(t, suite1, 3)
			g := c.members[0].g
			context := g.encodedContext
			return c.refused(c.forgeUpdate(private, c.members[0],
				func(*authenticatedContent, *LeafNode) { g.encodedContext = append(bytes.Clone(context), 0) },
				func(*authenticatedContent, *LeafNode) { g.encodedContext = context }))
		}},
		{CheckSafeAAD, "in an Update with one signature", func(t *testing.T) error {
			c := emptyCrowd(t, suite1)
			c.configure, c.oneSignature = func(cfg *Config) { cfg.OneSignature = true }, true
			x, err := AppDataDictionary{{ID: ComponentSafeAAD, Data: ComponentsList{}.Marshal()}}.Extension()
			if err != nil {
				t.Fatal(err)
			}
			c.found(GroupOptions{Extensions: Extensions{x}})
			add := c.invite(LeafOptions{})
			c.commit(0, CommitOptions{Proposals: []Proposal{add}, AuthenticatedData: []byte{0}})
			return c.refused(c.forgeUpdate(private, c.members[0], nil, nil)) // whose authenticated data is empty
		}},
		{CheckOuterUpdateHash, "of the last epoch", func(t *testing.T) error {
			c := newOneSignatureCrowd(t, suite1, 3)
			var leaf *LeafNode
			c.forgeUpdate(public, c.members[0], nil, func(_ *authenticatedContent, l *LeafNode) { leaf = l })
			c.commit(1, CommitOptions{})
			a := c.members[0].g.newContent(ContentProposal, public, nil)
			a.content.proposal = &Update{LeafNode: leaf}
			return c.refused(must(c.members[0].g.protect(a)))
		}},
		{CheckMembershipTag, "of an Update with one signature", func(t *testing.T) error {
			c := newOneSignatureCrowd(t, suite1, 3)
			message := c.forgeUpdate(public, c.members[0], nil, nil)
			message[len(message)-1] ^= 1
			return c.refused(message)
		}},
		// It has the keys of the group and not the signature key.
		{CheckLeafSignature, "of an Update by another member", func(t *testing.T) error {
			c := newOneSignatureCrowd(t, suite1, 3)
			return c.refused(c.forgeUpdate(private, c.members[2], nil, nil))
		}},
		{CheckPadding, "of an Update with one signature", func(t *testing.T) error {
			c := newOneSignatureCrowd(t, suite1, 3)
			g := c.members[0].g
			return c.refused(c.forgeUpdate(private, c.members[0], nil, func(a *authenticatedContent, leaf *LeafNode) {
				// A body that goes on is padding to the receiver.
				if err := leaf.sign(c.suite, c.rand, &c.members[0].id, g.context.groupID, 0); err != nil {
					t.Fatal(err)
				}
				a.content.body = append(wire.Encode(func(w *wire.Writer) { writeProposal(w, a.content.proposal) }), 1)
			}))
		}},
	}
}

// spoiltAddAfterSigning returns a proposal to add a new client whose key package is changed.
func (c *crowd) spoiltAddAfterSigning(spoil func(*KeyPackage)) *Add {
	c.t.Helper()
	add := c.invite(LeafOptions{})
	c.invited = nil
	spoil(add.KeyPackage)
	return add
}

// Capabilities that the application gives get what the leaf then has.
func TestGivenCapabilitiesGetTheDictionary(t *testing.T) {
	c := newOneSignatureCrowd(t, suite1, 1)
	given := []ExtensionType{0xF00D}
	c.commit(0, CommitOptions{Proposals: []Proposal{c.invite(LeafOptions{Capabilities: Capabilities{Extensions: given}})}})
	if got := c.members[0].g.Leaf(1).Capabilities.Extensions; !slices.Equal(got, []ExtensionType{0xF00D, ExtensionAppDataDictionary}) {
		t.Errorf("capabilities are %v", got)
	}
	if len(given) != 1 || given[0] != 0xF00D {
		t.Errorf("the application's list is %v", given)
	}
}

// There is no application data with one signature in past epochs either.
func TestPastEpochsReadNothingWithOneSignature(t *testing.T) {
	c := newOneSignatureCrowd(t, suite1, 2)
	past := c.members[1].g.retire(testTime)
	defer past.erase()
	message := c.forge(0, ContentApplication, WireFormatOneSignaturePrivateMessage, func(*authenticatedContent) {})
	if _, err := past.process(message); !errors.Is(err, ErrWrongEpoch) {
		t.Errorf("got %v, want ErrWrongEpoch", err)
	}
}
