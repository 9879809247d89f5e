package ciphersuite

import (
	"crypto/cipher"
	"encoding/binary"
	"sync"
)

// hpkeConstants are what HPKE derives from a suite's algorithms alone.
type hpkeConstants struct {
	suiteID string
	// context returns the start of key_schedule_context, which is the same for
	// all messages in base mode: the mode and psk_id_hash.
	context func() []byte
}

// modeBase is HPKE's mode_base.
const modeBase = 0x00

func newHPKEConstants(kem kem, kdf *kdf, aead *aead) *hpkeConstants {
	id := binary.BigEndian.AppendUint16([]byte("HPKE"), kem.id())
	id = binary.BigEndian.AppendUint16(id, kdf.id)
	suiteID := string(binary.BigEndian.AppendUint16(id, aead.id))
	return &hpkeConstants{suiteID, sync.OnceValue(func() []byte {
		return kdf.labeledExtract([]byte{modeBase}, suiteID, nil, "psk_id_hash", nil)
	})}
}

// An hpkeContext is HPKE's context (RFC 9180, Section 5.1), before its keys are
// derived: most users need only some of them.
type hpkeContext struct {
	suite   *Suite
	secret  *prf
	context []byte // key_schedule_context
}

// scheduleContext returns key_schedule_context for info, in base mode. The parts of
// info are long where they are of a Welcome, and are joined nowhere.
func (s *Suite) scheduleContext(info ...[]byte) []byte {
	context := append(make([]byte, 0, 1+2*s.kdf.size), s.hpke.context()...)
	return s.kdf.labeledExtract(context, s.hpke.suiteID, nil, "info_hash", info...)
}

// keySchedule is KeySchedule in base mode (RFC 9180, Section 5.1). It erases
// shared. The caller releases the result.
func (s *Suite) keySchedule(shared, scheduleContext []byte) hpkeContext {
	return s.keyScheduleWith(shared, scheduleContext, nil)
}

// keyScheduleWith is keySchedule with a pre-shared key, which stays.
func (s *Suite) keyScheduleWith(shared, scheduleContext, psk []byte) hpkeContext {
	defer clear(shared)
	secret := s.kdf.labeledExtract(make([]byte, 0, s.kdf.size), s.hpke.suiteID, shared, "secret", psk)
	defer clear(secret)
	return hpkeContext{s, s.kdf.newPRF(secret), scheduleContext}
}

func (c *hpkeContext) key() []byte       { return c.expand("key", c.suite.aead.keySize) }
func (c *hpkeContext) baseNonce() []byte { return c.expand("base_nonce", nonceSize) }
func (c *hpkeContext) exporterSecret() []byte {
	return c.expand("exp", c.suite.kdf.size)
}

func (c *hpkeContext) expand(label string, length int) []byte {
	return c.secret.labeledExpand(c.suite.hpke.suiteID, label, c.context, length)
}

// aead returns the AEAD and the nonce of the first message.
func (c *hpkeContext) aead() (cipher.AEAD, []byte, error) {
	key := c.key()
	defer clear(key)
	a, err := c.suite.aead.new(key)
	return a, c.baseNonce(), err
}

// seal is Context.Seal, for the first message.
func (c *hpkeContext) seal(aad, plaintext []byte) ([]byte, error) {
	aead, nonce, err := c.aead()
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, nonce, plaintext, aad), nil
}

// open is Context.Open, for the first message.
func (c *hpkeContext) open(aad, ciphertext []byte) ([]byte, error) {
	aead, nonce, err := c.aead()
	if err != nil {
		return nil, err
	}
	plaintext, err := aead.Open(nil, nonce, ciphertext, aad)
	if err != nil {
		return nil, ErrDecrypt
	}
	return plaintext, nil
}

// export is Context.Export (RFC 9180, Section 5.3).
func (c *hpkeContext) export(exporterContext []byte, length int) []byte {
	secret := c.exporterSecret()
	defer clear(secret)
	prk := c.suite.kdf.newPRF(secret)
	defer prk.release()
	return prk.labeledExpand(c.suite.hpke.suiteID, "sec", exporterContext, length)
}

func (c *hpkeContext) release() { c.secret.release() }
