// Package ciphersuite implements the cipher suites of MLS: HPKE, key
// derivation, hash, AEAD and signature behind one type, [Suite]
// (RFC 9420, Sections 5.1, 5.2 and 8).
//
// A [Registry] maps code points to suites. [Default] has the seven of RFC 9420,
// and the eleven post-quantum ones of draft-ietf-mls-pq-ciphersuites-06, which
// have no registered numbers yet: [Registry.Renumber] gives them others.
//
// # Keys
//
// Keys at rest are octets. A key that is used more than once is parsed, and so
// checked, once: [HPKEPrivateKey], [HPKEPublicKey] and [SignaturePublicKey] are
// parsed keys, for which using them costs no more than the algorithm itself.
// Methods of [Suite] that take an encoded public key parse it each time. A
// parsed key is about as large as its encoding: what ML-KEM and ML-DSA expand
// their keys to, tens of kilobytes, is kept by weak pointers, that is until the
// garbage collector runs, and computed again if need be.
//
// # Randomness
//
// Functions that need randomness take an [io.Reader], which must not be nil.
// Keys, encapsulations and ciphertexts depend on what it returns and on nothing
// else, in every suite, so that tests can be repeated; only ECDSA signatures do
// not (see [Suite.SignWithLabel]).
//
// # Secrets
//
// Ephemeral keys, shared secrets and the secrets of HPKE's key schedule are
// erased before a function returns, as far as they can be reached: the
// libraries below keep scalars of NIST curves, expanded ML-KEM keys and the
// states of HMAC and AES to themselves. Results belong to the caller, who
// erases them. [HPKEPrivateKey.Erase] says what it erases.
//
// # Providers
//
// HPKE's key schedule and KEMs are composed here from the primitives of other
// libraries, since no HPKE at hand is at once fast, faithful to
// draft-ietf-hpke-pq (circl/hpke derives X-Wing keys in another way) and
// deterministic under a given reader (crypto/hpke is not). The primitives are
// whichever measured faster:
//
//   - X25519 and ML-KEM: circl, 1.5 and 2.5 to 5 times faster than crypto/ecdh and
//     crypto/mlkem.
//   - P-256, P-384, P-521: crypto/ecdh.
//   - SHA-2, HMAC, SHA-3, AES-GCM, Ed25519, ECDSA: the standard library.
//   - ChaCha20-Poly1305: x/crypto.
//
// Microseconds (allocations) on an AMD EPYC with Go 1.26, least of 8 runs of
//
//	GOMAXPROCS=1 go test -run - -bench HPKE -benchtime 40ms -count 8 ./mls/ciphersuite
//
// where sealing starts from encoded public keys and takes 32 octets:
//
//	                    this package            crypto/hpke             circl/hpke
//	                    derive seal      open      derive seal      open       seal      open
//	X25519                  30    81 (78)   51 (60)    56   157 (104)  103 (98)    109 (118)  51 (93)
//	P-256                   18    90 (92)   72 (67)    18    93 (110)   75 (102)    98 (129)  76 (100)
//	P-384                  155   672 (101) 504 (73)   153   674 (120)  505 (108)   667 (138) 512 (106)
//	MLKEM768-X25519         66   117 (52)  113 (51)   127   200 (86)   144 (77)    211 (75)  153 (70)
//	MLKEM768-P256           54   131 (66)  137 (58)    88   182 (92)   161 (81)
//	MLKEM1024-P384         204   715 (75)  588 (64)   268  1150 (101)  856 (87)
//
// A kept hybrid key holds its seed, its public key and its scalar, and expands
// the ML-KEM half whenever it opens something. The others' figures for opening
// leave that out, as they keep expanded keys: 8 KB for MLKEM768-X25519, against
// 1.5 KB here (BenchmarkKeptKey). Keys of MLS live as long as a connection and
// are seldom used.
package ciphersuite
