package secrettree

import (
	"bytes"
	"cmp"
	"slices"
)

// A ratchet is the sender ratchet of one leaf for one kind of message
// (RFC 9420, Section 9.1). It knows the secret of one generation, from which all
// later ones follow, and the keys of earlier ones that were skipped.
type ratchet struct {
	secret  []byte
	next    uint32       // the generation of secret
	skipped []skippedKey // ascending generations, all below next
}

type skippedKey struct {
	generation uint32
	since      int64 // when it was skipped, in Unix seconds
	key, nonce []byte
}

func (k *skippedKey) erase() {
	clear(k.key)
	clear(k.nonce)
}

// following derives the secret of the generation after the given one.
func following(kdf kdf, secret []byte, generation uint32) []byte {
	return kdf.DeriveTreeSecret(secret, "secret", generation, kdf.HashSize())
}

// peek derives a key whose generation is not below next, without changing the
// ratchet.
func (r *ratchet) peek(kdf kdf, k *Key) {
	if k.Generation == r.next {
		k.derive(kdf, r.secret)
		return
	}
	secret := following(kdf, r.secret, r.next)
	for g := r.next + 1; g < k.Generation; g++ {
		previous := secret
		secret = following(kdf, previous, g)
		clear(previous)
	}
	k.derive(kdf, secret)
	clear(secret)
}

// peekSkipped returns copies of a skipped key and its nonce.
func (r *ratchet) peekSkipped(generation uint32, limits *Limits) (key, nonce []byte, ok bool) {
	i, ok := r.find(generation)
	if !ok || r.skipped[i].since < limits.oldest() {
		return nil, nil, false
	}
	return bytes.Clone(r.skipped[i].key), bytes.Clone(r.skipped[i].nonce), true
}

// step overwrites the current secret with that of the next generation.
func (r *ratchet) step(secret []byte) {
	copy(r.secret, secret)
	r.next++
}

// consume forgets a generation: a skipped key is erased; a later generation is
// stepped over, and keys on the way to it are kept, within the limits. following
// is the secret after a later generation.
func (r *ratchet) consume(kdf kdf, generation uint32, following []byte, limits *Limits) {
	r.dropExpired(limits)
	if generation < r.next {
		if i, ok := r.find(generation); ok {
			r.drop(i, i+1)
		}
		return
	}
	if r.next < generation {
		r.skip(kdf, generation, limits)
	}
	r.step(following)
}

// skip steps to a later generation and keeps the keys on the way.
func (r *ratchet) skip(kdf kdf, generation uint32, limits *Limits) {
	keep := min(int64(generation-r.next), int64(limits.MaxSkipped))
	r.keepNewest(limits.MaxSkipped - int(keep))
	var now int64
	if keep > 0 {
		now = limits.now()
	}
	for r.next < generation {
		if int64(generation-r.next) > keep {
			secret := following(kdf, r.secret, r.next)
			r.step(secret)
			clear(secret)
			continue
		}
		k := Key{Generation: r.next}
		k.derive(kdf, r.secret)
		r.skipped = append(r.skipped, skippedKey{k.Generation, now, k.Key, k.Nonce})
		r.step(k.following)
		clear(k.following)
	}
}

// keepNewest erases the oldest skipped keys, until there are at most count.
func (r *ratchet) keepNewest(count int) {
	if surplus := len(r.skipped) - count; surplus > 0 {
		r.drop(0, surplus)
	}
}

// dropExpired erases the skipped keys that are too old. Their ages need not be in
// order: clocks are set.
func (r *ratchet) dropExpired(limits *Limits) {
	if len(r.skipped) == 0 {
		return
	}
	oldest := limits.oldest()
	r.skipped = slices.DeleteFunc(r.skipped, func(k skippedKey) bool {
		expired := k.since < oldest
		if expired {
			k.erase()
		}
		return expired
	})
	r.giveBack()
}

// drop erases skipped keys i to j-1.
func (r *ratchet) drop(i, j int) {
	for k := range r.skipped[i:j] {
		r.skipped[i+k].erase()
	}
	r.skipped = slices.Delete(r.skipped, i, j)
	r.giveBack()
}

// giveBack gives back the memory of a burst.
func (r *ratchet) giveBack() {
	if len(r.skipped) == 0 {
		r.skipped = nil
	}
}

// find returns where a skipped generation is.
func (r *ratchet) find(generation uint32) (int, bool) {
	return slices.BinarySearchFunc(r.skipped, generation, func(k skippedKey, g uint32) int {
		return cmp.Compare(k.generation, g)
	})
}

func (r *ratchet) clone() ratchet {
	c := ratchet{secret: bytes.Clone(r.secret), next: r.next}
	for _, k := range r.skipped {
		c.skipped = append(c.skipped, skippedKey{k.generation, k.since, bytes.Clone(k.key), bytes.Clone(k.nonce)})
	}
	return c
}

func (r *ratchet) erase() {
	clear(r.secret)
	r.keepNewest(0)
	*r = ratchet{}
}
