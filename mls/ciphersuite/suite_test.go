package ciphersuite

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestRegistryKnowsExactlyItsSuites(t *testing.T) {
	r := Default()
	want := []ID{1, 2, 3, 4, 5, 6, 7, 0xF001, 0xF002, 0xF003, 0xF004, 0xF005, 0xF006, 0xF007, 0xF008, 0xF009, 0xF00A, 0xF00B}
	ids := r.IDs()
	if len(ids) != len(want) {
		t.Fatalf("suites %v, want %v", ids, want)
	}
	for i, id := range ids {
		if id != want[i] {
			t.Fatalf("suites %v, want %v", ids, want)
		}
		s, err := r.Lookup(id)
		if err != nil || s.ID() != id || s.String() != id.String() {
			t.Errorf("Lookup(%v) = %v, %v", id, s, err)
		}
	}
	ids[0] = 99 // the caller's copy
	if r.IDs()[0] != 1 {
		t.Error("the registry changed")
	}
	for _, id := range []ID{0, 8, 0x0A0A, 0xF000, 0xF00C, 0xFFFF} {
		_, err := r.Lookup(id)
		var unsupported *UnsupportedError
		if !errors.Is(err, ErrUnsupported) || !errors.As(err, &unsupported) || unsupported.ID != id {
			t.Errorf("Lookup(%v): %v", id, err)
		}
	}
	if got := ID(0x0A0A).String(); got != "0x0a0a" {
		t.Errorf("unknown suite prints as %q", got)
	}
}

