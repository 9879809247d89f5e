package ciphersuite

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"fmt"
	"io"
	"slices"
	"sync"
)

// ed25519Scheme is ed25519 of TLS (RFC 8446, Section 4.2.3).
type ed25519Scheme struct{}

func (e ed25519Scheme) generate(rand io.Reader) (crypto.Signer, error) {
	seed, err := readRandom(rand, ed25519.SeedSize)
	if err != nil {
		return nil, err
	}
	defer clear(seed)
	return e.parse(seed)
}

func (ed25519Scheme) parse(seed []byte) (crypto.Signer, error) {
	if len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("%w: Ed25519 seed of %d octets, want %d", ErrPrivateKey, len(seed), ed25519.SeedSize)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

func (ed25519Scheme) marshal(signer crypto.Signer) ([]byte, error) {
	key, ok := signer.(ed25519.PrivateKey)
	if !ok || len(key) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("%w: %T, want an ed25519.PrivateKey", ErrPrivateKey, signer)
	}
	return key.Seed(), nil
}

func (ed25519Scheme) encode(public crypto.PublicKey) ([]byte, error) {
	key, ok := public.(ed25519.PublicKey)
	if !ok || len(key) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("%w: %T, want an ed25519.PublicKey", ErrPublicKey, public)
	}
	return bytes.Clone(key), nil
}

func (ed25519Scheme) newPublicKey(b []byte) (verifier, error) {
	if len(b) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("%w: Ed25519 key of %d octets, want %d", ErrPublicKey, len(b), ed25519.PublicKeySize)
	}
	y := [ed25519.PublicKeySize]byte(b)
	y[31] &= 0x7f // the sign of x
	switch {
	case slices.Contains(ed25519LowOrder[:], y):
		return nil, fmt.Errorf("%w: Ed25519 key of low order", ErrPublicKey)
	case y[31] == 0x7f && y[0] >= 0xed && bytes.Count(y[1:31], []byte{0xff}) == 30:
		return nil, fmt.Errorf("%w: Ed25519 key is not reduced", ErrPublicKey)
	}
	return ed25519Key(b), nil
}

// ed25519LowOrder are the y coordinates of the points of order 1, 2, 4 and 8:
// 1, p-1, 0 and two more.
var ed25519LowOrder = [...][ed25519.PublicKeySize]byte{
	{1},
	x25519AroundP(-1),
	{},
	{0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05},
	{0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a},
}

func (e ed25519Scheme) validate(b []byte) error {
	k, err := e.newPublicKey(b)
	if err != nil {
		return err
	}
	return k.(ed25519Key).checkPoint()
}

func (ed25519Scheme) accepts(signer crypto.Signer) bool {
	if key, ok := signer.(ed25519.PrivateKey); ok {
		return len(key) == ed25519.PrivateKeySize
	}
	key, ok := signer.Public().(ed25519.PublicKey)
	return ok && len(key) == ed25519.PublicKeySize
}

func (ed25519Scheme) sign(rand io.Reader, signer crypto.Signer, message []byte) ([]byte, error) {
	return signer.Sign(rand, message, crypto.Hash(0))
}

type ed25519Key ed25519.PublicKey

func (k ed25519Key) verify(message, signature []byte) error {
	if verifyEd25519(ed25519.PublicKey(k), message, signature) {
		return nil
	}
	if err := k.checkPoint(); err != nil {
		return err
	}
	return ErrSignature
}

// checkPoint reports whether k is a point on the curve. The standard library
// decodes points only to verify with them, which it does first: that it goes on
// to refuse an absent signature says that it could.
func (k ed25519Key) checkPoint() error {
	if refusal := ed25519.VerifyWithOptions(ed25519.PublicKey(k), nil, nil, &ed25519.Options{}); refusal.Error() != absentSignature() {
		return fmt.Errorf("%w: not a point of Ed25519", ErrPublicKey)
	}
	return nil
}

// absentSignature returns how the standard library refuses an absent signature
// under a key that is a point.
var absentSignature = sync.OnceValue(func() string {
	basePoint := bytes.Repeat([]byte{0x66}, ed25519.PublicKeySize)
	basePoint[0] = 0x58
	return ed25519.VerifyWithOptions(basePoint, nil, nil, &ed25519.Options{}).Error()
})
