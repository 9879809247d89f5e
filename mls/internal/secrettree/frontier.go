package secrettree

import (
	"bytes"
	"slices"

	"github.com/mendlink/mendlink/mls/internal/treemath"
)

// A kdf is what the tree needs of a [ciphersuite.Suite]. Tests put one here that
// counts derivations.
type kdf interface {
	HashSize() int
	KeySize() int
	NonceSize() int
	ExpandWithLabel(secret []byte, label string, context []byte, length int) []byte
	DeriveTreeSecret(secret []byte, label string, generation uint32, length int) []byte
}

var leftContext, rightContext = []byte("left"), []byte("right")

// A frontier is a full binary tree of secrets in which each node derives its
// children, reduced to the nodes that are still needed: those with no known
// descendant. Their subtrees do not overlap (RFC 9420, Section 9).
type frontier struct {
	size    treemath.Size
	secrets table[treemath.NodeIndex, []byte]
}

// plant copies secret into the root.
func (f *frontier) plant(secret []byte) {
	if f.size > 0 {
		f.secrets.put(f.size.Root(), bytes.Clone(secret))
	}
}

// peek derives the secret of a leaf that was not taken, without changing the
// tree. The caller erases the result.
func (f *frontier) peek(kdf kdf, leaf treemath.NodeIndex) []byte {
	n, held, _ := f.holder(leaf)
	secret := bytes.Clone(held)
	for n != leaf {
		left, _ := n.Left()
		right, _ := n.Right()
		parent := secret
		if leaf.InSubtree(left) {
			n, secret = left, kdf.ExpandWithLabel(parent, "tree", leftContext, kdf.HashSize())
		} else {
			n, secret = right, kdf.ExpandWithLabel(parent, "tree", rightContext, kdf.HashSize())
		}
		clear(parent)
	}
	return secret
}

// take removes a leaf's secret from the tree and returns it, or nil if it was
// taken before. The secrets of the leaf's ancestors are erased, those of the
// copath stay (RFC 9420, Section 9.2). The caller erases the result.
func (f *frontier) take(kdf kdf, leaf treemath.NodeIndex) []byte {
	n, secret, ok := f.holder(leaf)
	if !ok {
		return nil
	}
	f.secrets.remove(n)
	for n != leaf {
		left, _ := n.Left()
		right, _ := n.Right()
		leftSecret := kdf.ExpandWithLabel(secret, "tree", leftContext, kdf.HashSize())
		rightSecret := kdf.ExpandWithLabel(secret, "tree", rightContext, kdf.HashSize())
		clear(secret)
		if leaf.InSubtree(left) {
			n, secret = left, leftSecret
			f.secrets.put(right, rightSecret)
		} else {
			n, secret = right, rightSecret
			f.secrets.put(left, leftSecret)
		}
	}
	return secret
}

// holder returns the node that leaf can be derived from, and its secret.
func (f *frontier) holder(leaf treemath.NodeIndex) (n treemath.NodeIndex, secret []byte, ok bool) {
	for n, ok = leaf, f.size.Contains(leaf); ok; n, ok = f.size.Parent(n) {
		if secret, held := f.secrets.get(n); held {
			return n, secret, true
		}
	}
	return 0, nil, false
}

func (f *frontier) clone() frontier {
	c := frontier{f.size, slices.Clone(f.secrets)}
	for i := range c.secrets {
		c.secrets[i].value = bytes.Clone(c.secrets[i].value)
	}
	return c
}

// erase leaves the empty tree.
func (f *frontier) erase() {
	for _, r := range f.secrets {
		clear(r.value)
	}
	*f = frontier{}
}
