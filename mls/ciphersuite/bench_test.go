package ciphersuite

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/sha256"
	"runtime"
	"testing"

	circl "github.com/cloudflare/circl/hpke"
	"github.com/cloudflare/circl/sign"
	"github.com/cloudflare/circl/sign/ed448"
)

// loop measures op, allocations included.
func loop(b *testing.B, name string, op func()) {
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			op()
		}
	})
}

// BenchmarkHPKE compares this package with crypto/hpke, and with circl/hpke
// where that has the KEM. All use kept keys; "parse" is what that saves.
func BenchmarkHPKE(b *testing.B) {
	message, info := make([]byte, 32), make([]byte, 100)
	for _, id := range []ID{1, 2, 7, 5, 4, 0xF001, 0xF003, 0xF005, 0xF006, 0xF008} {
		s, _ := Default().Lookup(id)
		rand := testRand(b)
		k := mustHPKEKey(b, s)
		public, err := s.ParseHPKEPublicKey(k.PublicKey())
		if err != nil {
			b.Fatal(err)
		}
		enc, ciphertext, err := public.Seal(rand, info, nil, message)
		if err != nil {
			b.Fatal(err)
		}
		ikm := make([]byte, s.kem.privateKeySize())
		name := s.String()
		loop(b, name+"/ours/derive", func() { s.DeriveHPKEKeyPair(ikm) })
		loop(b, name+"/ours/parse", func() { s.ParseHPKEPublicKey(k.PublicKey()) })
		scalar := k.Bytes()
		loop(b, name+"/ours/parse private", func() { s.ParseHPKEPrivateKey(scalar) })
		loop(b, name+"/ours/parse pair", func() { s.ParseHPKEKeyPair(scalar, k.PublicKey()) })
		loop(b, name+"/ours/seal", func() { public.Seal(rand, info, nil, message) })
		loop(b, name+"/ours/open", func() { s.Open(k, enc, info, nil, ciphertext) })

		if s.kem != dhkemX448 {
			kem, kdf, aead := stdSuite(b, s)
			key, err := kem.NewPrivateKey(k.Bytes())
			if err != nil {
				b.Fatal(err)
			}
			loop(b, name+"/std/derive", func() { kem.DeriveKeyPair(ikm) })
			loop(b, name+"/std/parse", func() { kem.NewPublicKey(k.PublicKey()) })
			loop(b, name+"/std/seal", func() {
				_, sender, _ := hpke.NewSender(key.PublicKey(), kdf, aead, info)
				sender.Seal(nil, message)
			})
			loop(b, name+"/std/open", func() {
				r, _ := hpke.NewRecipient(enc, key, kdf, aead, info)
				r.Open(nil, ciphertext)
			})
		}

		circlKEM := circl.KEM(s.kem.id())
		if !circlKEM.IsValid() {
			continue
		}
		suite := circl.NewSuite(circlKEM, circl.KDF(s.kdf.id), circl.AEAD(s.aead.id))
		theirs, private := circlKEM.Scheme().DeriveKeyPair(make([]byte, circlKEM.Scheme().SeedSize()))
		sender, _ := suite.NewSender(theirs, info)
		enc2, sealer, _ := sender.Setup(rand)
		ciphertext2, _ := sealer.Seal(message, nil)
		loop(b, name+"/circl/seal", func() {
			sender, _ := suite.NewSender(theirs, info)
			_, sealer, _ := sender.Setup(rand)
			sealer.Seal(message, nil)
		})
		loop(b, name+"/circl/open", func() {
			receiver, _ := suite.NewReceiver(private, info)
			opener, _ := receiver.Setup(enc2)
			opener.Open(ciphertext2, nil)
		})
	}
}

// BenchmarkAfterMLKEM shows what circl's ML-KEM costs the code that runs next,
// with and without leaveAVX2.
func BenchmarkAfterMLKEM(b *testing.B) {
	seed, data := make([]byte, mlkemSeedSize), make([]byte, 1024)
	for _, c := range []struct {
		name string
		op   func()
	}{
		{"nothing", func() {}},
		{"circl", func() { params768.scheme.DeriveKeyPair(seed) }},
		{"ours", func() { params768.expand(seed) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				c.op()
			}
		})
		b.Run(c.name+", SHA-256 of 1 KiB", func(b *testing.B) {
			for b.Loop() {
				c.op()
				sha256.Sum256(data)
			}
		})
	}
}

