package ciphersuite

import (
	"crypto"
	"fmt"
	"io"
	"slices"
	"sync"

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
	// newPublicKey reads a key, and checks what costs little beside reading.
	// It keeps b.
	newPublicKey(b []byte) (verifier, error)
	// validate checks all that newPublicKey and verify find wrong with a key.
	validate(b []byte) error
	// accepts reports whether signer is of the scheme's type.
	accepts(signer crypto.Signer) bool
	sign(rand io.Reader, signer crypto.Signer, message []byte) ([]byte, error)
}

// A verifier is a public key of a [signatureScheme], parsed.
type verifier interface {
	verify(message, signature []byte) error
}

// GenerateSigner returns a new signing key, made of octets from rand, so that
// the same octets give the same key.
func (s *Suite) GenerateSigner(rand io.Reader) (crypto.Signer, error) { return s.sig.generate(rand) }

// SignaturePublicKey returns the SignaturePublicKey of a public key: an EdDSA or
// ML-DSA key as it is, an ECDSA key as an uncompressed point
// (RFC 9420, Section 5.1.1). Ed25519 and ECDSA keys are those of the standard
// library, Ed448 and ML-DSA keys those of circl. If public is not of the suite's
// type, the error matches [ErrPublicKey].
func (s *Suite) SignaturePublicKey(public crypto.PublicKey) ([]byte, error) {
	return s.sig.encode(public)
}

// A SignaturePublicKey is a public key that was parsed once, to verify more
// signatures with. It belongs to the suite that parsed it, and is safe for
// concurrent use. Its size is about that of its encoding: the large expanded key
// of ML-DSA is dropped by the garbage collector while the key is not used.
type SignaturePublicKey struct {
	key     verifier
	encoded []byte
}

// ParseSignaturePublicKey reads a public key, and keeps b, which the caller must
// not change. It checks the length, that an ECDSA or Ed448 key is on its curve,
// and that an EdDSA key is reduced and not of low order, under which signatures
// prove nothing. That an Ed25519 key is on its curve is only found out by
// [Suite.ValidateSignaturePublicKey] and by verification. Errors match
// [ErrPublicKey].
func (s *Suite) ParseSignaturePublicKey(b []byte) (*SignaturePublicKey, error) {
	key, err := s.sig.newPublicKey(b)
	if err != nil {
		return nil, err
	}
	return &SignaturePublicKey{key, b}, nil
}

// ValidateSignaturePublicKey checks what [Suite.ParseSignaturePublicKey] does,
// and that an Ed25519 key is on its curve. Errors match [ErrPublicKey].
func (s *Suite) ValidateSignaturePublicKey(public []byte) error { return s.sig.validate(public) }

// Bytes returns the encoded key, which the caller must not change.
func (k *SignaturePublicKey) Bytes() []byte { return k.encoded }

// ParseSigner reads a private signature key: the seed of an EdDSA or ML-DSA key,
// or the scalar of an ECDSA key as a big-endian integer, which may lack leading
// zeros. Errors match [ErrPrivateKey].
func (s *Suite) ParseSigner(private []byte) (crypto.Signer, error) { return s.sig.parse(private) }

// MarshalSigner undoes [Suite.ParseSigner] for keys from there or from
// [Suite.GenerateSigner]. The error for any other matches [ErrPrivateKey].
func (s *Suite) MarshalSigner(signer crypto.Signer) ([]byte, error) { return s.sig.marshal(signer) }

// SignWithLabel signs content (RFC 9420, Section 5.1.2). The label, which may
// hold any octets, gets its "MLS 1.0 " here. If the signer is not of the
// suite's type, the error matches [ErrPrivateKey]. What the signer is given is
// overwritten when it has returned.
//
// EdDSA takes nothing from rand, nor does circl's ML-DSA, which is the
// deterministic variant (FIPS 204, Section 3.4). ECDSA keys of the standard
// library draw on the system's randomness whatever rand is, unless it is nil:
// then signatures are deterministic (RFC 6979).
func (s *Suite) SignWithLabel(rand io.Reader, signer crypto.Signer, label string, content []byte) ([]byte, error) {
	if signer == nil {
		return nil, fmt.Errorf("%w: no signer", ErrPrivateKey)
	}
	if !s.sig.accepts(signer) {
		return nil, fmt.Errorf("%w: its public key is a %T", ErrPrivateKey, signer.Public())
	}
	message := newSignContent(label, content)
	defer message.release()
	signature, err := s.sig.sign(rand, signer, message.octets)
	if err != nil {
		return nil, fmt.Errorf("ciphersuite: signing: %w", err)
	}
	return signature, nil
}

// VerifyWithLabel checks a signature that [Suite.SignWithLabel] made. Errors
// match [ErrSignature], or [ErrPublicKey] if no signature could verify.
func (k *SignaturePublicKey) VerifyWithLabel(label string, content, signature []byte) error {
	message := newSignContent(label, content)
	defer message.release()
	return k.key.verify(message.octets, signature)
}

// VerifyWithLabel is [SignaturePublicKey.VerifyWithLabel] with an encoded key.
func (s *Suite) VerifyWithLabel(public []byte, label string, content, signature []byte) error {
	key, err := s.ParseSignaturePublicKey(public)
	if err != nil {
		return err
	}
	return key.VerifyWithLabel(label, content, signature)
}

// A signContent is the SignContent of RFC 9420, Section 5.1.2, in memory that is
// used again: messages are signed and verified whole, and may be large.
type signContent struct {
	octets []byte
}

var signContents = sync.Pool{New: func() any { return new(signContent) }}

// maxKeptContent is the size up to which memory is kept for the next message.
const maxKeptContent = 1 << 16

func newSignContent(label string, content []byte) *signContent {
	c := signContents.Get().(*signContent)
	w := wire.NewWriter(slices.Grow(c.octets[:0], len(labelPrefix)+len(label)+len(content)+8))
	writeLabel(w, label)
	w.Opaque(content)
	c.octets = w.Data()
	return c
}

// release erases c: what is signed may be secret.
func (c *signContent) release() {
	clear(c.octets)
	if cap(c.octets) > maxKeptContent {
		return
	}
	signContents.Put(c)
}
