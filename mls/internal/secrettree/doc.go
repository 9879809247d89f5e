// Package secrettree turns an epoch's encryption secret into the keys that
// encrypt its messages: a tree of secrets with a leaf for each member, and at
// each leaf a ratchet for handshake and one for application messages
// (RFC 9420, Section 9).
//
// A sender takes the next key of its ratchet, which is gone from the tree at
// that moment:
//
//	key, err := tree.Next(self, secrettree.Application)
//	... seal with key.Key and key.Nonce ...
//	key.Discard()
//
// A receiver looks at the key that a message claims, and consumes it once the
// message turned out to be authentic. A forged message changes nothing:
//
//	key, err := tree.Peek(sender, secrettree.Application, generation)
//	plaintext, err := open(key.Key, key.Nonce, ...)
//	if err != nil {
//		key.Discard()
//		return err
//	}
//	key.Consume()
//
// Nothing hinders using both on one ratchet, as virtual clients do that send
// and receive as the same leaf.
//
// The same tree of secrets, without ratchets, is the exporter tree of
// draft-ietf-mls-extensions: see [ExporterTree].
//
// # Erasure
//
// A secret is overwritten as soon as something derived from it is consumed
// (RFC 9420, Section 9.2): a node's when its children are derived, a leaf's when
// its ratchets are, a ratchet's when it steps. Keys of messages that were
// skipped are kept, up to a limit and for a time, until they are used. A state that is
// marshalled holds no more than that.
//
// # Work and memory
//
// Trees are derived on demand, so that a tree costs what its active members
// cost. A message makes the receiver derive at most [Limits.MaxForward]
// generations, and is refused before any derivation if it asks for more. To look
// at a key costs one derivation for each generation on the way; only an authentic
// message makes the receiver derive the keys that it skipped. A ratchet keeps at
// most [Limits.MaxSkipped] keys, for [Limits.MaxAge].
//
// A key encrypts one message, so that the bounds of an AEAD on what one key may
// encrypt (RFC 9420, Section 15.2) are never near: messages are below 2^30 octets,
// and AES-GCM and ChaCha20-Poly1305 take about 2^36. A ratchet ends before its
// generation counter does.
package secrettree
