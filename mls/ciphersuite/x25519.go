package ciphersuite

import (
	"fmt"
	"slices"

	"filippo.io/edwards25519"
	"github.com/cloudflare/circl/dh/x25519"
)

// curve25519 is X25519 (RFC 7748) of circl, which is faster than crypto/ecdh.
// Public keys are computed by filippo.io/edwards25519, which is faster still.
type curve25519 struct{}

func (curve25519) scalarSize() int { return x25519.Size }
func (curve25519) pointSize() int  { return x25519.Size }

func (curve25519) newKey(scalar, point []byte) (groupKey, error) {
	if len(scalar) != x25519.Size {
		return nil, fmt.Errorf("%w: X25519 scalar of %d octets, want %d", ErrPrivateKey, len(scalar), x25519.Size)
	}
	if point != nil && len(point) != x25519.Size {
		return nil, fmt.Errorf("%w: X25519 point of %d octets, want %d", ErrPrivateKey, len(point), x25519.Size)
	}
	k := new(x25519Key)
	copy(k.scalar[:], scalar)
	// RFC 9180, Section 7.1.2 wants private keys clamped.
	k.scalar[0] &= 248
	k.scalar[31] = k.scalar[31]&127 | 64
	if point == nil {
		if err := k.multiplyBase(); err != nil {
			return nil, err
		}
	} else {
		copy(k.point[:], point)
	}
	return k, nil
}

// multiplyBase computes the public point, which is X25519(scalar, 9). The base
// point of Ed25519 is the same point by another name (RFC 7748, Section 4.1), and
// there are tables for it: that takes three quarters of the ladder's time.
func (k *x25519Key) multiplyBase() error {
	scalar, err := edwards25519.NewScalar().SetBytesWithClamping(k.scalar[:])
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPrivateKey, err)
	}
	copy(k.point[:], new(edwards25519.Point).ScalarBaseMult(scalar).BytesMontgomery())
	scalar.Set(edwards25519.NewScalar()) // erase it
	return nil
}

// x25519LowOrder are the points that every scalar takes to zero, in all
// encodings but for the highest bit, which X25519 ignores: 0, 1, two of order 8,
// p-1, p and p+1.
var x25519LowOrder = [...]x25519.Key{
	{},
	{1},
	{0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00},
	{0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57},
	x25519AroundP(-1),
	x25519AroundP(0),
	x25519AroundP(1),
}

// x25519AroundP encodes 2^255-19+delta.
func x25519AroundP(delta int8) (k x25519.Key) {
	for i := range k {
		k[i] = 0xff
	}
	k[0], k[31] = byte(0xed+int(delta)), 0x7f
	return k
}

// newPoint takes encodings that are not reduced, as RFC 7748, Section 5
// demands.
func (curve25519) newPoint(b []byte) (point, error) {
	if len(b) != x25519.Size {
		return nil, fmt.Errorf("%w: X25519 point of %d octets, want %d", ErrPublicKey, len(b), x25519.Size)
	}
	u := x25519.Key(b)
	u[31] &= 0x7f
	if slices.Contains(x25519LowOrder[:], u) {
		return nil, fmt.Errorf("%w: X25519 point of low order", ErrPublicKey)
	}
	return (*x25519.Key)(b), nil
}

type x25519Key struct {
	scalar, point x25519.Key
}

func (k *x25519Key) public() []byte { return k.point[:] }
func (k *x25519Key) bytes() []byte  { return k.scalar[:] }
func (k *x25519Key) erase()         { clear(k.scalar[:]) }

func (k *x25519Key) shared(p point) ([]byte, error) {
	var secret x25519.Key
	if !x25519.Shared(&secret, &k.scalar, p.(*x25519.Key)) {
		return nil, fmt.Errorf("%w: X25519 point of low order", ErrPublicKey)
	}
	return secret[:], nil
}
