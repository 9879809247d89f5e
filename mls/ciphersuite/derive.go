package ciphersuite

import (
	"crypto/hmac"
	"hash"

	"github.com/mendlink/mendlink/internal/wire"
)

// labelPrefix is put before every label of MLS.
const labelPrefix = "MLS 1.0 "

// HashSize returns the size in octets of the suite's hash, of its MACs and of
// its secrets (KDF.Nh).
func (s *Suite) HashSize() int { return s.kdf.size }

// NewHash returns a new instance of the suite's hash.
func (s *Suite) NewHash() hash.Hash { return s.kdf.newHash() }

// Hash returns the hash of the concatenation of data.
func (s *Suite) Hash(data ...[]byte) []byte {
	return s.kdf.hash(make([]byte, 0, s.kdf.size), data...)
}

// MAC returns the HMAC of the concatenation of data.
func (s *Suite) MAC(key []byte, data ...[]byte) []byte {
	return s.kdf.mac(make([]byte, 0, s.kdf.size), key, data...)
}

// VerifyMAC reports whether tag is the [Suite.MAC] of data, in constant time.
func (s *Suite) VerifyMAC(key, tag []byte, data ...[]byte) bool {
	return hmac.Equal(tag, s.MAC(key, data...))
}

// RefHash hashes value under label, which is the whole label, such as
// "MLS 1.0 KeyPackage Reference" (RFC 9420, Section 5.2).
func (s *Suite) RefHash(label string, value []byte) []byte {
	w := wire.NewWriter(make([]byte, 0, len(label)+8))
	w.String(label)
	w.Length(len(value))
	return s.Hash(w.Data(), value)
}

// Extract is KDF.Extract (RFC 9420, Section 5.1).
func (s *Suite) Extract(salt, ikm []byte) []byte {
	return s.kdf.extract(make([]byte, 0, s.kdf.size), salt, ikm)
}

// Expand is KDF.Expand (RFC 9420, Section 5.1). It panics if length is more
// than 255 times [Suite.HashSize].
func (s *Suite) Expand(prk, info []byte, length int) []byte {
	return s.kdf.expand(prk, length, info)
}

// ExpandWithLabel derives length octets from secret (RFC 9420, Section 8). The
// label, which may hold any octets, gets its "MLS 1.0 " here. It panics if
// length is more than 255 times [Suite.HashSize] or does not fit 16 bits.
func (s *Suite) ExpandWithLabel(secret []byte, label string, context []byte, length int) []byte {
	p := s.kdf.newPRF(secret)
	defer p.release()
	return p.expandWithLabel(label, context, length)
}

// ExpandLabel is HKDF-Expand-Label of TLS 1.3 (RFC 8446, Section 7.1), for what is
// protected as TLS protects it. The label gets its "tls13 " here. It panics if label has
// more than 249 octets or context more than 255, and as [Suite.ExpandWithLabel] does.
func (s *Suite) ExpandLabel(secret []byte, label string, context []byte, length int) []byte {
	p := s.kdf.newPRF(secret)
	defer p.release()
	return p.expandLabel(label, context, length)
}

// DeriveSecret derives a secret of [Suite.HashSize] octets
// (RFC 9420, Section 8).
func (s *Suite) DeriveSecret(secret []byte, label string) []byte {
	return s.ExpandWithLabel(secret, label, nil, s.kdf.size)
}

// DeriveTreeSecret derives length octets for a generation of a secret tree's
// ratchet (RFC 9420, Section 9.1). It panics as [Suite.ExpandWithLabel] does.
func (s *Suite) DeriveTreeSecret(secret []byte, label string, generation uint32, length int) []byte {
	p := s.kdf.newPRF(secret)
	defer p.release()
	return p.deriveTreeSecret(label, generation, length)
}

// writeLabel writes label behind the prefix of MLS, as an opaque<V>.
func writeLabel(w *wire.Writer, label string) {
	w.Length(len(labelPrefix) + len(label))
	w.Bytes([]byte(labelPrefix))
	w.Bytes([]byte(label))
}
