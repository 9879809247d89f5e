package mls

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/mls/internal/keysched"
	"github.com/mendlink/mendlink/mls/internal/treemath"
)

// CommitOptions are the contents of a commit. The zero value is an empty commit
// with a path: it heals, and changes nothing else.
type CommitOptions struct {
	// Proposals are included by value.
	Proposals []Proposal
	// WithoutPending leaves out the proposals that were sent in this epoch. By
	// default those of them that are valid and fit together are included, by
	// reference (see [Group.PendingProposals]).
	WithoutPending bool
	// OmitPath leaves out the path where the proposals allow that and Leaf
	// changes nothing. Such a commit does not heal.
	OmitPath bool
	// Leaf changes the committer's own leaf.
	Leaf LeafChanges
	// AuthenticatedData travels with the message in the clear.
	AuthenticatedData []byte
	// WireFormat is [WireFormatPrivateMessage] (the default) or
	// [WireFormatPublicMessage].
	WireFormat WireFormat
	// WithoutTree leaves the ratchet_tree extension out of the Welcome. The
	// new members need [PendingCommit.RatchetTree] by another way then.
	WithoutTree bool
	// GroupInfoExtensions are further ones of the GroupInfo in the Welcome, which only the
	// new members can decrypt ([Group.GroupInfoExtensions]): an [AppDataDictionary] with what
	// components tell them, or others. Without new members they are not sent.
	GroupInfoExtensions Extensions
	// WelcomeOnly makes a commit that is sent to nobody, in a group with no
	// other member, whose new members all join by the Welcome. What nobody can
	// verify or decrypt is left out: the commit is not signed, and
	// [PendingCommit.Message] is empty.
	WelcomeOnly bool
}

// Commit makes a commit. The group stays in its epoch, but one generation of
// the member's handshake ratchet is used up if the commit is encrypted.
// RFC 9420, Section 12.4.1.
func (g *Group) Commit(o CommitOptions) (*PendingCommit, error) {
	if err := g.usable(); err != nil {
		return nil, err
	}
	if o.WireFormat == 0 {
		o.WireFormat = WireFormatPrivateMessage
	}
	covered, t, err := g.coverProposals(&o)
	if err != nil {
		return nil, err
	}
	c := &commit{proposals: listProposals(covered)}

	next := g.nextGroup(t)
	defer func() {
		if err != nil {
			next.discard()
		}
	}()
	path, err := g.commitPath(&o, t, c, next)
	if err != nil {
		return nil, err
	}
	defer path.erase()

	a := g.newContent(ContentCommit, o.WireFormat, o.AuthenticatedData)
	a.content.setCommit(c)
	if o.WelcomeOnly {
		err = g.verifyWelcomeOnly(t, a)
	} else {
		err = g.sign(a)
	}
	if err != nil {
		return nil, err
	}
	joinerSecret, pskSecret, err := g.advance(next, t, a, path.commitSecret)
	if err != nil {
		return nil, err
	}
	defer clear(joinerSecret)
	defer clear(pskSecret)
	next.confirm(a)

	pending := newPendingCommit(&g.publicState, a, covered, next)
	if len(t.added) > 0 {
		if pending.welcome, err = next.makeWelcome(t, path, joinerSecret, pskSecret, &o); err != nil {
			return nil, err
		}
	}
	if o.WelcomeOnly {
		return pending, nil
	}
	if pending.message, err = g.protect(a); err != nil {
		return nil, err
	}
	return pending, nil
}

// verifyWelcomeOnly checks that nobody needs the commit a itself.
func (g *Group) verifyWelcomeOnly(t *transition, a *authenticatedContent) error {
	if members := len(g.tree.members()); members != 1 || len(t.added) == 0 {
		return fmt.Errorf("mls: committing for a Welcome only: %d members are there and %d new ones, want 1 and some", members, len(t.added))
	}
	return verifyAuthenticatedData(a.content.authenticatedData, g.context.extensions)
}

// commitPath makes the commit's path, if it has one, and gives its keys to the
// next epoch.
func (g *Group) commitPath(o *CommitOptions, t *transition, c *commit, next *Group) (path *newPath, err error) {
	if o.OmitPath && !t.pathRequired && o.Leaf == (LeafChanges{}) {
		next.context.treeHash = t.tree.rootHash(g.suite)
		return &newPath{commitSecret: make([]byte, g.suite.HashSize())}, nil
	}
	leaf, id, err := o.Leaf.apply(g, t.tree.leafNode(g.own))
	if err != nil {
		return nil, fmt.Errorf("mls: committing: %w", err)
	}
	path, c.path, err = g.makePath(t, leaf, id, next)
	return path, err
}

