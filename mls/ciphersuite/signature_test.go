package ciphersuite

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"slices"
	"testing"

	"github.com/cloudflare/circl/sign/ed448"
	"github.com/cloudflare/circl/sign/mldsa/mldsa44"
	"github.com/cloudflare/circl/sign/mldsa/mldsa65"
	"github.com/cloudflare/circl/sign/mldsa/mldsa87"
)

func mustSigner(t testing.TB, s *Suite) (crypto.Signer, []byte) {
	t.Helper()
	signer, err := s.GenerateSigner(testRand(t))
	if err != nil {
		t.Fatal(err)
	}
	public, err := s.SignaturePublicKey(signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	return signer, public
}

// remoteSigner is a signer whose private key cannot be seen, as in an HSM.
type remoteSigner struct{ crypto.Signer }

func TestSignaturesVerifyOnlyWhatWasSigned(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s *Suite) {
		signer, public := mustSigner(t, s)
		if err := s.ValidateSignaturePublicKey(public); err != nil {
			t.Fatal(err)
		}
		const label = "Some\x00Label"
		content := []byte("content")
		signature, err := s.SignWithLabel(testRand(t), remoteSigner{signer}, label, content)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.VerifyWithLabel(public, label, content, signature); err != nil {
			t.Fatal(err)
		}
		for i := range signature {
			bad := bytes.Clone(signature)
			bad[i] ^= 1
			if err := s.VerifyWithLabel(public, label, content, bad); !errors.Is(err, ErrSignature) {
				t.Fatalf("octet %d flipped: got %v, want ErrSignature", i, err)
			}
		}
		for name, got := range map[string]error{
			"other label":          s.VerifyWithLabel(public, "Other", content, signature),
			"other content":        s.VerifyWithLabel(public, label, []byte("contents"), signature),
			"label and content":    s.VerifyWithLabel(public, "Some", []byte("\x00Labelcontent"), signature),
			"no signature":         s.VerifyWithLabel(public, label, content, nil),
			"truncated signature":  s.VerifyWithLabel(public, label, content, signature[:len(signature)-1]),
			"lengthened signature": s.VerifyWithLabel(public, label, content, append(bytes.Clone(signature), 0)),
		} {
			if !errors.Is(got, ErrSignature) {
				t.Errorf("%s: got %v, want ErrSignature", name, got)
			}
		}
	})
}

// badSignatureKeys are encodings of the right size that are no public keys.
func badSignatureKeys(scheme signatureScheme, good []byte) map[string][]byte {
	bad := map[string][]byte{}
	put := func(name string, i int, octet byte) {
		bad[name] = bytes.Clone(good)
		bad[name][i] = octet
	}
	sized := func(n int, octets ...byte) []byte { return append(octets, make([]byte, n-len(octets))...) }
	switch scheme.(type) {
	case ed25519Scheme:
		bad["not on the curve"] = sized(32, 2)
		for i, b := range ed25519LowOrder {
			bad[fmt.Sprint("low order ", i)] = b[:]
			bad[fmt.Sprint("low order, negative ", i)] = withTopBit(bytes.Clone(b[:]))
		}
		for delta := range 19 {
			bad[fmt.Sprint("not reduced ", delta)] = littleEndianP(delta)
			bad[fmt.Sprint("not reduced, negative ", delta)] = withTopBit(littleEndianP(delta))
		}
	case ed448Scheme:
		bad["not on the curve"] = sized(57, 2)
		bad["order 4"] = sized(57)                          // y = 0
		bad["order 4, negative"] = withTopBit(sized(57))    // y = 0
		bad["order 1"] = sized(57, 1)                       // y = 1
		bad["order 2"] = append(littleEndianP448(-1), 0)    // y = p-1
		bad["order 1, negative"] = withTopBit(sized(57, 1)) // x = -0
		bad["not reduced"] = append(littleEndianP448(0), 0)
		bad["not reduced, 1"] = append(littleEndianP448(1), 0)
		put("unused bits", 56, good[56]|1)
	case ecdsaScheme:
		put("not on the curve", len(good)-1, good[len(good)-1]^1)
		put("format of a compressed point", 0, 2)
		put("format of a hybrid point", 0, 6|good[len(good)-1]&1)
		bad["compressed"] = append([]byte{2 + good[len(good)-1]&1}, good[1:1+len(good)/2]...)
		bad["infinite"] = []byte{0}
		bad["zeros"] = make([]byte, len(good))
		bad["coordinates not reduced"] = append([]byte{4}, bytes.Repeat([]byte{0xff}, len(good)-1)...)
	}
	return bad
}

