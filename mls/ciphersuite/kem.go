package ciphersuite

import (
	"encoding/binary"
	"fmt"
	"io"
)

// A kem is one of HPKE's key encapsulation mechanisms (RFC 9180, Section 4;
// draft-ietf-hpke-pq). Implementations hold no mutable state.
type kem interface {
	id() uint16
	privateKeySize() int // Nsk
	// encapSeedSize is how many octets Encap reads. One that looks for a scalar
	// may read more, with a probability of 2^-32.
	encapSeedSize() int
	// deriveKeyPair is DeriveKeyPair.
	deriveKeyPair(ikm []byte) (kemKey, error)
	// newKey is DeserializePrivateKey. If public is nil, the public key is
	// computed; otherwise it is taken as given where that is dear. It keeps
	// neither.
	newKey(b, public []byte) (kemKey, error)
	// newPublicKey is DeserializePublicKey. It keeps b.
	newPublicKey(b []byte) (kemPublicKey, error)
}

// A kemPublicKey is a public key of a [kem], parsed.
type kemPublicKey interface {
	// encap is Encap; its randomness comes from rand alone.
	encap(rand io.Reader) (secret, enc []byte, err error)
}

// A kemKey is a private key of a [kem].
type kemKey interface {
	public() []byte
	// bytes is SerializePrivateKey.
	bytes() []byte
	// decap is Decap.
	decap(enc []byte) ([]byte, error)
	// erase overwrites what secrets can be reached. The key is not used after.
	erase()
}

// kemSuiteID identifies a KEM in labels (RFC 9180, Section 4.1).
func kemSuiteID(id uint16) string {
	return string(binary.BigEndian.AppendUint16([]byte("KEM"), id))
}

// readRandom returns n octets of rand.
func readRandom(rand io.Reader, n int) ([]byte, error) {
	b := make([]byte, n)
	if err := fillRandom(rand, b); err != nil {
		return nil, err
	}
	return b, nil
}

// fillRandom fills b from rand.
func fillRandom(rand io.Reader, b []byte) error {
	if _, err := io.ReadFull(rand, b); err != nil {
		return fmt.Errorf("ciphersuite: reading randomness: %w", err)
	}
	return nil
}
