package ciphersuite

import (
	"bytes"
	"fmt"
	"io"
)

// An HPKEPrivateKey decrypts what was encrypted to its public key. Its use is
// safe for concurrent use, except for [HPKEPrivateKey.Erase].
//
// It is parsed: nothing is computed again at each use, except that the large
// expanded key of ML-KEM is dropped by the garbage collector while the key is
// not used.
type HPKEPrivateKey struct {
	kem    uint16
	key    kemKey // nil once erased
	public []byte
}

func newHPKEPrivateKey(k kem, key kemKey) *HPKEPrivateKey {
	return &HPKEPrivateKey{kem: k.id(), key: key, public: key.public()}
}

// PublicKey returns the encoded public key, which the caller must not change.
func (k *HPKEPrivateKey) PublicKey() []byte { return k.public }

// Bytes returns a copy of the private key as the KEM serialises it: a scalar,
// or the seed of ML-KEM or of a hybrid KEM. It returns nil after
// [HPKEPrivateKey.Erase].
func (k *HPKEPrivateKey) Bytes() []byte {
	if k.key == nil {
		return nil
	}
	return bytes.Clone(k.key.bytes())
}

// Erase overwrites the private key, but for the scalars of NIST curves and
// expanded ML-KEM keys: the libraries have no means to overwrite those, so they
// are only forgotten. The public key stays; using the private key is an error.
func (k *HPKEPrivateKey) Erase() {
	if k.key != nil {
		k.key.erase()
		k.key = nil
	}
}

// GenerateHPKEKeyPair returns a new key. It is DeriveKeyPair of octets from
// rand, so that the same octets give the same key.
func (s *Suite) GenerateHPKEKeyPair(rand io.Reader) (*HPKEPrivateKey, error) {
	ikm, err := readRandom(rand, s.kem.privateKeySize())
	if err != nil {
		return nil, err
	}
	defer clear(ikm)
	return s.DeriveHPKEKeyPair(ikm)
}

// DeriveHPKEKeyPair is KEM.DeriveKeyPair (RFC 9180, Section 4).
func (s *Suite) DeriveHPKEKeyPair(ikm []byte) (*HPKEPrivateKey, error) {
	key, err := s.kem.deriveKeyPair(ikm)
	if err != nil {
		return nil, err
	}
	return newHPKEPrivateKey(s.kem, key), nil
}

// ParseHPKEPrivateKey reads what [HPKEPrivateKey.Bytes] returned. A scalar of
// a NIST curve may lack leading zeros. Errors match [ErrPrivateKey].
func (s *Suite) ParseHPKEPrivateKey(b []byte) (*HPKEPrivateKey, error) {
	key, err := s.kem.newKey(b, nil)
	if err != nil {
		return nil, err
	}
	return newHPKEPrivateKey(s.kem, key), nil
}

// ParseHPKEKeyPair is [Suite.ParseHPKEPrivateKey] for a key whose public half is
// at hand, from a state that was saved, say. Except on NIST curves this costs next
// to nothing, where otherwise the public half would be computed. The caller
// vouches that they belong together: the key decrypts nothing if they do not.
// Errors match [ErrPrivateKey].
func (s *Suite) ParseHPKEKeyPair(private, public []byte) (*HPKEPrivateKey, error) {
	if public == nil {
		return nil, fmt.Errorf("%w: no public key", ErrPrivateKey)
	}
	key, err := s.kem.newKey(private, public)
	if err != nil {
		return nil, err
	}
	k := newHPKEPrivateKey(s.kem, key)
	if !bytes.Equal(k.public, public) {
		return nil, fmt.Errorf("%w: it belongs to another public key", ErrPrivateKey)
	}
	return k, nil
}

// An HPKEPublicKey is a public key that was parsed and checked once, to be
// encrypted to more often. It belongs to the suite that parsed it, and is safe
// for concurrent use. Its size is about that of its encoding: the large expanded
// key of ML-KEM is dropped by the garbage collector while the key is not used.
type HPKEPublicKey struct {
	suite   *Suite
	key     kemPublicKey
	encoded []byte
}

// ParseHPKEPublicKey reads a public key (RFC 9180, Section 4), and keeps b,
// which the caller must not change. It checks the length, that points are on
// their curve and that no secret agreed on with them is always zero, and that an
// ML-KEM key passes the encapsulation key check (FIPS 203, Section 7.2). Errors
// match [ErrPublicKey].
func (s *Suite) ParseHPKEPublicKey(b []byte) (*HPKEPublicKey, error) {
	key, err := s.kem.newPublicKey(b)
	if err != nil {
		return nil, err
	}
	return &HPKEPublicKey{s, key, b}, nil
}

// ValidateHPKEPublicKey is [Suite.ParseHPKEPublicKey] for the error alone.
func (s *Suite) ValidateHPKEPublicKey(public []byte) error {
	_, err := s.kem.newPublicKey(public)
	return err
}

// Bytes returns the encoded key, which the caller must not change.
func (k *HPKEPublicKey) Bytes() []byte { return k.encoded }
