package mls

import (
	"bytes"
	"errors"
	"slices"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/internal/keysched"
)

// What a hostile member, or a broken implementation, could send: messages that
// are signed and encrypted as they should be and break a rule inside.

// forge has a member sign and protect what fill makes of an empty message.
func (c *crowd) forge(by int, t ContentType, f WireFormat, fill func(*authenticatedContent)) []byte {
	c.t.Helper()
	g := c.members[by].g
	a := g.newContent(t, f, c.aad)
	if t == ContentCommit {
		a.auth.confirmationTag = make([]byte, c.suite.HashSize())
	}
	fill(a)
	message, err := g.signAndProtect(a)
	if err != nil {
		c.t.Fatal(err)
	}
	return message
}

// forgeCommit has member 0 commit without any check. As far as its effect can
// be told, the commit has a path and the confirmation tag of the epoch that it
// would lead to.
func (c *crowd) forgeCommit(proposals ...proposalOrRef) []byte {
	c.t.Helper()
	if t := c.force(proposals); t != nil {
		if f := c.makePath(t, LeafChanges{}); f.encrypt() == nil {
			return f.commit(proposals, nil)
		}
	}
	return c.forgeCommitWithoutPath(proposals...)
}

// forgeCommitWithoutPath has member 0 commit without a path.
func (c *crowd) forgeCommitWithoutPath(proposals ...proposalOrRef) []byte {
	c.t.Helper()
	return c.forge(0, ContentCommit, WireFormatPublicMessage, func(a *authenticatedContent) {
		a.content.commit = &commit{proposals: proposals}
		t := c.force(proposals)
		if t == nil {
			return
		}
		g := c.members[0].g
		next := g.nextGroup(t)
		next.context.treeHash = t.tree.rootHash(c.suite)
		c.confirm(a, t, next, make([]byte, c.suite.HashSize()))
	})
}

// force returns the effect of member 0's proposals, allowed or not, as far as
// they have one; nil if that cannot be told.
func (c *crowd) force(proposals []proposalOrRef) *transition {
	g := c.members[0].g
	t := &transition{committer: Sender{Type: SenderMember, Leaf: g.own}, tree: g.tree.clone(), extensions: g.context.extensions}
	var adds []*KeyPackage
	for _, p := range proposals {
		proposal, sender := p.proposal, t.committer
		if proposal == nil {
			cached := g.findProposal(p.reference)
			if cached == nil {
				continue
			}
			proposal, sender = cached.proposal, cached.sender
		}
		switch p := proposal.(type) {
		case *Add:
			adds = append(adds, p.KeyPackage)
		case *Update:
			t.tree.update(sender.Leaf, p.LeafNode)
		case *SelfRemove:
			t.tree.remove(sender.Leaf)
		case *Remove:
			if p.Removed >= LeafIndex(t.tree.size) {
				return nil
			}
			t.tree.remove(p.Removed)
		case *PreSharedKey:
			t.psks = append(t.psks, p.PSK)
		case *GroupContextExtensions:
			t.extensions = p.Extensions
		case *ReInit:
			t.reInit = p
		}
	}
	t.tree.truncate()
	for _, k := range adds {
		leaf := k.LeafNode
		t.added = append(t.added, addedMember{leaf: t.tree.add(&leaf), keyPackage: k})
	}
	if t.tree.leafNode(g.own) == nil {
		return nil
	}
	return t
}

// confirm gives the commit a of member 0 the confirmation tag of next.
func (c *crowd) confirm(a *authenticatedContent, t *transition, next *Group, commitSecret []byte) {
	g := c.members[0].g
	var err error
	if a.auth.signature, err = c.suite.SignWithLabel(c.rand, g.signer, "FramedContentTBS", a.toBeSigned(g.encodedContext)); err != nil {
		c.t.Fatal(err)
	}
	if _, _, err := g.advance(next, t, a, commitSecret); err == nil {
		next.confirm(a)
	}
	next.discard()
}

func byValue(proposals ...Proposal) []proposalOrRef {
	var list []proposalOrRef
	for _, p := range proposals {
		list = append(list, proposalOrRef{proposal: p})
	}
	return list
}

