package mls

import (
	"bytes"
	"crypto/subtle"
	"fmt"
	"slices"

	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/mls/internal/keysched"
	"github.com/mendlink/mendlink/mls/internal/treemath"
)

// JoinOptions say how a group is joined.
type JoinOptions struct {
	// RatchetTree is the group's tree, encoded as in the ratchet_tree
	// extension, for a Welcome that does not hold it.
	RatchetTree []byte
}

// Join enters the group that a Welcome (an MLSMessage) invites the holder of b
// to. Whether the client is in a group with this ID already is for the caller
// to check. Success uses b up: its init key is erased and the group takes the
// key of the leaf over. RFC 9420, Section 12.4.3.1.
func Join(cfg *Config, message []byte, b *KeyPackageBundle, o JoinOptions) (*Group, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if b.encryptionKey == nil {
		return nil, fmt.Errorf("mls: joining: the key package is used up: %w", ErrErased)
	}
	var m mlsMessage
	if err := unmarshal(message, &m); err != nil {
		return nil, fmt.Errorf("mls: parsing a Welcome: %w", err)
	}
	if m.welcome == nil {
		return nil, fmt.Errorf("mls: message is %v, want %v", m.wireFormat, WireFormatWelcome)
	}
	w := m.welcome
	if w.cipherSuite != b.keyPackage.CipherSuite {
		return nil, invalid(CheckWelcome, "suite is %v, that of the key package %v", w.cipherSuite, b.keyPackage.CipherSuite)
	}
	s, err := cfg.Suites.Lookup(w.cipherSuite)
	if err != nil {
		return nil, fmt.Errorf("mls: joining: %w", err)
	}

	secrets, err := w.openSecrets(s, b)
	if err != nil {
		return nil, err
	}
	defer secrets.erase()
	for _, id := range secrets.psks {
		// Re-initialization and branching need the group that they come from.
		if id.Type == PSKResumption && id.Usage != ResumptionApplication {
			return nil, invalid(CheckWelcomePSK, "resumption PSK for usage %d: %w", id.Usage, ErrUnsupported)
		}
	}
	pskSecret, err := combinePSKs(cfg, s, secrets.psks, func(*PreSharedKeyID) []byte { return nil })
	if err != nil {
		return nil, err
	}
	defer clear(pskSecret)
	info, err := w.openGroupInfo(s, secrets.joinerSecret, pskSecret)
	if err != nil {
		return nil, err
	}
	tree, err := info.tree(o.RatchetTree)
	if err != nil {
		return nil, err
	}
	if err := info.verify(cfg, s, tree); err != nil {
		return nil, err
	}
	own, err := ownLeafIn(tree, &b.keyPackage.LeafNode)
	if err != nil {
		return nil, err
	}
	for i, leaf := range tree.leaves {
		if i == own {
			continue
		}
		if err := cfg.AuthenticationService.ValidateLeaf(leaf, nil); err != nil {
			return nil, invalid(CheckLeafCredential, "leaf %d: %w", i, err)
		}
	}

	g := &Group{
		cfg:     cfg,
		suite:   s,
		signer:  b.identity.Signer,
		own:     own,
		tree:    tree,
		keys:    privateKeys{},
		context: info.context,
	}
	if secrets.hasPathSecret {
		if err := g.derivePathKeys(info.signer, bytes.Clone(secrets.pathSecret)); err != nil {
			return nil, err
		}
	}
	g.startEpoch(keysched.NewEpoch(s, secrets.joinerSecret, pskSecret, marshal(&g.context)))
	want := keysched.ConfirmationTag(s, g.epoch.ConfirmationKey, g.context.confirmedTranscriptHash)
	if subtle.ConstantTimeCompare(info.confirmationTag, want) != 1 {
		g.Erase()
		return nil, invalid(CheckConfirmationTag, "the GroupInfo does not belong to the secrets")
	}
	g.setConfirmationTag(want)
	g.keys[leafPosition(own)] = newSharedKey(b.encryptionKey)
	b.encryptionKey = nil
	b.Erase()
	return g, nil
}

func (s *groupSecrets) erase() {
	clear(s.joinerSecret)
	clear(s.pathSecret)
}