// The tables of RFC 9420, Section 17.1, and of draft-ietf-mls-pq-ciphersuites-06,
// with the sizes that the algorithms' specifications give.
func TestSuitesAreComposedAsSpecified(t *testing.T) {
	type sizes struct{ public, private, enc int }
	kems := map[uint16]sizes{
		0x0010: {65, 32, 65}, 0x0011: {97, 48, 97}, 0x0012: {133, 66, 133}, 0x0020: {32, 32, 32}, 0x0021: {56, 56, 56},
		0x0041: {1184, 64, 1088}, 0x0042: {1568, 64, 1568},
		0x0050: {1249, 32, 1153}, 0x0051: {1665, 32, 1665}, 0x647a: {1216, 32, 1120},
	}
	type signature struct{ public, signature int } // signature 0: DER
	signatures := map[string]signature{
		"ed25519": {32, 64}, "ed448": {57, 114}, "secp256r1": {65, 0}, "secp384r1": {97, 0}, "secp521r1": {133, 0},
		"mldsa44": {1312, 2420}, "mldsa65": {1952, 3309}, "mldsa87": {2592, 4627},
	}
	suites := []struct {
		id             ID
		name           string
		kem, kdf, aead uint16
		hash           int
		signature      string
	}{
		{0x0001, "MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519", 0x0020, 0x0001, 0x0001, 32, "ed25519"},
		{0x0002, "MLS_128_DHKEMP256_AES128GCM_SHA256_P256", 0x0010, 0x0001, 0x0001, 32, "secp256r1"},
		{0x0003, "MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519", 0x0020, 0x0001, 0x0003, 32, "ed25519"},
		{0x0004, "MLS_256_DHKEMX448_AES256GCM_SHA512_Ed448", 0x0021, 0x0003, 0x0002, 64, "ed448"},
		{0x0005, "MLS_256_DHKEMP521_AES256GCM_SHA512_P521", 0x0012, 0x0003, 0x0002, 64, "secp521r1"},
		{0x0006, "MLS_256_DHKEMX448_CHACHA20POLY1305_SHA512_Ed448", 0x0021, 0x0003, 0x0003, 64, "ed448"},
		{0x0007, "MLS_256_DHKEMP384_AES256GCM_SHA384_P384", 0x0011, 0x0002, 0x0002, 48, "secp384r1"},
		{0xF001, "MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519", 0x647a, 0x0001, 0x0001, 32, "ed25519"},
		{0xF002, "MLS_128_MLKEM768X25519_AES256GCM_SHA384_Ed25519", 0x647a, 0x0002, 0x0002, 48, "ed25519"},
		{0xF003, "MLS_128_MLKEM768P256_AES128GCM_SHA256_P256", 0x0050, 0x0001, 0x0001, 32, "secp256r1"},
		{0xF004, "MLS_128_MLKEM768P256_AES256GCM_SHA384_P256", 0x0050, 0x0002, 0x0002, 48, "secp256r1"},
		{0xF005, "MLS_192_MLKEM1024P384_AES256GCM_SHA384_P384", 0x0051, 0x0002, 0x0002, 48, "secp384r1"},
		{0xF006, "MLS_128_MLKEM768_AES256GCM_SHA384_Ed25519", 0x0041, 0x0002, 0x0002, 48, "ed25519"},
		{0xF007, "MLS_128_MLKEM768_AES256GCM_SHA384_P256", 0x0041, 0x0002, 0x0002, 48, "secp256r1"},
		{0xF008, "MLS_192_MLKEM1024_AES256GCM_SHA384_P384", 0x0042, 0x0002, 0x0002, 48, "secp384r1"},
		{0xF009, "MLS_128_MLKEM768X25519_CHACHA20POLY1305_SHA384_MLDSA44", 0x647a, 0x0002, 0x0003, 48, "mldsa44"},
		{0xF00A, "MLS_192_MLKEM768_AES256GCM_SHA384_MLDSA65", 0x0041, 0x0002, 0x0002, 48, "mldsa65"},
		{0xF00B, "MLS_256_MLKEM1024_AES256GCM_SHA384_MLDSA87", 0x0042, 0x0002, 0x0002, 48, "mldsa87"},
	}
	if n := len(Default().IDs()); n != len(suites) {
		t.Errorf("%d suites, want %d", n, len(suites))
	}
	for _, want := range suites {
		s, err := Default().Lookup(want.id)
		if err != nil {
			t.Fatal(err)
		}
		if s.String() != want.name || s.kem.id() != want.kem || s.kdf.id != want.kdf || s.aead.id != want.aead || s.HashSize() != want.hash {
			t.Errorf("%v: KEM 0x%04x, KDF 0x%04x, AEAD 0x%04x, hash of %d octets; want %+v", s, s.kem.id(), s.kdf.id, s.aead.id, s.HashSize(), want)
		}
		k := mustHPKEKey(t, s)
		enc, _, err := s.EncryptWithLabel(testRand(t), k.PublicKey(), "l", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := (sizes{len(k.PublicKey()), len(k.Bytes()), len(enc)}); got != kems[want.kem] {
			t.Errorf("%v: KEM with public key, private key and output of %v octets, want %v", s, got, kems[want.kem])
		}
		signer, public := mustSigner(t, s)
		signed, err := s.SignWithLabel(nil, signer, "l", nil)
		if err != nil {
			t.Fatal(err)
		}
		if w := signatures[want.signature]; len(public) != w.public || w.signature != 0 && len(signed) != w.signature {
			t.Errorf("%v: signature key of %d octets, signature of %d; want %v", s, len(public), len(signed), w)
		}
	}
}

func TestASuiteCanBeRegisteredUnderAnotherNumber(t *testing.T) {
	s, _ := Default().Lookup(MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519)
	moved := s.WithID(0x1234)
	if s.ID() == moved.ID() || moved.ID() != 0x1234 || moved.String() != s.String() {
		t.Errorf("%v is %v", moved, moved.ID())
	}
	r, err := NewRegistry(moved, s)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.Lookup(0x1234); err != nil || got != moved {
		t.Errorf("Lookup: %v, %v", got, err)
	}
	if _, err := NewRegistry(s, moved, s); !errors.Is(err, ErrDuplicate) {
		t.Errorf("duplicate: %v, want ErrDuplicate", err)
	}
	// The number is no input to any algorithm.
	k := mustHPKEKey(t, s)
	enc, ciphertext, err := s.EncryptWithLabel(testRand(t), k.PublicKey(), "l", nil, []byte("m"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := moved.DecryptWithLabel(k, "l", nil, enc, ciphertext); err != nil {
		t.Error(err)
	}
}

func TestAllPostQuantumSuitesAreRenumberedInOneCall(t *testing.T) {
	numbers := map[ID]ID{}
	for i := range ID(11) {
		numbers[0xF001+i] = 0xF002 + i // each takes the number of the next
	}
	r, err := Default().Renumber(numbers)
	if err != nil {
		t.Fatal(err)
	}
	before := Default().IDs()
	for i, id := range r.IDs() {
		want := before[i]
		if number, ok := numbers[want]; ok {
			want = number
		}
		s, err := r.Lookup(id)
		if err != nil || id != want || s.ID() != id || s.String() != before[i].String() {
			t.Errorf("suite %d is %v under %v, %v; want %v under %v", i, s, id, err, before[i], want)
		}
	}
	if _, err := r.Lookup(0xF001); !errors.Is(err, ErrUnsupported) {
		t.Errorf("the first number is still there, %v", err)
	}
	if s, err := Default().Lookup(0xF001); err != nil || s.ID() != 0xF001 {
		t.Errorf("the registry itself changed: %v, %v", s, err)
	}
	if _, err := Default().Renumber(map[ID]ID{0xF001: 1}); !errors.Is(err, ErrDuplicate) {
		t.Errorf("a number that is taken: got %v, want ErrDuplicate", err)
	}
	if _, err := Default().Renumber(map[ID]ID{0xF00C: 0xF00D}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("a suite that is not there: got %v, want ErrUnsupported", err)
	}
}

func TestSizesAreThoseOfTheAlgorithms(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s *Suite) {
		aead, err := s.NewAEAD(make([]byte, s.KeySize()))
		if err != nil {
			t.Fatal(err)
		}
		if aead.NonceSize() != s.NonceSize() || aead.Overhead() != s.TagSize() {
			t.Errorf("nonce of %d and tag of %d octets", aead.NonceSize(), aead.Overhead())
		}
		if n := s.NewHash().Size(); n != s.HashSize() || len(s.Hash()) != n || len(s.MAC(nil)) != n {
			t.Errorf("hash of %d octets, want %d", n, s.HashSize())
		}
		for _, n := range []int{0, 24, s.KeySize() - 1, s.KeySize() + 1} {
			if _, err := s.NewAEAD(make([]byte, n)); err == nil {
				t.Errorf("a key of %d octets was accepted", n)
			}
		}
	})
}

// crypto/hkdf and crypto/hmac are the references for the KDF, which takes its
// input in parts.
func TestKDFEqualsTheStandardLibrary(t *testing.T) {
	for _, k := range []*kdf{hkdfSHA256, hkdfSHA384, hkdfSHA512} {
		rapid.Check(t, func(t *rapid.T) {
			key := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "key")
			a := rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "a")
			b := rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "b")
			length := rapid.OneOf(rapid.IntRange(0, 3*k.size), rapid.Just(255*k.size)).Draw(t, "length")
			joined := append(bytes.Clone(a), b...)

			prk, err := hkdf.Extract(func() hash.Hash { return k.newHash() }, joined, key)
			if err != nil {
				t.Fatal(err)
			}
			if got := k.extract(nil, key, a, b); !bytes.Equal(got, prk) {
				t.Fatalf("extract: got %x, want %x", got, prk)
			}
			want, err := hkdf.Expand(func() hash.Hash { return k.newHash() }, key, string(joined), length)
			if err != nil {
				t.Fatal(err)
			}
			if got := k.expand(key, length, a, b); !bytes.Equal(got, want) {
				t.Fatalf("expand %d: got %x, want %x", length, got, want)
			}
			m := hmac.New(k.newHash, key)
			m.Write(joined)
			if got := k.mac(nil, key, a, b); !bytes.Equal(got, m.Sum(nil)) {
				t.Fatalf("mac: got %x", got)
			}
		})
	}
}

