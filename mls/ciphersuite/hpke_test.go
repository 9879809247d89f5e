package ciphersuite

import (
	"bytes"
	"crypto/hpke"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/iotest"
)

// forEachSuite runs test for every built-in suite.
func forEachSuite(t *testing.T, test func(t *testing.T, s *Suite)) {
	t.Helper()
	ids := Default().IDs()
	if len(ids) != 10 {
		t.Fatalf("%d built-in suites, want 10", len(ids))
	}
	for _, id := range ids {
		s, err := Default().Lookup(id)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(s.String(), func(t *testing.T) { test(t, s) })
	}
}

func mustHPKEKey(t testing.TB, s *Suite) *HPKEPrivateKey {
	t.Helper()
	k, err := s.GenerateHPKEKeyPair(testRand(t))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// stdSuite returns crypto/hpke's algorithms of s.
func stdSuite(t testing.TB, s *Suite) (hpke.KEM, hpke.KDF, hpke.AEAD) {
	t.Helper()
	kem, err := hpke.NewKEM(s.kem.id())
	if err != nil {
		t.Fatal(err)
	}
	kdf, err := hpke.NewKDF(s.kdf.id)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := hpke.NewAEAD(s.aead.id)
	if err != nil {
		t.Fatal(err)
	}
	return kem, kdf, aead
}

// crypto/hpke is an independent implementation: what either side makes, the
// other must take.
func TestHPKEInteroperatesWithTheStandardLibrary(t *testing.T) {
	info, aad, message := []byte("info"), []byte("aad"), []byte("message")
	forEachSuite(t, func(t *testing.T, s *Suite) {
		kem, kdf, aead := stdSuite(t, s)
		ikm := make([]byte, s.kem.privateKeySize())
		for round := range 3 {
			ikm[0] = byte(round)
			ours, err := s.DeriveHPKEKeyPair(ikm)
			if err != nil {
				t.Fatal(err)
			}
			theirs, err := kem.DeriveKeyPair(ikm)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(ours.PublicKey(), theirs.PublicKey().Bytes()) {
				t.Fatal("derived public keys differ")
			}
			theirBytes, err := theirs.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(ours.Bytes(), theirBytes) {
				t.Fatal("serialised private keys differ")
			}

			enc, sender, err := hpke.NewSender(theirs.PublicKey(), kdf, aead, info)
			if err != nil {
				t.Fatal(err)
			}
			ciphertext, err := sender.Seal(aad, message)
			if err != nil {
				t.Fatal(err)
			}
			plaintext, err := s.Open(ours, enc, info, aad, ciphertext)
			if err != nil || !bytes.Equal(plaintext, message) {
				t.Fatalf("opening what crypto/hpke sealed: %q, %v", plaintext, err)
			}
			exported, err := sender.Export("context", 77)
			if err != nil {
				t.Fatal(err)
			}
			secret, err := s.ExportReceiver(ours, enc, info, []byte("context"), 77)
			if err != nil || !bytes.Equal(secret, exported) {
				t.Fatalf("exports differ, %v", err)
			}

			enc, ciphertext, err = s.Seal(testRand(t), ours.PublicKey(), info, aad, message)
			if err != nil {
				t.Fatal(err)
			}
			recipient, err := hpke.NewRecipient(enc, theirs, kdf, aead, info)
			if err != nil {
				t.Fatal(err)
			}
			plaintext, err = recipient.Open(aad, ciphertext)
			if err != nil || !bytes.Equal(plaintext, message) {
				t.Fatalf("crypto/hpke opening what we sealed: %q, %v", plaintext, err)
			}
			enc, secret, err = s.ExportSender(testRand(t), ours.PublicKey(), info, []byte("context"), 77)
			if err != nil {
				t.Fatal(err)
			}
			recipient, err = hpke.NewRecipient(enc, theirs, kdf, aead, info)
			if err != nil {
				t.Fatal(err)
			}
			exported, err = recipient.Export("context", 77)
			if err != nil || !bytes.Equal(secret, exported) {
				t.Fatalf("exports differ, %v", err)
			}
		}
	})
}

func TestHPKEIsDeterministicUnderAnInjectedReader(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s *Suite) {
		run := func() [][]byte {
			rand := testRand(t)
			k, err := s.GenerateHPKEKeyPair(rand)
			if err != nil {
				t.Fatal(err)
			}
			enc, ciphertext, err := s.EncryptWithLabel(rand, k.PublicKey(), "label", nil, []byte("message"))
			if err != nil {
				t.Fatal(err)
			}
			return [][]byte{k.Bytes(), k.PublicKey(), enc, ciphertext}
		}
		if !slices.EqualFunc(run(), run(), bytes.Equal) {
			t.Error("the same octets gave different keys or ciphertexts")
		}
	})
}

