package ciphersuite

import (
	"fmt"
	"io"
)

// modePSK is HPKE's mode_psk.
const modePSK = 0x01

// SealPSK is HPKE's single-shot encryption in PSK mode (RFC 9180, Section 6.1):
// only who has psk, beside the private key, can decrypt, and only who has it can have
// encrypted. psk should have at least 32 octets, of high entropy; pskID names
// it and is no secret. Errors match [ErrPSK], or are those of rand.
func (k *HPKEPublicKey) SealPSK(rand io.Reader, info, aad, plaintext, psk, pskID []byte) (enc, ciphertext []byte, err error) {
	if err := verifyPSK(psk, pskID); err != nil {
		return nil, nil, err
	}
	shared, enc, err := k.key.encap(rand)
	if err != nil {
		return nil, nil, err
	}
	ctx := k.suite.keyScheduleWith(shared, k.suite.scheduleContextPSK(info, pskID), psk)
	defer ctx.release()
	ciphertext, err = ctx.seal(aad, plaintext)
	return enc, ciphertext, err
}

// OpenPSK undoes [HPKEPublicKey.SealPSK]. Errors match [ErrPSK], [ErrPrivateKey],
// [ErrKEMOutput] or [ErrDecrypt].
func (s *Suite) OpenPSK(private *HPKEPrivateKey, enc, info, aad, ciphertext, psk, pskID []byte) ([]byte, error) {
	if err := verifyPSK(psk, pskID); err != nil {
		return nil, err
	}
	shared, err := s.decap(private, enc)
	if err != nil {
		return nil, err
	}
	ctx := s.keyScheduleWith(shared, s.scheduleContextPSK(info, pskID), psk)
	defer ctx.release()
	return ctx.open(aad, ciphertext)
}

// verifyPSK is VerifyPSKInputs for PSK mode: without a key it would be base mode
// under another name (RFC 9180, Section 5.1).
func verifyPSK(psk, pskID []byte) error {
	switch {
	case len(psk) == 0:
		return fmt.Errorf("%w: the key is empty", ErrPSK)
	case len(pskID) == 0:
		return fmt.Errorf("%w: its ID is empty", ErrPSK)
	}
	return nil
}

// scheduleContextPSK returns key_schedule_context for info, in PSK mode.
func (s *Suite) scheduleContextPSK(info, pskID []byte) []byte {
	context := append(make([]byte, 0, 1+2*s.kdf.size), modePSK)
	context = s.kdf.labeledExtract(context, s.hpke.suiteID, nil, "psk_id_hash", pskID)
	return s.kdf.labeledExtract(context, s.hpke.suiteID, nil, "info_hash", info)
}