// makePath makes a path from the leaf of next's member, and gives its keys to
// next.
func (s *publicState) makePath(t *transition, leaf *LeafNode, id *Identity, next *Group) (_ *newPath, _ *updatePath, err error) {
	path, err := t.tree.createPath(s.suite, s.cfg.Rand, next.own, leaf, id, s.context.groupID)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			path.erase()
		}
	}()
	next.signer = id.Signer
	next.keys.replace(path.keys)
	next.context.treeHash = t.tree.rootHash(s.suite)
	if err := s.cfg.verifyLeafContents(path.leaf, LeafNodeSourceCommit); err != nil {
		return nil, nil, err
	}
	// The provisional GroupContext still has the old confirmed transcript hash.
	var encrypted *updatePath
	wire.Lend(func(w *wire.Writer) {
		next.context.encode(w)
		encrypted, err = t.tree.encryptPath(s.suite, s.cfg.Rand, path, t.addedLeaves(), w.Data())
	})
	return path, encrypted, err
}

// nextGroup returns the successor of g with all but the secrets filled in, and
// with those private keys that stay in use.
func (g *Group) nextGroup(t *transition) *Group {
	next := &Group{
		publicState: g.publicState.next(t),
		signer:      g.signer,
		own:         g.own,
		keys:        g.keys.retain(t.tree),
		reInit:      t.reInit,
	}
	if u := t.ownUpdate; u != nil {
		next.keys.replace(privateKeys{{leafPosition(g.own), u.leafKey.share()}})
		if u.changesSigner {
			next.signer = u.signer
		}
	}
	return next
}

// discard gives up a successor that could not be completed.
func (g *Group) discard() {
	if g.epoch != nil {
		g.epoch.Erase()
		g.secrets.Erase()
		g.exporter.Erase()
	}
	g.keys.erase()
	for _, p := range g.pastResumptionPSKs {
		clear(p.secret)
	}
	g.erased = true
}

// advance runs the key schedule from g's epoch into next's, for the signed
// commit a. RFC 9420, Section 8.
func (g *Group) advance(next *Group, t *transition, a *authenticatedContent, commitSecret []byte) (joinerSecret, pskSecret []byte, err error) {
	if pskSecret, err = g.pskSecret(t.psks); err != nil {
		return nil, nil, err
	}
	initSecret := g.epoch.InitSecret
	if t.externalInit != nil {
		if initSecret, err = g.receiveExternalInit(t.externalInit); err != nil {
			clear(pskSecret)
			return nil, nil, err
		}
		defer clear(initSecret)
	}
	joinerSecret = next.enter(&g.publicState, a, initSecret, pskSecret, commitSecret)
	next.keepResumptionPSK(g)
	return joinerSecret, pskSecret, nil
}

// enter derives the secrets of g's epoch, to which the signed commit a leads
// from before.
func (g *Group) enter(before *publicState, a *authenticatedContent, initSecret, pskSecret, commitSecret []byte) (joinerSecret []byte) {
	g.finish(before, a)
	joinerSecret = keysched.JoinerSecret(g.suite, initSecret, commitSecret, g.encodedContext)
	g.startEpoch(keysched.NewEpoch(g.suite, joinerSecret, pskSecret, g.encodedContext))
	return joinerSecret
}

// confirm puts the confirmation tag of g's epoch into the commit a that leads to it.
func (g *Group) confirm(a *authenticatedContent) {
	g.setConfirmationTag(keysched.ConfirmationTag(g.suite, g.epoch.ConfirmationKey, g.context.confirmedTranscriptHash))
	a.auth.confirmationTag = g.confirmationTag
}

// receiveExternalInit returns the init secret that an external commit brings.
// RFC 9420, Section 8.3.
func (g *Group) receiveExternalInit(p *ExternalInit) ([]byte, error) {
	key, err := keysched.ExternalKeyPair(g.suite, g.epoch.ExternalSecret)
	if err != nil {
		return nil, fmt.Errorf("mls: deriving the external key: %w", err)
	}
	defer key.Erase()
	initSecret, err := keysched.ReceiveExternalInit(g.suite, key, p.KEMOutput)
	if err != nil {
		return nil, invalid(CheckExternalInitKEM, "%w", err)
	}
	return initSecret, nil
}