func TestVerifyMACTakesTheWholeTagOnly(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s *Suite) {
		key := []byte("key")
		tag := s.MAC(key, []byte("da"), []byte("ta"))
		if !s.VerifyMAC(key, tag, []byte("data")) {
			t.Error("the right tag was refused")
		}
		flipped := bytes.Clone(tag)
		flipped[len(flipped)-1] ^= 1
		for _, bad := range [][]byte{nil, tag[:len(tag)-1], append(bytes.Clone(tag), 0), flipped} {
			if s.VerifyMAC(key, bad, []byte("data")) {
				t.Errorf("tag %x was accepted", bad)
			}
		}
	})
}

// Labels may hold any octets; what they delimit must not blur.
func TestLabelsAndContextsDoNotBlur(t *testing.T) {
	s, _ := Default().Lookup(1)
	secret := make([]byte, 32)
	seen := map[string]string{}
	for _, in := range [][2]string{{"", ""}, {"a", ""}, {"", "a"}, {"ab", ""}, {"a", "b"}, {"\x00", ""}, {"", "\x00"}} {
		out := string(s.ExpandWithLabel(secret, in[0], []byte(in[1]), 32))
		if other, ok := seen[out]; ok {
			t.Errorf("%q gives the same as %s", in, other)
		}
		seen[out] = in[0] + "/" + in[1]
	}
}

