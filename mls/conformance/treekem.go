package conformance

import (
	"crypto"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"

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
	Sender        uint32      `json:"sender"`
	UpdatePath    hexBytes    `json:"update_path"`
	PathSecrets   []*hexBytes `json:"path_secrets"` // by leaf, null if it receives none
	CommitSecret  hexBytes    `json:"commit_secret"`
	TreeHashAfter hexBytes    `json:"tree_hash_after"`
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
func (g *treeKEMGroup) receive(c *checker, sender uint32, updatePath, commitSecret []byte, pathSecrets []*hexBytes) hooks.Tree {
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
		if !c.that(int(leaf) < len(pathSecrets) && pathSecrets[leaf] != nil, "path of leaf %d: no path_secret for leaf %d", sender, leaf) {
			continue
		}
		// The secret itself is not kept, but the key that is derived from it.
		lowest := treemath.CommonAncestor(treemath.LeafIndex(leaf), treemath.LeafIndex(sender))
		if want, err := pathKey(c.suite, *pathSecrets[leaf]); c.ok("path_secret", err) {
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

// A treeKEMParty is a ratchet tree with the private keys of all members.
type treeKEMParty struct {
	*party  // which makes the members' keys
	v       *treeKEM
	tree    hooks.Tree
	signers map[uint32]*signatureKey
	leaves  map[uint32][]byte                        // private encryption keys
	secrets map[uint32]map[treemath.NodeIndex][]byte // path secrets
}

// generateTreeKEM shows, in turn, a tree with an unmerged leaf, a tree of two,
// and a tree with blanks.
func generateTreeKEM(g *generator) (vector, error) {
	shape := []struct {
		leaves  int
		commits []uint32
		removed []uint32
		added   int // after all commits
	}{
		{leaves: 3, commits: []uint32{0, 2, 0}, added: 1},
		{leaves: 2},
		{leaves: 4, commits: []uint32{0, 3}, removed: []uint32{2}},
	}[g.turn(3)]
	t, err := newTreeKEMParty(g)
	if err != nil {
		return nil, err
	}
	for range shape.leaves - 1 {
		if err := t.addLeaf(); err != nil {
			return nil, err
		}
	}
	for _, sender := range shape.commits {
		if err := t.applyPath(sender); err != nil {
			return nil, err
		}
	}
	for _, leaf := range shape.removed {
		if err := t.removeLeaf(leaf); err != nil {
			return nil, err
		}
	}
	for range shape.added {
		if err := t.addLeaf(); err != nil {
			return nil, err
		}
	}
	return t.finish()
}

func newTreeKEMParty(g *generator) (*treeKEMParty, error) {
	p, err := newParty(g, partyOptions{})
	if err != nil {
		return nil, err
	}
	creator := p.members[0]
	tree, err := hooks.MLS.ParseTree(creator.group.RatchetTree())
	if err != nil {
		return nil, err
	}
	v := &treeKEM{GroupID: creator.group.GroupID(), Epoch: uint64(g.uint32()), TranscriptHash: g.secret()}
	v.CipherSuite = g.suite.ID()
	t := &treeKEMParty{
		party: p, v: v, tree: tree,
		signers: map[uint32]*signatureKey{0: creator.signer},
		leaves:  make(map[uint32][]byte),
		secrets: make(map[uint32]map[treemath.NodeIndex][]byte),
	}
	return t, t.applyPath(0) // which makes the creator's private key known
}

// addLeaf adds a member, who knows no key of a parent.
func (t *treeKEMParty) addLeaf() error {
	c, err := t.newClient()
	if err != nil {
		return err
	}
	before := t.tree.Members()
	if t.tree, err = t.tree.Apply(0, encodeAdd(c)); err != nil {
		return err
	}
	for _, leaf := range t.tree.Members() {
		if !slices.Contains(before, leaf) {
			_, t.leaves[leaf] = hooks.MLS.BundleKeys(c.bundle)
			t.signers[leaf], t.secrets[leaf] = c.signer, make(map[treemath.NodeIndex][]byte)
		}
	}
	return nil
}

func (t *treeKEMParty) removeLeaf(leaf uint32) (err error) {
	t.tree, err = t.tree.Apply(0, encodeRemove(leaf))
	return err
}

func (t *treeKEMParty) createPath(sender uint32) (*hooks.CreatedPath, error) {
	context := func(after hooks.Tree) []byte {
		return hooks.MLS.GroupContext(t.suite.ID(), t.v.GroupID, t.v.Epoch, after.RootHash(t.suite), t.v.TranscriptHash)
	}
	return t.tree.CreatePath(t.suite, t.rand, sender, t.signers[sender], t.v.GroupID, context)
}

// applyPath lets a member update its path, and the others learn what they can of
// it.
func (t *treeKEMParty) applyPath(sender uint32) error {
	path, err := t.createPath(sender)
	if err != nil {
		return err
	}
	t.tree, t.leaves[sender] = path.Tree, path.LeafKey
	t.secrets[sender] = make(map[treemath.NodeIndex][]byte)
	for _, leaf := range t.tree.Members() {
		for node, secret := range path.PathSecrets {
			if treemath.LeafIndex(leaf).Node().InSubtree(node) {
				t.secrets[leaf][node] = secret
			}
		}
	}
	return nil
}

// finish lists the private keys and makes a path of each member.
func (t *treeKEMParty) finish() (vector, error) {
	v := t.v
	v.Tree = t.tree.Encode()
	for _, leaf := range t.tree.Members() {
		l := treeKEMLeaf{
			Index: leaf, EncryptionPriv: t.leaves[leaf], SignaturePriv: t.signers[leaf].private, PathSecrets: []treeKEMPathSecret{},
		}
		for _, node := range slices.Sorted(maps.Keys(t.secrets[leaf])) {
			if t.tree.PublicKey(node) != nil { // not blank since
				l.PathSecrets = append(l.PathSecrets, treeKEMPathSecret{node, t.secrets[leaf][node]})
			}
		}
		v.Leaves = append(v.Leaves, l)
	}
	for _, sender := range t.tree.Members() {
		path, err := t.createPath(sender)
		if err != nil {
			return nil, err
		}
		p := treeKEMPath{
			Sender: sender, UpdatePath: path.UpdatePath, PathSecrets: make([]*hexBytes, t.tree.Nodes()/2+1),
			CommitSecret: path.CommitSecret, TreeHashAfter: path.Tree.RootHash(t.suite),
		}
		for _, leaf := range t.tree.Members() {
			if leaf != sender {
				secret := hexBytes(path.PathSecrets[treemath.CommonAncestor(treemath.LeafIndex(leaf), treemath.LeafIndex(sender))])
				p.PathSecrets[leaf] = &secret
			}
		}
		v.Paths = append(v.Paths, p)
	}
	return v, nil
}