func TestHPKEKeysSurviveSerialisation(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s *Suite) {
		k := mustHPKEKey(t, s)
		parsed, err := s.ParseHPKEPrivateKey(k.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(parsed.PublicKey(), k.PublicKey()) || !bytes.Equal(parsed.Bytes(), k.Bytes()) {
			t.Error("the parsed key differs")
		}
	})
}

func TestScalarsOfNISTCurvesMayLackLeadingZeros(t *testing.T) {
	for _, id := range []ID{2, 5, 7} {
		s, _ := Default().Lookup(id)
		short, err := s.ParseHPKEPrivateKey([]byte{7})
		if err != nil {
			t.Fatal(err)
		}
		full, err := s.ParseHPKEPrivateKey(append(make([]byte, s.kem.privateKeySize()-1), 7))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(short.PublicKey(), full.PublicKey()) || len(short.Bytes()) != s.kem.privateKeySize() {
			t.Errorf("%v: short and padded scalars differ", s)
		}
	}
}

func TestErasedKeysAreUselessAndOverwritten(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s *Suite) {
		k := mustHPKEKey(t, s)
		public := bytes.Clone(k.PublicKey())
		enc, ciphertext, err := s.EncryptWithLabel(testRand(t), public, "l", nil, []byte("m"))
		if err != nil {
			t.Fatal(err)
		}
		inner := k.key
		secret := inner.bytes() // aliases the key, except for NIST curves
		if h, ok := inner.(*hybridKey); ok && s.kem == mlkem768X25519 {
			defer func(scalar []byte) {
				if !bytes.Equal(scalar, make([]byte, len(scalar))) {
					t.Error("the secret of the X25519 half is still there")
				}
			}(h.scalar.bytes())
		}
		k.Erase()
		k.Erase()
		if _, nist := inner.(dhkemKey); !nist || s.kem == dhkemX25519 {
			if !bytes.Equal(secret, make([]byte, len(secret))) {
				t.Error("the secret is still there")
			}
		}
		if k.Bytes() != nil || !bytes.Equal(k.PublicKey(), public) {
			t.Error("an erased key must keep its public half, and only that")
		}
		if _, err := s.DecryptWithLabel(k, "l", nil, enc, ciphertext); !errors.Is(err, ErrPrivateKey) {
			t.Errorf("got %v, want ErrPrivateKey", err)
		}
		if _, err := s.ExportReceiver(k, enc, nil, nil, 32); !errors.Is(err, ErrPrivateKey) {
			t.Errorf("got %v, want ErrPrivateKey", err)
		}
	})
}

