package mls

import (
	"bytes"
	"errors"
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
	// Previous is the group that the new one continues, by re-initialization or
	// as a branch. Required where the Welcome says that there is one. It is not
	// changed.
	Previous *Group
	// BranchPoints are those of other epochs of Previous from which the new group
	// may have branched off. Default: none; it was made in Previous's own epoch, or
	// in one of which Config.ResumptionPSKs keeps the PSK.
	BranchPoints []*BranchPoint

	pairKey *apqPSK // of a pair of groups
}

// Join enters the group that a Welcome (an MLSMessage) invites the holder of b
// to. Whether the client is in a group with this ID already is for the caller
// to check. Success uses b up: its init key is erased and the group takes the
// key of the leaf over. RFC 9420, Section 12.4.3.1.
func Join(cfg *Config, message []byte, b *KeyPackageBundle, o JoinOptions) (*Group, error) {
	g, err := join(cfg, message, b, o)
	if err != nil {
		return nil, err
	}
	b.moveTo(g)
	return g, nil
}

// join is Join but for the keys of b, which [KeyPackageBundle.moveTo] moves.
func join(cfg *Config, message []byte, b *KeyPackageBundle, o JoinOptions) (*Group, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if b == nil {
		return nil, errors.New("mls: joining: there is no KeyPackageBundle")
	}
	if b.encryptionKey == nil {
		return nil, fmt.Errorf("mls: joining: the key package is used up: %w", ErrErased)
	}
	var m mlsMessage
	if err := cfg.unmarshal(message, &m); err != nil {
		return nil, fmt.Errorf("mls: parsing a Welcome: %w", err)
	}
	if m.welcome == nil {
		return nil, fmt.Errorf("mls: message is %v, want %v", m.wireFormat, WireFormatWelcome)
	}
	w := m.welcome
	if w.cipherSuite != b.keyPackage.CipherSuite {
		return nil, invalid(CheckWelcomeSuite, "suite is %v, that of the key package %v", w.cipherSuite, b.keyPackage.CipherSuite)
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
	if err := secrets.verifyNonces(s); err != nil {
		return nil, err
	}
	succession, err := successionOf(secrets.psks, o.Previous, o.BranchPoints)
	if err != nil {
		return nil, err
	}
	pskSecret, err := combinePSKs(cfg, s, secrets.psks, func(id *PreSharedKeyID) []byte {
		if secret := o.pairKey.lookUp(id); secret != nil {
			return secret
		}
		return succession.resumptionPSK(id)
	})
	if err != nil {
		return nil, err
	}
	defer clear(pskSecret)
	info, err := w.openGroupInfo(s, secrets.joinerSecret, pskSecret)
	if err != nil {
		return nil, err
	}
	state, err := info.verify(cfg, s, o.RatchetTree, &b.keyPackage.LeafNode)
	if err != nil {
		return nil, err
	}
	own, err := ownLeafIn(state.tree, &b.keyPackage.LeafNode)
	if err != nil {
		return nil, err
	}
	if err := state.validateMembers(state.tree.leafNode(own)); err != nil {
		return nil, err
	}
	if err := succession.verify(state); err != nil {
		return nil, err
	}

	g := &Group{publicState: *state, signer: b.identity.Signer, own: own, joinedBy: info.forJoiners()}
	if secrets.hasPathSecret {
		if err := g.derivePathKeys(info.signer, bytes.Clone(secrets.pathSecret)); err != nil {
			return nil, err
		}
	}
	g.startEpoch(keysched.NewEpoch(s, secrets.joinerSecret, pskSecret, g.encodedContext))
	if !g.isConfirmed(g.confirmationTag) {
		g.Erase()
		return nil, invalid(CheckGroupInfoConfirmationTag, "the members and the GroupInfo do not agree on the epoch")
	}
	return g, nil
}

// moveTo gives the group that was joined the key of its leaf, and erases the init key.
func (b *KeyPackageBundle) moveTo(g *Group) {
	g.keys.put(leafPosition(g.own), newSharedKey(b.encryptionKey))
	g.tree.leafNode(g.own).EncryptionKey = b.encryptionKey.PublicKey() // the same, once
	b.encryptionKey = nil
	b.Erase()
}

// verifyNonces checks that each PSK's nonce is as long as a proposal has to make it.
func (s *groupSecrets) verifyNonces(suite *ciphersuite.Suite) error {
	for i := range s.psks {
		if n := len(s.psks[i].Nonce); n != suite.HashSize() {
			return invalid(CheckWelcomePSKNonce, "nonce of %d octets, want %d", n, suite.HashSize())
		}
	}
	return nil
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
		return nil, invalid(CheckWelcomeKeyPackage, "it is not for this key package")
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

// ownLeafIn returns where in the tree the leaf of a key package is.
func ownLeafIn(tree *ratchetTree, leaf *LeafNode) (LeafIndex, error) {
	at, ok := tree.find(leaf)
	if !ok {
		return 0, invalid(CheckWelcomeOwnLeaf, "the leaf of the key package is not in the tree")
	}
	return at, nil
}

// derivePathKeys takes the private keys of those nodes above this member that
// the commit which added it has set.
func (g *Group) derivePathKeys(committer LeafIndex, pathSecret []byte) error {
	ancestor := treemath.CommonAncestor(treemath.LeafIndex(g.own), treemath.LeafIndex(committer))
	steps := g.tree.filteredDirectPath(committer)
	i := slices.IndexFunc(steps, func(s pathStep) bool { return s.node == ancestor })
	if i < 0 {
		return invalid(CheckWelcomePathSecret, "no node above both leaf %d and leaf %d", g.own, committer)
	}
	for _, step := range steps[i:] {
		if g.tree.nodes[step.node].parent == nil {
			return invalid(CheckWelcomePathSecret, "node %d is blank", step.node)
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
