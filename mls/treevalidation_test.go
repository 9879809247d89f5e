package mls

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/mendlink/mendlink/mls/internal/treemath"
	"pgregory.net/rapid"
)

// To check what is new against the rest finds what a check of everything finds.
func TestChecksOfWhatIsNewAreAsGoodAsChecksOfEverything(t *testing.T) {
	c := newCrowd(t, suite1, 7)
	for i := range c.members {
		c.commit(i, CommitOptions{})
	}
	before := c.members[0].g.tree
	context := Extensions{{Type: 0xF0F0}}
	supported := before.clone() // with an extension that all support
	for i, leaf := range before.leaves {
		changed := *leaf
		changed.Capabilities.Extensions = []ExtensionType{0xF0F0}
		supported.set(leafPosition(i), node{leaf: &changed})
	}
	found := make(map[Check]bool)
	check := func(t *rapid.T) {
		tree := supported.clone()
		for range rapid.IntRange(1, 3).Draw(t, "changes") {
			tree.spoil(t)
		}
		all, some := tree.verifyMembers(c.suite, context, nil), tree.verifyMembers(c.suite, context, supported)
		var want, got *Error
		errors.As(all, &want)
		errors.As(some, &got)
		if (want == nil) != (got == nil) {
			t.Fatalf("all is checked: %v; what is new is: %v", all, some)
		}
		if want != nil {
			found[want.Check] = true
		}
	}
	wanted := []Check{
		CheckLeafSignatureKeyUnique, CheckLeafEncryptionKeyUnique, CheckTreeKeyUnique, CheckLeafCredentialSupport,
		CheckContextExtensionSupport, CheckLeafSuiteSupport,
	}
	missing := func() []Check {
		return slices.DeleteFunc(slices.Clone(wanted), func(c Check) bool { return found[c] })
	}
	for range 100 { // a round makes a hundred trees, or twenty
		if rapid.Check(t, check); len(missing()) == 0 {
			return
		}
	}
	t.Errorf("%v were never broken: the test does not reach them", missing())
}

// spoil replaces a node by one that may break a rule.
func (t *ratchetTree) spoil(rt *rapid.T) {
	node := func(what string, step int) treemath.NodeIndex {
		return treemath.NodeIndex(step-1) + 2*treemath.NodeIndex(rapid.IntRange(0, 5).Draw(rt, what))
	}
	leaf := func() *LeafNode { return t.nodes[node("other leaf", 1)].leaf }
	x := node("leaf", 1)
	if t.nodes[x].leaf == nil {
		return
	}
	changed := *t.nodes[x].leaf
	parent := *t.nodes[node("parent", 2)].parent
	switch rapid.IntRange(0, 8).Draw(rt, "change") {
	case 0:
		changed.SignatureKey = leaf().SignatureKey
	case 1:
		changed.EncryptionKey = leaf().EncryptionKey
	case 2:
		changed.EncryptionKey = parent.encryptionKey
	case 3:
		parent.encryptionKey = leaf().EncryptionKey
		t.nodes[node("changed parent", 2)].parent = &parent
		return
	case 4:
		changed.Credential.Type = 0xF001
	case 5:
		changed.Capabilities.Credentials = []CredentialType{CredentialBasic, 0xF001}
	case 6:
		changed.Capabilities.Extensions = nil
	case 7:
		changed.Capabilities.CipherSuites = nil
	case 8: // no rule is broken
		changed.EncryptionKey = bytes.Clone(changed.EncryptionKey)
		changed.EncryptionKey[3] ^= byte(rapid.IntRange(1, 255).Draw(rt, "octet"))
	}
	t.nodes[x].leaf = &changed
}

func TestSizeOfAResolutionIsThatOfTheResolution(t *testing.T) {
	c := newCrowd(t, suite1, 11)
	c.commit(3, CommitOptions{Proposals: []Proposal{&Remove{Removed: 5}, &Remove{Removed: 9}}})
	c.commit(7, CommitOptions{})
	c.add(0, 1)
	tree := c.members[0].g.tree
	sizes := make(map[int]bool)
	for x := range tree.nodes {
		x := treemath.NodeIndex(x)
		for _, except := range []map[LeafIndex]bool{nil, {2: true, 5: true, 7: true}} {
			want := len(tree.resolution(x, except))
			sizes[want] = true
			if got := tree.resolutionSize(x, except); got != want {
				t.Errorf("node %d: size %d, want %d", x, got, want)
			}
			if got := tree.isEmpty(x); except == nil && got != (want == 0) {
				t.Errorf("node %d: empty is %v, but the resolution has %d nodes", x, got, want)
			}
		}
	}
	if len(sizes) < 4 {
		t.Errorf("sizes are %v: the tree is too simple", sizes)
	}
}
