package ciphersuite

import (
	"bytes"
	"fmt"
	"io"

	circl "github.com/cloudflare/circl/kem"
	circl1024 "github.com/cloudflare/circl/kem/mlkem/mlkem1024"
	circl768 "github.com/cloudflare/circl/kem/mlkem/mlkem768"
)

// An mlkem is a parameter set of ML-KEM (FIPS 203) of circl, which is faster
// than crypto/mlkem and takes its randomness from a reader. Private keys are
// seeds.
type mlkem struct {
	scheme circl.Scheme
}

var (
	mlkem768  = mlkem{circl768.Scheme()}
	mlkem1024 = mlkem{circl1024.Scheme()}
)

// mlkemSeedSize is the size of a private key's seed, d and z.
const mlkemSeedSize = 64

func (m mlkem) encapsulationKeySize() int { return m.scheme.PublicKeySize() }
func (m mlkem) ciphertextSize() int       { return m.scheme.CiphertextSize() }

func (m mlkem) encapsulationKey(seed []byte) ([]byte, error) {
	defer leaveAVX2()
	ek, _ := m.scheme.DeriveKeyPair(seed)
	return ek.MarshalBinary()
}

// validate is the encapsulation key check (FIPS 203, Section 7.2).
func (m mlkem) validate(ek []byte) error {
	defer leaveAVX2()
	_, err := m.parse(ek)
	return err
}

func (m mlkem) parse(ek []byte) (circl.PublicKey, error) {
	k, err := m.scheme.UnmarshalBinaryPublicKey(ek)
	if err != nil {
		return nil, fmt.Errorf("%w: not an encapsulation key of %s", ErrPublicKey, m.scheme.Name())
	}
	return k, nil
}

func (m mlkem) encap(rand io.Reader, ek []byte) (secret, ciphertext []byte, err error) {
	defer leaveAVX2()
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

func (m mlkem) decap(seed, ciphertext []byte) ([]byte, error) {
	defer leaveAVX2()
	_, dk := m.scheme.DeriveKeyPair(seed)
	secret, err := m.scheme.Decapsulate(dk, ciphertext)
	if err != nil {
		return nil, fmt.Errorf("%w: not a ciphertext of %s", ErrKEMOutput, m.scheme.Name())
	}
	return secret, nil
}

// leaveAVX2 undoes a side effect of circl's AVX2 code: it returns without
// VZEROUPPER, and until a thread executes that, its SSE code (SHA-256 and
// AES-GCM of the standard library) may run tens of times slower, at a cost
// above that of ML-KEM itself. Comparing 64 octets or more is how pure Go gets
// there: the runtime's comparison uses AVX2 too, and ends properly.
// BenchmarkAfterMLKEM shows the difference. Results do not depend on it.
func leaveAVX2() bool { return bytes.Equal(avx2Operands[0][:], avx2Operands[1][:]) }

var avx2Operands [2][64]byte
