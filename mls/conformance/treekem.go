package conformance

import (
	"crypto"
	"crypto/rand"
	"fmt"

	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/mls/internal/hooks"
	"github.com/mendlink/mendlink/mls/internal/treemath"
)

// treeKEM has a group with everybody's private keys, and an update path of each.
type treeKEM struct {
	suited
	GroupID        hexBytes      `json:"group_id"`
	Epoch          uint64        `json:"epoch"`
	TranscriptHash hexBytes      `json:"confirmed_transcript_hash"`
	Tree           hexBytes      `json:"ratchet_tree"`
	Leaves         []treeKEMLeaf `json:"leaves_private"`
	Paths          []treeKEMPath `json:"update_paths"`
}

type treeKEMLeaf struct {
	Index          uint32              `json:"index"`
	EncryptionPriv hexBytes            `json:"encryption_priv"`
	SignaturePriv  hexBytes            `json:"signature_priv"`
	PathSecrets    []treeKEMPathSecret `json:"path_secrets"`
}

type treeKEMPathSecret struct {
	Node       treemath.NodeIndex `json:"node"`
	PathSecret hexBytes           `json:"path_secret"`
}

type treeKEMPath struct {
	Sender        uint32     `json:"sender"`
	UpdatePath    hexBytes   `json:"update_path"`
	PathSecrets   []hexBytes `json:"path_secrets"`
	CommitSecret  hexBytes   `json:"commit_secret"`
	TreeHashAfter hexBytes   `json:"tree_hash_after"`
}

// treeKEMGroup is what the members of a case know before its paths.
type treeKEMGroup struct {
	*treeKEM
	tree    hooks.Tree
	keys    map[uint32]hooks.PrivateKeys // by leaf
	signers map[uint32]crypto.Signer
}

func (v *treeKEM) check(c *checker) {
	tree, err := hooks.MLS.ParseTree(v.Tree)
	if !c.ok("ratchet_tree", err) || !c.ok("ratchet_tree", tree.Verify(c.suite, v.GroupID)) {
		return
	}
	g := &treeKEMGroup{v, tree, make(map[uint32]hooks.PrivateKeys), make(map[uint32]crypto.Signer)}
	for i := range v.Leaves {
		if !g.addLeaf(c, &v.Leaves[i]) {
			return
		}
	}
	for _, leaf := range tree.Members() {
		if !c.that(g.keys[leaf] != nil, "leaf %d is not in leaves_private", leaf) {
			return
		}
	}
	c.that(len(v.Paths) > 0, "there are no update_paths")
	for i := range v.Paths {
		g.checkPath(c, &v.Paths[i])
	}
	c.equal("ratchet_tree, after all", tree.Encode(), v.Tree)
}

// addLeaf takes a member's keys over and compares them with the tree.
func (g *treeKEMGroup) addLeaf(c *checker, l *treeKEMLeaf) bool {
	s := c.suite
	key, err := s.ParseHPKEPrivateKey(l.EncryptionPriv)
	if !c.ok("encryption_priv", err) {
		return false
	}
	keys := hooks.PrivateKeys{treemath.LeafIndex(l.Index).Node(): key}
	for _, p := range l.PathSecrets {
		if keys[p.Node], err = pathKey(s, p.PathSecret); !c.ok("path_secret", err) {
			return false
		}
	}
	for x, key := range keys {
		c.equal(fmt.Sprintf("public key of node %d at leaf %d", x, l.Index), key.PublicKey(), g.tree.PublicKey(x))
	}
	signer, err := s.ParseSigner(l.SignaturePriv)
	g.keys[l.Index], g.signers[l.Index] = keys, signer
	return c.ok("signature_priv", err)
}

// pathKey derives a node's private key from its path secret. RFC 9420, Section 7.4.
func pathKey(s *ciphersuite.Suite, pathSecret []byte) (*ciphersuite.HPKEPrivateKey, error) {
	return s.DeriveHPKEKeyPair(s.DeriveSecret(pathSecret, "node"))
}

func (g *treeKEMGroup) context(c *checker, after hooks.Tree) []byte {
	return hooks.MLS.GroupContext(c.suite.ID(), g.GroupID, g.Epoch, after.RootHash(c.suite), g.TranscriptHash)
}

// checkPath lets the members receive a path of the case, and then one that is
// created here.
func (g *treeKEMGroup) checkPath(c *checker, p *treeKEMPath) {
	after := g.receive(c, p.Sender, p.UpdatePath, p.CommitSecret, p.PathSecrets)
	if after == nil {
		return
	}
	c.equal("tree_hash_after", after.RootHash(c.suite), p.TreeHashAfter)

	context := func(after hooks.Tree) []byte { return g.context(c, after) }
	created, err := g.tree.CreatePath(c.suite, rand.Reader, p.Sender, g.signers[p.Sender], g.GroupID, context)
	if !c.ok("creating a path", err) {
		return
	}
	if after = g.receive(c, p.Sender, created.UpdatePath, created.CommitSecret, nil); after != nil {
		c.equal("tree of those who receive our path", after.Encode(), created.Tree.Encode())
	}
}

// receive lets all members but the sender process a path. It returns the tree
// with the path, nil if it cannot be applied. pathSecrets is nil if they are not
// known.
func (g *treeKEMGroup) receive(c *checker, sender uint32, updatePath, commitSecret []byte, pathSecrets []hexBytes) hooks.Tree {
	path, err := g.tree.ReceivePath(c.suite, sender, updatePath)
	if !c.ok(fmt.Sprintf("path of leaf %d", sender), err) {
		return nil
	}
	context := g.context(c, path.Tree)
	for _, leaf := range g.tree.Members() {
		if leaf == sender {
			continue
		}
		derived, got, err := path.Open(leaf, g.keys[leaf], context)
		if !c.ok(fmt.Sprintf("leaf %d opens the path of leaf %d", leaf, sender), err) {
			continue
		}
		c.equal(fmt.Sprintf("commit_secret of leaf %d at leaf %d", sender, leaf), got, commitSecret)
		if pathSecrets == nil {
			continue
		}
		if !c.that(int(leaf) < len(pathSecrets), "path of leaf %d: no path_secret for leaf %d", sender, leaf) {
			continue
		}
		// The secret itself is not kept, but the key that is derived from it.
		lowest := treemath.CommonAncestor(treemath.LeafIndex(leaf), treemath.LeafIndex(sender))
		if want, err := pathKey(c.suite, pathSecrets[leaf]); c.ok("path_secret", err) {
			c.equal(fmt.Sprintf("key of path_secrets[%d] of leaf %d", leaf, sender), privateBytes(derived[lowest]), want.Bytes())
		}
	}
	return path.Tree
}

// privateBytes returns a private key, nil if there is none.
func privateBytes(k *ciphersuite.HPKEPrivateKey) []byte {
	if k == nil {
		return nil
	}
	return k.Bytes()
}