// refused has member 1 process a message that it should refuse. The group must
// be as it was.
func (c *crowd) refused(message []byte) error {
	c.t.Helper()
	g := c.members[1].g
	before := mustMarshal(c.t, g)
	received, err := g.Process(message)
	if err == nil {
		c.t.Errorf("accepted %T", received)
	}
	if !bytes.Equal(mustMarshal(c.t, g), before) {
		c.t.Errorf("the group changed: %v", err)
	}
	return err
}

// refusedProposals has member 0 commit proposals by value, which it should
// refuse, and member 1 process such a commit, which it should refuse for the
// same reason.
func (c *crowd) refusedProposals(proposals ...Proposal) error {
	c.t.Helper()
	_, own := c.members[0].g.Commit(CommitOptions{Proposals: proposals, AuthenticatedData: c.aad})
	err := c.refused(c.forgeCommit(byValue(proposals...)...))
	c.sameRule(own, err)
	return err
}

// refusedToSend has member 0 do what it should refuse to do itself. The group
// must be as it was.
func (c *crowd) refusedToSend(do func(*Group) error) error {
	c.t.Helper()
	g := c.members[0].g
	before := mustMarshal(c.t, g)
	err := do(g)
	if !bytes.Equal(mustMarshal(c.t, g), before) {
		c.t.Errorf("the group changed: %v", err)
	}
	return err
}

func (c *crowd) sameRule(own, other error) {
	c.t.Helper()
	var a, b *Error
	if errors.As(own, &a) && errors.As(other, &b) && a.Check == b.Check {
		return
	}
	c.t.Errorf("the committer's error is %v, the receiver's %v", own, other)
}

// forgedPath is a commit's path in the making, by member 0.
type forgedPath struct {
	c    *crowd
	t    *transition
	next *Group
	made *newPath
	sent *updatePath // nil before its path secrets are encrypted
}

// makePath makes the path of a commit to t.
func (c *crowd) makePath(t *transition, changes LeafChanges) *forgedPath {
	c.t.Helper()
	g := c.members[0].g
	leaf, id, err := changes.apply(g, t.tree.leafNode(g.own))
	if err != nil {
		c.t.Fatal(err)
	}
	f := &forgedPath{c: c, t: t, next: g.nextGroup(t)}
	if f.made, err = t.tree.createPath(g.suite, c.rand, g.own, leaf, id, g.context.groupID); err != nil {
		c.t.Fatal(err)
	}
	return f
}

// signLeaf signs the leaf again after it was changed.
func (f *forgedPath) signLeaf(signer Identity) {
	g := f.c.members[0].g
	if err := f.made.leaf.sign(g.suite, f.c.rand, &signer, g.context.groupID, g.own); err != nil {
		f.c.t.Fatal(err)
	}
}

// setKey puts another public key into the path.
func (f *forgedPath) setKey(step int, key []byte) {
	g := f.c.members[0].g
	f.made.publicKeys[step] = key
	f.made.leaf.ParentHash = f.t.tree.mergePath(g.suite, g.own, f.made.steps, f.made.publicKeys)
	f.signLeaf(f.c.members[0].id)
}

// encrypt encrypts the path secrets.
func (f *forgedPath) encrypt() (err error) {
	g := f.c.members[0].g
	f.t.tree.set(leafPosition(g.own), node{leaf: f.made.leaf}) // which may have changed
	f.next.context.treeHash = f.t.tree.rootHash(g.suite)
	f.sent, err = f.t.tree.encryptPath(g.suite, f.c.rand, f.made, f.t.addedLeaves(), marshal(&f.next.context))
	return err
}

// commit returns the commit with the path.
func (f *forgedPath) commit(proposals []proposalOrRef, authenticatedData []byte) []byte {
	f.c.t.Helper()
	return f.c.forge(0, ContentCommit, WireFormatPublicMessage, func(a *authenticatedContent) {
		if authenticatedData != nil {
			a.content.authenticatedData = authenticatedData
		}
		a.content.commit = &commit{proposals: proposals, path: f.sent}
		f.c.confirm(a, f.t, f.next, f.made.commitSecret)
	})
}

