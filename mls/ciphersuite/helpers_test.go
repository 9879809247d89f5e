package ciphersuite

import (
	"hash/fnv"
	"io"
	"math/rand/v2"
	"testing"
)

// testRand is a source of octets that depends on the test's name alone.
func testRand(t testing.TB) io.Reader {
	h := fnv.New64a()
	io.WriteString(h, t.Name())
	var seed [32]byte
	h.Sum(seed[:0])
	return rand.NewChaCha8(seed)
}
