package mls

import (
	"testing"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// Keys rest as bytes and are parsed when a group is restored, so that its messages
// and commits find them ready.
func TestRestoredGroupsHaveTheirKeysParsed(t *testing.T) {
	c := newCrowd(t, ciphersuite.MLS_128_DHKEMP256_AES128GCM_SHA256_P256, 5)
	c.commit(3, CommitOptions{Proposals: []Proposal{&Remove{Removed: 2}}})
	restored, err := RestoreGroup(c.members[0].cfg, c.members[0].id.Signer, mustMarshal(t, c.members[0].g))
	if err != nil {
		t.Fatal(err)
	}
	parsed := 0
	for x, n := range restored.tree.nodes {
		if n.blank() {
			continue
		}
		parsed++
		if key := n.parsedKey(); key == nil || string(key.Bytes()) != string(n.encryptionKey()) {
			t.Errorf("node %d: the encryption key is not parsed", x)
		}
		if n.leaf == nil {
			continue
		}
		if key := n.leaf.signature; key == nil || string(key.Bytes()) != string(n.leaf.SignatureKey) {
			t.Errorf("node %d: the signature key is not parsed", x)
		}
	}
	if parsed < 6 {
		t.Errorf("%d nodes are not blank: the tree is too simple", parsed)
	}
}

func TestAStateWithAnUnusableKeyIsNotRestored(t *testing.T) {
	c := newCrowd(t, suite1, 3)
	g := c.members[0].g
	for name, spoil := range map[string]func(*ratchetTree){
		"encryption key": func(t *ratchetTree) { t.nodes[2].leaf.EncryptionKey = make([]byte, 31) },
		"signature key":  func(t *ratchetTree) { t.nodes[2].leaf.SignatureKey = make([]byte, 32) },
		"parent's key":   func(t *ratchetTree) { t.nodes[3].parent = &parentNode{encryptionKey: make([]byte, 32)} },
	} {
		spoilt := g.fork()
		spoilt.tree = mustParseTree(t, g.RatchetTree())
		spoil(spoilt.tree)
		if _, err := RestoreGroup(g.cfg, g.signer, mustMarshal(t, spoilt)); err == nil {
			t.Errorf("%s: restored", name)
		}
	}
}
