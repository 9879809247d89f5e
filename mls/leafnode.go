package mls

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// LeafIndex is a member's position among the leaves of the ratchet tree.
type LeafIndex uint32

// LeafNodeSource says how a [LeafNode] came into the tree. RFC 9420, Section 7.2.
type LeafNodeSource uint8

// The sources of a leaf node.
const (
	LeafNodeSourceKeyPackage LeafNodeSource = 1
	LeafNodeSourceUpdate     LeafNodeSource = 2
	LeafNodeSourceCommit     LeafNodeSource = 3
)

func (s LeafNodeSource) String() string {
	switch s {
	case LeafNodeSourceKeyPackage:
		return "key_package"
	case LeafNodeSourceUpdate:
		return "update"
	case LeafNodeSourceCommit:
		return "commit"
	}
	return fmt.Sprintf("LeafNodeSource(%d)", uint8(s))
}

// Lifetime is the time in which a key package may be used, in seconds since
// 1970-01-01T00:00:00Z, both ends included. RFC 9420, Section 7.2.
type Lifetime struct {
	NotBefore, NotAfter uint64
}

// LifetimeFrom returns the Lifetime that starts at t and lasts for d. It starts
// an hour early, for peers whose clock is behind.
func LifetimeFrom(t time.Time, d time.Duration) Lifetime {
	return Lifetime{
		NotBefore: uint64(max(0, t.Add(-time.Hour).Unix())),
		NotAfter:  uint64(max(0, t.Add(d).Unix())),
	}
}

// Contains reports whether t lies in l.
func (l Lifetime) Contains(t time.Time) bool {
	now := uint64(max(0, t.Unix()))
	return l.NotBefore <= now && now <= l.NotAfter
}

// A LeafNode is a client's appearance in a group, signed by the client.
// RFC 9420, Section 7.2.
type LeafNode struct {
	EncryptionKey []byte // HPKE public key
	SignatureKey  []byte
	Credential    Credential
	Capabilities  Capabilities
	Source        LeafNodeSource
	Lifetime      Lifetime // Source key_package only
	ParentHash    []byte   // Source commit only
	Extensions    Extensions
	Signature     []byte

	// Its keys, parsed when it was verified. A copy of the leaf in which a key
	// was changed does not use what was parsed before.
	encryption *ciphersuite.HPKEPublicKey
	signature  *ciphersuite.SignaturePublicKey
}

// encodeContent writes all fields above the signature.
func (l *LeafNode) encodeContent(w *wire.Writer) {
	w.Opaque(l.EncryptionKey)
	w.Opaque(l.SignatureKey)
	l.Credential.encode(w)
	l.Capabilities.encode(w)
	w.Uint8(uint8(l.Source))
	switch l.Source {
	case LeafNodeSourceKeyPackage:
		w.Uint64(l.Lifetime.NotBefore)
		w.Uint64(l.Lifetime.NotAfter)
	case LeafNodeSourceCommit:
		w.Opaque(l.ParentHash)
	}
	l.Extensions.encode(w)
}

func (l *LeafNode) encode(w *wire.Writer) {
	l.encodeContent(w)
	w.Opaque(l.Signature)
}

func (l *LeafNode) decode(r *wire.Reader) {
	l.EncryptionKey = r.Opaque()
	l.SignatureKey = r.Opaque()
	l.Credential.decode(r)
	l.Capabilities.decode(r)
	l.Source = LeafNodeSource(r.Uint8())
	switch l.Source {
	case LeafNodeSourceKeyPackage:
		l.Lifetime.NotBefore = r.Uint64()
		l.Lifetime.NotAfter = r.Uint64()
	case LeafNodeSourceUpdate:
	case LeafNodeSourceCommit:
		l.ParentHash = r.Opaque()
	default:
		r.Fail(fmt.Errorf("mls: leaf node source %d is not defined", uint8(l.Source)))
	}
	l.Extensions = readExtensions(r)
	l.Signature = r.Opaque()
	if r.Err() == nil {
		l.detach()
	}
}

// detach gives the leaf memory of its own. The encryption key, which can be large, is apart, as a
// private key may have it already.
func (l *LeafNode) detach() {
	detach(&l.EncryptionKey)
	fields := []*[]byte{&l.SignatureKey, &l.Credential.Identity, &l.Credential.Data, &l.ParentHash, &l.Signature}
	for i := range l.Credential.Certificates {
		fields = append(fields, &l.Credential.Certificates[i])
	}
	fields = append(fields, l.Credential.SDJWT.fields()...)
	for i := range l.Extensions {
		fields = append(fields, &l.Extensions[i].Data)
	}
	detach(fields...)
}

// encodeToBeSigned writes LeafNodeTBS. A leaf that was made for a group is bound
// to that group and to its place in it.
func (l *LeafNode) encodeToBeSigned(w *wire.Writer, groupID []byte, index LeafIndex) {
	l.encodeContent(w)
	if l.Source != LeafNodeSourceKeyPackage {
		w.Opaque(groupID)
		w.Uint32(uint32(index))
	}
}

func (l *LeafNode) sign(s *ciphersuite.Suite, rand io.Reader, id *Identity, groupID []byte, index LeafIndex) (err error) {
	wire.Lend(func(w *wire.Writer) {
		l.encodeToBeSigned(w, groupID, index)
		l.Signature, err = s.SignWithLabel(rand, id.Signer, "LeafNodeTBS", w.Data())
	})
	return err
}

// verify checks a leaf's keys and its signature, and keeps the keys. RFC 9420,
// Section 7.3.
func (l *LeafNode) verify(s *ciphersuite.Suite, groupID []byte, index LeafIndex) (err error) {
	if l.encryption, err = l.parseEncryptionKey(s); err != nil {
		return invalid(CheckLeafEncryptionKey, "leaf %d: %w", index, err)
	}
	if l.signature, err = l.parseSignatureKey(s); err == nil {
		wire.Lend(func(w *wire.Writer) {
			l.encodeToBeSigned(w, groupID, index)
			err = l.signature.VerifyWithLabel("LeafNodeTBS", w.Data(), l.Signature)
		})
	}
	if errors.Is(err, ciphersuite.ErrPublicKey) { // some keys show only now that they are none
		return invalid(CheckLeafSignatureKey, "leaf %d: %w", index, err)
	}
	if err != nil {
		return invalid(CheckLeafSignature, "leaf %d: %w", index, err)
	}
	return nil
}

// parseEncryptionKey returns the encryption key, from before if it was parsed.
func (l *LeafNode) parseEncryptionKey(s *ciphersuite.Suite) (*ciphersuite.HPKEPublicKey, error) {
	if l.encryption != nil && bytes.Equal(l.encryption.Bytes(), l.EncryptionKey) {
		return l.encryption, nil
	}
	return s.ParseHPKEPublicKey(l.EncryptionKey)
}

// parseSignatureKey returns the signature key, from before if it was parsed.
func (l *LeafNode) parseSignatureKey(s *ciphersuite.Suite) (*ciphersuite.SignaturePublicKey, error) {
	if l.signature != nil && bytes.Equal(l.signature.Bytes(), l.SignatureKey) {
		return l.signature, nil
	}
	return s.ParseSignaturePublicKey(l.SignatureKey)
}
