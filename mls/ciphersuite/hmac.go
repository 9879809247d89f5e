package ciphersuite

import (
	"crypto/sha512"
	"crypto/subtle"
	"hash"
)

// A mac computes HMACs (RFC 2104) with a hash of the standard library. It takes one
// key after the other and forgets them, which crypto/hmac does not: that allocates
// five objects for each key and leaves the key in them. Few keys of MLS are used more
// than twice, so that nothing is lost by not keeping the states that a key leads to.
type mac struct {
	hash         hash.Hash
	inner, outer [sha512.BlockSize]byte // what the hash begins with
	sum          [sha512.Size]byte
}

var innerPad, outerPad = repeated(0x36), repeated(0x5c)

func repeated(octet byte) (block [sha512.BlockSize]byte) {
	for i := range block {
		block[i] = octet
	}
	return block
}

// setKey takes a key, of any length, and does not keep it.
func (m *mac) setKey(key []byte) {
	size := m.hash.BlockSize()
	if len(key) > size {
		m.hash.Reset()
		m.hash.Write(key)
		key = m.hash.Sum(m.sum[:0])
	}
	clear(m.inner[copy(m.inner[:], key):])
	subtle.XORBytes(m.outer[:], m.inner[:], outerPad[:])
	subtle.XORBytes(m.inner[:], m.inner[:], innerPad[:])
}

// begin begins a message, which then is written to the hash.
func (m *mac) begin() {
	m.hash.Reset()
	m.hash.Write(m.inner[:m.hash.BlockSize()])
}

// finish appends the message's MAC to dst.
func (m *mac) finish(dst []byte) []byte {
	sum := m.hash.Sum(m.sum[:0])
	m.hash.Reset()
	m.hash.Write(m.outer[:m.hash.BlockSize()])
	m.hash.Write(sum)
	return m.hash.Sum(dst)
}

// append appends the MAC of data to dst.
func (m *mac) append(dst []byte, data ...[]byte) []byte {
	m.begin()
	for _, d := range data {
		m.hash.Write(d)
	}
	return m.finish(dst)
}

// forget overwrites the key and what was made of it. A hash keeps its last,
// unfinished block until there is another.
func (m *mac) forget() {
	clear(m.inner[:])
	clear(m.outer[:])
	clear(m.sum[:])
	m.hash.Reset()
	m.hash.Write(m.inner[:m.hash.BlockSize()-1])
	m.hash.Reset()
}
