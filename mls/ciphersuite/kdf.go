package ciphersuite

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"hash"
	"sync"

	"github.com/mendlink/mendlink/internal/wire"
)

// A kdf is HKDF over a hash (RFC 5869). Its functions take their input in parts, so
// that nobody has to join them first.
type kdf struct {
	id      uint16 // RFC 9180, Section 7.2
	size    int    // Nh
	newHash func() hash.Hash

	hashes sync.Pool // of hash.Hash, at their beginning
	prfs   sync.Pool // of *prf, without a key
}

var (
	hkdfSHA256 = newKDF(0x0001, sha256.Size, sha256.New)
	hkdfSHA384 = newKDF(0x0002, sha512.Size384, sha512.New384)
	hkdfSHA512 = newKDF(0x0003, sha512.Size, sha512.New)
)

func newKDF(id uint16, size int, newHash func() hash.Hash) *kdf {
	k := &kdf{id: id, size: size, newHash: newHash}
	k.hashes.New = func() any { return newHash() }
	k.prfs.New = func() any { return &prf{kdf: k, mac: mac{hash: newHash()}} }
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

// mac appends the HMAC of data under key to dst.
func (k *kdf) mac(dst, key []byte, data ...[]byte) []byte {
	p := k.newPRF(key)
	defer p.release()
	return p.mac.append(dst, data...)
}

// extract is HKDF-Extract, appended to dst. An absent salt equals one of Nh
// zero octets, since HMAC pads keys with zeros.
func (k *kdf) extract(dst, salt []byte, ikm ...[]byte) []byte { return k.mac(dst, salt, ikm...) }

// expand is HKDF-Expand.
func (k *kdf) expand(prk []byte, length int, info ...[]byte) []byte {
	p := k.newPRF(prk)
	defer p.release()
	return p.expand(length, info...)
}

// A prf is HKDF-Expand under one key.
type prf struct {
	kdf *kdf
	mac mac
	// What a hash takes in must be on the heap, so it is put together here.
	label   [64]byte
	context [4]byte
	block   [1]byte
}

// newPRF returns a prf under key; the caller calls release, which erases it.
func (k *kdf) newPRF(key []byte) *prf {
	p := k.prfs.Get().(*prf)
	p.mac.setKey(key)
	return p
}

func (p *prf) release() {
	p.mac.forget()
	p.kdf.prfs.Put(p)
}

// expand derives length octets. It panics if length is more than 255 times Nh,
// which no input from a peer decides.
func (p *prf) expand(length int, info ...[]byte) []byte {
	size := p.kdf.size
	if length < 0 || length > 255*size {
		panic(fmt.Sprintf("ciphersuite: cannot derive %d octets", length))
	}
	out := make([]byte, 0, (length+size-1)/size*size)
	for block := byte(1); len(out) < length; block++ {
		p.mac.begin()
		if block > 1 {
			p.mac.hash.Write(out[len(out)-size:])
		}
		for _, part := range info {
			p.mac.hash.Write(part)
		}
		p.block[0] = block
		p.mac.hash.Write(p.block[:])
		out = p.mac.finish(out)
	}
	clear(out[length:])
	return out[:length:length]
}

// expandWithLabel is ExpandWithLabel (RFC 9420, Section 8).
func (p *prf) expandWithLabel(label string, context []byte, length int) []byte {
	if length > 1<<16-1 {
		panic(fmt.Sprintf("ciphersuite: cannot derive %d octets", length))
	}
	w := wire.NewWriter(p.label[:0])
	w.Uint16(uint16(length))
	writeLabel(w, label)
	w.Length(len(context))
	return p.expand(length, w.Data(), context)
}

// expandLabel is HKDF-Expand-Label (RFC 8446, Section 7.1).
func (p *prf) expandLabel(label string, context []byte, length int) []byte {
	const prefix = "tls13 "
	if len(prefix)+len(label) > 255 || len(context) > 255 || length > 1<<16-1 {
		panic(fmt.Sprintf("ciphersuite: cannot derive %d octets with a label of %d and a context of %d", length, len(label), len(context)))
	}
	b := binary.BigEndian.AppendUint16(p.label[:0], uint16(length))
	b = append(append(append(b, byte(len(prefix)+len(label))), prefix...), label...)
	b = append(append(b, byte(len(context))), context...)
	return p.expand(length, b)
}

// deriveTreeSecret is DeriveTreeSecret (RFC 9420, Section 9.1).
func (p *prf) deriveTreeSecret(label string, generation uint32, length int) []byte {
	binary.BigEndian.PutUint32(p.context[:], generation)
	return p.expandWithLabel(label, p.context[:], length)
}

// hpkeVersion starts every labeled input of HPKE (RFC 9180, Section 4).
const hpkeVersion = "HPKE-v1"

// labeledExtract is LabeledExtract (RFC 9180, Section 4), appended to dst.
func (k *kdf) labeledExtract(dst []byte, suiteID string, salt []byte, label string, ikm ...[]byte) []byte {
	p := k.newPRF(salt)
	defer p.release()
	b := append(p.label[:0], hpkeVersion...)
	b = append(b, suiteID...)
	b = append(b, label...)
	p.mac.begin()
	p.mac.hash.Write(b)
	for _, part := range ikm {
		p.mac.hash.Write(part)
	}
	return p.mac.finish(dst)
}

// labeledExpand is LabeledExpand (RFC 9180, Section 4).
func (p *prf) labeledExpand(suiteID, label string, info []byte, length int) []byte {
	b := binary.BigEndian.AppendUint16(p.label[:0], uint16(length))
	b = append(b, hpkeVersion...)
	b = append(b, suiteID...)
	b = append(b, label...)
	return p.expand(length, b, info)
}
