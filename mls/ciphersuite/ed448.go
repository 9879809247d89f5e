package ciphersuite

import (
	"bytes"
	"crypto"
	"fmt"
	"io"

	"github.com/cloudflare/circl/ecc/goldilocks"
	"github.com/cloudflare/circl/sign/ed448"
)

// ed448Scheme is ed448 of TLS (RFC 8446, Section 4.2.3), of circl.
type ed448Scheme struct{}

func (e ed448Scheme) generate(rand io.Reader) (crypto.Signer, error) {
	seed, err := readRandom(rand, ed448.SeedSize)
	if err != nil {
		return nil, err
	}
	defer clear(seed)
	return e.parse(seed)
}

func (ed448Scheme) parse(seed []byte) (crypto.Signer, error) {
	if len(seed) != ed448.SeedSize {
		return nil, fmt.Errorf("%w: Ed448 seed of %d octets, want %d", ErrPrivateKey, len(seed), ed448.SeedSize)
	}
	return ed448.NewKeyFromSeed(seed), nil
}

func (ed448Scheme) marshal(signer crypto.Signer) ([]byte, error) {
	key, ok := signer.(ed448.PrivateKey)
	if !ok || len(key) != ed448.PrivateKeySize {
		return nil, fmt.Errorf("%w: %T, want an ed448.PrivateKey", ErrPrivateKey, signer)
	}
	return key.Seed(), nil
}

func (ed448Scheme) encode(public crypto.PublicKey) ([]byte, error) {
	key, ok := public.(ed448.PublicKey)
	if !ok || len(key) != ed448.PublicKeySize {
		return nil, fmt.Errorf("%w: %T, want an ed448.PublicKey", ErrPublicKey, public)
	}
	return bytes.Clone(key), nil
}

func (ed448Scheme) newPublicKey(b []byte) (verifier, error) {
	if len(b) != ed448.PublicKeySize {
		return nil, fmt.Errorf("%w: Ed448 key of %d octets, want %d", ErrPublicKey, len(b), ed448.PublicKeySize)
	}
	p, err := goldilocks.FromBytes(b)
	if err != nil {
		return nil, fmt.Errorf("%w: not a point of Ed448", ErrPublicKey)
	}
	// Four times a point of low order is the identity.
	p.Double()
	p.Double()
	var multiple [ed448.PublicKeySize]byte
	if err := p.ToBytes(multiple[:]); err != nil || multiple == ed448Identity {
		return nil, fmt.Errorf("%w: Ed448 key of low order", ErrPublicKey)
	}
	return ed448Key(b), nil
}

var ed448Identity = [ed448.PublicKeySize]byte{1}

func (e ed448Scheme) validate(b []byte) error {
	_, err := e.newPublicKey(b)
	return err
}

func (ed448Scheme) accepts(signer crypto.Signer) bool {
	if key, ok := signer.(ed448.PrivateKey); ok {
		return len(key) == ed448.PrivateKeySize
	}
	key, ok := signer.Public().(ed448.PublicKey)
	return ok && len(key) == ed448.PublicKeySize
}

func (ed448Scheme) sign(rand io.Reader, signer crypto.Signer, message []byte) ([]byte, error) {
	return signer.Sign(rand, message, crypto.Hash(0))
}

type ed448Key ed448.PublicKey

func (k ed448Key) verify(message, signature []byte) error {
	if !ed448.Verify(ed448.PublicKey(k), message, signature, "") {
		return ErrSignature
	}
	return nil
}
