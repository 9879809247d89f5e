package secrettree

// A Key encrypts or decrypts a single message.
type Key struct {
	Generation uint32
	Key        []byte // AEAD.Nk octets
	Nonce      []byte // AEAD.Nn octets, without the reuse guard

	// For Consume; tree is nil for a key that is consumed already.
	tree      *Tree
	leaf      uint32
	kind      Kind
	following []byte // the ratchet's secret after this generation; nil for a skipped one
}

// derive sets the key to that of its generation, whose secret is given.
func (k *Key) derive(kdf kdf, secret []byte) {
	k.Key = kdf.DeriveTreeSecret(secret, "key", k.Generation, kdf.KeySize())
	k.Nonce = kdf.DeriveTreeSecret(secret, "nonce", k.Generation, kdf.NonceSize())
	k.following = kdf.DeriveTreeSecret(secret, "secret", k.Generation, kdf.HashSize())
}

// Consume removes the generation from the tree, and erases it together with
// every secret it was derived from (RFC 9420, Section 9.2). If generations
// before it were not used yet, their keys stay, within [Limits.MaxSkipped]
// and [Limits.MaxAge]. The key itself is erased, too. A key from [Tree.Next] is
// consumed from the outset, so that this only erases it.
//
// If several keys of a ratchet are held at once, each can be consumed, in any
// order. Consuming one twice has no further effect.
func (k *Key) Consume() {
	if t := k.tree; t != nil && t.checkLeaf(k.leaf) == nil {
		t.ratchet(k.leaf, k.kind).consume(t.kdf, k.Generation, k.following, &t.limits)
	}
	k.Discard()
}

// Discard erases the key and leaves the tree as it is.
func (k *Key) Discard() {
	clear(k.Key)
	clear(k.Nonce)
	clear(k.following)
	k.Key, k.Nonce, k.following, k.tree = nil, nil, nil, nil
}
