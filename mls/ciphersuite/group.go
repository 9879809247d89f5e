package ciphersuite

import (
	"crypto/ecdh"
	"fmt"
)

// A group does Diffie-Hellman over encoded points.
type group interface {
	scalarSize() int
	pointSize() int
	// newKey returns the key with a scalar of scalarSize octets. It fails if
	// the scalar is out of range. It does not keep scalar.
	newKey(scalar []byte) (groupKey, error)
	validate(point []byte) error
}

// A groupKey is a scalar of a [group], with its point.
type groupKey interface {
	public() []byte
	bytes() []byte
	// shared is the Diffie-Hellman value with point. It fails if that is not
	// a valid point, or if the value is the group's zero.
	shared(point []byte) ([]byte, error)
	erase()
}

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

func (c ecdhCurve) newKey(scalar []byte) (groupKey, error) {
	k, err := c.curve.NewPrivateKey(scalar)
	if err != nil {
		return nil, fmt.Errorf("%w: %v scalar is out of range or not of %d octets", ErrPrivateKey, c.curve, c.scalarOctets)
	}
	return ecdhKey{k}, nil
}

func (c ecdhCurve) validate(point []byte) error {
	_, err := c.parse(point)
	return err
}

func (c ecdhCurve) parse(point []byte) (*ecdh.PublicKey, error) {
	p, err := c.curve.NewPublicKey(point)
	if err != nil {
		return nil, fmt.Errorf("%w: %d octets are not a %v point", ErrPublicKey, len(point), c.curve)
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

func (k ecdhKey) shared(point []byte) ([]byte, error) {
	p, err := k.key.Curve().NewPublicKey(point)
	if err != nil {
		return nil, fmt.Errorf("%w: %d octets are not a %v point", ErrPublicKey, len(point), k.key.Curve())
	}
	secret, err := k.key.ECDH(p)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrPublicKey, k.key.Curve())
	}
	return secret, nil
}
