package ciphersuite

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"
)

// Whoever encrypts to many gets what as many single encryptions would give, to
// the octet, however many processors there are.
func TestEncryptAllIsAsManySingleEncryptions(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	forEachSuite(t, func(t *testing.T, s *Suite) {
		random := rand.NewChaCha8([32]byte{1})
		var keys []*HPKEPrivateKey
		var list []Encryption
		for i := range 9 {
			key, err := s.GenerateHPKEKeyPair(random)
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, key)
			list = append(list, Encryption{PublicKey: key.PublicKey(), Plaintext: fmt.Appendf(nil, "plaintext %d", i)})
		}
		seed := [32]byte{2}
		if err := s.EncryptAllWithLabel(rand.NewChaCha8(seed), "label", []byte("context"), list); err != nil {
			t.Fatal(err)
		}
		single := rand.NewChaCha8(seed)
		for i, e := range list {
			enc, ciphertext, err := s.EncryptWithLabel(single, e.PublicKey, "label", []byte("context"), e.Plaintext)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(e.KEMOutput, enc) || !bytes.Equal(e.Ciphertext, ciphertext) {
				t.Errorf("encryption %d differs from a single one", i)
			}
			got, err := s.DecryptWithLabel(keys[i], "label", []byte("context"), e.KEMOutput, e.Ciphertext)
			if err != nil || !bytes.Equal(got, e.Plaintext) {
				t.Errorf("encryption %d decrypts to %q, %v; want %q", i, got, err, e.Plaintext)
			}
		}
	})
}

func TestEncryptAllFailsWhole(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s *Suite) {
		random := rand.NewChaCha8([32]byte{3})
		key, err := s.GenerateHPKEKeyPair(random)
		if err != nil {
			t.Fatal(err)
		}
		good, bad := Encryption{PublicKey: key.PublicKey()}, Encryption{PublicKey: key.PublicKey()[1:]}
		if err := s.EncryptAllWithLabel(random, "label", nil, []Encryption{good, good, bad, good}); !errors.Is(err, ErrPublicKey) {
			t.Errorf("to a key that is none: error %v, want %v", err, ErrPublicKey)
		}
		enough := int64(s.kem.encapSeedSize())
		list := []Encryption{good, good}
		if err := s.EncryptAllWithLabel(io.LimitReader(random, 2*enough-1), "label", nil, list); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("when randomness ends: error %v, want %v", err, io.ErrUnexpectedEOF)
		}
	})
}
