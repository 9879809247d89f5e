package mls

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/mls/internal/parallel"
	"github.com/mendlink/mendlink/mls/internal/treemath"
)

// ratchetTree is the public state of a group: the members' leaves and, above
// them, the keys of subgroups. RFC 9420, Sections 4 and 7.
//
// Nodes are values that are never changed in place, so a clone shares them: a
// commit is tried out on a clone and the original stays as it was.
type ratchetTree struct {
	size   treemath.Size
	nodes  []node
	hashes [][]byte // tree hash of each node; nil: not computed since it changed
}

// node is a leaf (even index), a parent (odd index) or blank.
type node struct {
	leaf   *LeafNode
	parent *parentNode
}

func (n node) blank() bool { return n.leaf == nil && n.parent == nil }

// encryptionKey returns the HPKE public key of a node that is not blank.
func (n node) encryptionKey() []byte {
	if n.leaf != nil {
		return n.leaf.EncryptionKey
	}
	return n.parent.encryptionKey
}

// parsedKey returns the key of a node that is not blank, nil if it has not been
// parsed.
func (n node) parsedKey() *ciphersuite.HPKEPublicKey {
	if n.parent != nil {
		return n.parent.parsed
	}
	if e := n.leaf.encryption; e != nil && bytes.Equal(e.Bytes(), n.leaf.EncryptionKey) {
		return e
	}
	return nil
}

// parentNode is the struct ParentNode. RFC 9420, Section 7.1.
type parentNode struct {
	encryptionKey  []byte
	parentHash     []byte
	unmergedLeaves []LeafIndex // in increasing order

	parsed *ciphersuite.HPKEPublicKey // encryptionKey, if it was verified
}

func (p *parentNode) encode(w *wire.Writer) {
	w.Opaque(p.encryptionKey)
	w.Opaque(p.parentHash)
	w.Length(4 * len(p.unmergedLeaves))
	for _, l := range p.unmergedLeaves {
		w.Uint32(uint32(l))
	}
}

func (p *parentNode) decode(r *wire.Reader) {
	p.encryptionKey = r.Opaque()
	p.parentHash = r.Opaque()
	detach(&p.encryptionKey, &p.parentHash)
	r.Vector(func(r *wire.Reader) { p.unmergedLeaves = append(p.unmergedLeaves, LeafIndex(r.Uint32())) })
}

// newTree returns a tree with one leaf.
func newTree(leaf *LeafNode) *ratchetTree {
	return &ratchetTree{size: 1, nodes: []node{{leaf: leaf}}, hashes: make([][]byte, 1)}
}

func (t *ratchetTree) clone() *ratchetTree {
	return &ratchetTree{size: t.size, nodes: slices.Clone(t.nodes), hashes: slices.Clone(t.hashes)}
}

// leafNode returns the leaf at i, nil if that is blank or outside of the tree.
func (t *ratchetTree) leafNode(i LeafIndex) *LeafNode {
	if uint32(i) >= uint32(t.size) {
		return nil
	}
	return t.nodes[leafPosition(i)].leaf
}

// leaves calls yield for each leaf that is not blank, from left to right.
func (t *ratchetTree) leaves(yield func(LeafIndex, *LeafNode) bool) {
	for i := LeafIndex(0); uint32(i) < uint32(t.size); i++ {
		if leaf := t.leafNode(i); leaf != nil && !yield(i, leaf) {
			return
		}
	}
}

// find returns where a leaf is, to the octet.
func (t *ratchetTree) find(leaf *LeafNode) (LeafIndex, bool) {
	for i, l := range t.leaves {
		if bytes.Equal(l.EncryptionKey, leaf.EncryptionKey) && haveSameEncoding(l, leaf) {
			return i, true
		}
	}
	return 0, false
}

// members returns the indices of all leaves that are not blank.
func (t *ratchetTree) members() []LeafIndex {
	members := make([]LeafIndex, 0, t.size)
	for i := range t.leaves {
		members = append(members, i)
	}
	return members
}

func leafPosition(i LeafIndex) treemath.NodeIndex { return treemath.LeafIndex(i).Node() }

// set puts n at position x and forgets the hashes that covered what was there.
func (t *ratchetTree) set(x treemath.NodeIndex, n node) {
	t.nodes[x] = n
	t.hashes[x] = nil
	for _, above := range t.size.DirectPath(x) {
		t.hashes[above] = nil
	}
}

