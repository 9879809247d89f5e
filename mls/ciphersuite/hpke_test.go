package ciphersuite

import (
	"bytes"
	"crypto/hpke"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/iotest"

	circl "github.com/cloudflare/circl/hpke"
)

// forEachSuite runs test for every built-in suite.
func forEachSuite(t *testing.T, test func(t *testing.T, s *Suite)) {
	t.Helper()
	ids := Default().IDs()
	if len(ids) != 18 {
		t.Fatalf("%d built-in suites, want 18", len(ids))
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
		if s.kem == dhkemX448 {
			return // crypto/hpke lacks it: see the next test
		}
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

func TestHPKEWithX448InteroperatesWithCircl(t *testing.T) {
	info, aad, message := []byte("info"), []byte("aad"), []byte("message")
	for _, id := range []ID{MLS_256_DHKEMX448_AES256GCM_SHA512_Ed448, MLS_256_DHKEMX448_CHACHA20POLY1305_SHA512_Ed448} {
		s, err := Default().Lookup(id)
		if err != nil {
			t.Fatal(err)
		}
		scheme := circl.KEM_X448_HKDF_SHA512.Scheme()
		suite := circl.NewSuite(circl.KEM_X448_HKDF_SHA512, circl.KDF_HKDF_SHA512, circl.AEAD(s.aead.id))
		ikm := bytes.Repeat([]byte{7}, scheme.SeedSize())
		public, private := scheme.DeriveKeyPair(ikm)
		ours, err := s.DeriveHPKEKeyPair(ikm)
		if err != nil {
			t.Fatal(err)
		}
		if theirs, err := public.MarshalBinary(); err != nil || !bytes.Equal(ours.PublicKey(), theirs) {
			t.Fatalf("derived public keys differ, %v", err)
		}

		sender, err := suite.NewSender(public, info)
		if err != nil {
			t.Fatal(err)
		}
		enc, sealer, err := sender.Setup(testRand(t))
		if err != nil {
			t.Fatal(err)
		}
		ciphertext, err := sealer.Seal(message, aad)
		if err != nil {
			t.Fatal(err)
		}
		if plaintext, err := s.Open(ours, enc, info, aad, ciphertext); err != nil || !bytes.Equal(plaintext, message) {
			t.Fatalf("opening what circl sealed: %q, %v", plaintext, err)
		}
		secret, err := s.ExportReceiver(ours, enc, info, []byte("context"), 77)
		if err != nil || !bytes.Equal(secret, sealer.Export([]byte("context"), 77)) {
			t.Fatalf("exports differ, %v", err)
		}

		enc, ciphertext, err = s.Seal(testRand(t), ours.PublicKey(), info, aad, message)
		if err != nil {
			t.Fatal(err)
		}
		receiver, err := suite.NewReceiver(private, info)
		if err != nil {
			t.Fatal(err)
		}
		opener, err := receiver.Setup(enc)
		if err != nil {
			t.Fatal(err)
		}
		if plaintext, err := opener.Open(ciphertext, aad); err != nil || !bytes.Equal(plaintext, message) {
			t.Fatalf("circl opening what we sealed: %q, %v", plaintext, err)
		}
	}
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

func TestKeyPairsAreReadWithoutComputingThePublicKey(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s *Suite) {
		k := mustHPKEKey(t, s)
		public := bytes.Clone(k.PublicKey())
		pair, err := s.ParseHPKEKeyPair(k.Bytes(), public)
		if err != nil {
			t.Fatal(err)
		}
		clear(public) // not kept
		if !bytes.Equal(pair.PublicKey(), k.PublicKey()) || !bytes.Equal(pair.Bytes(), k.Bytes()) {
			t.Error("the parsed key differs")
		}
		enc, ciphertext, err := s.EncryptWithLabel(testRand(t), k.PublicKey(), "l", nil, []byte("m"))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // with and without the expanded key
			if plaintext, err := s.DecryptWithLabel(pair, "l", nil, enc, ciphertext); err != nil || string(plaintext) != "m" {
				t.Errorf("decrypted %q, %v", plaintext, err)
			}
		}

		for name, public := range map[string][]byte{
			"absent": nil, "empty": {}, "truncated": k.PublicKey()[1:], "overlong": append(bytes.Clone(k.PublicKey()), 0),
		} {
			if _, err := s.ParseHPKEKeyPair(k.Bytes(), public); !errors.Is(err, ErrPrivateKey) {
				t.Errorf("%s public key: got %v, want ErrPrivateKey", name, err)
			}
		}
		if _, err := s.ParseHPKEKeyPair(nil, k.PublicKey()); !errors.Is(err, ErrPrivateKey) {
			t.Errorf("absent private key: got %v, want ErrPrivateKey", err)
		}
		// Another's public key is found out at once, or when something is to be decrypted.
		other, err := s.DeriveHPKEKeyPair(make([]byte, s.kem.privateKeySize()))
		if err != nil {
			t.Fatal(err)
		}
		switch pair, err := s.ParseHPKEKeyPair(k.Bytes(), other.PublicKey()); {
		case err != nil:
			if !errors.Is(err, ErrPrivateKey) {
				t.Errorf("another's public key: got %v, want ErrPrivateKey", err)
			}
		default:
			enc, ciphertext, err := s.EncryptWithLabel(testRand(t), other.PublicKey(), "l", nil, []byte("m"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.DecryptWithLabel(pair, "l", nil, enc, ciphertext); !errors.Is(err, ErrDecrypt) {
				t.Errorf("another's public key: got %v, want ErrDecrypt", err)
			}
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
		if d, ok := inner.(dhkemKey); !ok || d.kem.mask == 0 {
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

// badPoints are encodings of the right size that are no points of g to agree on
// secrets with.
func badPoints(g group, good []byte) map[string][]byte {
	bad := map[string][]byte{"zeros": make([]byte, g.pointSize())}
	put := func(name string, i int, octet byte) {
		bad[name] = bytes.Clone(good)
		bad[name][i] = octet
	}
	switch g.(type) {
	case curve25519:
		for i, p := range lowOrderX25519 {
			bad[fmt.Sprint("low order ", i)] = p
		}
	case curve448:
		for i, p := range lowOrderX448 {
			bad[fmt.Sprint("low order ", i)] = p
		}
	case ecdhCurve:
		put("not on the curve", len(good)-1, good[len(good)-1]^1)
		put("format of a compressed point", 0, 2)
		put("format of a hybrid point", 0, 6|good[len(good)-1]&1)
		put("format of the infinite point", 0, 0)
		bad["coordinates not reduced"] = append([]byte{4}, bytes.Repeat([]byte{0xff}, len(good)-1)...)
	}
	return bad
}

// badEncapsulationKeys are octets of the right size with coefficients from q on.
func badEncapsulationKeys(good []byte) map[string][]byte {
	first, q, last := bytes.Clone(good), bytes.Clone(good), bytes.Clone(good)
	first[0], first[1] = 0xff, first[1]|0x0f
	q[0], q[1] = 0x01, q[1]&0xf0|0x0d // 3329
	end := len(good) - 32             // where the seed of the matrix starts
	last[end-2], last[end-1] = last[end-2]|0xf0, 0xff
	return map[string][]byte{"first coefficient 4095": first, "first coefficient q": q, "last coefficient 4095": last}
}

func TestHPKEPublicKeysAreValidated(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s *Suite) {
		public := mustHPKEKey(t, s).PublicKey()
		if err := s.ValidateHPKEPublicKey(public); err != nil {
			t.Fatal(err)
		}
		bad := map[string][]byte{
			"absent": nil, "empty": {}, "one octet": public[:1],
			"truncated": public[:len(public)-1], "overlong": append(bytes.Clone(public), 0),
		}
		switch k := s.kem.(type) {
		case *dhkem:
			maps.Copy(bad, badPoints(k.group, public))
		case *pureKEM:
			maps.Copy(bad, badEncapsulationKeys(public))
		case *hybridKEM:
			n := k.mlkem.encapsulationKeySize()
			for name, p := range badPoints(k.group, public[n:]) {
				bad["point: "+name] = slices.Concat(public[:n], p)
			}
			for name, ek := range badEncapsulationKeys(public[:n]) {
				bad["ML-KEM: "+name] = slices.Concat(ek, public[n:])
			}
			bad["only ML-KEM"], bad["only the point"] = public[:n], public[n:]
		}
		for name, b := range bad {
			if _, err := s.ParseHPKEPublicKey(b); !errors.Is(err, ErrPublicKey) {
				t.Errorf("%s: parsing says %v, want ErrPublicKey", name, err)
			}
			if err := s.ValidateHPKEPublicKey(b); !errors.Is(err, ErrPublicKey) {
				t.Errorf("%s: validation says %v, want ErrPublicKey", name, err)
			}
			if _, _, err := s.EncryptWithLabel(testRand(t), b, "l", nil, nil); !errors.Is(err, ErrPublicKey) {
				t.Errorf("%s: encryption says %v, want ErrPublicKey", name, err)
			}
			if _, _, err := s.ExportSender(testRand(t), b, nil, nil, 32); !errors.Is(err, ErrPublicKey) {
				t.Errorf("%s: exporting says %v, want ErrPublicKey", name, err)
			}
		}
	})
}

func TestKEMOutputsAreValidated(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s *Suite) {
		k := mustHPKEKey(t, s)
		enc, ciphertext, err := s.EncryptWithLabel(testRand(t), k.PublicKey(), "l", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		bad := map[string][]byte{
			"absent": nil, "empty": {}, "one octet": enc[:1],
			"truncated": enc[:len(enc)-1], "overlong": append(bytes.Clone(enc), 0),
		}
		switch k := s.kem.(type) {
		case *dhkem:
			maps.Copy(bad, badPoints(k.group, enc))
		case *hybridKEM:
			n := k.mlkem.ciphertextSize()
			for name, p := range badPoints(k.group, enc[n:]) {
				bad["point: "+name] = slices.Concat(enc[:n], p)
			}
			bad["only ML-KEM"], bad["only the point"] = enc[:n], enc[n:]
		}
		for name, b := range bad {
			if _, err := s.DecryptWithLabel(k, "l", nil, b, ciphertext); !errors.Is(err, ErrKEMOutput) {
				t.Errorf("%s: decryption says %v, want ErrKEMOutput", name, err)
			}
			if _, err := s.ExportReceiver(k, b, nil, nil, 32); !errors.Is(err, ErrKEMOutput) {
				t.Errorf("%s: exporting says %v, want ErrKEMOutput", name, err)
			}
		}
	})
}

// A parsed key does what its encoding does, any number of times, also after the
// garbage collector took what it had expanded.
func TestParsedHPKEKeysEqualTheirEncoding(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s *Suite) {
		k := mustHPKEKey(t, s)
		parsed, err := s.ParseHPKEPublicKey(k.PublicKey())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(parsed.Bytes(), k.PublicKey()) {
			t.Error("the key has other octets")
		}
		for round := range 3 {
			if round == 2 {
				runtime.GC()
			}
			enc, ciphertext, err := parsed.EncryptWithLabel(testRand(t), "l", []byte("c"), []byte("m"))
			if err != nil {
				t.Fatal(err)
			}
			enc2, ciphertext2, err := s.EncryptWithLabel(testRand(t), k.PublicKey(), "l", []byte("c"), []byte("m"))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(enc, enc2) || !bytes.Equal(ciphertext, ciphertext2) {
				t.Error("the parsed key encrypts in another way")
			}
			if plaintext, err := s.DecryptWithLabel(k, "l", []byte("c"), enc, ciphertext); err != nil || string(plaintext) != "m" {
				t.Errorf("decrypted %q, %v", plaintext, err)
			}
			kemOutput, secret, err := parsed.ExportSender(testRand(t), nil, []byte("c"), 32)
			if err != nil {
				t.Fatal(err)
			}
			if received, err := s.ExportReceiver(k, kemOutput, nil, []byte("c"), 32); err != nil || !bytes.Equal(received, secret) {
				t.Errorf("exports differ, %v", err)
			}
		}
	})
}

func TestKeysAreSafeForConcurrentUse(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s *Suite) {
		k := mustHPKEKey(t, s)
		parsed, err := s.ParseHPKEPublicKey(k.PublicKey())
		if err != nil {
			t.Fatal(err)
		}
		signer, encoded := mustSigner(t, s)
		public, err := s.ParseSignaturePublicKey(encoded)
		if err != nil {
			t.Fatal(err)
		}
		runtime.GC() // all expand at once
		rand := testRand(t)
		seeds := [3][64]byte{}
		for i := range seeds {
			io.ReadFull(rand, seeds[i][:])
		}
		var wg sync.WaitGroup
		for i := range seeds {
			wg.Go(func() {
				enc, ciphertext, err := parsed.EncryptWithLabel(bytes.NewReader(slices.Concat(seeds[i][:], seeds[i][:], seeds[i][:])), "l", nil, nil)
				if err != nil {
					t.Error(err)
				}
				if _, err := s.DecryptWithLabel(k, "l", nil, enc, ciphertext); err != nil {
					t.Error(err)
				}
				signature, err := s.SignWithLabel(nil, signer, "l", seeds[i][:])
				if err != nil {
					t.Error(err)
				}
				if err := public.VerifyWithLabel("l", seeds[i][:], signature); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
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

// lowOrderX448 are encodings of points whose order divides the cofactor.
var lowOrderX448 = [][]byte{
	make([]byte, 56),                       // 0
	append([]byte{1}, make([]byte, 55)...), // 1
	littleEndianP448(-1),                   // p-1
	littleEndianP448(0),                    // p, which is 0
	littleEndianP448(1),                    // p+1, which is 1
}

// littleEndianP448 encodes 2^448-2^224-1+delta.
func littleEndianP448(delta int64) []byte {
	p := new(big.Int).Lsh(big.NewInt(1), 448)
	p.Sub(p, new(big.Int).Lsh(big.NewInt(1), 224))
	p.Add(p, big.NewInt(delta-1))
	b := p.FillBytes(make([]byte, 56))
	slices.Reverse(b)
	return b
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
