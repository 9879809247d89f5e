//go:build !amd64

package ciphersuite

import "crypto/ed25519"

func verifyEd25519(public ed25519.PublicKey, message, signature []byte) bool {
	return ed25519.Verify(public, message, signature)
}