// blankPath blanks all parents of a leaf.
func (t *ratchetTree) blankPath(i LeafIndex) {
	for _, x := range t.size.DirectPath(leafPosition(i)) {
		t.nodes[x] = node{}
		t.hashes[x] = nil
	}
}

// resize makes the tree one of size leaves, cutting off or adding blank nodes
// on the right. RFC 9420, Section 7.7.
func (t *ratchetTree) resize(size treemath.Size) {
	n := int(size.Nodes())
	if n < len(t.nodes) {
		t.nodes, t.hashes = t.nodes[:n], t.hashes[:n]
	} else {
		t.nodes = append(t.nodes, make([]node, n-len(t.nodes))...)
		t.hashes = append(t.hashes, make([][]byte, n-len(t.hashes))...)
	}
	t.size = size
}

// nextFreeLeaf returns the leftmost blank leaf, growing the tree if there is none.
func (t *ratchetTree) nextFreeLeaf() LeafIndex {
	i := LeafIndex(0)
	for uint32(i) < uint32(t.size) && t.leafNode(i) != nil {
		i++
	}
	if uint32(i) == uint32(t.size) {
		t.resize(2 * t.size)
	}
	return i
}

// add applies an Add. RFC 9420, Section 12.1.1.
func (t *ratchetTree) add(leaf *LeafNode) LeafIndex {
	i := t.nextFreeLeaf()
	for _, x := range t.size.DirectPath(leafPosition(i)) {
		if p := t.nodes[x].parent; p != nil {
			changed := *p
			at, _ := slices.BinarySearch(p.unmergedLeaves, i)
			changed.unmergedLeaves = slices.Insert(slices.Clone(p.unmergedLeaves), at, i)
			t.nodes[x].parent = &changed
		}
	}
	t.set(leafPosition(i), node{leaf: leaf})
	return i
}

// update applies an Update. RFC 9420, Section 12.1.2.
func (t *ratchetTree) update(i LeafIndex, leaf *LeafNode) {
	t.set(leafPosition(i), node{leaf: leaf})
	t.blankPath(i)
}

// remove applies a Remove but for the truncation, so that the indices of other
// leaves stay valid while a list of proposals is applied. RFC 9420, Section 12.1.3.
func (t *ratchetTree) remove(i LeafIndex) {
	t.set(leafPosition(i), node{})
	t.blankPath(i)
}

// truncate halves the tree while its right half has no member.
// RFC 9420, Section 7.7.
func (t *ratchetTree) truncate() {
	for t.size > 1 {
		for i := LeafIndex(t.size / 2); uint32(i) < uint32(t.size); i++ {
			if t.leafNode(i) != nil {
				return
			}
		}
		t.resize(t.size / 2)
	}
}

// resolution returns the nodes whose keys together reach all members below x
// that are not in except. RFC 9420, Section 4.1.1.
func (t *ratchetTree) resolution(x treemath.NodeIndex, except map[LeafIndex]bool) []treemath.NodeIndex {
	return t.appendResolution(nil, x, except)
}

func (t *ratchetTree) appendResolution(to []treemath.NodeIndex, x treemath.NodeIndex, except map[LeafIndex]bool) []treemath.NodeIndex {
	n := t.nodes[x]
	switch {
	case n.parent != nil:
		to = append(to, x)
		for _, l := range n.parent.unmergedLeaves {
			if !except[l] {
				to = append(to, leafPosition(l))
			}
		}
	case n.leaf != nil:
		if !except[LeafIndex(x.Leaf())] {
			to = append(to, x)
		}
	case !x.IsLeaf():
		left, _ := x.Left()
		right, _ := x.Right()
		to = t.appendResolution(to, left, except)
		to = t.appendResolution(to, right, except)
	}
	return to
}

// resolutionSize returns the number of nodes in a resolution.
func (t *ratchetTree) resolutionSize(x treemath.NodeIndex, except map[LeafIndex]bool) int {
	n := t.nodes[x]
	switch {
	case n.parent != nil:
		size := 1
		for _, l := range n.parent.unmergedLeaves {
			if !except[l] {
				size++
			}
		}
		return size
	case n.leaf != nil && !except[LeafIndex(x.Leaf())]:
		return 1
	case x.IsLeaf():
		return 0
	}
	left, _ := x.Left()
	right, _ := x.Right()
	return t.resolutionSize(left, except) + t.resolutionSize(right, except)
}

