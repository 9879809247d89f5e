package channel

import (
	"crypto/rand"
	"testing"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// benchSuites are the fastest suite and the one that is used by default.
var benchSuites = []ciphersuite.ID{suite, ciphersuite.MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519}

// bench runs f with two ends after a full handshake, for each suite.
func bench(b *testing.B, f func(b *testing.B, p, q *peer)) {
	for _, id := range benchSuites {
		b.Run(id.String(), func(b *testing.B) {
			s, err := ciphersuite.Default().Lookup(id)
			if err != nil {
				b.Fatal(err)
			}
			alice, bob := newHost(b, "alice"), newHost(b, "bob")
			for _, h := range []*host{alice, bob} {
				h.cfg.Identity.Signer = must(s.GenerateSigner(rand.Reader))
				h.cfg.Suites = []ciphersuite.ID{id}
			}
			p, q := initiate(b, alice, bob)
			p.start(b)
			settle(b, p, q)
			b.ReportAllocs()
			b.ResetTimer()
			f(b, p, q)
		})
	}
}

// Both ends together.
func BenchmarkHandshake(b *testing.B) {
	bench(b, func(b *testing.B, p, q *peer) {
		for b.Loop() {
			p, q := initiate(b, p.host, q.host)
			p.start(b)
			settle(b, p, q)
		}
	})
}

func BenchmarkUpdate(b *testing.B) {
	bench(b, func(b *testing.B, p, q *peer) {
		for b.Loop() {
			p.update(b, ReasonRequested)
			settle(b, p, q)
			p.updated, q.updated = nil, nil
		}
	})
}

func BenchmarkResumption(b *testing.B) {
	bench(b, func(b *testing.B, p, q *peer) {
		id := p.ID()
		for b.Loop() {
			cut(p, q)
			p, q = resumer(b, p.host, id), listen(b, q.host)
			connect(p, q)
			p.start(b)
			settle(b, p, q)
		}
	})
}
