package ciphersuite

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"fmt"
	"io"
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

func (e ed25519Scheme) encode(public crypto.PublicKey) ([]byte, error) {
	key, ok := public.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%w: %T, want an ed25519.PublicKey", ErrPublicKey, public)
	}
	if err := e.validate(key); err != nil {
		return nil, err
	}
	return bytes.Clone(key), nil
}

func (ed25519Scheme) validate(public []byte) error {
	if len(public) != ed25519.PublicKeySize {
		return fmt.Errorf("%w: Ed25519 key of %d octets, want %d", ErrPublicKey, len(public), ed25519.PublicKeySize)
	}
	return nil
}

func (ed25519Scheme) sign(rand io.Reader, signer crypto.Signer, message []byte) ([]byte, error) {
	return signer.Sign(rand, message, crypto.Hash(0))
}

func (e ed25519Scheme) verify(public, message, signature []byte) error {
	if err := e.validate(public); err != nil {
		return err
	}
	if !ed25519.Verify(public, message, signature) {
		return ErrSignature
	}
	return nil
}
