package secrettree

import "github.com/mendlink/mendlink/mls/ciphersuite"

// SenderDataKey derives the AEAD key and nonce that encrypt a message's sender
// data, from the epoch's sender data secret and a sample of the message's
// encrypted content (RFC 9420, Section 6.3.2). The caller erases the key.
func SenderDataKey(s *ciphersuite.Suite, senderDataSecret, ciphertext []byte) (key, nonce []byte) {
	sample := ciphertext[:min(len(ciphertext), s.HashSize())]
	e := s.NewExpander(senderDataSecret)
	return e.ExpandWithLabel("key", sample, s.KeySize()), e.ExpandWithLabel("nonce", sample, s.NonceSize())
}
