package mls

import (
	"slices"
	"time"

	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/mls/internal/treemath"
)

// verifyIntegrity checks all of a tree that a newcomer is given but for the
// rules on members that need the GroupContext. RFC 9420, Section 12.4.3.1.
func (t *ratchetTree) verifyIntegrity(s *ciphersuite.Suite, groupID []byte) error {
	if err := t.verifyUnmergedLeaves(); err != nil {
		return err
	}
	if err := t.verifyParentKeys(s); err != nil {
		return err
	}
	if err := t.verifyParentHashes(s); err != nil {
		return err
	}
	for i, leaf := range t.leaves {
		if err := leaf.verifySignature(s, groupID, i); err != nil {
			return err
		}
	}
	return nil
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

// verifyParentKeys checks that the keys of all parents are usable. Those of the
// leaves are checked with the rest of the leaf.
func (t *ratchetTree) verifyParentKeys(s *ciphersuite.Suite) error {
	for x, n := range t.nodes {
		if n.parent == nil {
			continue
		}
		if err := s.ValidateHPKEPublicKey(n.parent.encryptionKey); err != nil {
			return invalid(CheckTreeKey, "node %d: %w", x, err)
		}
	}
	return nil
}

// verifyKeysDiffer checks that no key is in the tree twice.
func (t *ratchetTree) verifyKeysDiffer() error {
	signatureKeys := make(map[string]bool)
	encryptionKeys := make(map[string]bool, len(t.nodes))
	for i, leaf := range t.leaves {
		if signatureKeys[string(leaf.SignatureKey)] {
			return invalid(CheckLeafSignatureKeyUnique, "leaf %d: signature key is another member's", i)
		}
		if encryptionKeys[string(leaf.EncryptionKey)] {
			return invalid(CheckLeafEncryptionKeyUnique, "leaf %d: encryption key is another member's", i)
		}
		signatureKeys[string(leaf.SignatureKey)] = true
		encryptionKeys[string(leaf.EncryptionKey)] = true
	}
	for x, n := range t.nodes {
		if n.parent == nil {
			continue
		}
		if encryptionKeys[string(n.parent.encryptionKey)] {
			return invalid(CheckTreeKeyUnique, "node %d: encryption key is another node's", x)
		}
		encryptionKeys[string(n.parent.encryptionKey)] = true
	}
	return nil
}

// verifyMembers checks the rules that hold between the members of a group, and
// between them and its GroupContext. RFC 9420, Sections 7.3, 11.1 and 13.4.
func (t *ratchetTree) verifyMembers(s *ciphersuite.Suite, context Extensions) error {
	required, err := requiredCapabilities(context)
	if err != nil {
		return err
	}
	// If it were malformed, every message of the epoch would be refused.
	if _, err := context.AppDataDictionary(); err != nil {
		return err
	}
	if err := t.verifyKeysDiffer(); err != nil {
		return err
	}
	inUse := make(map[CredentialType]bool)
	for _, leaf := range t.leaves {
		inUse[leaf.Credential.Type] = true
	}
	for i, leaf := range t.leaves {
		c := &leaf.Capabilities
		if !slices.Contains(c.Versions, MLS10) {
			return invalid(CheckLeafVersionSupport, "leaf %d does not support version %d", i, MLS10)
		}
		if !slices.Contains(c.CipherSuites, s.ID()) {
			return invalid(CheckLeafSuiteSupport, "leaf %d does not support suite %v", i, s.ID())
		}
		for t := range inUse {
			if !slices.Contains(c.Credentials, t) {
				return invalid(CheckLeafCredentialSupport, "leaf %d does not support credential type %d, which is in use", i, t)
			}
		}
		for _, x := range context {
			if !c.supportsExtension(x.Type) {
				return invalid(CheckContextExtensionSupport, "leaf %d does not support GroupContext extension %#04x", i, uint16(x.Type))
			}
		}
		if err := c.satisfies(required); err != nil {
			return invalid(CheckLeafRequiredCapabilities, "leaf %d: %w", i, err)
		}
	}
	return nil
}

// verifyLeafContents checks the rules on a leaf that need nothing else: its
// keys, and that it supports what it uses. RFC 9420, Section 7.3.
func (c *Config) verifyLeafContents(s *ciphersuite.Suite, leaf *LeafNode, source LeafNodeSource) error {
	if leaf.Source != source {
		return invalid(CheckLeafSource, "leaf_node_source is %v, want %v", leaf.Source, source)
	}
	if err := s.ValidateHPKEPublicKey(leaf.EncryptionKey); err != nil {
		return invalid(CheckLeafEncryptionKey, "%w", err)
	}
	if err := s.ValidateSignaturePublicKey(leaf.SignatureKey); err != nil {
		return invalid(CheckLeafSignatureKey, "%w", err)
	}
	if !slices.Contains(leaf.Capabilities.Credentials, leaf.Credential.Type) {
		return invalid(CheckLeafCredentialOwn, "its own credential type %d is not among its capabilities", leaf.Credential.Type)
	}
	for _, x := range leaf.Extensions {
		if !leaf.Capabilities.supportsExtension(x.Type) {
			return invalid(CheckLeafExtensionSupport, "its own extension %#04x is not among its capabilities", uint16(x.Type))
		}
	}
	return c.extensions.verify(InLeafNode, leaf.Extensions)
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