func TestOversizedDerivationsPanic(t *testing.T) {
	s512, _ := Default().Lookup(MLS_256_DHKEMP521_AES256GCM_SHA512_P521)
	s, _ := Default().Lookup(1)
	for name, derive := range map[string]func(){
		"above 255 blocks": func() { s.Expand(nil, nil, 255*32+1) },
		"negative":         func() { s.Expand(nil, nil, -1) },
		"negative label":   func() { s.ExpandWithLabel(nil, "", nil, -1) },
		"above 16 bits":    func() { s512.ExpandWithLabel(nil, "", nil, 1<<16) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			derive()
		}()
	}
}

// HKDF-Expand-Label is that of RFC 8448, Section 3 ("derive secret", "write traffic keys" of the
// server's handshake).
func TestExpandLabelGivesTheKeysOfRFC8448(t *testing.T) {
	s, err := Default().Lookup(MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	unhex := func(text string) []byte {
		t.Helper()
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	early := s.Extract(nil, make([]byte, 32))
	empty := sha256.Sum256(nil)
	traffic := unhex("b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38")
	for _, c := range []struct {
		secret  []byte
		label   string
		context []byte
		want    string
	}{
		{early, "derived", empty[:], "6f2615a108c702c5678f54fc9dbab69716c076189c48250cebeac3576c3611ba"},
		{traffic, "key", nil, "3fce516009c21727d0f2e4e86ee403bc"},
		{traffic, "iv", nil, "5d313eb2671276ee13000b30"},
	} {
		want := unhex(c.want)
		if got := s.ExpandLabel(c.secret, c.label, c.context, len(want)); !bytes.Equal(got, want) {
			t.Errorf("%s: %x, want %x", c.label, got, want)
		}
	}
	long := strings.Repeat("l", 250)
	for name, f := range map[string]func(){
		"label":   func() { s.ExpandLabel(traffic, long, nil, 16) },
		"context": func() { s.ExpandLabel(traffic, "key", make([]byte, 256), 16) },
		"length":  func() { s.ExpandLabel(traffic, "key", nil, 1<<16) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: too much is taken", name)
				}
			}()
			f()
		}()
	}
}
