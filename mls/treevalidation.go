package mls

import (
	"fmt"
	"slices"
	"time"

	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/mls/internal/parallel"
	"github.com/mendlink/mendlink/mls/internal/treemath"
)

// verifyIntegrity checks all of a tree that a newcomer is given but for the rules
// on members that need the GroupContext. known is a leaf that needs no check, nil
// for none. RFC 9420, Section 12.4.3.1.
func (t *ratchetTree) verifyIntegrity(s *ciphersuite.Suite, groupID []byte, known *LeafNode) error {
	if err := t.verifyUnmergedLeaves(); err != nil {
		return err
	}
	if err := t.verifyParentKeys(s); err != nil {
		return err
	}
	if err := t.verifyParentHashes(s); err != nil {
		return err
	}
	leaves := t.members()
	return parallel.For(len(leaves), func(k int) error {
		i := leaves[k]
		leaf := t.leafNode(i)
		if leaf == known {
			return nil
		}
		return leaf.verify(s, groupID, i)
	})
}

func (t *ratchetTree) verifyUnmergedLeaves() error {
	for x, n := range t.nodes {
		if n.parent == nil {
			continue
		}
		x := treemath.NodeIndex(x)
		for k, l := range n.parent.unmergedLeaves {
			if k > 0 && n.parent.unmergedLeaves[k-1] >= l {
				return invalid(CheckUnmergedLeavesOrder, "node %d: not in increasing order", x)
			}
			if t.leafNode(l) == nil || !leafPosition(l).InSubtree(x) {
				return invalid(CheckUnmergedLeavesMembers, "node %d: leaf %d is blank or not below", x, l)
			}
			for _, between := range t.size.DirectPath(leafPosition(l)) {
				if between == x {
					break
				}
				if p := t.nodes[between].parent; p != nil && !slices.Contains(p.unmergedLeaves, l) {
					return invalid(CheckUnmergedLeavesPath, "node %d: leaf %d is merged at node %d below", x, l, between)
				}
			}
		}
	}
	return nil
}

// verifyParentKeys checks that the keys of all parents are usable.
func (t *ratchetTree) verifyParentKeys(s *ciphersuite.Suite) error {
	return parallel.For(len(t.nodes)/2, func(k int) error {
		x := 2*k + 1
		p := t.nodes[x].parent
		if p == nil {
			return nil
		}
		var err error
		if p.parsed, err = s.ParseHPKEPublicKey(p.encryptionKey); err != nil {
			return invalid(CheckTreeKey, "node %d: %w", x, err)
		}
		return nil
	})
}

// isNew reports whether the node at x is not the one that was there in before, an
// earlier state of the tree. All nodes are new if that is nil.
func (t *ratchetTree) isNew(x treemath.NodeIndex, before *ratchetTree) bool {
	return before == nil || int(x) >= len(before.nodes) || before.nodes[x] != t.nodes[x]
}

// verifyKeysDiffer checks that no key is in the tree twice. If there is an earlier
// state in which that was so, only what is new since is compared with all else.
func (t *ratchetTree) verifyKeysDiffer(before *ratchetTree) error {
	var signatureKeys, leafKeys, parentKeys keySet
	// The keys of new nodes make up the sets, those of others must not be in them.
	for _, fill := range []bool{true, false} {
		admits := func(s *keySet, key []byte) bool {
			if fill {
				return s.add(key)
			}
			return !s.contains(key)
		}
		for x, n := range t.nodes {
			if n.leaf == nil || t.isNew(treemath.NodeIndex(x), before) != fill {
				continue
			}
			i := treemath.NodeIndex(x).Leaf()
			if !admits(&signatureKeys, n.leaf.SignatureKey) {
				return invalid(CheckLeafSignatureKeyUnique, "leaf %d: signature key is another member's", i)
			}
			if !admits(&leafKeys, n.leaf.EncryptionKey) {
				return invalid(CheckLeafEncryptionKeyUnique, "leaf %d: encryption key is another member's", i)
			}
			if parentKeys.contains(n.leaf.EncryptionKey) {
				return invalid(CheckTreeKeyUnique, "leaf %d: encryption key is another node's", i)
			}
		}
		for x, n := range t.nodes {
			if n.parent == nil || t.isNew(treemath.NodeIndex(x), before) != fill {
				continue
			}
			if leafKeys.contains(n.parent.encryptionKey) || !admits(&parentKeys, n.parent.encryptionKey) {
				return invalid(CheckTreeKeyUnique, "node %d: encryption key is another node's", x)
			}
		}
	}
	return nil
}

