package ciphersuite

import "io"

// An mlkem is a parameter set of ML-KEM (FIPS 203). Private keys are seeds.
type mlkem interface {
	encapsulationKeySize() int
	ciphertextSize() int
	encapsulationKey(seed []byte) ([]byte, error)
	// validate is the encapsulation key check (FIPS 203, Section 7.2).
	validate(ek []byte) error
	encap(rand io.Reader, ek []byte) (secret, ciphertext []byte, err error)
	decap(seed, ciphertext []byte) ([]byte, error)
}

// mlkemSeedSize is the size of a private key's seed, d and z.
const mlkemSeedSize = 64