// forgePath has member 0 commit with a path that is spoilt before its path
// secrets are encrypted, after that, or both. Apart from that, it is valid.
func (c *crowd) forgePath(o CommitOptions, early, late func(*forgedPath)) []byte {
	c.t.Helper()
	g := c.members[0].g
	pending, own, err := g.candidates(&o)
	if err != nil {
		c.t.Fatal(err)
	}
	t, err := g.apply(Sender{Type: SenderMember}, slices.Concat(pending, own))
	if err != nil {
		c.t.Fatal(err)
	}
	return c.forgePathOn(t, byValue(o.Proposals...), o, early, late)
}

// forgePathOn is forgePath for proposals that lead to t.
func (c *crowd) forgePathOn(t *transition, proposals []proposalOrRef, o CommitOptions, early, late func(*forgedPath)) []byte {
	c.t.Helper()
	f := c.makePath(t, o.Leaf)
	if early != nil {
		early(f)
	}
	if err := f.encrypt(); err != nil {
		c.t.Fatal(err)
	}
	if late != nil {
		late(f)
	}
	return f.commit(proposals, o.AuthenticatedData)
}

// spoiltAdd returns a proposal to add a new client whose key package is spoilt
// and then signed again.
func (c *crowd) spoiltAdd(o LeafOptions, spoil func(*KeyPackage)) *Add {
	c.t.Helper()
	add := c.invite(o)
	joiner := c.invited[len(c.invited)-1]
	c.invited = nil
	k := add.KeyPackage
	spoil(k)
	c.signKeyPackage(k, joiner.id, true)
	return add
}

func (c *crowd) signKeyPackage(k *KeyPackage, id Identity, leafToo bool) {
	c.t.Helper()
	if leafToo {
		if err := k.LeafNode.sign(c.suite, c.rand, &id, nil, 0); err != nil {
			c.t.Fatal(err)
		}
	}
	var err error
	if k.Signature, err = c.suite.SignWithLabel(c.rand, id.Signer, "KeyPackageTBS", wire.Encode(k.encodeContent)); err != nil {
		c.t.Fatal(err)
	}
}

// forgedWelcome is what a Welcome holds, for the one client that is invited.
type forgedWelcome struct {
	c       *crowd
	secrets *groupSecrets
	info    *groupInfo
	tree    *ratchetTree
	signer  *client // of the GroupInfo
	joiner  *client
	sign    func() // called before the GroupInfo is signed
}

// signLeaf signs a member's leaf again after it was changed.
func (f *forgedWelcome) signLeaf(member int) {
	m := f.c.members[member]
	if err := f.tree.leafNode(m.g.own).sign(f.c.suite, f.c.rand, &m.id, f.info.context.groupID, m.g.own); err != nil {
		f.c.t.Fatal(err)
	}
}

// changeLeaf puts a changed copy of a member's leaf into the tree.
func (f *forgedWelcome) changeLeaf(member int, change func(*LeafNode)) {
	own := f.c.members[member].g.own
	leaf := *f.tree.leafNode(own)
	change(&leaf)
	f.tree.set(leafPosition(own), node{leaf: &leaf})
}

// mergePath gives the path of a member's leaf the given keys.
func (f *forgedWelcome) mergePath(member int, steps []pathStep, keys [][]byte) {
	f.commitLeaf(member, f.tree.mergePath(f.c.suite, f.c.members[member].g.own, steps, keys))
}

// commitLeaf makes a member's leaf one of a commit.
func (f *forgedWelcome) commitLeaf(member int, parentHash []byte) {
	f.changeLeaf(member, func(l *LeafNode) {
		l.Source, l.Lifetime, l.ParentHash = LeafNodeSourceCommit, Lifetime{}, parentHash
	})
	f.signLeaf(member)
}

// vouch has leaf 0 of a tree of four set the parents above it, with unmerged
// leaves at the root.
func (f *forgedWelcome) vouch(unmerged ...LeafIndex) {
	f.tree.set(3, node{parent: &parentNode{encryptionKey: f.c.newHPKEKey(), unmergedLeaves: unmerged}})
	f.tree.set(1, node{parent: &parentNode{encryptionKey: f.c.newHPKEKey(), parentHash: f.tree.parentHash(f.c.suite, 3, 5)}})
	f.commitLeaf(0, f.tree.parentHash(f.c.suite, 1, 2))
}

func (c *crowd) newHPKEKey() []byte {
	c.t.Helper()
	key, err := c.suite.GenerateHPKEKeyPair(c.rand)
	if err != nil {
		c.t.Fatal(err)
	}
	return key.PublicKey()
}

