package mls

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"sync/atomic"

	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/mls/internal/treemath"
)

// privateKeys are the HPKE private keys that a member holds: that of its own
// leaf and those of parents above it, in the order of the nodes. RFC 9420, Section 4.2.
type privateKeys []privateKey

type privateKey struct {
	node treemath.NodeIndex
	key  *sharedKey
}

// sharedKey is a private key that several epochs may use: an epoch in which a
// key did not change and the one before it. It is erased with the last of them.
type sharedKey struct {
	*ciphersuite.HPKEPrivateKey
	epochs atomic.Int32
}

func newSharedKey(key *ciphersuite.HPKEPrivateKey) *sharedKey {
	k := &sharedKey{HPKEPrivateKey: key}
	k.epochs.Store(1)
	return k
}

// share returns k for one more epoch.
func (k *sharedKey) share() *sharedKey {
	k.epochs.Add(1)
	return k
}

// drop gives k up for one of its epochs.
func (k *sharedKey) drop() {
	if k.epochs.Add(-1) == 0 {
		k.Erase()
	}
}

// at returns the key of a node, nil if the member does not hold it.
func (k privateKeys) at(x treemath.NodeIndex) *sharedKey {
	for _, held := range k {
		if held.node == x {
			return held.key
		}
	}
	return nil
}

// put adds the key of a node of which there is none.
func (k *privateKeys) put(x treemath.NodeIndex, key *sharedKey) {
	i, _ := slices.BinarySearchFunc(*k, x, func(held privateKey, x treemath.NodeIndex) int { return cmp.Compare(held.node, x) })
	*k = slices.Insert(*k, i, privateKey{x, key})
}

// share returns all keys for one more epoch.
func (k privateKeys) share() privateKeys {
	shared := slices.Clone(k)
	for _, held := range shared {
		held.key.share()
	}
	return shared
}

// retain returns the keys that are still in use in t, for another epoch.
func (k privateKeys) retain(t *ratchetTree) privateKeys {
	kept := make(privateKeys, 0, len(k))
	for _, held := range k {
		x := held.node
		if int(x) < len(t.nodes) && !t.nodes[x].blank() && bytes.Equal(t.nodes[x].encryptionKey(), held.key.PublicKey()) {
			kept = append(kept, privateKey{x, held.key.share()})
		}
	}
	return kept
}

// replace puts the keys of a path in the place of those that it replaced.
func (k *privateKeys) replace(path privateKeys) {
	for _, held := range path {
		k.drop(held.node)
		k.put(held.node, held.key)
	}
}

func (k *privateKeys) drop(x treemath.NodeIndex) {
	if key := k.at(x); key != nil {
		key.drop()
		*k = slices.DeleteFunc(*k, func(held privateKey) bool { return held.node == x })
	}
}

func (k *privateKeys) erase() {
	for _, held := range *k {
		held.key.drop()
	}
	*k = nil
}

// pathSecrets derives what belongs to the nodes of a path from the secret of
// its first node. RFC 9420, Section 7.4.
type pathSecrets struct {
	suite  *ciphersuite.Suite
	secret []byte // the path secret of the next node
}

// next returns the key pair of the next node, and moves on.
func (p *pathSecrets) next() (*ciphersuite.HPKEPrivateKey, error) {
	nodeSecret, above := p.suite.DeriveSecret(p.secret, "node"), p.suite.DeriveSecret(p.secret, "path")
	defer clear(nodeSecret)
	key, err := p.suite.DeriveHPKEKeyPair(nodeSecret)
	clear(p.secret)
	p.secret = above
	return key, err
}

// newPath is an update path as its creator sees it.
type newPath struct {
	leaf         *LeafNode
	steps        []pathStep
	secrets      [][]byte // path secret of each step
	publicKeys   [][]byte
	keys         privateKeys // of the new leaf and the steps
	commitSecret []byte
}

// erase erases the path's secrets, but not its private keys, which the next
// epoch owns.
func (p *newPath) erase() {
	for _, s := range p.secrets {
		clear(s)
	}
	clear(p.commitSecret)
}

