package ciphersuite

import (
	"crypto/ecdh"
	"fmt"
)

// A group does Diffie-Hellman.
type group interface {
	scalarSize() int
	pointSize() int
	// newKey returns the key with a scalar of scalarSize octets. It fails if
	// the scalar is out of range. If point is nil, the point is computed;
	// otherwise it may be taken as given. It keeps neither.
	newKey(scalar, point []byte) (groupKey, error)
	// newPoint reads a point. It fails if b is not a valid one, or if any
	// value agreed on with it would be zero. It keeps b.
	newPoint(b []byte) (point, error)
}

// A groupKey is a scalar of a [group], with its point.
type groupKey interface {
	public() []byte
	bytes() []byte
	// shared is the Diffie-Hellman value with a point of the group. It fails
	// if that is the group's zero.
	shared(p point) ([]byte, error)
	erase()
}

// A point is what a [group]'s newPoint returned.
type point any

// An ecdhCurve is a curve of crypto/ecdh; points are uncompressed.
type ecdhCurve struct {
	curve        ecdh.Curve
	scalarOctets int
	pointOctets  int
}

var (
	curveP256 = ecdhCurve{ecdh.P256(), 32, 65}
	curveP384 = ecdhCurve{ecdh.P384(), 48, 97}
	curveP521 = ecdhCurve{ecdh.P521(), 66, 133}
)

func (c ecdhCurve) scalarSize() int { return c.scalarOctets }
func (c ecdhCurve) pointSize() int  { return c.pointOctets }

// newKey computes the point in any case: crypto/ecdh does.
func (c ecdhCurve) newKey(scalar, _ []byte) (groupKey, error) {
	k, err := c.curve.NewPrivateKey(scalar)
	if err != nil {
		return nil, fmt.Errorf("%w: %v scalar is out of range or not of %d octets", ErrPrivateKey, c.curve, c.scalarOctets)
	}
	return ecdhKey{k}, nil
}

func (c ecdhCurve) newPoint(b []byte) (point, error) {
	p, err := c.curve.NewPublicKey(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %d octets are not a %v point", ErrPublicKey, len(b), c.curve)
	}
	return p, nil
}

type ecdhKey struct {
	key *ecdh.PrivateKey
}

func (k ecdhKey) public() []byte { return k.key.PublicKey().Bytes() }
func (k ecdhKey) bytes() []byte  { return k.key.Bytes() }

// erase does nothing: crypto/ecdh does not let its keys be overwritten.
func (k ecdhKey) erase() {}

func (k ecdhKey) shared(p point) ([]byte, error) {
	secret, err := k.key.ECDH(p.(*ecdh.PublicKey))
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrPublicKey, k.key.Curve())
	}
	return secret, nil
}
