package ciphersuite

import (
	"errors"
	"fmt"
)

var (
	// ErrUnsupported means that no suite has the code point asked for.
	// The error is an [*UnsupportedError].
	ErrUnsupported = errors.New("ciphersuite: unsupported cipher suite")
	// ErrDuplicate means that two suites of a registry have the same code point.
	ErrDuplicate = errors.New("ciphersuite: duplicate cipher suite")
	// ErrPublicKey means that a public key is malformed, or one with which
	// no secret can be agreed.
	ErrPublicKey = errors.New("ciphersuite: invalid public key")
	// ErrPrivateKey means that a private key is malformed, erased, or not
	// of the suite's kind.
	ErrPrivateKey = errors.New("ciphersuite: invalid private key")
	// ErrKEMOutput means that an encapsulated key is malformed, or one with
	// which no secret can be agreed.
	ErrKEMOutput = errors.New("ciphersuite: invalid KEM output")
	// ErrPSK means that a pre-shared key or its ID is empty, where HPKE needs one.
	ErrPSK = errors.New("ciphersuite: no pre-shared key")
	// ErrDecrypt means that a ciphertext failed authentication.
	ErrDecrypt = errors.New("ciphersuite: decryption failed")
	// ErrSignature means that a signature does not verify.
	ErrSignature = errors.New("ciphersuite: invalid signature")
)

// An UnsupportedError names the suite that a [Registry] lacks.
// It matches [ErrUnsupported].
type UnsupportedError struct {
	ID ID
}

// Error implements error.
func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("%v %v", ErrUnsupported, e.ID)
}

// Is reports whether target is [ErrUnsupported].
func (e *UnsupportedError) Is(target error) bool { return target == ErrUnsupported }