// verifyMembers checks the rules that hold between the members of a group, and
// between them and its GroupContext. If there is an earlier state of the tree in
// which they held, with the same GroupContext extensions, only what is new since
// is checked against all else. RFC 9420, Sections 7.3, 11.1 and 13.4.
func (t *ratchetTree) verifyMembers(s *ciphersuite.Suite, context Extensions, before *ratchetTree) error {
	required, err := requiredCapabilities(context)
	if err != nil {
		return err
	}
	// If the dictionary were malformed, every message of the epoch would be refused.
	components, err := componentsRequired(context)
	if err != nil {
		return err
	}
	if err := t.verifyKeysDiffer(before); err != nil {
		return err
	}
	inUse, newTypes := t.credentialTypes(before)
	for i, leaf := range t.leaves {
		c := &leaf.Capabilities
		types := newTypes
		if t.isNew(leafPosition(i), before) {
			types = inUse
			if err := c.verifySupport(s, context, required); err != nil {
				return fmt.Errorf("mls: leaf %d: %w", i, err)
			}
			if err := components.verifySupport(leaf); err != nil {
				return fmt.Errorf("mls: leaf %d: %w", i, err)
			}
		}
		for _, t := range types {
			if !slices.Contains(c.Credentials, t) {
				return invalid(CheckLeafCredentialSupport, "leaf %d does not support credential type %d, which is in use", i, t)
			}
		}
	}
	return nil
}

// credentialTypes returns the types of credentials that are in use, and those of
// them that none has but members who are new since before.
func (t *ratchetTree) credentialTypes(before *ratchetTree) (inUse, newTypes []CredentialType) {
	var old []CredentialType
	add := func(types *[]CredentialType, c CredentialType) {
		if !slices.Contains(*types, c) {
			*types = append(*types, c)
		}
	}
	for i, leaf := range t.leaves {
		add(&inUse, leaf.Credential.Type)
		if !t.isNew(leafPosition(i), before) {
			add(&old, leaf.Credential.Type)
		}
	}
	for _, c := range inUse {
		if !slices.Contains(old, c) {
			newTypes = append(newTypes, c)
		}
	}
	return inUse, newTypes
}

// verifyMembers checks all rules between members, and between them and their
// GroupContext: those of [ratchetTree.verifyMembers], and those of extensions that
// the client understands.
func (c *Config) verifyMembers(s *ciphersuite.Suite, t *ratchetTree, context Extensions, before *ratchetTree) error {
	if err := t.verifyMembers(s, context, before); err != nil {
		return err
	}
	if err := c.verifyMultiCredentials(t, before); err != nil {
		return err
	}
	return c.verifyWireFormats(t, context, before)
}

// verifyMembersOf checks the rules of verifyMembers on a tree that is to follow
// s's.
func (s *publicState) verifyMembersOf(t *ratchetTree, context Extensions) error {
	before := s.tree
	if !context.isSame(s.context.extensions) {
		before = nil
	}
	return s.cfg.verifyMembers(s.suite, t, context, before)
}

// verifyLeafContents checks the rules on a leaf that need nothing else: where it
// comes from, and that it supports what it uses. RFC 9420, Section 7.3.
func (c *Config) verifyLeafContents(leaf *LeafNode, source LeafNodeSource) error {
	if leaf.Source != source {
		return invalid(CheckLeafSource, "leaf_node_source is %v, want %v", leaf.Source, source)
	}
	if !slices.Contains(leaf.Capabilities.Credentials, leaf.Credential.Type) {
		return invalid(CheckLeafCredentialOwn, "its own credential type %d is not among its capabilities", leaf.Credential.Type)
	}
	if err := leaf.Credential.verifyWebToken(); err != nil {
		return err
	}
	for _, x := range leaf.Extensions {
		if !leaf.Capabilities.supportsExtension(x.Type) {
			return invalid(CheckLeafExtensionSupport, "its own extension %#04x is not among its capabilities", uint16(x.Type))
		}
	}
	if err := c.verifyExtensions(InLeafNode, leaf.Extensions); err != nil {
		return err
	}
	return c.verifyOuterHashes(leaf)
}

// verifyLifetime checks the lifetime of a leaf that comes from a key package.
func verifyLifetime(leaf *LeafNode, now time.Time, maxLifetime time.Duration) error {
	if leaf.Source != LeafNodeSourceKeyPackage {
		return nil
	}
	l := leaf.Lifetime
	if !l.Contains(now) {
		return invalid(CheckLeafLifetime, "valid from %d to %d, now it is %d", l.NotBefore, l.NotAfter, now.Unix())
	}
	if maxLifetime >= 0 && l.NotAfter-l.NotBefore > uint64(maxLifetime/time.Second) {
		return invalid(CheckLeafLifetimeLength, "lasts for %d s, want %d at the most", l.NotAfter-l.NotBefore, maxLifetime/time.Second)
	}
	return nil
}
