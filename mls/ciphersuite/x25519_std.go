//go:build !circl

package ciphersuite

import "crypto/ecdh"

var x25519Group group = ecdhCurve{ecdh.X25519(), 32, 32}
