package mls

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/mls/internal/keysched"
)

// GroupInfoOptions say what a GroupInfo holds.
type GroupInfoOptions struct {
	// WithoutTree leaves the ratchet_tree extension out. Who uses the GroupInfo
	// needs [Group.RatchetTree] by another way then.
	WithoutTree bool
	// WithoutExternalPub leaves the external_pub extension out, so that the
	// GroupInfo does not help anybody to join.
	WithoutExternalPub bool
	// Extensions are further ones.
	Extensions Extensions
}

// GroupInfo returns a signed GroupInfo of the epoch, as an MLSMessage, by which
// others can join ([JoinExternal]) or follow ([NewObserver]) the group. It holds
// no secrets, but whoever has it and is acceptable to the members can become
// one. RFC 9420, Sections 12.4.3 and 12.4.3.2.
func (g *Group) GroupInfo(o GroupInfoOptions) ([]byte, error) {
	if err := g.usable(); err != nil {
		return nil, err
	}
	info, err := g.signGroupInfo(o)
	if err != nil {
		return nil, err
	}
	return marshal(&mlsMessage{wireFormat: WireFormatGroupInfo, groupInfo: info}), nil
}

func (g *Group) signGroupInfo(o GroupInfoOptions) (*groupInfo, error) {
	if err := g.cfg.verifyExtensions(InGroupInfo, o.Extensions); err != nil {
		return nil, fmt.Errorf("mls: making a GroupInfo: %w", err)
	}
	info := &groupInfo{context: g.context, confirmationTag: g.confirmationTag, signer: g.own}
	if !o.WithoutExternalPub {
		key, err := keysched.ExternalKeyPair(g.suite, g.epoch.ExternalSecret)
		if err != nil {
			return nil, fmt.Errorf("mls: deriving the external key: %w", err)
		}
		info.extensions = append(info.extensions, externalPub(key.PublicKey()))
		key.Erase()
	}
	if !o.WithoutTree {
		info.extensions = append(info.extensions, Extension{Type: ExtensionRatchetTree, Data: g.RatchetTree()})
	}
	for _, x := range o.Extensions {
		info.extensions = info.extensions.with(x)
	}
	if err := g.cfg.greaseDictionary(info.extensions, false); err != nil {
		return nil, err
	}
	if err := g.cfg.greaseExtensions(&info.extensions); err != nil {
		return nil, err
	}
	var err error
	wire.Lend(func(w *wire.Writer) {
		info.encodeContent(w)
		info.signature, err = g.suite.SignWithLabel(g.cfg.Rand, g.signer, "GroupInfoTBS", w.Data())
	})
	if err != nil {
		return nil, fmt.Errorf("mls: signing a GroupInfo: %w", err)
	}
	return info, nil
}

// GroupInfoExtensions returns the extensions of the GroupInfo by which this member has
// joined, but for the tree and the public key for external commits: what somebody
// had to tell to new members ([CommitOptions.GroupInfoExtensions], [GroupInfoOptions]). There are none in
// later epochs, and none after a restart: who needs them then keeps them.
func (g *Group) GroupInfoExtensions() Extensions { return g.joinedBy.clone() }

// forJoiners returns the extensions that tell new members more than what they need to join.
func (g *groupInfo) forJoiners() Extensions {
	rest := g.extensions.clone()
	return slices.DeleteFunc(rest, func(x Extension) bool {
		return x.Type == ExtensionRatchetTree || x.Type == ExtensionExternalPub
	})
}

// externalPub returns the GroupInfo extension with the public key for external
// commits. RFC 9420, Section 12.4.3.2.
func externalPub(key []byte) Extension {
	data := wire.Encode(func(w *wire.Writer) { w.Opaque(key) })
	return Extension{Type: ExtensionExternalPub, Data: data}
}

// externalPub returns the public key of the extension external_pub.
func (g *groupInfo) externalPub(s *ciphersuite.Suite) ([]byte, error) {
	data, ok := g.extensions.Find(ExtensionExternalPub)
	if !ok {
		return nil, invalid(CheckExternalPub, "there is no external_pub")
	}
	r := wire.NewReader(data)
	key := r.Opaque()
	err := r.Finish()
	if err == nil {
		err = s.ValidateHPKEPublicKey(key)
	}
	if err != nil {
		return nil, invalid(CheckExternalPub, "%w", err)
	}
	return key, nil
}

