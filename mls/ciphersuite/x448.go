package ciphersuite

import (
	"fmt"
	"slices"

	"github.com/cloudflare/circl/dh/x448"
)

// curve448 is X448 (RFC 7748) of circl.
type curve448 struct{}

func (curve448) scalarSize() int { return x448.Size }
func (curve448) pointSize() int  { return x448.Size }

func (curve448) newKey(scalar, point []byte) (groupKey, error) {
	if len(scalar) != x448.Size {
		return nil, fmt.Errorf("%w: X448 scalar of %d octets, want %d", ErrPrivateKey, len(scalar), x448.Size)
	}
	if point != nil && len(point) != x448.Size {
		return nil, fmt.Errorf("%w: X448 point of %d octets, want %d", ErrPrivateKey, len(point), x448.Size)
	}
	k := new(x448Key)
	copy(k.scalar[:], scalar)
	// RFC 9180, Section 7.1.2 wants private keys clamped.
	k.scalar[0] &= 252
	k.scalar[55] |= 128
	if point == nil {
		x448.KeyGen(&k.point, &k.scalar)
	} else {
		copy(k.point[:], point)
	}
	return k, nil
}

// x448LowOrder are the points that every scalar takes to zero, in all
// encodings: 0, 1, p-1, p and p+1.
var x448LowOrder = [...]x448.Key{{}, {1}, x448AroundP(-1), x448AroundP(0), x448AroundP(1)}

// x448AroundP encodes 2^448-2^224-1+delta; delta is at most 1.
func x448AroundP(delta int) (k x448.Key) {
	for i := range k {
		k[i] = 0xff
	}
	k[28] = 0xfe
	switch delta {
	case -1:
		k[0] = 0xfe
	case 1: // carries
		clear(k[:28])
		k[28] = 0xff
	}
	return k
}

// newPoint takes encodings that are not reduced, as RFC 7748, Section 5
// demands.
func (curve448) newPoint(b []byte) (point, error) {
	if len(b) != x448.Size {
		return nil, fmt.Errorf("%w: X448 point of %d octets, want %d", ErrPublicKey, len(b), x448.Size)
	}
	p := (*x448.Key)(b)
	if slices.Contains(x448LowOrder[:], *p) {
		return nil, fmt.Errorf("%w: X448 point of low order", ErrPublicKey)
	}
	return p, nil
}

type x448Key struct {
	scalar, point x448.Key
}

func (k *x448Key) public() []byte { return k.point[:] }
func (k *x448Key) bytes() []byte  { return k.scalar[:] }
func (k *x448Key) erase()         { clear(k.scalar[:]) }

func (k *x448Key) shared(p point) ([]byte, error) {
	var secret x448.Key
	if !x448.Shared(&secret, &k.scalar, p.(*x448.Key)) {
		return nil, fmt.Errorf("%w: X448 point of low order", ErrPublicKey)
	}
	return secret[:], nil
}