// isEmpty reports whether there is no member below x, so that its resolution is
// empty.
func (t *ratchetTree) isEmpty(x treemath.NodeIndex) bool {
	if x.IsLeaf() || !t.nodes[x].blank() {
		return t.nodes[x].blank()
	}
	left, _ := x.Left()
	right, _ := x.Right()
	return t.isEmpty(left) && t.isEmpty(right)
}

// pathStep is one node of a filtered direct path with its child on the copath.
type pathStep struct {
	node, copath treemath.NodeIndex
}

// filteredDirectPath returns the parents of a leaf whose other child has
// anybody below it, from the bottom to the root. RFC 9420, Section 4.1.2.
func (t *ratchetTree) filteredDirectPath(i LeafIndex) []pathStep {
	var path []pathStep
	below := leafPosition(i)
	for _, x := range t.size.DirectPath(below) {
		copath, _ := t.size.Sibling(below)
		if !t.isEmpty(copath) {
			path = append(path, pathStep{node: x, copath: copath})
		}
		below = x
	}
	return path
}

const (
	nodeTypeLeaf   = 1
	nodeTypeParent = 2
)

// encode writes the tree as the ratchet_tree extension does: up to the last
// node that is not blank. RFC 9420, Section 12.4.3.3.
func (t *ratchetTree) encode(w *wire.Writer) {
	end := len(t.nodes)
	for end > 0 && t.nodes[end-1].blank() {
		end--
	}
	w.Vector(func() {
		for _, n := range t.nodes[:end] {
			w.Optional(!n.blank())
			switch {
			case n.leaf != nil:
				w.Uint8(nodeTypeLeaf)
				n.leaf.encode(w)
			case n.parent != nil:
				w.Uint8(nodeTypeParent)
				n.parent.encode(w)
			}
		}
	})
}

func (t *ratchetTree) decode(r *wire.Reader) {
	var nodes []node
	r.Vector(func(r *wire.Reader) {
		var n node
		if r.Optional() {
			isLeaf := len(nodes)%2 == 0
			switch kind := r.Uint8(); {
			case kind == nodeTypeLeaf && isLeaf:
				n.leaf = new(LeafNode)
				n.leaf.decode(r)
			case kind == nodeTypeParent && !isLeaf:
				n.parent = new(parentNode)
				n.parent.decode(r)
			default:
				r.Fail(invalid(CheckTreeNodeType, "node %d has type %d", len(nodes), kind))
			}
		}
		nodes = append(nodes, n)
	})
	if r.Err() != nil {
		return
	}
	if len(nodes) == 0 || nodes[len(nodes)-1].blank() {
		r.Fail(invalid(CheckTreeTrailingBlank, "the last of %d nodes is blank", len(nodes)))
		return
	}
	// The nodes came one octet each at least, so the size is bounded by twice
	// the input.
	t.nodes, t.hashes = nodes, make([][]byte, len(nodes))
	t.resize(treemath.SizeFor(uint32(len(nodes)/2 + 1)))
}

// parseKeys parses the keys of a tree that was verified before it was stored, so
// that this is not done each time they are used.
func (t *ratchetTree) parseKeys(s *ciphersuite.Suite) error {
	return parallel.For(len(t.nodes), func(x int) (err error) {
		switch n := t.nodes[x]; {
		case n.leaf != nil:
			if n.leaf.encryption, err = s.ParseHPKEPublicKey(n.leaf.EncryptionKey); err == nil {
				n.leaf.signature, err = s.ParseSignaturePublicKey(n.leaf.SignatureKey)
			}
		case n.parent != nil:
			n.parent.parsed, err = s.ParseHPKEPublicKey(n.parent.encryptionKey)
		}
		if err != nil {
			return fmt.Errorf("node %d: %w", x, err)
		}
		return nil
	})
}

// parseTree decodes a ratchet_tree extension.
func parseTree(data []byte) (*ratchetTree, error) {
	t := new(ratchetTree)
	if err := unmarshalAliased(data, t); err != nil { // nodes detach what they keep
		return nil, fmt.Errorf("mls: parsing the ratchet tree: %w", err)
	}
	return t, nil
}
