// Package ciphersuite implements the cipher suites of MLS: HPKE, key
// derivation, hash, AEAD and signature behind one type, [Suite]
// (RFC 9420, Sections 5.1, 5.2 and 8).
package ciphersuite
