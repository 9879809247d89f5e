package mls

import (
	"fmt"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// A KeyPackage is what a client publishes so that it can be added to groups.
// It is used once. RFC 9420, Section 10.
type KeyPackage struct {
	Version     ProtocolVersion
	CipherSuite ciphersuite.ID
	InitKey     []byte // HPKE public key to which the Welcome is encrypted
	LeafNode    LeafNode
	Extensions  Extensions
	Signature   []byte
}

// ParseKeyPackage decodes an MLSMessage that holds a KeyPackage. It checks the
// syntax only: the KeyPackage is validated when it is added to a group.
func ParseKeyPackage(message []byte) (*KeyPackage, error) {
	var m mlsMessage
	if err := unmarshal(message, &m); err != nil {
		return nil, fmt.Errorf("mls: parsing a key package: %w", err)
	}
	if m.keyPackage == nil {
		return nil, fmt.Errorf("mls: message is %v, want %v", m.wireFormat, WireFormatKeyPackage)
	}
	return m.keyPackage, nil
}

// Ref returns the KeyPackageRef, the hash that names the key package.
// RFC 9420, Section 5.2.
func (k *KeyPackage) Ref(s *ciphersuite.Suite) []byte {
	return s.RefHash("MLS 1.0 KeyPackage Reference", marshal(k))
}

func (k *KeyPackage) encodeContent(w *wire.Writer) {
	w.Uint16(uint16(k.Version))
	w.Uint16(uint16(k.CipherSuite))
	w.Opaque(k.InitKey)
	k.LeafNode.encode(w)
	k.Extensions.encode(w)
}

func (k *KeyPackage) encode(w *wire.Writer) {
	k.encodeContent(w)
	w.Opaque(k.Signature)
}

func (k *KeyPackage) decode(r *wire.Reader) {
	k.Version = ProtocolVersion(r.Uint16())
	k.CipherSuite = ciphersuite.ID(r.Uint16())
	k.InitKey = r.Opaque()
	k.LeafNode.decode(r)
	k.Extensions = readExtensions(r)
	k.Signature = r.Opaque()
}

// toBeSigned returns KeyPackageTBS.
func (k *KeyPackage) toBeSigned() []byte {
	var w wire.Writer
	k.encodeContent(&w)
	return w.Data()
}
