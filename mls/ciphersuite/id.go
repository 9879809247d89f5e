package ciphersuite

import "fmt"

// An ID is a cipher suite's code point (RFC 9420, Section 17.1).
type ID uint16

// The cipher suites of RFC 9420.
const (
	MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519        ID = 0x0001
	MLS_128_DHKEMP256_AES128GCM_SHA256_P256             ID = 0x0002
	MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519 ID = 0x0003
	MLS_256_DHKEMX448_AES256GCM_SHA512_Ed448            ID = 0x0004
	MLS_256_DHKEMP521_AES256GCM_SHA512_P521             ID = 0x0005
	MLS_256_DHKEMX448_CHACHA20POLY1305_SHA512_Ed448     ID = 0x0006
	MLS_256_DHKEMP384_AES256GCM_SHA384_P384             ID = 0x0007
)

// The post-quantum cipher suites TBD1 to TBD11 of
// draft-ietf-mls-pq-ciphersuites-06. They have no registered code points yet;
// these are from the private range, and [Registry.Renumber] gives them others.
//
// The first eight keep messages secret from quantum computers; the last three
// keep signatures from them, too.
const (
	MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519        ID = 0xF001
	MLS_128_MLKEM768X25519_AES256GCM_SHA384_Ed25519        ID = 0xF002
	MLS_128_MLKEM768P256_AES128GCM_SHA256_P256             ID = 0xF003
	MLS_128_MLKEM768P256_AES256GCM_SHA384_P256             ID = 0xF004
	MLS_192_MLKEM1024P384_AES256GCM_SHA384_P384            ID = 0xF005
	MLS_128_MLKEM768_AES256GCM_SHA384_Ed25519              ID = 0xF006
	MLS_128_MLKEM768_AES256GCM_SHA384_P256                 ID = 0xF007
	MLS_192_MLKEM1024_AES256GCM_SHA384_P384                ID = 0xF008
	MLS_128_MLKEM768X25519_CHACHA20POLY1305_SHA384_MLDSA44 ID = 0xF009
	MLS_192_MLKEM768_AES256GCM_SHA384_MLDSA65              ID = 0xF00A
	MLS_256_MLKEM1024_AES256GCM_SHA384_MLDSA87             ID = 0xF00B
)

// String returns the name that the specification gives to the built-in suite
// with this code point, and the number if there is none.
func (id ID) String() string {
	for _, s := range builtin {
		if s.id == id {
			return s.name
		}
	}
	return fmt.Sprintf("0x%04x", uint16(id))
}
