package ciphersuite

import (
	"fmt"

	"github.com/cloudflare/circl/dh/x25519"
)

// curve25519 is X25519 (RFC 7748) of circl, which is faster than crypto/ecdh.
type curve25519 struct{}

var x25519Group group = curve25519{}

func (curve25519) scalarSize() int { return x25519.Size }
func (curve25519) pointSize() int  { return x25519.Size }

func (curve25519) newKey(scalar []byte) (groupKey, error) {
	if len(scalar) != x25519.Size {
		return nil, fmt.Errorf("%w: X25519 scalar of %d octets, want %d", ErrPrivateKey, len(scalar), x25519.Size)
	}
	k := new(x25519Key)
	copy(k.scalar[:], scalar)
	// RFC 9180, Section 7.1.2 wants private keys clamped.
	k.scalar[0] &= 248
	k.scalar[31] = k.scalar[31]&127 | 64
	x25519.KeyGen(&k.point, &k.scalar)
	return k, nil
}

func (curve25519) validate(point []byte) error {
	if len(point) != x25519.Size {
		return fmt.Errorf("%w: X25519 point of %d octets, want %d", ErrPublicKey, len(point), x25519.Size)
	}
	return nil
}

type x25519Key struct {
	scalar, point x25519.Key
}

func (k *x25519Key) public() []byte { return k.point[:] }
func (k *x25519Key) bytes() []byte  { return k.scalar[:] }
func (k *x25519Key) erase()         { clear(k.scalar[:]) }

func (k *x25519Key) shared(point []byte) ([]byte, error) {
	if err := (curve25519{}).validate(point); err != nil {
		return nil, err
	}
	var secret x25519.Key
	if !x25519.Shared(&secret, &k.scalar, (*x25519.Key)(point)) {
		return nil, fmt.Errorf("%w: X25519 point of low order", ErrPublicKey)
	}
	return secret[:], nil
}
