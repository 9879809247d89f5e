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
// than crypto/mlkem and takes its randomness from a caller.
type mlkem struct {
	scheme circl.Scheme
}

var (
	params768  = mlkem{circl768.Scheme()}
	params1024 = mlkem{circl1024.Scheme()}
)

// mlkemSeedSize is the size of a private key's seed, d and z.
const mlkemSeedSize = 64

func (m mlkem) encapsulationKeySize() int  { return m.scheme.PublicKeySize() }
func (m mlkem) encapsulationSeedSize() int { return m.scheme.EncapsulationSeedSize() }
func (m mlkem) ciphertextSize() int        { return m.scheme.CiphertextSize() }

// expand returns the key pair of a seed, and its encoded public half.
func (m mlkem) expand(seed []byte) (ek []byte, dk circl.PrivateKey, err error) {
	defer leaveAVX2()
	public, dk := m.scheme.DeriveKeyPair(seed)
	ek, err = public.MarshalBinary()
	return ek, dk, err
}

// parse reads an encapsulation key and checks it (FIPS 203, Section 7.2).
func (m mlkem) parse(ek []byte) (circl.PublicKey, error) {
	defer leaveAVX2()
	k, err := m.scheme.UnmarshalBinaryPublicKey(ek)
	if err != nil {
		return nil, fmt.Errorf("%w: not an encapsulation key of %s", ErrPublicKey, m.scheme.Name())
	}
	return k, nil
}

func (m mlkem) encap(rand io.Reader, ek circl.PublicKey) (secret, ciphertext []byte, err error) {
	defer leaveAVX2()
	seed, err := readRandom(rand, m.encapsulationSeedSize())
	if err != nil {
		return nil, nil, err
	}
	defer clear(seed)
	ciphertext, secret, err = m.scheme.EncapsulateDeterministically(ek, seed)
	return secret, ciphertext, err
}

func (m mlkem) decap(dk circl.PrivateKey, ciphertext []byte) ([]byte, error) {
	defer leaveAVX2()
	secret, err := m.scheme.Decapsulate(dk, ciphertext)
	if err != nil {
		return nil, fmt.Errorf("%w: not a ciphertext of %s", ErrKEMOutput, m.scheme.Name())
	}
	return secret, nil
}

// An encapsulationKey is a public key of ML-KEM. Expanded it is five times as
// large as encoded, so that it is expanded only while it is used.
type encapsulationKey struct {
	mlkem    mlkem
	encoded  []byte
	expanded cache[circl.PublicKey]
}

// newEncapsulationKey reads a key and checks it (FIPS 203, Section 7.2). It keeps
// b. To expand the key is far dearer, and left to its first use.
func (m mlkem) newEncapsulationKey(b []byte) (*encapsulationKey, error) {
	if len(b) != m.encapsulationKeySize() || !isReduced(b[:len(b)-mlkemRhoSize]) {
		return nil, fmt.Errorf("%w: not an encapsulation key of %s", ErrPublicKey, m.scheme.Name())
	}
	return &encapsulationKey{mlkem: m, encoded: b}, nil
}

const (
	mlkemModulus = 3329
	mlkemRhoSize = 32 // of the seed at the end of an encapsulation key
)

// isReduced reports whether all coefficients are below the modulus. Each has 12
// bits (FIPS 203, Algorithm 5). Public keys are not secret.
func isReduced(coefficients []byte) bool {
	for c := coefficients; len(c) >= 3; c = c[3:] {
		first, second := uint(c[0])|uint(c[1]&0x0f)<<8, uint(c[1]>>4)|uint(c[2])<<4
		if first >= mlkemModulus || second >= mlkemModulus {
			return false
		}
	}
	return true
}

func (k *encapsulationKey) expand() (circl.PublicKey, error) {
	return k.expanded.get(func() (circl.PublicKey, error) { return k.mlkem.parse(k.encoded) })
}

func (k *encapsulationKey) encap(rand io.Reader) (secret, ciphertext []byte, err error) {
	expanded, err := k.expand()
	if err != nil {
		return nil, nil, err
	}
	return k.mlkem.encap(rand, expanded)
}

// leaveAVX2 undoes a side effect of circl's AVX2 code: it returns without
// VZEROUPPER, and until a thread executes that, its SSE code (SHA-256 and
// AES-GCM of the standard library) may run tens of times slower, at a cost
// above that of ML-KEM itself. Comparing 64 octets or more is how pure Go gets
// there: the runtime's comparison uses AVX2 too, and ends properly.
// BenchmarkAfterMLKEM shows the difference. Results do not depend on it.
func leaveAVX2() bool { return bytes.Equal(avx2Operands[0][:], avx2Operands[1][:]) }

var avx2Operands [2][64]byte
