package ciphersuite

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"hash"
	"sync"
)

// A kdf is HKDF over a hash (RFC 5869), on HMAC of the standard library. Its
// functions take their input in parts, so that nobody has to join them first.
type kdf struct {
	id      uint16 // RFC 9180, Section 7.2
	size    int    // Nh
	newHash func() hash.Hash

	hashes   sync.Pool // of hash.Hash, at their beginning
	unsalted sync.Pool // of *unsalted
	prfs     sync.Pool // of *prf, without a key
}

var (
	hkdfSHA256 = newKDF(0x0001, sha256.Size, sha256.New)
	hkdfSHA384 = newKDF(0x0002, sha512.Size384, sha512.New384)
	hkdfSHA512 = newKDF(0x0003, sha512.Size, sha512.New)
)

func newKDF(id uint16, size int, newHash func() hash.Hash) *kdf {
	k := &kdf{id: id, size: size, newHash: newHash}
	k.hashes.New = func() any { return newHash() }
	k.unsalted.New = func() any { return &unsalted{hmac: hmac.New(newHash, nil)} }
	k.prfs.New = func() any { return new(prf) }
	return k
}

// hash appends the hash of data to dst.
func (k *kdf) hash(dst []byte, data ...[]byte) []byte {
	h := k.hashes.Get().(hash.Hash)
	for _, d := range data {
		h.Write(d)
	}
	dst = h.Sum(dst)
	h.Reset()
	k.hashes.Put(h)
	return dst
}

func (k *kdf) mac(key []byte, data ...[]byte) []byte {
	h := hmac.New(k.newHash, key)
	for _, d := range data {
		h.Write(d)
	}
	return h.Sum(make([]byte, 0, k.size))
}

// extract is HKDF-Extract, appended to dst. An absent salt equals one of Nh
// zero octets, since HMAC pads keys with zeros.
func (k *kdf) extract(dst, salt []byte, ikm ...[]byte) []byte {
	if len(salt) > 0 {
		h := hmac.New(k.newHash, salt)
		for _, part := range ikm {
			h.Write(part)
		}
		return h.Sum(dst)
	}
	u := k.unsalted.Get().(*unsalted)
	for _, part := range ikm {
		u.hmac.Write(part)
	}
	dst = u.hmac.Sum(dst)
	u.reset()
	k.unsalted.Put(u)
	return dst
}

// An unsalted is an HMAC without a key, for reuse.
type unsalted struct {
	hmac hash.Hash
	sum  [sha512.Size]byte
}

// reset takes u back to its beginning, and makes it forget its last input and
// output on the way: a hash keeps its last, unfinished block.
func (u *unsalted) reset() {
	u.hmac.Reset()
	u.hmac.Write(noSecrets[:u.hmac.BlockSize()-1])
	u.hmac.Sum(u.sum[:0])
	u.hmac.Reset()
}

var noSecrets [sha512.BlockSize]byte

// A prf is HKDF-Expand under one key: HMAC takes the key in once, however much
// is derived. It is not safe for concurrent use.
type prf struct {
	kdf  *kdf
	hmac hash.Hash
	used bool
	// What a hash takes in must be on the heap, so it is put together here.
	label   [64]byte
	context [4]byte
	block   [1]byte
}

// newPRF returns a prf under key; the caller calls release.
func (k *kdf) newPRF(key []byte) *prf {
	p := k.prfs.Get().(*prf)
	p.init(k, key)
	return p
}

func (p *prf) init(k *kdf, key []byte) {
	p.kdf, p.hmac, p.used = k, hmac.New(k.newHash, key), false
}

func (p *prf) release() {
	k := p.kdf
	p.kdf, p.hmac = nil, nil
	k.prfs.Put(p)
}

// expand derives length octets. It panics if length is more than 255 times Nh,
// which no input from a peer decides.
func (p *prf) expand(length int, info ...[]byte) []byte {
	size := p.kdf.size
	if length < 0 || length > 255*size {
		panic(fmt.Sprintf("ciphersuite: cannot derive %d octets", length))
	}
	if p.used {
		p.hmac.Reset()
	}
	p.used = true
	out := make([]byte, 0, (length+size-1)/size*size)
	for block := byte(1); len(out) < length; block++ {
		if block > 1 {
			p.hmac.Reset()
			p.hmac.Write(out[len(out)-size:])
		}
		for _, part := range info {
			p.hmac.Write(part)
		}
		p.block[0] = block
		p.hmac.Write(p.block[:])
		out = p.hmac.Sum(out)
	}
	clear(out[length:])
	return out[:length:length]
}

// expand is HKDF-Expand.
func (k *kdf) expand(prk []byte, length int, info ...[]byte) []byte {
	p := k.newPRF(prk)
	defer p.release()
	return p.expand(length, info...)
}

// hpkeVersion starts every labeled input of HPKE (RFC 9180, Section 4).
const hpkeVersion = "HPKE-v1"

// labeledExtract is LabeledExtract (RFC 9180, Section 4), appended to dst.
func (k *kdf) labeledExtract(dst []byte, suiteID string, salt []byte, label string, ikm []byte) []byte {
	p := k.prfs.Get().(*prf) // for its room
	defer k.prfs.Put(p)
	b := append(p.label[:0], hpkeVersion...)
	b = append(b, suiteID...)
	b = append(b, label...)
	return k.extract(dst, salt, b, ikm)
}

// labeledExpand is LabeledExpand (RFC 9180, Section 4).
func (p *prf) labeledExpand(suiteID, label string, info []byte, length int) []byte {
	b := binary.BigEndian.AppendUint16(p.label[:0], uint16(length))
	b = append(b, hpkeVersion...)
	b = append(b, suiteID...)
	b = append(b, label...)
	return p.expand(length, b, info)
}
