package ciphersuite

import (
	"errors"
	"fmt"
	"io"

	"github.com/mendlink/mendlink/internal/wire"
)

// EncryptWithLabel encrypts plaintext to k (RFC 9420, Section 5.1.3). The label,
// which may hold any octets, gets its "MLS 1.0 " here. Errors are those of rand.
func (k *HPKEPublicKey) EncryptWithLabel(rand io.Reader, label string, context, plaintext []byte) (kemOutput, ciphertext []byte, err error) {
	return k.seal(rand, k.suite.encryptContext(label, context), nil, plaintext)
}

// EncryptWithLabel is [HPKEPublicKey.EncryptWithLabel] to an encoded key. Errors
// match [ErrPublicKey], or are those of rand.
func (s *Suite) EncryptWithLabel(rand io.Reader, public []byte, label string, context, plaintext []byte) (kemOutput, ciphertext []byte, err error) {
	k, err := s.ParseHPKEPublicKey(public)
	if err != nil {
		return nil, nil, err
	}
	return k.EncryptWithLabel(rand, label, context, plaintext)
}

// DecryptWithLabel undoes [HPKEPublicKey.EncryptWithLabel]. Errors match
// [ErrPrivateKey], [ErrKEMOutput] or [ErrDecrypt].
func (s *Suite) DecryptWithLabel(private *HPKEPrivateKey, label string, context, kemOutput, ciphertext []byte) ([]byte, error) {
	return s.open(private, kemOutput, s.encryptContext(label, context), nil, ciphertext)
}

// encryptContext is scheduleContext for the EncryptContext of RFC 9420, Section 5.1.3.
func (s *Suite) encryptContext(label string, context []byte) []byte {
	w := wire.NewWriter(make([]byte, 0, len(labelPrefix)+len(label)+8))
	writeLabel(w, label)
	w.Length(len(context))
	return s.scheduleContext(w.Data(), context)
}

// Seal is HPKE's single-shot encryption in base mode (RFC 9180, Section 6.1).
// Errors are those of rand.
func (k *HPKEPublicKey) Seal(rand io.Reader, info, aad, plaintext []byte) (enc, ciphertext []byte, err error) {
	return k.seal(rand, k.suite.scheduleContext(info), aad, plaintext)
}

// seal is Seal for the info that scheduleContext stands for.
func (k *HPKEPublicKey) seal(rand io.Reader, scheduleContext, aad, plaintext []byte) (enc, ciphertext []byte, err error) {
	ctx, enc, err := k.setup(rand, scheduleContext)
	if err != nil {
		return nil, nil, err
	}
	defer ctx.release()
	ciphertext, err = ctx.seal(aad, plaintext)
	return enc, ciphertext, err
}

// Seal is [HPKEPublicKey.Seal] to an encoded key. Errors match [ErrPublicKey],
// or are those of rand.
func (s *Suite) Seal(rand io.Reader, public, info, aad, plaintext []byte) (enc, ciphertext []byte, err error) {
	k, err := s.ParseHPKEPublicKey(public)
	if err != nil {
		return nil, nil, err
	}
	return k.Seal(rand, info, aad, plaintext)
}

// Open is HPKE's single-shot decryption in base mode (RFC 9180, Section 6.1).
// Errors match [ErrPrivateKey], [ErrKEMOutput] or [ErrDecrypt].
func (s *Suite) Open(private *HPKEPrivateKey, enc, info, aad, ciphertext []byte) ([]byte, error) {
	return s.open(private, enc, s.scheduleContext(info), aad, ciphertext)
}

// open is Open for the info that scheduleContext stands for.
func (s *Suite) open(private *HPKEPrivateKey, enc, scheduleContext, aad, ciphertext []byte) ([]byte, error) {
	ctx, err := s.setupReceiver(private, enc, scheduleContext)
	if err != nil {
		return nil, err
	}
	defer ctx.release()
	return ctx.open(aad, ciphertext)
}

// ExportSender agrees on a secret of length octets with the holder of k, by
// HPKE's secret export in base mode (RFC 9180, Section 6.2). MLS uses it for
// external initialisation (RFC 9420, Section 8.3). Errors are those of rand.
func (k *HPKEPublicKey) ExportSender(rand io.Reader, info, exporterContext []byte, length int) (kemOutput, secret []byte, err error) {
	ctx, enc, err := k.setup(rand, k.suite.scheduleContext(info))
	if err != nil {
		return nil, nil, err
	}
	defer ctx.release()
	return enc, ctx.export(exporterContext, length), nil
}

// ExportSender is [HPKEPublicKey.ExportSender] with an encoded key. Errors match
// [ErrPublicKey], or are those of rand.
func (s *Suite) ExportSender(rand io.Reader, public, info, exporterContext []byte, length int) (kemOutput, secret []byte, err error) {
	k, err := s.ParseHPKEPublicKey(public)
	if err != nil {
		return nil, nil, err
	}
	return k.ExportSender(rand, info, exporterContext, length)
}

// ExportReceiver returns the secret that [HPKEPublicKey.ExportSender] returned
// to the sender. Errors match [ErrPrivateKey] or [ErrKEMOutput].
func (s *Suite) ExportReceiver(private *HPKEPrivateKey, kemOutput, info, exporterContext []byte, length int) ([]byte, error) {
	ctx, err := s.setupReceiver(private, kemOutput, s.scheduleContext(info))
	if err != nil {
		return nil, err
	}
	defer ctx.release()
	return ctx.export(exporterContext, length), nil
}

func (k *HPKEPublicKey) setup(rand io.Reader, scheduleContext []byte) (hpkeContext, []byte, error) {
	shared, enc, err := k.key.encap(rand)
	if err != nil {
		return hpkeContext{}, nil, err
	}
	return k.suite.keySchedule(shared, scheduleContext), enc, nil
}

func (s *Suite) setupReceiver(private *HPKEPrivateKey, enc, scheduleContext []byte) (hpkeContext, error) {
	shared, err := s.decap(private, enc)
	if err != nil {
		return hpkeContext{}, err
	}
	return s.keySchedule(shared, scheduleContext), nil
}

// decap returns the secret that enc encapsulates to the holder of private.
func (s *Suite) decap(private *HPKEPrivateKey, enc []byte) ([]byte, error) {
	switch {
	case private == nil || private.key == nil:
		return nil, fmt.Errorf("%w: erased", ErrPrivateKey)
	case private.kem != s.kem.id():
		return nil, fmt.Errorf("%w: of KEM 0x%04x, want 0x%04x", ErrPrivateKey, private.kem, s.kem.id())
	}
	shared, err := private.key.decap(enc)
	if errors.Is(err, ErrPublicKey) { // the group sees a point, not its role
		err = fmt.Errorf("%w: %w", ErrKEMOutput, err)
	}
	return shared, err
}
