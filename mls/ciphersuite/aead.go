package ciphersuite

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// All AEADs of HPKE have these sizes (RFC 9180, Section 7.3).
const (
	nonceSize = 12
	tagSize   = 16
)

// An aead is one of HPKE's AEAD algorithms (RFC 9180, Section 7.3).
type aead struct {
	id      uint16
	keySize int
	open    func(key []byte) (cipher.AEAD, error)
}

var (
	aes128GCM        = &aead{0x0001, 16, newGCM}
	aes256GCM        = &aead{0x0002, 32, newGCM}
	chaCha20Poly1305 = &aead{0x0003, chacha20poly1305.KeySize, chacha20poly1305.New}
)

func (a *aead) new(key []byte) (cipher.AEAD, error) {
	if len(key) != a.keySize {
		return nil, fmt.Errorf("ciphersuite: AEAD key of %d octets, want %d", len(key), a.keySize)
	}
	return a.open(key)
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