func TestDecryptionFailsOnAnyFlippedInput(t *testing.T) {
	flip := func(b []byte, i int) []byte {
		b = bytes.Clone(b)
		b[i] ^= 0x40
		return b
	}
	forEachSuite(t, func(t *testing.T, s *Suite) {
		k := mustHPKEKey(t, s)
		enc, ciphertext, err := s.EncryptWithLabel(testRand(t), k.PublicKey(), "label", []byte("context"), []byte("message"))
		if err != nil {
			t.Fatal(err)
		}
		for i := range ciphertext {
			if _, err := s.DecryptWithLabel(k, "label", []byte("context"), enc, flip(ciphertext, i)); !errors.Is(err, ErrDecrypt) {
				t.Fatalf("ciphertext octet %d: got %v, want ErrDecrypt", i, err)
			}
		}
		// A stride keeps the large KEM outputs cheap and ends on the last octet.
		for i := len(enc) - 1; i >= 0; i -= max(1, len(enc)/24) {
			_, err := s.DecryptWithLabel(k, "label", []byte("context"), flip(enc, i), ciphertext)
			if !errors.Is(err, ErrDecrypt) && !errors.Is(err, ErrKEMOutput) {
				t.Fatalf("KEM output octet %d: got %v", i, err)
			}
		}
		for _, n := range []int{0, 1, 15, len(ciphertext) - 1} {
			if _, err := s.DecryptWithLabel(k, "label", []byte("context"), enc, ciphertext[:n]); !errors.Is(err, ErrDecrypt) {
				t.Errorf("ciphertext of %d octets: got %v, want ErrDecrypt", n, err)
			}
		}
		for _, bad := range [][]byte{nil, {}, enc[:1], enc[:len(enc)-1], append(bytes.Clone(enc), 0)} {
			if _, err := s.DecryptWithLabel(k, "label", []byte("context"), bad, ciphertext); !errors.Is(err, ErrKEMOutput) {
				t.Errorf("KEM output of %d octets: got %v, want ErrKEMOutput", len(bad), err)
			}
		}
		if _, err := s.DecryptWithLabel(k, "lab", []byte("elcontext"), enc, ciphertext); !errors.Is(err, ErrDecrypt) {
			t.Errorf("other label: got %v, want ErrDecrypt", err)
		}
	})
}

func TestPublicKeysAreValidated(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s *Suite) {
		public := mustHPKEKey(t, s).PublicKey()
		if err := s.ValidateHPKEPublicKey(public); err != nil {
			t.Fatal(err)
		}
		bad := [][]byte{nil, {}, public[:1], public[:len(public)-1], append(bytes.Clone(public), 0)}
		if s.kem.id() != 0x0020 && s.kem.id() != 0x647a { // ends in a point of a NIST curve
			off := bytes.Clone(public)
			off[len(off)-1] ^= 1
			bad = append(bad, off)
		}
		if h, ok := s.kem.(*hybridKEM); ok {
			unreduced := bytes.Clone(public) // coefficients of 4095 are above q
			unreduced[0], unreduced[1] = 0xff, 0xff
			infinity := append(bytes.Clone(public[:h.mlkem.encapsulationKeySize()]), make([]byte, h.group.pointSize())...)
			bad = append(bad, unreduced)
			if h != mlkem768X25519 {
				bad = append(bad, infinity)
			}
		}
		for i, b := range bad {
			if err := s.ValidateHPKEPublicKey(b); !errors.Is(err, ErrPublicKey) {
				t.Errorf("bad key %d: validation says %v, want ErrPublicKey", i, err)
			}
			if _, _, err := s.EncryptWithLabel(testRand(t), b, "l", nil, nil); !errors.Is(err, ErrPublicKey) {
				t.Errorf("bad key %d: encryption says %v, want ErrPublicKey", i, err)
			}
		}
	})
}

// lowOrderX25519 are encodings of points whose order divides the cofactor:
// any secret agreed with them is zero.
var lowOrderX25519 = [][]byte{
	make([]byte, 32),                       // 0
	append([]byte{1}, make([]byte, 31)...), // 1
	littleEndianP(-1),                      // p-1
	littleEndianP(0),                       // p, which is 0
	littleEndianP(1),                       // p+1, which is 1
	append(make([]byte, 31), 0x80),         // 0 with the ignored bit set
	withTopBit(littleEndianP(-1)),          // p-1 with the ignored bit set
	{0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00}, // order 8
	{0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57}, // order 8
}