// BenchmarkExpand compares the KDF with crypto/hkdf.
func BenchmarkExpand(b *testing.B) {
	s, _ := Default().Lookup(1)
	secret, context, info := make([]byte, 32), make([]byte, 32), make([]byte, 46)
	loop(b, "ours/with label", func() { s.ExpandWithLabel(secret, "key", context, 32) })
	loop(b, "ours/tree secret", func() { s.DeriveTreeSecret(secret, "key", 7, 16) })
	loop(b, "ours/expand", func() { s.Expand(secret, info, 32) })
	loop(b, "std/expand", func() { hkdf.Expand(s.NewHash, secret, string(info), 32) })
	loop(b, "ours/extract", func() { s.Extract(secret, info) })
	loop(b, "std/extract", func() { hkdf.Extract(s.NewHash, info, secret) })
	loop(b, "ours/hash", func() { s.Hash(info) })
	loop(b, "std/hash", func() { sha256.Sum256(info) })
}

// BenchmarkSignature compares this package with the libraries below it. All use
// kept keys; "parse" is what that saves.
func BenchmarkSignature(b *testing.B) {
	for _, id := range []ID{1, 2, 7, 5, 4, 0xF009, 0xF00A, 0xF00B} {
		s, _ := Default().Lookup(id)
		signer, encoded := mustSigner(b, s)
		content := make([]byte, 300)
		message := newSignContent("l", content).octets
		signature, err := s.SignWithLabel(nil, signer, "l", content)
		if err != nil {
			b.Fatal(err)
		}
		public, err := s.ParseSignaturePublicKey(encoded)
		if err != nil {
			b.Fatal(err)
		}
		name := s.String()
		loop(b, name+"/ours/parse", func() { s.ParseSignaturePublicKey(encoded) })
		loop(b, name+"/ours/sign", func() { s.SignWithLabel(nil, signer, "l", content) })
		loop(b, name+"/ours/verify", func() { public.VerifyWithLabel("l", content, signature) })

		hash, verify := bareVerifier(signer, message, signature)
		loop(b, name+"/bare/sign", func() {
			signed := message
			if hash != 0 {
				h := hash.New()
				h.Write(message)
				signed = h.Sum(nil)
			}
			signer.Sign(nil, signed, hash)
		})
		loop(b, name+"/bare/verify", func() { verify() })
	}
}

// bareVerifier returns the hash that a library wants to be given, and its
// verification of signature.
func bareVerifier(signer crypto.Signer, message, signature []byte) (crypto.Hash, func() bool) {
	switch public := signer.Public().(type) {
	case ed25519.PublicKey:
		return 0, func() bool { return ed25519.Verify(public, message, signature) }
	case ed448.PublicKey:
		return 0, func() bool { return ed448.Verify(public, message, signature, "") }
	case *ecdsa.PublicKey:
		hash := map[int]crypto.Hash{256: crypto.SHA256, 384: crypto.SHA384, 521: crypto.SHA512}[public.Curve.Params().BitSize]
		return hash, func() bool {
			h := hash.New()
			h.Write(message)
			return ecdsa.VerifyASN1(public, h.Sum(nil), signature)
		}
	default:
		public2 := public.(sign.PublicKey)
		return 0, func() bool {
			defer leaveAVX2()
			return public2.Scheme().Verify(public2, message, signature, nil)
		}
	}
}

// BenchmarkKeptKey measures how much heap a private key holds.
func BenchmarkKeptKey(b *testing.B) {
	for _, id := range []ID{1, 2, 7, 5, 4, 0xF001, 0xF003, 0xF005, 0xF006, 0xF008} {
		s, _ := Default().Lookup(id)
		b.Run(s.String(), func(b *testing.B) {
			rand := testRand(b)
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			keys := make([]*HPKEPrivateKey, b.N)
			for i := range keys {
				keys[i], _ = s.GenerateHPKEKeyPair(rand)
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			runtime.KeepAlive(keys)
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(b.N), "B/key")
		})
	}
}