// createPath gives the leaf at i and its filtered direct path fresh keys, in t.
// leaf is the new leaf but for its encryption key, parent hash and signature.
// RFC 9420, Section 7.5.
func (t *ratchetTree) createPath(s *ciphersuite.Suite, rand io.Reader, i LeafIndex, leaf *LeafNode, id *Identity, groupID []byte) (_ *newPath, err error) {
	p := &newPath{leaf: leaf, steps: t.filteredDirectPath(i)}
	defer func() {
		if err != nil {
			p.erase()
			p.keys.erase()
		}
	}()
	leafKey, err := s.GenerateHPKEKeyPair(rand)
	if err != nil {
		return nil, fmt.Errorf("mls: generating a leaf key: %w", err)
	}
	p.keys.put(leafPosition(i), newSharedKey(leafKey))

	first := make([]byte, s.HashSize())
	if _, err := io.ReadFull(rand, first); err != nil {
		return nil, fmt.Errorf("mls: drawing a path secret: %w", err)
	}
	path := pathSecrets{suite: s, secret: first}
	for _, step := range p.steps {
		p.secrets = append(p.secrets, bytes.Clone(path.secret))
		key, err := path.next()
		if err != nil {
			return nil, fmt.Errorf("mls: deriving the key of node %d: %w", step.node, err)
		}
		p.keys.put(step.node, newSharedKey(key))
		p.publicKeys = append(p.publicKeys, key.PublicKey())
	}
	p.commitSecret = path.secret

	leaf.Source = LeafNodeSourceCommit
	leaf.Lifetime = Lifetime{}
	leaf.EncryptionKey = leafKey.PublicKey()
	leaf.ParentHash = t.mergePath(s, i, p.steps, p.publicKeys)
	if err := leaf.sign(s, rand, id, groupID, i); err != nil {
		return nil, fmt.Errorf("mls: signing the leaf: %w", err)
	}
	t.set(leafPosition(i), node{leaf: leaf})
	return p, nil
}

// mergePath puts a path's public keys into the tree and returns the parent hash
// for the leaf at i, whose node it leaves alone. RFC 9420, Section 7.5.
func (t *ratchetTree) mergePath(s *ciphersuite.Suite, i LeafIndex, steps []pathStep, publicKeys [][]byte) (leafParentHash []byte) {
	t.blankPath(i)
	var above []byte // the parent hash of the step above
	for k := len(steps) - 1; k >= 0; k-- {
		t.set(steps[k].node, node{parent: &parentNode{encryptionKey: publicKeys[k], parentHash: above}})
		above = t.parentHash(s, steps[k].node, steps[k].copath)
	}
	return above
}

// encryptPath encrypts the path secrets to all members but the new ones.
// RFC 9420, Section 7.5.
func (t *ratchetTree) encryptPath(s *ciphersuite.Suite, rand io.Reader, p *newPath, added map[LeafIndex]bool, context []byte) (*updatePath, error) {
	u := &updatePath{leaf: *p.leaf, nodes: make([]updatePathNode, len(p.steps))}
	var all []ciphersuite.Encryption
	for k, step := range p.steps {
		u.nodes[k].encryptionKey = p.publicKeys[k]
		resolution := t.resolution(step.copath, added)
		u.nodes[k].pathSecrets = make([]hpkeCiphertext, len(resolution))
		for _, x := range resolution {
			n := t.nodes[x]
			all = append(all, ciphersuite.Encryption{Key: n.parsedKey(), PublicKey: n.encryptionKey(), Plaintext: p.secrets[k]})
		}
	}
	if err := s.EncryptAllWithLabel(rand, "UpdatePathNode", context, all); err != nil {
		return nil, fmt.Errorf("mls: encrypting a path: %w", err)
	}
	for k := range u.nodes {
		for j := range u.nodes[k].pathSecrets {
			u.nodes[k].pathSecrets[j] = hpkeCiphertext{all[0].KEMOutput, all[0].Ciphertext}
			all = all[1:]
		}
	}
	return u, nil
}

