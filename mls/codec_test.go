package mls

import (
	"bytes"
	"testing"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// What a tree and a GroupContext hold stays as it is, and does not keep the message,
// when that is gone.
func TestWhatIsKeptOfAMessageHasMemoryOfItsOwn(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519, 3)
	c.commit(0, CommitOptions{}) // so that there are parents
	g := c.members[0].g
	chain := *g.tree.leafNode(0)
	chain.Credential = Credential{Type: CredentialX509, Certificates: [][]byte{{1, 2}, {3}}}
	chain.Extensions = Extensions{{0xFA00, []byte("data")}, {0xFA01, nil}}
	for name, v := range map[string]struct {
		encoder
		decoder
	}{
		"tree":                     {g.tree, new(ratchetTree)},
		"leaf with a chain":        {&chain, new(LeafNode)},
		"leaf of another type":     {&LeafNode{Credential: Credential{Type: 0xFA00, Data: []byte{1}}, Source: LeafNodeSourceUpdate}, new(LeafNode)},
		"GroupContext":             {&g.context, new(groupContext)},
		"GroupContext, extensions": {&groupContext{extensions: chain.Extensions}, new(groupContext)},
	} {
		want := marshal(v.encoder)
		message := bytes.Clone(want)
		if err := unmarshalAliased(message, v.decoder); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		clear(message)
		if got := marshal(v.decoder.(encoder)); !bytes.Equal(got, want) {
			t.Errorf("%s changes with the message", name)
		}
	}
}

func TestDetachKeepsWhatIsNilAndWhatIsEmpty(t *testing.T) {
	t.Parallel()
	var missing []byte
	empty, some := []byte{}, []byte{1, 2}
	before := some
	detach(&missing, &empty, &some)
	if missing != nil || empty == nil || len(empty) != 0 || !bytes.Equal(some, before) {
		t.Errorf("%v, %v, %v", missing, empty, some)
	}
	if some = append(some, 3); &some[0] == &before[0] || cap(empty) != 0 {
		t.Error("there is room that belongs to others")
	}
}
