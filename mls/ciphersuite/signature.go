package ciphersuite

import (
	"crypto"
	"fmt"
	"io"

	"github.com/mendlink/mendlink/internal/wire"
)

// A signatureScheme is one of TLS's signature schemes.
type signatureScheme interface {
	generate(rand io.Reader) (crypto.Signer, error)
	parse(private []byte) (crypto.Signer, error)
	marshal(signer crypto.Signer) ([]byte, error)
	// encode returns the SignaturePublicKey of public, or ErrPublicKey if it
	// is not of the scheme's type.
	encode(public crypto.PublicKey) ([]byte, error)
	validate(public []byte) error
	sign(rand io.Reader, signer crypto.Signer, message []byte) ([]byte, error)
	verify(public, message, signature []byte) error
}

// GenerateSigner returns a new signing key, made of octets from rand, so that
// the same octets give the same key.
func (s *Suite) GenerateSigner(rand io.Reader) (crypto.Signer, error) { return s.sig.generate(rand) }

// SignaturePublicKey returns the SignaturePublicKey of a public key: an
// Ed25519 key as it is, an ECDSA key as an uncompressed point
// (RFC 9420, Section 5.1.1). If public is not of the suite's type, the
// error matches [ErrPublicKey].
func (s *Suite) SignaturePublicKey(public crypto.PublicKey) ([]byte, error) {
	return s.sig.encode(public)
}

// ValidateSignaturePublicKey checks the length of an Ed25519 key, and that an
// ECDSA key is an uncompressed point on its curve. Errors match [ErrPublicKey].
func (s *Suite) ValidateSignaturePublicKey(public []byte) error { return s.sig.validate(public) }

// ParseSigner reads a private signature key: the seed of an Ed25519 key, or
// the scalar of an ECDSA key as a big-endian integer, which may lack leading
// zeros. Errors match [ErrPrivateKey].
func (s *Suite) ParseSigner(private []byte) (crypto.Signer, error) { return s.sig.parse(private) }

// MarshalSigner undoes [Suite.ParseSigner] for keys from there or from
// [Suite.GenerateSigner]. The error for any other matches [ErrPrivateKey].
func (s *Suite) MarshalSigner(signer crypto.Signer) ([]byte, error) { return s.sig.marshal(signer) }

// SignWithLabel signs content (RFC 9420, Section 5.1.2). The label, which may
// hold any octets, gets its "MLS 1.0 " here. If the signer is not of the
// suite's type, the error matches [ErrPrivateKey].
//
// Ed25519 takes nothing from rand. ECDSA keys of the standard library draw on
// the system's randomness whatever rand is, unless it is nil: then signatures
// are deterministic (RFC 6979).
func (s *Suite) SignWithLabel(rand io.Reader, signer crypto.Signer, label string, content []byte) ([]byte, error) {
	if signer == nil {
		return nil, fmt.Errorf("%w: no signer", ErrPrivateKey)
	}
	if _, err := s.sig.encode(signer.Public()); err != nil {
		return nil, fmt.Errorf("%w: its public key is a %T", ErrPrivateKey, signer.Public())
	}
	signature, err := s.sig.sign(rand, signer, signContent(label, content))
	if err != nil {
		return nil, fmt.Errorf("ciphersuite: signing: %w", err)
	}
	return signature, nil
}

// VerifyWithLabel checks a signature that [Suite.SignWithLabel] made. Errors
// match [ErrPublicKey] or [ErrSignature].
func (s *Suite) VerifyWithLabel(public []byte, label string, content, signature []byte) error {
	return s.sig.verify(public, signContent(label, content), signature)
}

// signContent is the SignContent of RFC 9420, Section 5.1.2.
func signContent(label string, content []byte) []byte {
	w := wire.NewWriter(make([]byte, 0, len(labelPrefix)+len(label)+len(content)+8))
	writeLabel(w, label)
	w.Opaque(content)
	return w.Data()
}
