package secrettree

import "github.com/mendlink/mendlink/mls/ciphersuite"

// SenderData derives the keys that encrypt the sender data of the messages of
// one epoch (RFC 9420, Section 6.3.2). It holds the epoch's sender data secret as
// the state of an HMAC, which cannot be erased: let go of it when the secret is
// erased. It is not safe for concurrent use.
type SenderData struct {
	suite    *ciphersuite.Suite
	expander *ciphersuite.Expander
}

// NewSenderData returns the SenderData of an epoch's sender data secret.
func NewSenderData(s *ciphersuite.Suite, secret []byte) *SenderData {
	return &SenderData{suite: s, expander: s.NewExpander(secret)}
}

// Key derives the AEAD key and nonce for the sender data of a message, from a
// sample of its encrypted content. The caller erases the key.
func (d *SenderData) Key(ciphertext []byte) (key, nonce []byte) {
	sample := ciphertext[:min(len(ciphertext), d.suite.HashSize())]
	return d.expander.ExpandWithLabel("key", sample, d.suite.KeySize()),
		d.expander.ExpandWithLabel("nonce", sample, d.suite.NonceSize())
}
