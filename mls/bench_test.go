package mls

import (
	"testing"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// forEachBenchSuite runs a benchmark for the default suite and for its hybrid
// post-quantum counterpart.
func forEachBenchSuite(b *testing.B, bench func(*testing.B, ciphersuite.ID)) {
	for _, id := range []ciphersuite.ID{suite1, ciphersuite.MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519} {
		b.Run(id.String(), func(b *testing.B) {
			b.ReportAllocs()
			bench(b, id)
		})
	}
}

// A handshake: key package, new group, add, Welcome, join.
func BenchmarkHandshake(b *testing.B) {
	forEachBenchSuite(b, func(b *testing.B, id ciphersuite.ID) {
		c := emptyCrowd(b, id)
		alice, bob := c.newClient(), c.newClient()
		for b.Loop() {
			bundle, err := NewKeyPackage(bob.cfg, KeyPackageOptions{Suite: id, Identity: bob.id})
			if err != nil {
				b.Fatal(err)
			}
			g, err := NewGroup(alice.cfg, GroupOptions{Suite: id, Identity: alice.id})
			if err != nil {
				b.Fatal(err)
			}
			k, err := ParseKeyPackage(bundle.Message())
			if err != nil {
				b.Fatal(err)
			}
			verified, err := k.Verify(alice.cfg)
			if err != nil {
				b.Fatal(err)
			}
			pending, err := g.Commit(CommitOptions{Proposals: []Proposal{&Add{verified}}})
			if err != nil {
				b.Fatal(err)
			}
			if _, err := Join(bob.cfg, pending.Welcome(), bundle, JoinOptions{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkCommit(b *testing.B) {
	forEachBenchSuite(b, func(b *testing.B, id ciphersuite.ID) {
		g := newCrowd(b, id, 2).members[0].g
		for b.Loop() {
			pending, err := g.Commit(CommitOptions{WireFormat: WireFormatPublicMessage})
			if err != nil {
				b.Fatal(err)
			}
			pending.Erase()
		}
	})
}

func BenchmarkProcessCommit(b *testing.B) {
	forEachBenchSuite(b, func(b *testing.B, id ciphersuite.ID) {
		c := newCrowd(b, id, 2)
		pending, err := c.members[0].g.Commit(CommitOptions{WireFormat: WireFormatPublicMessage})
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			received, err := c.members[1].g.Process(pending.Message())
			if err != nil {
				b.Fatal(err)
			}
			received.(*ReceivedCommit).Erase()
		}
	})
}

func BenchmarkProtectAndProcess1KiB(b *testing.B) {
	forEachBenchSuite(b, func(b *testing.B, id ciphersuite.ID) {
		c := newCrowd(b, id, 2)
		data := make([]byte, 1024)
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			message, err := c.members[0].g.Protect(data, nil)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := c.members[1].g.Process(message); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkMarshalAndRestore(b *testing.B) {
	forEachBenchSuite(b, func(b *testing.B, id ciphersuite.ID) {
		m := newCrowd(b, id, 2).members[0]
		for b.Loop() {
			state, err := m.g.Marshal()
			if err != nil {
				b.Fatal(err)
			}
			if _, err := RestoreGroup(m.cfg, m.id.Signer, state); err != nil {
				b.Fatal(err)
			}
		}
	})
}