func TestSignaturePublicKeysAreValidated(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s *Suite) {
		signer, public := mustSigner(t, s)
		signature, err := s.SignWithLabel(testRand(t), signer, "l", nil)
		if err != nil {
			t.Fatal(err)
		}
		bad := badSignatureKeys(s.sig, public)
		maps.Copy(bad, map[string][]byte{
			"absent": nil, "empty": {}, "one octet": public[:1],
			"truncated": public[:len(public)-1], "overlong": append(bytes.Clone(public), 0),
		})
		for name, b := range bad {
			if err := s.ValidateSignaturePublicKey(b); !errors.Is(err, ErrPublicKey) {
				t.Errorf("%s: validation says %v, want ErrPublicKey", name, err)
			}
			if err := s.VerifyWithLabel(b, "l", nil, signature); !errors.Is(err, ErrPublicKey) {
				t.Errorf("%s: verification says %v, want ErrPublicKey", name, err)
			}
			// What parsing leaves to verification is documented.
			if key, err := s.ParseSignaturePublicKey(b); err == nil {
				if _, ed25519 := s.sig.(ed25519Scheme); !ed25519 || name != "not on the curve" {
					t.Errorf("%s: parsing takes it", name)
				}
				if err := key.VerifyWithLabel("l", nil, signature); !errors.Is(err, ErrPublicKey) {
					t.Errorf("%s: verification with the parsed key says %v, want ErrPublicKey", name, err)
				}
			} else if !errors.Is(err, ErrPublicKey) {
				t.Errorf("%s: parsing says %v, want ErrPublicKey", name, err)
			}
		}
	})
}

// Signatures have one size, or one encoding: nothing can be put before, behind or
// in between.
func TestSignaturesOfAnotherFormAreRefused(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s *Suite) {
		signer, public := mustSigner(t, s)
		signature, err := s.SignWithLabel(testRand(t), signer, "l", nil)
		if err != nil {
			t.Fatal(err)
		}
		bad := map[string][]byte{
			"absent": nil, "empty": {}, "one octet": signature[:1],
			"zeros": make([]byte, len(signature)), "ones": bytes.Repeat([]byte{0xff}, len(signature)),
			"truncated": signature[:len(signature)-1], "overlong": append(bytes.Clone(signature), 0),
			"twice": slices.Concat(signature, signature),
		}
		switch s.sig.(type) {
		case ed25519Scheme: // S plus the group's order
			bad["scalar not reduced"] = slices.Concat(signature[:32], addLittleEndian(signature[32:], ed25519Order))
		case ed448Scheme:
			bad["scalar not reduced"] = slices.Concat(signature[:57], addLittleEndian(signature[57:], ed448Order))
		case ecdsaScheme: // a length in the long form
			bad["not DER"] = slices.Concat([]byte{0x30, 0x82, 0}, signature[1:])
		}
		key, err := s.ParseSignaturePublicKey(public)
		if err != nil {
			t.Fatal(err)
		}
		for name, b := range bad {
			if err := key.VerifyWithLabel("l", nil, b); !errors.Is(err, ErrSignature) {
				t.Errorf("%s: got %v, want ErrSignature", name, err)
			}
		}
		if err := key.VerifyWithLabel("l", nil, signature); err != nil {
			t.Error(err)
		}
		if !bytes.Equal(key.Bytes(), public) {
			t.Error("the parsed key has other octets")
		}
	})
}

const (
	ed25519Order = "7237005577332262213973186563042994240857116359379907606001950938285454250989"
	ed448Order   = "181709681073901722637330951972001133588410340171829515070372549795146003961539585716195755291692375963310293709091662304773755859649779"
)

// addLittleEndian returns b plus a decimal number.
func addLittleEndian(b []byte, decimal string) []byte {
	b = bytes.Clone(b)
	slices.Reverse(b)
	n, _ := new(big.Int).SetString(decimal, 10)
	sum := n.Add(n, new(big.Int).SetBytes(b)).FillBytes(b)
	slices.Reverse(sum)
	return sum
}

func TestSignersOfAnotherSchemeAreRefused(t *testing.T) {
	p224, err := ecdsa.GenerateKey(elliptic.P224(), nil)
	if err != nil {
		t.Fatal(err)
	}
	foreign := []crypto.Signer{p224, &rsa.PrivateKey{}, nil}
	forEachSuite(t, func(t *testing.T, s *Suite) {
		foreign := foreign
		for _, id := range []ID{1, 2, 4, 5, 7, 0xF009, 0xF00A, 0xF00B} {
			if other, _ := Default().Lookup(id); other.sig != s.sig {
				signer, _ := mustSigner(t, other)
				foreign = append(foreign, signer)
			}
		}
		for _, signer := range foreign {
			if _, err := s.SignWithLabel(testRand(t), signer, "l", nil); !errors.Is(err, ErrPrivateKey) {
				t.Errorf("signing with a %T: got %v, want ErrPrivateKey", signer, err)
			}
			if _, err := s.MarshalSigner(signer); !errors.Is(err, ErrPrivateKey) {
				t.Errorf("marshalling a %T: got %v, want ErrPrivateKey", signer, err)
			}
			if signer != nil {
				if _, err := s.SignaturePublicKey(signer.Public()); !errors.Is(err, ErrPublicKey) {
					t.Errorf("public key %T: got %v, want ErrPublicKey", signer.Public(), err)
				}
			}
		}
		for _, public := range []crypto.PublicKey{nil, "key", ed25519.PublicKey{}, ed448.PublicKey{}, (*ecdsa.PublicKey)(nil), &ecdsa.PublicKey{}} {
			if _, err := s.SignaturePublicKey(public); !errors.Is(err, ErrPublicKey) {
				t.Errorf("public key %T: got %v, want ErrPublicKey", public, err)
			}
		}
	})
}

