package ciphersuite

import (
	"bytes"
	"errors"
	"testing"
)

// The fuzz targets take a suite's position and octets that a peer may choose.
// Besides not panicking, every refusal must be of its documented kind.

func fuzzSuite(n uint8) *Suite { return builtin[int(n)%len(builtin)] }

func FuzzParseHPKEPrivateKey(f *testing.F) {
	for i := range builtin {
		f.Add(uint8(i), mustHPKEKey(f, builtin[i]).Bytes())
		f.Add(uint8(i), []byte{1})
	}
	f.Fuzz(func(t *testing.T, n uint8, b []byte) {
		s := fuzzSuite(n)
		k, err := s.ParseHPKEPrivateKey(b)
		if err != nil {
			if !errors.Is(err, ErrPrivateKey) {
				t.Fatal(err)
			}
			return
		}
		if err := s.ValidateHPKEPublicKey(k.PublicKey()); err != nil {
			t.Fatal(err)
		}
		again, err := s.ParseHPKEPrivateKey(k.Bytes())
		if err != nil || !bytes.Equal(again.PublicKey(), k.PublicKey()) {
			t.Fatalf("the serialised key differs, %v", err)
		}
	})
}

// What parsing takes, encryption takes; what parsing refuses, nothing takes.
func FuzzParseHPKEPublicKey(f *testing.F) {
	for i := range builtin {
		f.Add(uint8(i), mustHPKEKey(f, builtin[i]).PublicKey())
		f.Add(uint8(i), mustHPKEKey(f, builtin[i]).PublicKey()[1:])
	}
	for i := range lowOrderX25519 {
		f.Add(uint8(0), lowOrderX25519[i])
	}
	for i := range lowOrderX448 {
		f.Add(uint8(3), lowOrderX448[i])
	}
	f.Fuzz(func(t *testing.T, n uint8, b []byte) {
		s := fuzzSuite(n)
		k, err := s.ParseHPKEPublicKey(b)
		if err != nil && !errors.Is(err, ErrPublicKey) {
			t.Fatal(err)
		}
		if invalid := s.ValidateHPKEPublicKey(b); (invalid != nil) != (err != nil) {
			t.Fatalf("parsing says %v, validation %v", err, invalid)
		}
		if _, _, sealErr := s.EncryptWithLabel(testRand(t), b, "l", nil, nil); (sealErr != nil) != (err != nil) {
			t.Fatalf("parsing says %v, encryption %v", err, sealErr)
		}
		if err != nil {
			return
		}
		if _, _, err := k.ExportSender(testRand(t), nil, nil, 32); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzParseSigner(f *testing.F) {
	for i := range builtin {
		signer, _ := mustSigner(f, builtin[i])
		private, err := builtin[i].MarshalSigner(signer)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), private)
		f.Add(uint8(i), private[1:])
	}
	f.Fuzz(func(t *testing.T, n uint8, b []byte) {
		s := fuzzSuite(n)
		signer, err := s.ParseSigner(b)
		if err != nil {
			if !errors.Is(err, ErrPrivateKey) {
				t.Fatal(err)
			}
			return
		}
		public, err := s.SignaturePublicKey(signer.Public())
		if err != nil {
			t.Fatal(err)
		}
		signature, err := s.SignWithLabel(nil, signer, "l", b)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.VerifyWithLabel(public, "l", b, signature); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzDecryptWithLabel(f *testing.F) {
	keys := make([]*HPKEPrivateKey, len(builtin))
	for i := range builtin {
		s := builtin[i]
		keys[i] = mustHPKEKey(f, s)
		kemOutput, ciphertext, err := s.EncryptWithLabel(testRand(f), keys[i].PublicKey(), "l", nil, []byte("m"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), kemOutput, ciphertext[1:])
		f.Add(uint8(i), kemOutput[:len(kemOutput)-1], ciphertext)
	}
	f.Fuzz(func(t *testing.T, n uint8, kemOutput, ciphertext []byte) {
		s := fuzzSuite(n)
		_, err := s.DecryptWithLabel(keys[int(n)%len(builtin)], "l", nil, kemOutput, ciphertext)
		if err != nil && !errors.Is(err, ErrKEMOutput) && !errors.Is(err, ErrDecrypt) {
			t.Fatal(err)
		}
	})
}

func FuzzVerifyWithLabel(f *testing.F) {
	for i := range builtin {
		s := builtin[i]
		signer, public := mustSigner(f, s)
		signature, err := s.SignWithLabel(testRand(f), signer, "l", nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), public, signature)
		f.Add(uint8(i), public[1:], signature[1:])
	}
	f.Fuzz(func(t *testing.T, n uint8, public, signature []byte) {
		s := fuzzSuite(n)
		err := s.VerifyWithLabel(public, "l", nil, signature)
		if err != nil && !errors.Is(err, ErrSignature) && !errors.Is(err, ErrPublicKey) {
			t.Fatal(err)
		}
		if invalid := s.ValidateSignaturePublicKey(public); (invalid != nil) != errors.Is(err, ErrPublicKey) {
			t.Fatalf("validation says %v, verification %v", invalid, err)
		}
	})
}
