package ciphersuite

import (
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/sha256"
	"runtime"
	"testing"

	circl "github.com/cloudflare/circl/hpke"
)

// BenchmarkHPKE compares this package with crypto/hpke, and with circl/hpke
// where that has the KEM. "open" includes what parsing a kept key costs.
func BenchmarkHPKE(b *testing.B) {
	message, info := make([]byte, 32), make([]byte, 100)
	for _, id := range []ID{1, 2, 7, 5, 0xF001, 0xF003, 0xF005} {
		s, _ := Default().Lookup(id)
		rand := testRand(b)
		k := mustHPKEKey(b, s)
		enc, ciphertext, err := s.Seal(rand, k.PublicKey(), info, nil, message)
		if err != nil {
			b.Fatal(err)
		}
		ikm := make([]byte, s.kem.privateKeySize())
		b.Run(s.String()+"/ours/derive", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.DeriveHPKEKeyPair(ikm)
			}
		})
		b.Run(s.String()+"/ours/seal", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.Seal(rand, k.PublicKey(), info, nil, message)
			}
		})
		b.Run(s.String()+"/ours/open", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.Open(k, enc, info, nil, ciphertext)
			}
		})

		kem, kdf, aead := stdSuite(b, s)
		key, err := kem.NewPrivateKey(k.Bytes())
		if err != nil {
			b.Fatal(err)
		}
		b.Run(s.String()+"/std/derive", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				kem.DeriveKeyPair(ikm)
			}
		})
		b.Run(s.String()+"/std/seal", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				public, _ := kem.NewPublicKey(k.PublicKey())
				_, sender, _ := hpke.NewSender(public, kdf, aead, info)
				sender.Seal(nil, message)
			}
		})
		b.Run(s.String()+"/std/open", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r, _ := hpke.NewRecipient(enc, key, kdf, aead, info)
				r.Open(nil, ciphertext)
			}
		})

		circlKEM := circl.KEM(s.kem.id())
		if id == 0xF003 || id == 0xF005 {
			continue // not in circl/hpke
		}
		suite := circl.NewSuite(circlKEM, circl.KDF(s.kdf.id), circl.AEAD(s.aead.id))
		public, private := circlKEM.Scheme().DeriveKeyPair(make([]byte, circlKEM.Scheme().SeedSize()))
		encoded, _ := public.MarshalBinary()
		sender, _ := suite.NewSender(public, info)
		enc2, sealer, _ := sender.Setup(rand)
		ciphertext2, _ := sealer.Seal(message, nil)
		b.Run(s.String()+"/circl/seal", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				public, _ := circlKEM.Scheme().UnmarshalBinaryPublicKey(encoded)
				sender, _ := suite.NewSender(public, info)
				_, sealer, _ := sender.Setup(rand)
				sealer.Seal(message, nil)
			}
		})
		b.Run(s.String()+"/circl/open", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				receiver, _ := suite.NewReceiver(private, info)
				opener, _ := receiver.Setup(enc2)
				opener.Open(ciphertext2, nil)
			}
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
	secret, context := make([]byte, 32), make([]byte, 32)
	b.Run("ours/with label", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.ExpandWithLabel(secret, "key", context, 32)
		}
	})
	info := make([]byte, 46)
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Expand(secret, info, 32)
		}
	})
	b.Run("std", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			hkdf.Expand(s.NewHash, secret, string(info), 32)
		}
	})
	b.Run("ours/extract", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Extract(secret, info)
		}
	})
	b.Run("std/extract", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			hkdf.Extract(s.NewHash, info, secret)
		}
	})
}

func BenchmarkSignature(b *testing.B) {
	for _, id := range []ID{1, 2, 7, 5} {
		s, _ := Default().Lookup(id)
		signer, public := mustSigner(b, s)
		content := make([]byte, 300)
		signature, err := s.SignWithLabel(testRand(b), signer, "l", content)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(s.String()+"/sign", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.SignWithLabel(nil, signer, "l", content)
			}
		})
		b.Run(s.String()+"/verify", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.VerifyWithLabel(public, "l", content, signature)
			}
		})
	}
}

// BenchmarkKeptKey measures how much heap a private key holds.
func BenchmarkKeptKey(b *testing.B) {
	for _, id := range []ID{1, 2, 7, 5, 0xF001, 0xF003, 0xF005} {
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