func TestSignersSurviveSerialisation(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s *Suite) {
		signer, public := mustSigner(t, s)
		private, err := s.MarshalSigner(signer)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := s.ParseSigner(private)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.SignaturePublicKey(parsed.Public())
		if err != nil || !bytes.Equal(got, public) {
			t.Errorf("the parsed key differs, %v", err)
		}
		again, _ := mustSigner(t, s)
		if got, err := s.MarshalSigner(again); err != nil || !bytes.Equal(got, private) {
			t.Errorf("the same octets gave another key, %v", err)
		}
		bad := [][]byte{nil, {}, append(bytes.Clone(private), 0)}
		if _, ok := s.sig.(ecdsaScheme); ok {
			bad = append(bad, make([]byte, len(private)), bytes.Repeat([]byte{0xff}, len(private)))
		}
		for i, b := range bad {
			if _, err := s.ParseSigner(b); !errors.Is(err, ErrPrivateKey) {
				t.Errorf("bad key %d: got %v, want ErrPrivateKey", i, err)
			}
		}
	})
}

// No official vector covers ML-DSA: what is signed is SignContent as RFC 9420,
// Section 5.1.2, spells it, by pure ML-DSA with an empty context.
func TestMLDSASignsTheContentWithAnEmptyContext(t *testing.T) {
	message := append([]byte{13}, "MLS 1.0 Label\x07content"...)
	seed := [32]byte{1, 2, 3}
	for id, verify := range map[ID]func(public, signature []byte) bool{
		MLS_128_MLKEM768X25519_CHACHA20POLY1305_SHA384_MLDSA44: func(public, signature []byte) bool {
			derived, _ := mldsa44.NewKeyFromSeed(&seed)
			return bytes.Equal(derived.Bytes(), public) && mldsa44.Verify(derived, message, nil, signature)
		},
		MLS_192_MLKEM768_AES256GCM_SHA384_MLDSA65: func(public, signature []byte) bool {
			derived, _ := mldsa65.NewKeyFromSeed(&seed)
			return bytes.Equal(derived.Bytes(), public) && mldsa65.Verify(derived, message, nil, signature)
		},
		MLS_256_MLKEM1024_AES256GCM_SHA384_MLDSA87: func(public, signature []byte) bool {
			derived, _ := mldsa87.NewKeyFromSeed(&seed)
			return bytes.Equal(derived.Bytes(), public) && mldsa87.Verify(derived, message, nil, signature)
		},
	} {
		s, err := Default().Lookup(id)
		if err != nil {
			t.Fatal(err)
		}
		signer, err := s.ParseSigner(seed[:])
		if err != nil {
			t.Fatal(err)
		}
		public, err := s.SignaturePublicKey(signer.Public())
		if err != nil {
			t.Fatal(err)
		}
		signature, err := s.SignWithLabel(nil, signer, "Label", []byte("content"))
		if err != nil {
			t.Fatal(err)
		}
		if !verify(public, signature) {
			t.Errorf("%v: the signature is over something else", s)
		}
	}
}

func TestSignaturesWithoutAReaderAreDeterministic(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s *Suite) {
		signer, _ := mustSigner(t, s)
		sign := func(rand io.Reader) []byte {
			t.Helper()
			signature, err := s.SignWithLabel(rand, signer, "l", []byte("content"))
			if err != nil {
				t.Fatal(err)
			}
			return signature
		}
		if !bytes.Equal(sign(nil), sign(nil)) {
			t.Error("two signatures differ")
		}
		// What the documentation says of readers.
		_, random := s.sig.(ecdsaScheme)
		if bytes.Equal(sign(testRand(t)), sign(testRand(t))) == random {
			t.Errorf("signatures under equal readers differ: %v, want %v", !random, random)
		}
	})
}

type brokenSigner struct{ crypto.Signer }

var errBroken = errors.New("broken")

func (brokenSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errBroken
}

func TestASignersErrorIsReported(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s *Suite) {
		signer, _ := mustSigner(t, s)
		if _, err := s.SignWithLabel(testRand(t), brokenSigner{signer}, "l", nil); !errors.Is(err, errBroken) {
			t.Errorf("got %v", err)
		}
	})
}

// A source that never holds a scalar in range must not be read for ever.
func TestECDSAKeyGenerationIsBounded(t *testing.T) {
	s, _ := Default().Lookup(MLS_128_DHKEMP256_AES128GCM_SHA256_P256)
	if _, err := s.GenerateSigner(zeros{}); !errors.Is(err, ErrPrivateKey) {
		t.Errorf("got %v, want ErrPrivateKey", err)
	}
	h, _ := Default().Lookup(MLS_128_MLKEM768P256_AES128GCM_SHA256_P256)
	if _, _, err := h.EncryptWithLabel(zeros{}, mustHPKEKey(t, h).PublicKey(), "l", nil, nil); err == nil {
		t.Error("an ephemeral key of zero was accepted")
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }
