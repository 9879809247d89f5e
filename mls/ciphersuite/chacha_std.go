//go:build !circl

package ciphersuite

import (
	"crypto/cipher"
	"errors"
)

// The standard library has no public ChaCha20-Poly1305.
var chaCha20Poly1305 = &aead{0x0003, 32, func([]byte) (cipher.AEAD, error) {
	return nil, errors.New("ciphersuite: built without ChaCha20-Poly1305 (build tag circl)")
}}
