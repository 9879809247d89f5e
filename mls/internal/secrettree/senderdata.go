package secrettree

import "github.com/mendlink/mendlink/mls/ciphersuite"

// SenderDataKey derives the AEAD key and nonce for the sender data of a message
// from its epoch's sender data secret and a sample of its encrypted content
// (RFC 9420, Section 6.3.2). The caller erases the key.
func SenderDataKey(s *ciphersuite.Suite, secret, ciphertext []byte) (key, nonce []byte) {
	sample := ciphertext[:min(len(ciphertext), s.HashSize())]
	return s.ExpandWithLabel(secret, "key", sample, s.KeySize()),
		s.ExpandWithLabel(secret, "nonce", sample, s.NonceSize())
}
