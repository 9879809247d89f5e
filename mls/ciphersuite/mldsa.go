package ciphersuite

import (
	"crypto"
	"fmt"
	"io"

	circl "github.com/cloudflare/circl/sign"
	"github.com/cloudflare/circl/sign/mldsa/mldsa44"
	"github.com/cloudflare/circl/sign/mldsa/mldsa65"
	"github.com/cloudflare/circl/sign/mldsa/mldsa87"
)

// An mldsaScheme is one of the mldsa schemes of draft-ietf-tls-mldsa, of circl:
// pure ML-DSA with an empty context (FIPS 204). Private keys are seeds.
type mldsaScheme struct {
	scheme circl.Scheme
}

var (
	mldsa44Scheme = mldsaScheme{mldsa44.Scheme()}
	mldsa65Scheme = mldsaScheme{mldsa65.Scheme()}
	mldsa87Scheme = mldsaScheme{mldsa87.Scheme()}
)

func (m mldsaScheme) generate(rand io.Reader) (crypto.Signer, error) {
	seed, err := readRandom(rand, m.scheme.SeedSize())
	if err != nil {
		return nil, err
	}
	defer clear(seed)
	return m.parse(seed)
}

func (m mldsaScheme) parse(seed []byte) (crypto.Signer, error) {
	if len(seed) != m.scheme.SeedSize() {
		return nil, fmt.Errorf("%w: %s seed of %d octets, want %d", ErrPrivateKey, m.scheme.Name(), len(seed), m.scheme.SeedSize())
	}
	defer leaveAVX2()
	_, key := m.scheme.DeriveKey(seed)
	return key, nil
}

func (m mldsaScheme) marshal(signer crypto.Signer) ([]byte, error) {
	if key, ok := signer.(circl.PrivateKey); ok && key.Scheme() == m.scheme {
		if key, ok := signer.(circl.Seeded); ok && key.Seed() != nil {
			return key.Seed(), nil
		}
	}
	return nil, fmt.Errorf("%w: %T, want an %s key made from a seed", ErrPrivateKey, signer, m.scheme.Name())
}

func (m mldsaScheme) encode(public crypto.PublicKey) ([]byte, error) {
	key, ok := public.(circl.PublicKey)
	if !ok || key.Scheme() != m.scheme {
		return nil, fmt.Errorf("%w: %T, want an %s key", ErrPublicKey, public, m.scheme.Name())
	}
	return key.MarshalBinary()
}

// newPublicKey takes any octets of the right number: all are public keys.
func (m mldsaScheme) newPublicKey(b []byte) (verifier, error) {
	if len(b) != m.scheme.PublicKeySize() {
		return nil, fmt.Errorf("%w: %s key of %d octets, want %d", ErrPublicKey, m.scheme.Name(), len(b), m.scheme.PublicKeySize())
	}
	return &mldsaKey{scheme: m.scheme, encoded: b}, nil
}

func (m mldsaScheme) validate(b []byte) error {
	_, err := m.newPublicKey(b)
	return err
}

func (m mldsaScheme) accepts(signer crypto.Signer) bool {
	if key, ok := signer.(circl.PrivateKey); ok {
		return key.Scheme() == m.scheme
	}
	key, ok := signer.Public().(circl.PublicKey)
	return ok && key.Scheme() == m.scheme
}

func (mldsaScheme) sign(rand io.Reader, signer crypto.Signer, message []byte) ([]byte, error) {
	defer leaveAVX2()
	return signer.Sign(rand, message, crypto.Hash(0))
}

// An mldsaKey is a public key. Expanded it is ten times as large as encoded, so
// that it is expanded only while it is used.
type mldsaKey struct {
	scheme   circl.Scheme
	encoded  []byte
	expanded cache[circl.PublicKey]
}

func (k *mldsaKey) verify(message, signature []byte) error {
	defer leaveAVX2()
	expanded, err := k.expanded.get(func() (circl.PublicKey, error) { return k.scheme.UnmarshalBinaryPublicKey(k.encoded) })
	if err != nil {
		return fmt.Errorf("%w: %s", ErrPublicKey, k.scheme.Name())
	}
	if !k.scheme.Verify(expanded, message, signature, nil) {
		return ErrSignature
	}
	return nil
}
