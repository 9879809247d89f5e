package main

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"math/rand/v2"
)

// blockSize is the size of the blocks in which data is made and sent.
const blockSize = 64 << 10

// A source is a file of any length that need not be kept: its bytes can be made
// again from any position, for what a cut connection has lost.
type source struct {
	seed [32]byte
}

// block fills b with block i.
func (s source) block(i int64, b *[blockSize]byte) {
	seed := s.seed
	binary.BigEndian.PutUint64(seed[24:], uint64(i))
	// Not a cryptographic use: the data only has to be incompressible.
	rand.NewChaCha8(seed).Read(b[:])
}

// hash returns the SHA-256 hash of the first n bytes.
func (s source) hash(n int64) [sha256.Size]byte {
	h := sha256.New()
	var b [blockSize]byte
	for i := int64(0); n > 0; i++ {
		s.block(i, &b)
		take := min(n, blockSize)
		h.Write(b[:take])
		n -= take
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// A sink hashes what arrives, over all connections.
type sink struct {
	hash hash.Hash
	n    int64
}

func newSink() *sink { return &sink{hash: sha256.New()} }

func (s *sink) Write(b []byte) (int, error) {
	s.n += int64(len(b))
	return s.hash.Write(b)
}

func (s *sink) sum() [sha256.Size]byte { return [sha256.Size]byte(s.hash.Sum(nil)) }
