package ciphersuite

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"fmt"
	"io"
)

// An ecdsaScheme is one of the ecdsa_secp* schemes of TLS
// (RFC 8446, Section 4.2.3). Signatures are DER.
type ecdsaScheme struct {
	curve elliptic.Curve
	hash  crypto.Hash
}

var (
	ecdsaP256 = ecdsaScheme{elliptic.P256(), crypto.SHA256}
	ecdsaP384 = ecdsaScheme{elliptic.P384(), crypto.SHA384}
	ecdsaP521 = ecdsaScheme{elliptic.P521(), crypto.SHA512}
)

func (e ecdsaScheme) scalarSize() int { return (e.curve.Params().BitSize + 7) / 8 }

// generate tests candidates (FIPS 186-5, Appendix A.2.2). The standard
// library's GenerateKey would ignore rand.
func (e ecdsaScheme) generate(rand io.Reader) (crypto.Signer, error) {
	// More than half of all candidates are in range.
	const candidates = 128
	for range candidates {
		scalar, err := readRandom(rand, e.scalarSize())
		if err != nil {
			return nil, err
		}
		scalar[0] &= 0xff >> (8*len(scalar) - e.curve.Params().BitSize)
		key, err := ecdsa.ParseRawPrivateKey(e.curve, scalar)
		clear(scalar)
		if err == nil {
			return key, nil
		}
	}
	return nil, fmt.Errorf("%w: no %s scalar in %d candidates", ErrPrivateKey, e.curve.Params().Name, candidates)
}

func (e ecdsaScheme) parse(private []byte) (crypto.Signer, error) {
	scalar := make([]byte, e.scalarSize())
	defer clear(scalar)
	if len(private) > len(scalar) {
		return nil, fmt.Errorf("%w: %s scalar of %d octets, want %d", ErrPrivateKey, e.curve.Params().Name, len(private), len(scalar))
	}
	copy(scalar[len(scalar)-len(private):], private)
	key, err := ecdsa.ParseRawPrivateKey(e.curve, scalar)
	if err != nil {
		return nil, fmt.Errorf("%w: %s scalar is out of range", ErrPrivateKey, e.curve.Params().Name)
	}
	return key, nil
}

func (e ecdsaScheme) marshal(signer crypto.Signer) ([]byte, error) {
	key, ok := signer.(*ecdsa.PrivateKey)
	if !ok || key == nil || key.Curve != e.curve {
		return nil, fmt.Errorf("%w: %T, want an *ecdsa.PrivateKey on %s", ErrPrivateKey, signer, e.curve.Params().Name)
	}
	return key.Bytes()
}

func (e ecdsaScheme) encode(public crypto.PublicKey) ([]byte, error) {
	key, ok := public.(*ecdsa.PublicKey)
	if !ok || key == nil || key.Curve != e.curve {
		return nil, fmt.Errorf("%w: %T, want an *ecdsa.PublicKey on %s", ErrPublicKey, public, e.curve.Params().Name)
	}
	b, err := key.Bytes()
	if err != nil {
		return nil, fmt.Errorf("%w: not a %s point", ErrPublicKey, e.curve.Params().Name)
	}
	return b, nil
}

func (e ecdsaScheme) newPublicKey(b []byte) (verifier, error) {
	key, err := ecdsa.ParseUncompressedPublicKey(e.curve, b)
	if err != nil {
		return nil, fmt.Errorf("%w: %d octets are not a %s point", ErrPublicKey, len(b), e.curve.Params().Name)
	}
	return ecdsaKey{e, key}, nil
}

func (e ecdsaScheme) validate(b []byte) error {
	_, err := e.newPublicKey(b)
	return err
}

func (e ecdsaScheme) accepts(signer crypto.Signer) bool {
	if key, ok := signer.(*ecdsa.PrivateKey); ok {
		return key != nil && key.Curve == e.curve
	}
	key, ok := signer.Public().(*ecdsa.PublicKey)
	return ok && key != nil && key.Curve == e.curve
}

func (e ecdsaScheme) sign(rand io.Reader, signer crypto.Signer, message []byte) ([]byte, error) {
	return crypto.SignMessage(signer, rand, message, e.hash) // some hash themselves, such as agents
}

func (e ecdsaScheme) digest(message []byte) []byte {
	h := e.hash.New()
	h.Write(message)
	return h.Sum(nil)
}

type ecdsaKey struct {
	scheme ecdsaScheme
	key    *ecdsa.PublicKey
}

func (k ecdsaKey) verify(message, signature []byte) error {
	if !ecdsa.VerifyASN1(k.key, k.scheme.digest(message), signature) {
		return ErrSignature
	}
	return nil
}