// applyPath checks the public part of a received update path from the leaf at i
// and puts it into the tree. RFC 9420, Sections 7.5 and 12.4.2.
func (t *ratchetTree) applyPath(s *ciphersuite.Suite, i LeafIndex, u *updatePath, added map[LeafIndex]bool) ([]pathStep, error) {
	steps := t.filteredDirectPath(i)
	if len(steps) != len(u.nodes) {
		return nil, invalid(CheckUpdatePathLength, "path has %d nodes, want %d", len(u.nodes), len(steps))
	}
	if err := t.verifyPathKeys(u); err != nil {
		return nil, err
	}
	publicKeys, parsed := make([][]byte, len(steps)), make([]*ciphersuite.HPKEPublicKey, len(steps))
	for k, n := range u.nodes {
		if want := t.resolutionSize(steps[k].copath, added); len(n.pathSecrets) != want {
			return nil, invalid(CheckUpdatePathCiphertexts, "node %d has %d ciphertexts, want %d", steps[k].node, len(n.pathSecrets), want)
		}
		var err error
		publicKeys[k] = bytes.Clone(n.encryptionKey)
		if parsed[k], err = s.ParseHPKEPublicKey(publicKeys[k]); err != nil {
			return nil, invalid(CheckUpdatePathKey, "node %d: %w", steps[k].node, err)
		}
	}
	if want := t.mergePath(s, i, steps, publicKeys); !bytes.Equal(u.leaf.ParentHash, want) {
		return nil, invalid(CheckCommitParentHash, "the committer's leaf has another parent hash than its path")
	}
	for k, step := range steps {
		t.nodes[step.node].parent.parsed = parsed[k] // mergePath has made it
	}
	leaf := u.leaf
	t.set(leafPosition(i), node{leaf: &leaf})
	return steps, nil
}

// verifyPathKeys checks that the keys of a path differ, from each other and from
// all in the tree.
func (t *ratchetTree) verifyPathKeys(u *updatePath) error {
	var keys keySet
	differ := keys.add(u.leaf.EncryptionKey)
	for k := range u.nodes {
		differ = keys.add(u.nodes[k].encryptionKey) && differ
	}
	for _, n := range t.nodes {
		differ = differ && (n.blank() || !keys.contains(n.encryptionKey()))
	}
	if !differ {
		return invalid(CheckUpdatePathKeyUnique, "a public key of the path is there twice, or in the tree already")
	}
	return nil
}

// decryptPath finds the path secret that is meant for the holder of keys, the
// member at own, and derives from it the keys above and the commit secret. It
// returns the new keys. t is the tree with the path applied.
// RFC 9420, Section 7.5.
func (t *ratchetTree) decryptPath(s *ciphersuite.Suite, own LeafIndex, keys privateKeys, u *updatePath, steps []pathStep, added map[LeafIndex]bool, context []byte) (derived privateKeys, commitSecret []byte, err error) {
	k := 0
	for k < len(steps) && !leafPosition(own).InSubtree(steps[k].copath) {
		k++
	}
	if k == len(steps) {
		return nil, nil, fmt.Errorf("%w: the path does not meet that of leaf %d", ErrDecrypt, own)
	}
	for j, x := range t.resolution(steps[k].copath, added) {
		key := keys.at(x)
		if key == nil {
			continue
		}
		c := u.nodes[k].pathSecrets[j]
		secret, err := s.DecryptWithLabel(key.HPKEPrivateKey, "UpdatePathNode", context, c.kemOutput, c.ciphertext)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: path secret of node %d: %w", ErrDecrypt, steps[k].node, err)
		}
		return t.derivePath(s, steps[k:], secret)
	}
	return nil, nil, fmt.Errorf("%w: no path secret is for leaf %d", ErrDecrypt, own)
}

// derivePath derives the keys of steps from the path secret of the first and
// checks them against the tree. It consumes secret.
func (t *ratchetTree) derivePath(s *ciphersuite.Suite, steps []pathStep, secret []byte) (derived privateKeys, commitSecret []byte, err error) {
	path := pathSecrets{suite: s, secret: secret}
	for _, step := range steps {
		key, err := path.next()
		if err == nil && !bytes.Equal(key.PublicKey(), t.nodes[step.node].encryptionKey()) {
			err = invalid(CheckPathSecret, "node %d: path secret and public key do not belong together", step.node)
		}
		if err != nil {
			derived.erase()
			clear(path.secret)
			return nil, nil, err
		}
		derived.put(step.node, newSharedKey(key))
	}
	return derived, path.secret, nil
}
