package ciphersuite

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"hash"
)

// A kdf is HKDF over a hash (RFC 5869). Its functions take their input in
// parts, so that nobody has to join them first.
type kdf struct {
	id      uint16 // RFC 9180, Section 7.2
	size    int    // Nh
	newHash func() hash.Hash
}

var (
	hkdfSHA256 = &kdf{0x0001, sha256.Size, sha256.New}
	hkdfSHA384 = &kdf{0x0002, sha512.Size384, sha512.New384}
	hkdfSHA512 = &kdf{0x0003, sha512.Size, sha512.New}
)

func (k *kdf) mac(key []byte, data ...[]byte) []byte {
	h := hmac.New(k.newHash, key)
	for _, d := range data {
		h.Write(d)
	}
	return h.Sum(make([]byte, 0, k.size))
}

// extract is HKDF-Extract. An absent salt equals one of Nh zero octets, since
// HMAC pads keys with zeros.
func (k *kdf) extract(salt []byte, ikm ...[]byte) []byte {
	return k.mac(salt, ikm...)
}

// expand is HKDF-Expand. It panics if length is more than 255 times Nh, which
// no input from a peer decides.
func (k *kdf) expand(prk []byte, length int, info ...[]byte) []byte {
	return k.expandKeyed(hmac.New(k.newHash, prk), length, info...)
}

// expandKeyed is expand for an HMAC that is keyed and at its beginning.
func (k *kdf) expandKeyed(h hash.Hash, length int, info ...[]byte) []byte {
	if length < 0 || length > 255*k.size {
		panic(fmt.Sprintf("ciphersuite: cannot derive %d octets", length))
	}
	out := make([]byte, 0, (length+k.size-1)/k.size*k.size)
	for block := byte(1); len(out) < length; block++ {
		if block > 1 {
			h.Reset()
			h.Write(out[len(out)-k.size:])
		}
		for _, part := range info {
			h.Write(part)
		}
		h.Write([]byte{block})
		out = h.Sum(out)
	}
	clear(out[length:])
	return out[:length:length]
}

// hpkeVersion starts every labeled input of HPKE (RFC 9180, Section 4).
const hpkeVersion = "HPKE-v1"

// labeledExtract is LabeledExtract (RFC 9180, Section 4).
func (k *kdf) labeledExtract(suiteID, salt []byte, label string, ikm []byte) []byte {
	prefix := make([]byte, 0, 48)
	prefix = append(prefix, hpkeVersion...)
	prefix = append(prefix, suiteID...)
	prefix = append(prefix, label...)
	return k.extract(salt, prefix, ikm)
}

// labeledExpand is LabeledExpand (RFC 9180, Section 4).
func (k *kdf) labeledExpand(suiteID, prk []byte, label string, info []byte, length int) []byte {
	prefix := make([]byte, 0, 48)
	prefix = binary.BigEndian.AppendUint16(prefix, uint16(length))
	prefix = append(prefix, hpkeVersion...)
	prefix = append(prefix, suiteID...)
	prefix = append(prefix, label...)
	return k.expand(prk, length, prefix, info)
}