// openSecrets decrypts what the Welcome holds for b.
func (w *welcome) openSecrets(s *ciphersuite.Suite, b *KeyPackageBundle) (*groupSecrets, error) {
	ref := b.keyPackage.Ref(s)
	i := slices.IndexFunc(w.secrets, func(e encryptedGroupSecrets) bool { return bytes.Equal(e.newMember, ref) })
	if i < 0 {
		return nil, invalid(CheckWelcome, "it is not for this key package")
	}
	c := w.secrets[i].secrets
	plaintext, err := s.DecryptWithLabel(b.initKey, "Welcome", w.encryptedGroupInfo, c.kemOutput, c.ciphertext)
	if err != nil {
		return nil, fmt.Errorf("%w: group secrets: %w", ErrDecrypt, err)
	}
	secrets := new(groupSecrets)
	if err := unmarshalAliased(plaintext, secrets); err != nil {
		return nil, fmt.Errorf("mls: decoding group secrets: %w", err)
	}
	return secrets, nil
}

func (w *welcome) openGroupInfo(s *ciphersuite.Suite, joinerSecret, pskSecret []byte) (*groupInfo, error) {
	key, nonce := keysched.WelcomeKey(s, joinerSecret, pskSecret)
	defer clear(key)
	aead, err := s.NewAEAD(key)
	if err != nil {
		return nil, err
	}
	plaintext, err := aead.Open(nil, nonce, w.encryptedGroupInfo, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: group info", ErrDecrypt)
	}
	info := new(groupInfo)
	if err := unmarshalAliased(plaintext, info); err != nil {
		return nil, fmt.Errorf("mls: decoding a GroupInfo: %w", err)
	}
	return info, nil
}

// tree returns the group's ratchet tree, which came with the GroupInfo or apart.
func (g *groupInfo) tree(apart []byte) (*ratchetTree, error) {
	data, ok := g.extensions.Find(ExtensionRatchetTree)
	if !ok {
		data = apart
	}
	if data == nil {
		return nil, invalid(CheckTreeShape, "there is no ratchet tree")
	}
	return parseTree(data)
}

// verify checks a GroupInfo and the tree that belongs to it.
func (g *groupInfo) verify(cfg *Config, s *ciphersuite.Suite, tree *ratchetTree) error {
	if g.context.cipherSuite != s.ID() {
		return invalid(CheckGroupInfoSuite, "suite is %v, want %v", g.context.cipherSuite, s.ID())
	}
	signer := tree.leafNode(g.signer)
	if signer == nil {
		return invalid(CheckGroupInfoSigner, "leaf %d is blank", g.signer)
	}
	if err := s.VerifyWithLabel(signer.SignatureKey, "GroupInfoTBS", g.toBeSigned(), g.signature); err != nil {
		return invalid(CheckGroupInfoSigner, "%w", err)
	}
	if !bytes.Equal(tree.rootHash(s), g.context.treeHash) {
		return invalid(CheckTreeHash, "the tree is not the one of the GroupInfo")
	}
	if err := tree.verifyIntegrity(s, g.context.groupID); err != nil {
		return err
	}
	for i, leaf := range tree.leaves {
		if err := verifyLeafContents(s, leaf, leaf.Source); err != nil {
			return fmt.Errorf("mls: leaf %d: %w", i, err)
		}
		if err := verifyLifetime(leaf, cfg.Now(), cfg.MaxLifetime); err != nil {
			return fmt.Errorf("mls: leaf %d: %w", i, err)
		}
	}
	return tree.verifyMembers(s, g.context.extensions)
}

// ownLeafIn returns where in the tree the leaf of a key package is.
func ownLeafIn(tree *ratchetTree, leaf *LeafNode) (LeafIndex, error) {
	want := marshal(leaf)
	for i, l := range tree.leaves {
		if bytes.Equal(l.EncryptionKey, leaf.EncryptionKey) && bytes.Equal(marshal(l), want) {
			return i, nil
		}
	}
	return 0, invalid(CheckWelcomeOwnLeaf, "the leaf of the key package is not in the tree")
}

// derivePathKeys takes the private keys of those nodes above this member that
// the commit which added it has set.
func (g *Group) derivePathKeys(committer LeafIndex, pathSecret []byte) error {
	ancestor := treemath.CommonAncestor(treemath.LeafIndex(g.own), treemath.LeafIndex(committer))
	steps := g.tree.filteredDirectPath(committer)
	i := slices.IndexFunc(steps, func(s pathStep) bool { return s.node == ancestor })
	if i < 0 {
		return invalid(CheckPathSecret, "no node above both leaf %d and leaf %d", g.own, committer)
	}
	for _, step := range steps[i:] {
		if g.tree.nodes[step.node].parent == nil {
			return invalid(CheckPathSecret, "node %d is blank", step.node)
		}
	}
	derived, commitSecret, err := g.tree.derivePath(g.suite, steps[i:], pathSecret)
	if err != nil {
		return err
	}
	clear(commitSecret)
	g.keys.replace(derived)
	return nil
}