// keepResumptionPSK takes over the resumption PSKs of the epochs before.
func (g *Group) keepResumptionPSK(before *Group) {
	n := g.cfg.ResumptionPSKs
	if n <= 0 {
		return
	}
	for _, p := range before.pastResumptionPSKs {
		g.pastResumptionPSKs = append(g.pastResumptionPSKs, pastPSK{p.epoch, bytes.Clone(p.secret)})
	}
	g.pastResumptionPSKs = append(g.pastResumptionPSKs, pastPSK{before.context.epoch, bytes.Clone(before.epoch.ResumptionPSK)})
	for len(g.pastResumptionPSKs) > n {
		clear(g.pastResumptionPSKs[0].secret)
		g.pastResumptionPSKs = g.pastResumptionPSKs[1:]
	}
}

// pskSecret looks the PSKs of a commit up and combines them. RFC 9420, Section 8.4.
func (g *Group) pskSecret(ids []PreSharedKeyID) ([]byte, error) {
	return combinePSKs(g.cfg, g.suite, ids, func(id *PreSharedKeyID) []byte {
		if secret := g.pairKey.lookUp(id); secret != nil {
			return secret
		}
		if secret := g.resumptionPSK(id); secret != nil || g.predecessor == nil {
			return secret
		}
		return g.predecessor.resumptionPSK(id)
	})
}

// resumptionPSK returns the resumption PSK that id names, nil if that is not one
// of this group's, or of an epoch whose PSK is not kept.
func (g *Group) resumptionPSK(id *PreSharedKeyID) []byte {
	if g.erased || id.Type != PSKResumption || !bytes.Equal(id.Group, g.context.groupID) {
		return nil
	}
	if id.Epoch == g.context.epoch {
		return g.epoch.ResumptionPSK
	}
	i := slices.IndexFunc(g.pastResumptionPSKs, func(p pastPSK) bool { return p.epoch == id.Epoch })
	if i < 0 {
		return nil
	}
	return g.pastResumptionPSKs[i].secret
}

// makeWelcome makes the Welcome for the members that the commit to this epoch
// added. RFC 9420, Section 12.4.3.1.
func (g *Group) makeWelcome(t *transition, path *newPath, joinerSecret, pskSecret []byte, o *CommitOptions) ([]byte, error) {
	info, err := g.signGroupInfo(GroupInfoOptions{WithoutTree: o.WithoutTree, WithoutExternalPub: true, Extensions: o.GroupInfoExtensions})
	if err != nil {
		return nil, err
	}
	key, nonce := keysched.WelcomeKey(g.suite, joinerSecret, pskSecret)
	defer clear(key)
	aead, err := g.suite.NewAEAD(key)
	if err != nil {
		return nil, err
	}
	w := &welcome{cipherSuite: g.suite.ID()}
	wire.Lend(func(b *wire.Writer) {
		info.encode(b)
		w.encryptedGroupInfo = aead.Seal(nil, nonce, b.Data(), nil)
	})
	all := make([]ciphersuite.Encryption, len(t.added))
	for i, member := range t.added {
		secrets := groupSecrets{joinerSecret: joinerSecret, psks: t.psks}
		ancestor := treemath.CommonAncestor(treemath.LeafIndex(member.leaf), treemath.LeafIndex(g.own))
		if k := slices.IndexFunc(path.steps, func(s pathStep) bool { return s.node == ancestor }); k >= 0 {
			secrets.hasPathSecret, secrets.pathSecret = true, path.secrets[k]
		}
		all[i] = ciphersuite.Encryption{Key: member.keyPackage.parsedInitKey(), PublicKey: member.keyPackage.InitKey, Plaintext: marshal(&secrets)}
		defer clear(all[i].Plaintext)
	}
	if err := g.suite.EncryptAllWithLabel(g.cfg.Rand, "Welcome", w.encryptedGroupInfo, all); err != nil {
		return nil, fmt.Errorf("mls: encrypting to new members: %w", err)
	}
	for i, member := range t.added {
		w.secrets = append(w.secrets, encryptedGroupSecrets{
			newMember: member.keyPackage.Ref(g.suite),
			secrets:   hpkeCiphertext{all[i].KEMOutput, all[i].Ciphertext},
		})
	}
	return marshal(&mlsMessage{wireFormat: WireFormatWelcome, welcome: w}), nil
}
