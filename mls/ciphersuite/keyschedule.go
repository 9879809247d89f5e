package ciphersuite

import (
	"crypto/cipher"
	"encoding/binary"
)

// An hpkeContext is HPKE's context in base mode (RFC 9180, Section 5.1),
// before its keys are derived: most users need only some of them.
type hpkeContext struct {
	suite   *Suite
	suiteID [10]byte
	secret  []byte
	context []byte // key_schedule_context
}

// modeBase is HPKE's mode_base.
const modeBase = 0x00

// keySchedule is KeySchedule (RFC 9180, Section 5.1). It erases shared.
func (s *Suite) keySchedule(shared, info []byte) *hpkeContext {
	defer clear(shared)
	c := &hpkeContext{suite: s}
	id := append(c.suiteID[:0], "HPKE"...)
	id = binary.BigEndian.AppendUint16(id, s.kem.id())
	id = binary.BigEndian.AppendUint16(id, s.kdf.id)
	binary.BigEndian.AppendUint16(id, s.aead.id)

	c.context = make([]byte, 0, 1+2*s.kdf.size)
	c.context = append(c.context, modeBase)
	c.context = append(c.context, s.kdf.labeledExtract(c.suiteID[:], nil, "psk_id_hash", nil)...)
	c.context = append(c.context, s.kdf.labeledExtract(c.suiteID[:], nil, "info_hash", info)...)
	c.secret = s.kdf.labeledExtract(c.suiteID[:], shared, "secret", nil)
	return c
}

func (c *hpkeContext) key() []byte       { return c.expand("key", c.suite.aead.keySize) }
func (c *hpkeContext) baseNonce() []byte { return c.expand("base_nonce", nonceSize) }
func (c *hpkeContext) exporterSecret() []byte {
	return c.expand("exp", c.suite.kdf.size)
}

func (c *hpkeContext) expand(label string, length int) []byte {
	return c.suite.kdf.labeledExpand(c.suiteID[:], c.secret, label, c.context, length)
}

// aead returns the AEAD and the nonce of the first message.
func (c *hpkeContext) aead() (cipher.AEAD, []byte, error) {
	key := c.key()
	defer clear(key)
	a, err := c.suite.aead.new(key)
	return a, c.baseNonce(), err
}

// export is Context.Export (RFC 9180, Section 5.3).
func (c *hpkeContext) export(exporterContext []byte, length int) []byte {
	secret := c.exporterSecret()
	defer clear(secret)
	return c.suite.kdf.labeledExpand(c.suiteID[:], secret, "sec", exporterContext, length)
}

func (c *hpkeContext) erase() { clear(c.secret) }
