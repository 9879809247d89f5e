//go:build !circl

package ciphersuite

import (
	"crypto"
	std "crypto/mlkem"
	"fmt"
	"io"
)

var (
	mlkem768 mlkem = stdMLKEM{std.EncapsulationKeySize768, std.CiphertextSize768,
		func(b []byte) (crypto.Encapsulator, error) { return std.NewEncapsulationKey768(b) },
		func(b []byte) (crypto.Decapsulator, error) { return std.NewDecapsulationKey768(b) }}
	mlkem1024 mlkem = stdMLKEM{std.EncapsulationKeySize1024, std.CiphertextSize1024,
		func(b []byte) (crypto.Encapsulator, error) { return std.NewEncapsulationKey1024(b) },
		func(b []byte) (crypto.Decapsulator, error) { return std.NewDecapsulationKey1024(b) }}
)

// stdMLKEM is ML-KEM of crypto/mlkem, which takes no source of randomness.
type stdMLKEM struct {
	ekSize, ctSize int
	newEK          func([]byte) (crypto.Encapsulator, error)
	newDK          func([]byte) (crypto.Decapsulator, error)
}

func (m stdMLKEM) encapsulationKeySize() int { return m.ekSize }
func (m stdMLKEM) ciphertextSize() int       { return m.ctSize }

func (m stdMLKEM) encapsulationKey(seed []byte) ([]byte, error) {
	dk, err := m.newDK(seed)
	if err != nil {
		return nil, err
	}
	return dk.Encapsulator().Bytes(), nil
}

func (m stdMLKEM) validate(ek []byte) error {
	if _, err := m.newEK(ek); err != nil {
		return fmt.Errorf("%w: not an ML-KEM encapsulation key", ErrPublicKey)
	}
	return nil
}

func (m stdMLKEM) encap(_ io.Reader, ek []byte) (secret, ciphertext []byte, err error) {
	k, err := m.newEK(ek)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: not an ML-KEM encapsulation key", ErrPublicKey)
	}
	secret, ciphertext = k.Encapsulate()
	return secret, ciphertext, nil
}

func (m stdMLKEM) decap(seed, ciphertext []byte) ([]byte, error) {
	dk, err := m.newDK(seed)
	if err != nil {
		return nil, fmt.Errorf("%w: not an ML-KEM seed", ErrPrivateKey)
	}
	secret, err := dk.Decapsulate(ciphertext)
	if err != nil {
		return nil, fmt.Errorf("%w: not an ML-KEM ciphertext", ErrKEMOutput)
	}
	return secret, nil
}