// refusedWelcome has member 0 add a client, with a Welcome that is spoilt and
// then made consistent again: the tree hash, the confirmation tag, the signature
// of the GroupInfo and the encryption are right. With afterwards, the GroupInfo
// is spoilt once more, without a signature for that.
func (c *crowd) refusedWelcome(o LeafOptions, commitOptions CommitOptions, spoil, afterwards func(*forgedWelcome)) error {
	c.t.Helper()
	g, pending, err := c.forgedWelcome(o, commitOptions, spoil, afterwards)
	if err == nil {
		c.t.Errorf("joined a group of %d", len(g.Members()))
	}
	// The key package is not used up.
	c.deliver(0, pending)
	return err
}

// forgedWelcome has a client join by a Welcome as in refusedWelcome. The client
// stays among those who are invited.
func (c *crowd) forgedWelcome(o LeafOptions, commitOptions CommitOptions, spoil, afterwards func(*forgedWelcome)) (*Group, *PendingCommit, error) {
	c.t.Helper()
	commitOptions.Proposals = append(commitOptions.Proposals, c.invite(o))
	joiner := c.invited[0]
	pending, err := c.members[0].g.Commit(commitOptions)
	if err != nil {
		c.t.Fatal(err)
	}
	var m mlsMessage
	mustUnmarshal(c.t, pending.Welcome(), &m)
	w := m.welcome
	f := &forgedWelcome{c: c, signer: c.members[0], joiner: joiner, sign: func() {}}
	if f.secrets, err = w.openSecrets(c.suite, joiner.bundle); err != nil {
		c.t.Fatal(err)
	}
	psks := func() []byte {
		// Resumption PSKs are those of member 0.
		secret, err := combinePSKs(joiner.cfg, c.suite, f.secrets.psks, func(id *PreSharedKeyID) []byte {
			if id.Type != PSKResumption {
				return nil
			}
			return c.members[0].g.epoch.ResumptionPSK
		})
		if err != nil {
			c.t.Fatal(err)
		}
		return secret
	}
	pskSecret := psks()
	if f.info, err = w.openGroupInfo(c.suite, f.secrets.joinerSecret, pskSecret); err != nil {
		c.t.Fatal(err)
	}
	if f.tree, err = f.info.tree(nil); err != nil {
		c.t.Fatal(err)
	}

	before := f.tree
	spoil(f)
	if f.tree == nil {
		f.info.extensions = slices.DeleteFunc(f.info.extensions, func(x Extension) bool { return x.Type == ExtensionRatchetTree })
	} else {
		f.info.extensions = f.info.extensions.with(Extension{ExtensionRatchetTree, encodeTree(f.tree)})
		if f.tree == before {
			f.info.context.treeHash = mustParseTree(c.t, encodeTree(f.tree)).rootHash(c.suite)
		}
	}
	pskSecret = psks()
	epoch := keysched.NewEpoch(c.suite, f.secrets.joinerSecret, pskSecret, marshal(&f.info.context))
	f.info.confirmationTag = keysched.ConfirmationTag(c.suite, epoch.ConfirmationKey, f.info.context.confirmedTranscriptHash)
	f.sign()
	if f.info.signature, err = c.suite.SignWithLabel(c.rand, f.signer.g.signer, "GroupInfoTBS", f.info.toBeSigned()); err != nil {
		c.t.Fatal(err)
	}
	if afterwards != nil {
		afterwards(f)
	}
	key, nonce := keysched.WelcomeKey(c.suite, f.secrets.joinerSecret, pskSecret)
	aead, err := c.suite.NewAEAD(key)
	if err != nil {
		c.t.Fatal(err)
	}
	w.encryptedGroupInfo = aead.Seal(nil, nonce, marshal(f.info), nil)
	enc, ciphertext, err := c.suite.EncryptWithLabel(c.rand, joiner.bundle.keyPackage.InitKey, "Welcome", w.encryptedGroupInfo, marshal(f.secrets))
	if err != nil {
		c.t.Fatal(err)
	}
	w.secrets[0].secrets = hpkeCiphertext{enc, ciphertext}
	g, err := Join(joiner.cfg, marshal(&m), joiner.bundle, JoinOptions{})
	return g, pending, err
}
