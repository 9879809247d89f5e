package ciphersuite

import (
	"crypto/ed25519"

	voi "github.com/oasisprotocol/curve25519-voi/primitives/ed25519"
)

// asStandardLibrary makes curve25519-voi accept exactly what crypto/ed25519 does.
var asStandardLibrary = &voi.Options{Verify: voi.VerifyOptionsStdLib}

// verifyEd25519 is [ed25519.Verify] by curve25519-voi, whose AVX2 code takes three
// quarters of the time. Nothing in it is secret; what is stays with the standard library.
func verifyEd25519(public ed25519.PublicKey, message, signature []byte) bool {
	return voi.VerifyWithOptions(voi.PublicKey(public), message, signature, asStandardLibrary)
}