// parseGroupInfo decodes an MLSMessage that holds a GroupInfo.
func (c *Config) parseGroupInfo(message []byte) (*groupInfo, error) {
	var m mlsMessage
	if err := c.unmarshal(message, &m); err != nil {
		return nil, fmt.Errorf("mls: parsing a GroupInfo: %w", err)
	}
	if m.groupInfo == nil {
		return nil, fmt.Errorf("mls: message is %v, want %v", m.wireFormat, WireFormatGroupInfo)
	}
	return m.groupInfo, nil
}

// tree returns the group's ratchet tree, which came with the GroupInfo or apart.
func (g *groupInfo) tree(apart []byte) (*ratchetTree, error) {
	data, ok := g.extensions.Find(ExtensionRatchetTree)
	if !ok {
		data = apart
	}
	if data == nil {
		return nil, invalid(CheckTreeMissing, "there is no ratchet tree")
	}
	return parseTree(data)
}

// verify checks a GroupInfo and the tree that belongs to it, apart from what
// the Authentication Service says, and returns the group's public state. own is
// the client's leaf if it should be in the tree, and need not be checked then.
// RFC 9420, Section 12.4.3.1.
func (g *groupInfo) verify(cfg *Config, s *ciphersuite.Suite, ratchetTree []byte, own *LeafNode) (*publicState, error) {
	tree, err := g.tree(ratchetTree)
	if err != nil {
		return nil, err
	}
	if g.context.cipherSuite != s.ID() {
		return nil, invalid(CheckGroupInfoSuite, "suite is %v, want %v", g.context.cipherSuite, s.ID())
	}
	signer := tree.leafNode(g.signer)
	if signer == nil {
		return nil, invalid(CheckGroupInfoSigner, "leaf %d is blank", g.signer)
	}
	wire.Lend(func(w *wire.Writer) {
		g.encodeContent(w)
		err = s.VerifyWithLabel(signer.SignatureKey, "GroupInfoTBS", w.Data(), g.signature)
	})
	if err != nil {
		return nil, invalid(CheckGroupInfoSignature, "%w", err)
	}
	if err := cfg.verifyExtensions(InGroupInfo, g.extensions); err != nil {
		return nil, err
	}
	if err := cfg.verifyExtensions(InGroupContext, g.context.extensions); err != nil {
		return nil, err
	}
	if err := g.verifyTree(cfg, s, tree, own); err != nil {
		return nil, err
	}
	state := &publicState{cfg: cfg, suite: s, context: g.context, encodedContext: marshal(&g.context), tree: tree}
	state.setConfirmationTag(g.confirmationTag)
	return state, nil
}

// verifyTree checks the tree that belongs to a GroupInfo.
func (g *groupInfo) verifyTree(cfg *Config, s *ciphersuite.Suite, tree *ratchetTree, own *LeafNode) error {
	if !bytes.Equal(tree.rootHash(s), g.context.treeHash) {
		return invalid(CheckTreeHash, "the tree is not the one of the GroupInfo")
	}
	var known *LeafNode
	if own != nil {
		if at, ok := tree.find(own); ok {
			known = tree.leafNode(at)
		}
	}
	if err := tree.verifyIntegrity(s, g.context.groupID, known); err != nil {
		return err
	}
	for i, leaf := range tree.leaves {
		if err := cfg.verifyLeafContents(leaf, leaf.Source); err != nil {
			return fmt.Errorf("mls: leaf %d: %w", i, err)
		}
		if err := verifyLifetime(leaf, cfg.Now(), cfg.MaxLifetime); err != nil {
			return fmt.Errorf("mls: leaf %d: %w", i, err)
		}
	}
	return cfg.verifyMembers(s, tree, g.context.extensions, nil)
}

// validateMembers asks the Authentication Service about all that a newcomer
// finds in a group but its own leaf.
func (s *publicState) validateMembers(own *LeafNode) error {
	for i, leaf := range s.tree.leaves {
		if leaf == own {
			continue
		}
		if err := s.cfg.validateLeaf(i, leaf, nil); err != nil {
			return err
		}
	}
	return s.cfg.validateExternalSenders(s.suite, s.context.extensions)
}