// littleEndianP encodes 2^255-19+delta.
func littleEndianP(delta int) []byte {
	b := bytes.Repeat([]byte{0xff}, 32)
	b[0], b[31] = byte(0xed+delta), 0x7f
	return b
}

func withTopBit(b []byte) []byte {
	b[31] |= 0x80
	return b
}

func TestX25519PointsOfLowOrderAreRefused(t *testing.T) {
	for _, id := range []ID{MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519, MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519} {
		s, _ := Default().Lookup(id)
		k := mustHPKEKey(t, s)
		enc, ciphertext, err := s.EncryptWithLabel(testRand(t), k.PublicKey(), "l", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, point := range lowOrderX25519 {
			public := append(bytes.Clone(k.PublicKey()[:len(k.PublicKey())-32]), point...)
			if _, _, err := s.EncryptWithLabel(testRand(t), public, "l", nil, nil); !errors.Is(err, ErrPublicKey) {
				t.Errorf("%v: point %d as public key: got %v, want ErrPublicKey", s, i, err)
			}
			bad := append(bytes.Clone(enc[:len(enc)-32]), point...)
			if _, err := s.DecryptWithLabel(k, "l", nil, bad, ciphertext); !errors.Is(err, ErrKEMOutput) {
				t.Errorf("%v: point %d as KEM output: got %v, want ErrKEMOutput", s, i, err)
			}
		}
	}
}

func TestPrivateKeysAreValidated(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s *Suite) {
		size := s.kem.privateKeySize()
		bad := [][]byte{nil, {}, make([]byte, size+1)}
		if d, ok := s.kem.(*dhkem); ok && d.mask != 0 {
			bad = append(bad, make([]byte, size), bytes.Repeat([]byte{0xff}, size)) // zero, above the order
		} else {
			bad = append(bad, make([]byte, size-1))
		}
		for i, b := range bad {
			if _, err := s.ParseHPKEPrivateKey(b); !errors.Is(err, ErrPrivateKey) {
				t.Errorf("bad key %d: got %v, want ErrPrivateKey", i, err)
			}
		}
	})
}

func TestKeysOfAnotherKEMAreRefused(t *testing.T) {
	x25519, _ := Default().Lookup(1)
	p256, _ := Default().Lookup(2)
	enc, ciphertext, err := x25519.EncryptWithLabel(testRand(t), mustHPKEKey(t, x25519).PublicKey(), "l", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []*HPKEPrivateKey{nil, {}, mustHPKEKey(t, p256)} {
		if _, err := x25519.DecryptWithLabel(k, "l", nil, enc, ciphertext); !errors.Is(err, ErrPrivateKey) {
			t.Errorf("got %v, want ErrPrivateKey", err)
		}
	}
}

func TestFailingRandomnessIsReported(t *testing.T) {
	broken := errors.New("broken")
	forEachSuite(t, func(t *testing.T, s *Suite) {
		public := mustHPKEKey(t, s).PublicKey()
		readers := map[string]func() io.Reader{
			"at once": func() io.Reader { return iotest.ErrReader(broken) },
			"later":   func() io.Reader { return io.MultiReader(bytes.NewReader(make([]byte, 31)), iotest.ErrReader(broken)) },
		}
		for when, rand := range readers {
			if _, err := s.GenerateHPKEKeyPair(rand()); !errors.Is(err, broken) {
				t.Errorf("%s: generating an HPKE key: %v", when, err)
			}
			if _, _, err := s.EncryptWithLabel(rand(), public, "l", nil, nil); !errors.Is(err, broken) {
				t.Errorf("%s: encrypting: %v", when, err)
			}
			if _, _, err := s.ExportSender(rand(), public, nil, nil, 32); !errors.Is(err, broken) {
				t.Errorf("%s: exporting: %v", when, err)
			}
			if _, err := s.GenerateSigner(rand()); !errors.Is(err, broken) {
				t.Errorf("%s: generating a signer: %v", when, err)
			}
		}
	})
}
