package secrettree

import "testing"

// The derivations that a message cannot do without, to compare with: the tree
// does them at once, which costs less.
func BenchmarkThreeDerivations(b *testing.B) {
	s := testSuite(b)
	b.ReportAllocs()
	for b.Loop() {
		s.DeriveTreeSecret(testSecret, "key", 0, s.KeySize())
		s.DeriveTreeSecret(testSecret, "nonce", 0, s.NonceSize())
		s.DeriveTreeSecret(testSecret, "secret", 0, s.HashSize())
	}
}

func BenchmarkNext(b *testing.B) {
	tree := New(testSuite(b), testSecret, 2, Limits{})
	b.ReportAllocs()
	for b.Loop() {
		mustNext(b, tree, 0, Application).Discard()
	}
}

func BenchmarkPeekConsume(b *testing.B) {
	tree := New(testSuite(b), testSecret, 2, Limits{})
	b.ReportAllocs()
	for generation := uint32(0); b.Loop(); generation++ {
		mustPeek(b, tree, 0, Application, generation).Consume()
	}
}

// The first message of each member in a new epoch.
func BenchmarkNewEpochOfTwo(b *testing.B) {
	s := testSuite(b)
	b.ReportAllocs()
	for b.Loop() {
		tree := New(s, testSecret, 2, Limits{})
		mustNext(b, tree, 0, Application).Discard()
		mustPeek(b, tree, 1, Application, 0).Consume()
		tree.Erase()
	}
}

// What a forged message costs at most.
func BenchmarkForgedJump(b *testing.B) {
	tree := New(testSuite(b), testSecret, 2, Limits{})
	for b.Loop() {
		mustPeek(b, tree, 0, Application, DefaultMaxForward).Discard()
	}
}

func BenchmarkClone(b *testing.B) {
	tree := usedTree(b, testSuite(b))
	b.ReportAllocs()
	for b.Loop() {
		tree.Clone()
	}
}
