package ciphersuite

import (
	"fmt"
	"io"

	circl "github.com/cloudflare/circl/kem"
	circl1024 "github.com/cloudflare/circl/kem/mlkem/mlkem1024"
	circl768 "github.com/cloudflare/circl/kem/mlkem/mlkem768"
)

var (
	mlkem768  mlkem = circlMLKEM{circl768.Scheme()}
	mlkem1024 mlkem = circlMLKEM{circl1024.Scheme()}
)

// circlMLKEM is ML-KEM of circl, which is faster than crypto/mlkem.
type circlMLKEM struct {
	scheme circl.Scheme
}

func (m circlMLKEM) encapsulationKeySize() int { return m.scheme.PublicKeySize() }
func (m circlMLKEM) ciphertextSize() int       { return m.scheme.CiphertextSize() }

func (m circlMLKEM) encapsulationKey(seed []byte) ([]byte, error) {
	ek, _ := m.scheme.DeriveKeyPair(seed)
	return ek.MarshalBinary()
}

func (m circlMLKEM) validate(ek []byte) error {
	_, err := m.parse(ek)
	return err
}

func (m circlMLKEM) parse(ek []byte) (circl.PublicKey, error) {
	k, err := m.scheme.UnmarshalBinaryPublicKey(ek)
	if err != nil {
		return nil, fmt.Errorf("%w: not an encapsulation key of %s", ErrPublicKey, m.scheme.Name())
	}
	return k, nil
}

func (m circlMLKEM) encap(rand io.Reader, ek []byte) (secret, ciphertext []byte, err error) {
	k, err := m.parse(ek)
	if err != nil {
		return nil, nil, err
	}
	seed, err := readRandom(rand, m.scheme.EncapsulationSeedSize())
	if err != nil {
		return nil, nil, err
	}
	defer clear(seed)
	ciphertext, secret, err = m.scheme.EncapsulateDeterministically(k, seed)
	return secret, ciphertext, err
}

func (m circlMLKEM) decap(seed, ciphertext []byte) ([]byte, error) {
	_, dk := m.scheme.DeriveKeyPair(seed)
	secret, err := m.scheme.Decapsulate(dk, ciphertext)
	if err != nil {
		return nil, fmt.Errorf("%w: not a ciphertext of %s", ErrKEMOutput, m.scheme.Name())
	}
	return secret, nil
}
