package ciphersuite

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"io"
	"testing"
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

func TestSignaturePublicKeysAreValidated(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s *Suite) {
		_, public := mustSigner(t, s)
		bad := [][]byte{nil, {}, public[:len(public)-1], append(bytes.Clone(public), 0)}
		if _, ok := s.sig.(ecdsaScheme); ok {
			off := bytes.Clone(public)
			off[len(off)-1] ^= 1
			compressed := append([]byte{2 + public[len(public)-1]&1}, public[1:1+len(public)/2]...)
			bad = append(bad, off, compressed, []byte{0})
		}
		for i, b := range bad {
			if err := s.ValidateSignaturePublicKey(b); !errors.Is(err, ErrPublicKey) {
				t.Errorf("bad key %d: validation says %v, want ErrPublicKey", i, err)
			}
			if err := s.VerifyWithLabel(b, "l", nil, make([]byte, 64)); !errors.Is(err, ErrPublicKey) {
				t.Errorf("bad key %d: verification says %v, want ErrPublicKey", i, err)
			}
		}
	})
}

func TestSignersOfAnotherSchemeAreRefused(t *testing.T) {
	p224, err := ecdsa.GenerateKey(elliptic.P224(), nil)
	if err != nil {
		t.Fatal(err)
	}
	foreign := []crypto.Signer{p224, &rsa.PrivateKey{}, nil}
	forEachSuite(t, func(t *testing.T, s *Suite) {
		foreign := foreign
		for _, id := range []ID{1, 2, 5, 7} {
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
		for _, public := range []crypto.PublicKey{nil, "key", ed25519.PublicKey{}, (*ecdsa.PublicKey)(nil), &ecdsa.PublicKey{}} {
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
