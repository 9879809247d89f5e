package secrettree

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// testSecret is the encryption secret of the tests' trees.
var testSecret = bytes.Repeat([]byte("secret!!"), 4)

func testSuite(t testing.TB) *ciphersuite.Suite {
	t.Helper()
	s, err := ciphersuite.Default().Lookup(ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// recordingKDF remembers every secret that it derived, in the memory that the
// tree got it in.
type recordingKDF struct {
	kdf
	derived [][]byte
}

func (c *recordingKDF) ExpandWithLabel(secret []byte, label string, context []byte, length int) []byte {
	return c.record(c.kdf.ExpandWithLabel(secret, label, context, length))
}

func (c *recordingKDF) DeriveTreeSecret(secret []byte, label string, generation uint32, length int) []byte {
	return c.record(c.kdf.DeriveTreeSecret(secret, label, generation, length))
}

func (c *recordingKDF) record(secret []byte) []byte {
	c.derived = append(c.derived, secret)
	return secret
}

// lineage holds what one ratchet is made of, derived in the plainest way.
type lineage struct {
	path    [][]byte // node secrets from the root to the leaf
	copath  [][]byte // the siblings of those below the root
	secrets [][]byte // ratchet secrets by generation
	keys    [][]byte
	nonces  [][]byte
}

// derive returns the lineage of a ratchet in a tree of 2^height leaves.
func derive(s *ciphersuite.Suite, height int, leaf uint32, kind Kind, generations int) *lineage {
	l := &lineage{path: [][]byte{testSecret}}
	secret := testSecret
	for bit := height - 1; bit >= 0; bit-- {
		left := s.ExpandWithLabel(secret, "tree", []byte("left"), s.HashSize())
		right := s.ExpandWithLabel(secret, "tree", []byte("right"), s.HashSize())
		if leaf>>bit&1 == 1 {
			left, right = right, left
		}
		secret = left
		l.path, l.copath = append(l.path, left), append(l.copath, right)
	}
	secret = s.ExpandWithLabel(secret, []string{"handshake", "application"}[kind], nil, s.HashSize())
	for g := range uint32(generations) {
		context := binary.BigEndian.AppendUint32(nil, g)
		l.secrets = append(l.secrets, secret)
		l.keys = append(l.keys, s.ExpandWithLabel(secret, "key", context, s.KeySize()))
		l.nonces = append(l.nonces, s.ExpandWithLabel(secret, "nonce", context, s.NonceSize()))
		secret = s.ExpandWithLabel(secret, "secret", context, s.HashSize())
	}
	l.secrets = append(l.secrets, secret)
	return l
}

func state(t *Tree) []byte {
	var w wire.Writer
	t.MarshalTo(&w)
	return w.Data()
}

func mustNext(t testing.TB, tree *Tree, leaf uint32, kind Kind) *Key {
	t.Helper()
	k, err := tree.Next(leaf, kind)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func mustPeek(t testing.TB, tree *Tree, leaf uint32, kind Kind, generation uint32) *Key {
	t.Helper()
	k, err := tree.Peek(leaf, kind, generation)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// mustRatchets returns the ratchets of a leaf that is in use.
func mustRatchets(t testing.TB, tree *Tree, leaf uint32) *[2]ratchet {
	t.Helper()
	pair, ok := tree.ratchets.get(leaf)
	if !ok {
		t.Fatalf("leaf %d is not in use", leaf)
	}
	return pair
}

func isZero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }
