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
// else, in every suite, so that tests can be repeated and vectors made. EdDSA and
// ML-DSA signatures are deterministic; only ECDSA signatures draw on the system's
// randomness regardless, unless they get no reader (see [Suite.SignWithLabel]).
//
// # Secrets
//
// Ephemeral keys, shared secrets and the secrets of HPKE's key schedule are
// erased before a function returns, as far as they can be reached: the
// libraries below keep scalars of NIST curves, expanded ML-KEM and ML-DSA keys
// and AES key schedules to themselves. Results belong to the caller, who
// erases them. [HPKEPrivateKey.Erase] says what it erases.
//
// # Providers
//
// HPKE's key schedule and KEMs are composed here from the primitives of other
// libraries, since no HPKE at hand is at once fast, faithful to
// draft-ietf-hpke-pq (circl/hpke derives X-Wing keys in another way) and
// deterministic under a given reader (crypto/hpke is not). The primitives are
// those of the standard library, unless it lacks them or others are faster:
//
//   - X25519 and ML-KEM: circl, 1.2 to 1.5 and 2 to 4 times faster than crypto/ecdh and
//     crypto/mlkem; X25519 public keys: filippo.io/edwards25519, 1.4 times faster
//     than circl; X448, Ed448 and ML-DSA: circl.
//   - P-256, P-384, P-521: crypto/ecdh.
//   - SHA-2, SHA-3, AES-GCM, Ed25519, ECDSA: the standard library. On amd64, Ed25519
//     signatures are verified by curve25519-voi, 1.3 times faster; nothing secret goes
//     there, and a test compares what it accepts with the standard library.
//   - HMAC: composed here from the hash, since crypto/hmac can neither be given another
//     key nor forget one, and takes twice as long for a key that is used once or twice.
//   - ChaCha20-Poly1305: x/crypto.
//
// Microseconds (allocations) with kept keys and 32 octets to seal, on two cores of an
// Intel Xeon with Go 1.26, least of 8 runs of
//
//	go test -run - -bench HPKE -benchtime 30ms -count 8 -cpu 1 ./mls/ciphersuite
//
//	                  this package             crypto/hpke               circl/hpke
//	                  derive seal      open    derive seal       open       seal       open
//	X25519                18    57 (15)   38 (11)    44    94 (102)   51 (98)     70 (115)  44 (93)
//	P-256                 16    84 (24)   63 (18)    17    85 (105)   69 (102)    86 (122)  69 (100)
//	P-384                157   572 (30)  441 (24)   131   577 (112)  447 (108)   579 (128) 447 (106)
//	P-521                331  1553 (30) 1234 (24)   434  1520 (112) 1197 (108)  2571 (131) 1186 (106)
//	X448                  89   238 (15)  149 (11)                                253 (115) 162 (93)
//	MLKEM768-X25519       56    75 (15)   64 (10)   100   138 (84)   113 (77)    177 (72)  162 (70)
//	MLKEM768-P256         54    98 (24)   89 (17)    72   128 (87)   128 (81)
//	MLKEM1024-P384       186   592 (30)  475 (23)   215   645 (93)   544 (87)
//	ML-KEM-768            37    23 (10)   31 (8)     55    57 (76)    75 (73)
//	ML-KEM-1024           55    29 (10)   39 (8)     84    80 (76)   113 (73)
//
// Signing and verifying cost what the libraries do (BenchmarkSignature). To seal
// to an encoded key costs 17 (ML-KEM-768) or 27 (ML-KEM-1024) more, and to verify
// with one as much again as the verification for ML-DSA.
package ciphersuite
