package ciphersuite

import "crypto/cipher"

// A Suite is a set of algorithms under a code point. It holds no secrets, and
// nothing that changes, so it is safe for concurrent use.
//
// Suites come from a [Registry].
type Suite struct {
	id   ID
	name string
	kem  kem
	kdf  *kdf
	aead *aead
	sig  signatureScheme
	hpke *hpkeConstants
}

// builtin lists every suite. A new one is a new row.
var builtin = [...]*Suite{
	newSuite(MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519, "MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519", dhkemX25519, hkdfSHA256, aes128GCM, ed25519Scheme{}),
	newSuite(MLS_128_DHKEMP256_AES128GCM_SHA256_P256, "MLS_128_DHKEMP256_AES128GCM_SHA256_P256", dhkemP256, hkdfSHA256, aes128GCM, ecdsaP256),
	newSuite(MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519, "MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519", dhkemX25519, hkdfSHA256, chaCha20Poly1305, ed25519Scheme{}),
	newSuite(MLS_256_DHKEMX448_AES256GCM_SHA512_Ed448, "MLS_256_DHKEMX448_AES256GCM_SHA512_Ed448", dhkemX448, hkdfSHA512, aes256GCM, ed448Scheme{}),
	newSuite(MLS_256_DHKEMP521_AES256GCM_SHA512_P521, "MLS_256_DHKEMP521_AES256GCM_SHA512_P521", dhkemP521, hkdfSHA512, aes256GCM, ecdsaP521),
	newSuite(MLS_256_DHKEMX448_CHACHA20POLY1305_SHA512_Ed448, "MLS_256_DHKEMX448_CHACHA20POLY1305_SHA512_Ed448", dhkemX448, hkdfSHA512, chaCha20Poly1305, ed448Scheme{}),
	newSuite(MLS_256_DHKEMP384_AES256GCM_SHA384_P384, "MLS_256_DHKEMP384_AES256GCM_SHA384_P384", dhkemP384, hkdfSHA384, aes256GCM, ecdsaP384),

	newSuite(MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519, "MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519", mlkem768X25519, hkdfSHA256, aes128GCM, ed25519Scheme{}),
	newSuite(MLS_128_MLKEM768X25519_AES256GCM_SHA384_Ed25519, "MLS_128_MLKEM768X25519_AES256GCM_SHA384_Ed25519", mlkem768X25519, hkdfSHA384, aes256GCM, ed25519Scheme{}),
	newSuite(MLS_128_MLKEM768P256_AES128GCM_SHA256_P256, "MLS_128_MLKEM768P256_AES128GCM_SHA256_P256", mlkem768P256, hkdfSHA256, aes128GCM, ecdsaP256),
	newSuite(MLS_128_MLKEM768P256_AES256GCM_SHA384_P256, "MLS_128_MLKEM768P256_AES256GCM_SHA384_P256", mlkem768P256, hkdfSHA384, aes256GCM, ecdsaP256),
	newSuite(MLS_192_MLKEM1024P384_AES256GCM_SHA384_P384, "MLS_192_MLKEM1024P384_AES256GCM_SHA384_P384", mlkem1024P384, hkdfSHA384, aes256GCM, ecdsaP384),
	newSuite(MLS_128_MLKEM768_AES256GCM_SHA384_Ed25519, "MLS_128_MLKEM768_AES256GCM_SHA384_Ed25519", mlkem768, hkdfSHA384, aes256GCM, ed25519Scheme{}),
	newSuite(MLS_128_MLKEM768_AES256GCM_SHA384_P256, "MLS_128_MLKEM768_AES256GCM_SHA384_P256", mlkem768, hkdfSHA384, aes256GCM, ecdsaP256),
	newSuite(MLS_192_MLKEM1024_AES256GCM_SHA384_P384, "MLS_192_MLKEM1024_AES256GCM_SHA384_P384", mlkem1024, hkdfSHA384, aes256GCM, ecdsaP384),
	newSuite(MLS_128_MLKEM768X25519_CHACHA20POLY1305_SHA384_MLDSA44, "MLS_128_MLKEM768X25519_CHACHA20POLY1305_SHA384_MLDSA44", mlkem768X25519, hkdfSHA384, chaCha20Poly1305, mldsa44Scheme),
	newSuite(MLS_192_MLKEM768_AES256GCM_SHA384_MLDSA65, "MLS_192_MLKEM768_AES256GCM_SHA384_MLDSA65", mlkem768, hkdfSHA384, aes256GCM, mldsa65Scheme),
	newSuite(MLS_256_MLKEM1024_AES256GCM_SHA384_MLDSA87, "MLS_256_MLKEM1024_AES256GCM_SHA384_MLDSA87", mlkem1024, hkdfSHA384, aes256GCM, mldsa87Scheme),
}

func newSuite(id ID, name string, kem kem, kdf *kdf, aead *aead, sig signatureScheme) *Suite {
	return &Suite{id, name, kem, kdf, aead, sig, newHPKEConstants(kem, kdf, aead)}
}

// ID returns the suite's code point.
func (s *Suite) ID() ID { return s.id }

// String returns the name that the specification gives to the algorithms,
// whatever the suite's number.
func (s *Suite) String() string { return s.name }

// WithID returns a suite with the same algorithms under another code point.
func (s *Suite) WithID(id ID) *Suite {
	c := *s
	c.id = id
	return &c
}

// KeySize returns the size of an AEAD key in octets (AEAD.Nk).
func (s *Suite) KeySize() int { return s.aead.keySize }

// NonceSize returns the size of an AEAD nonce in octets (AEAD.Nn).
func (s *Suite) NonceSize() int { return nonceSize }

// TagSize returns by how many octets a ciphertext is longer than its
// plaintext.
func (s *Suite) TagSize() int { return tagSize }

// NewAEAD returns the suite's AEAD under key, which must be of
// [Suite.KeySize] octets. The result is safe for concurrent use.
func (s *Suite) NewAEAD(key []byte) (cipher.AEAD, error) { return s.aead.new(key) }
