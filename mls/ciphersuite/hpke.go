package ciphersuite

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/mendlink/mendlink/internal/wire"
)

// An HPKEPrivateKey decrypts what was encrypted to its public key. Its use is
// safe for concurrent use, except for [HPKEPrivateKey.Erase].
type HPKEPrivateKey struct {
	kem    uint16
	key    kemKey // nil once erased
	public []byte
}

func newHPKEPrivateKey(k kem, key kemKey) *HPKEPrivateKey {
	return &HPKEPrivateKey{kem: k.id(), key: key, public: key.public()}
}

// PublicKey returns the encoded public key, which the caller must not change.
func (k *HPKEPrivateKey) PublicKey() []byte { return k.public }

// Bytes returns a copy of the private key as the KEM serialises it: a scalar,
// or the seed of a hybrid KEM. It returns nil after [HPKEPrivateKey.Erase].
func (k *HPKEPrivateKey) Bytes() []byte {
	if k.key == nil {
		return nil
	}
	return bytes.Clone(k.key.bytes())
}

// Erase overwrites the private key, but for the scalars of NIST curves: the
// standard library has no means to overwrite those, so they are only
// forgotten. The public key stays; using the private key is an error.
func (k *HPKEPrivateKey) Erase() {
	if k.key != nil {
		k.key.erase()
		k.key = nil
	}
}

// GenerateHPKEKeyPair returns a new key. It is DeriveKeyPair of octets from
// rand, so that the same octets give the same key.
func (s *Suite) GenerateHPKEKeyPair(rand io.Reader) (*HPKEPrivateKey, error) {
	ikm, err := readRandom(rand, s.kem.privateKeySize())
	if err != nil {
		return nil, err
	}
	defer clear(ikm)
	return s.DeriveHPKEKeyPair(ikm)
}

// DeriveHPKEKeyPair is KEM.DeriveKeyPair (RFC 9180, Section 4).
func (s *Suite) DeriveHPKEKeyPair(ikm []byte) (*HPKEPrivateKey, error) {
	key, err := s.kem.deriveKeyPair(ikm)
	if err != nil {
		return nil, err
	}
	return newHPKEPrivateKey(s.kem, key), nil
}

// ParseHPKEPrivateKey reads what [HPKEPrivateKey.Bytes] returned. A scalar of
// a NIST curve may lack leading zeros. Errors match [ErrPrivateKey].
func (s *Suite) ParseHPKEPrivateKey(b []byte) (*HPKEPrivateKey, error) {
	key, err := s.kem.newKey(b)
	if err != nil {
		return nil, err
	}
	return newHPKEPrivateKey(s.kem, key), nil
}

// ValidateHPKEPublicKey checks a public key's length, that its points are on
// their curve, and that its ML-KEM key passes the encapsulation key check.
// Errors match [ErrPublicKey].
//
// X25519 points of low order pass: only encrypting to them fails.
func (s *Suite) ValidateHPKEPublicKey(public []byte) error { return s.kem.validate(public) }

// EncryptWithLabel encrypts plaintext to public (RFC 9420, Section 5.1.3). The
// label, which may hold any octets, gets its "MLS 1.0 " here. Errors match
// [ErrPublicKey], or are those of rand.
func (s *Suite) EncryptWithLabel(rand io.Reader, public []byte, label string, context, plaintext []byte) (kemOutput, ciphertext []byte, err error) {
	return s.Seal(rand, public, encryptContext(label, context), nil, plaintext)
}

// DecryptWithLabel undoes [Suite.EncryptWithLabel]. Errors match
// [ErrPrivateKey], [ErrKEMOutput] or [ErrDecrypt].
func (s *Suite) DecryptWithLabel(private *HPKEPrivateKey, label string, context, kemOutput, ciphertext []byte) ([]byte, error) {
	return s.Open(private, kemOutput, encryptContext(label, context), nil, ciphertext)
}

// encryptContext is the EncryptContext of RFC 9420, Section 5.1.3.
func encryptContext(label string, context []byte) []byte {
	w := wire.NewWriter(make([]byte, 0, len(labelPrefix)+len(label)+len(context)+8))
	writeLabel(w, label)
	w.Opaque(context)
	return w.Data()
}

// Seal is HPKE's single-shot encryption in base mode (RFC 9180, Section 6.1).
func (s *Suite) Seal(rand io.Reader, public, info, aad, plaintext []byte) (enc, ciphertext []byte, err error) {
	ctx, enc, err := s.setupSender(rand, public, info)
	if err != nil {
		return nil, nil, err
	}
	defer ctx.erase()
	aead, nonce, err := ctx.aead()
	if err != nil {
		return nil, nil, err
	}
	return enc, aead.Seal(nil, nonce, plaintext, aad), nil
}

// Open is HPKE's single-shot decryption in base mode (RFC 9180, Section 6.1).
// Errors match [ErrPrivateKey], [ErrKEMOutput] or [ErrDecrypt].
func (s *Suite) Open(private *HPKEPrivateKey, enc, info, aad, ciphertext []byte) ([]byte, error) {
	ctx, err := s.setupReceiver(private, enc, info)
	if err != nil {
		return nil, err
	}
	defer ctx.erase()
	aead, nonce, err := ctx.aead()
	if err != nil {
		return nil, err
	}
	plaintext, err := aead.Open(nil, nonce, ciphertext, aad)
	if err != nil {
		return nil, ErrDecrypt
	}
	return plaintext, nil
}

// ExportSender agrees on a secret of length octets with the holder of public,
// by HPKE's secret export in base mode (RFC 9180, Section 6.2). MLS uses it
// for external initialisation (RFC 9420, Section 8.3).
func (s *Suite) ExportSender(rand io.Reader, public, info, exporterContext []byte, length int) (kemOutput, secret []byte, err error) {
	ctx, enc, err := s.setupSender(rand, public, info)
	if err != nil {
		return nil, nil, err
	}
	defer ctx.erase()
	return enc, ctx.export(exporterContext, length), nil
}

// ExportReceiver returns the secret that [Suite.ExportSender] returned to the
// sender. Errors match [ErrPrivateKey] or [ErrKEMOutput].
func (s *Suite) ExportReceiver(private *HPKEPrivateKey, kemOutput, info, exporterContext []byte, length int) ([]byte, error) {
	ctx, err := s.setupReceiver(private, kemOutput, info)
	if err != nil {
		return nil, err
	}
	defer ctx.erase()
	return ctx.export(exporterContext, length), nil
}

func (s *Suite) setupSender(rand io.Reader, public, info []byte) (*hpkeContext, []byte, error) {
	shared, enc, err := s.kem.encap(rand, public)
	if err != nil {
		return nil, nil, err
	}
	return s.keySchedule(shared, info), enc, nil
}

func (s *Suite) setupReceiver(private *HPKEPrivateKey, enc, info []byte) (*hpkeContext, error) {
	switch {
	case private == nil || private.key == nil:
		return nil, fmt.Errorf("%w: erased", ErrPrivateKey)
	case private.kem != s.kem.id():
		return nil, fmt.Errorf("%w: of KEM 0x%04x, want 0x%04x", ErrPrivateKey, private.kem, s.kem.id())
	}
	shared, err := private.key.decap(enc)
	if err != nil {
		if errors.Is(err, ErrPublicKey) { // the group sees a point, not its role
			err = fmt.Errorf("%w: %w", ErrKEMOutput, err)
		}
		return nil, err
	}
	return s.keySchedule(shared, info), nil
}
