package ciphersuite

import "crypto/cipher"

// A Suite is a set of algorithms under a code point. It holds no secrets and
// no mutable state, so it is safe for concurrent use.
//
// Suites come from a [Registry].
type Suite struct {
	id   ID
	name string
	kem  kem
	kdf  *kdf
	aead *aead
	sig  signatureScheme
}

// builtin lists every suite. A new one is a new row.
var builtin = [...]Suite{
	{MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519, "MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519", dhkemX25519, hkdfSHA256, aes128GCM, ed25519Scheme{}},
	{MLS_128_DHKEMP256_AES128GCM_SHA256_P256, "MLS_128_DHKEMP256_AES128GCM_SHA256_P256", dhkemP256, hkdfSHA256, aes128GCM, ecdsaP256},
	{MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519, "MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519", dhkemX25519, hkdfSHA256, chaCha20Poly1305, ed25519Scheme{}},
	{MLS_256_DHKEMP521_AES256GCM_SHA512_P521, "MLS_256_DHKEMP521_AES256GCM_SHA512_P521", dhkemP521, hkdfSHA512, aes256GCM, ecdsaP521},
	{MLS_256_DHKEMP384_AES256GCM_SHA384_P384, "MLS_256_DHKEMP384_AES256GCM_SHA384_P384", dhkemP384, hkdfSHA384, aes256GCM, ecdsaP384},

	{MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519, "MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519", mlkem768X25519, hkdfSHA256, aes128GCM, ed25519Scheme{}},
	{MLS_128_MLKEM768X25519_AES256GCM_SHA384_Ed25519, "MLS_128_MLKEM768X25519_AES256GCM_SHA384_Ed25519", mlkem768X25519, hkdfSHA384, aes256GCM, ed25519Scheme{}},
	{MLS_128_MLKEM768P256_AES128GCM_SHA256_P256, "MLS_128_MLKEM768P256_AES128GCM_SHA256_P256", mlkem768P256, hkdfSHA256, aes128GCM, ecdsaP256},
	{MLS_128_MLKEM768P256_AES256GCM_SHA384_P256, "MLS_128_MLKEM768P256_AES256GCM_SHA384_P256", mlkem768P256, hkdfSHA384, aes256GCM, ecdsaP256},
	{MLS_192_MLKEM1024P384_AES256GCM_SHA384_P384, "MLS_192_MLKEM1024P384_AES256GCM_SHA384_P384", mlkem1024P384, hkdfSHA384, aes256GCM, ecdsaP384},
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
