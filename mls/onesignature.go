package mls

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// A key package has a signature inside, that of its leaf, and so has an Update. What the
// signature around that would cover can be hashed into the leaf instead, as a component, and
// then the one inside does for both. draft-kohbrok-mls-fewer-signatures-00.

// Components of leaves that speak for what is around them.
const (
	// ComponentOuterKeyPackageHash is the hash of the key package around a leaf.
	ComponentOuterKeyPackageHash ComponentID = 0x0009
	// ComponentOuterUpdateHash is the hash of the message around a leaf.
	ComponentOuterUpdateHash ComponentID = 0x000C
)

// oneSignatureComponents are those that a leaf advertises in app_components.
var oneSignatureComponents = ComponentsList{ComponentOuterKeyPackageHash, ComponentOuterUpdateHash}

// isOneSignature reports whether messages of format f have no signature around what they hold.
func (f WireFormat) isOneSignature() bool {
	return f == WireFormatOneSignatureKeyPackage || f == WireFormatOneSignaturePrivateMessage || f == WireFormatOneSignaturePublicMessage
}

// withoutSignature returns the format in which a message has one signature less.
func (f WireFormat) withoutSignature() WireFormat {
	if f == WireFormatPublicMessage {
		return WireFormatOneSignaturePublicMessage
	}
	return WireFormatOneSignaturePrivateMessage
}

// withOneSignature returns the capabilities of a new leaf, in which the client can say
// that it understands the components, if it does.
func (c *Config) withOneSignature(capabilities Capabilities) Capabilities {
	if x := capabilities.Extensions; c.OneSignature && x != nil && !slices.Contains(x, ExtensionAppDataDictionary) {
		capabilities.Extensions = append(slices.Clip(x), ExtensionAppDataDictionary)
	}
	return capabilities
}

// supportsComponent reports whether a leaf lists a component in app_components.
func (l *LeafNode) supportsComponent(id ComponentID) bool {
	data, ok := l.component(ComponentAppComponents)
	if !ok {
		return false
	}
	list, err := ParseComponentsList(data)
	return err == nil && list.Contains(id)
}

// component returns a component's entry in the leaf's dictionary. There is none in one
// that does not decode.
func (l *LeafNode) component(id ComponentID) (data []byte, ok bool) {
	encoded, ok := l.Extensions.Find(ExtensionAppDataDictionary)
	if !ok {
		return nil, false
	}
	dictionary, err := parseDictionaryAliased(encoded)
	if err != nil {
		return nil, false
	}
	return dictionary.Find(id)
}

// setComponent puts a component's entry into the leaf's dictionary, in the place of one that
// is there.
func (l *LeafNode) setComponent(id ComponentID, data []byte) error {
	dictionary, err := l.Extensions.AppDataDictionary()
	if err != nil {
		return err
	}
	x, err := dictionary.with(ComponentData{id, data}).Extension()
	if err != nil {
		return err
	}
	l.Extensions = l.Extensions.with(x)
	return nil
}

// dropOuterHashes takes out of a leaf's dictionary what was about the message in which the
// leaf that it replaces was sent.
func (l *LeafNode) dropOuterHashes() error {
	encoded, ok := l.Extensions.Find(ExtensionAppDataDictionary)
	if !ok {
		return nil
	}
	dictionary, err := parseDictionaryAliased(encoded)
	if err != nil {
		return err
	}
	kept := slices.DeleteFunc(slices.Clone(dictionary), func(c ComponentData) bool { return oneSignatureComponents.Contains(c.ID) })
	if len(kept) == len(dictionary) {
		return nil
	}
	x, err := kept.Extension()
	if err != nil {
		return err
	}
	l.Extensions = l.Extensions.with(x)
	return nil
}

// An outerHash is the data of both components: the text has the hash without a
// length, which is read as opaque<V>.
func outerHash(hash []byte) []byte {
	return wire.Encode(func(w *wire.Writer) { w.Opaque(hash) })
}

// hasOuterHash reports whether a leaf has the hash as a component.
func (l *LeafNode) hasOuterHash(id ComponentID, hash []byte) bool {
	data, ok := l.component(id)
	return ok && bytes.Equal(data, outerHash(hash))
}

// verifyOuterHashes checks that a leaf speaks of a key package only where it comes from one.
func (c *Config) verifyOuterHashes(leaf *LeafNode) error {
	if !c.OneSignature || leaf.Source == LeafNodeSourceKeyPackage {
		return nil
	}
	if _, ok := leaf.component(ComponentOuterKeyPackageHash); ok {
		return invalid(CheckOuterKeyPackageHashSource, "outer_key_package_hash in a leaf of source %v", leaf.Source)
	}
	return nil
}

// encodeOuter writes OuterKeyPackage: all but the leaf and the signature.
func (k *KeyPackage) encodeOuter(w *wire.Writer) {
	w.Uint16(uint16(k.Version))
	w.Uint16(uint16(k.CipherSuite))
	w.Opaque(k.InitKey)
	k.Extensions.encode(w)
}

// encodeOneSignature writes OneSignatureKeyPackage.
func (k *KeyPackage) encodeOneSignature(w *wire.Writer) {
	k.encodeOuter(w)
	k.LeafNode.encode(w)
}

// decodeOneSignature reads OneSignatureKeyPackage. The result is a KeyPackage with an
// empty signature, which is also what an Add has of it.
func (k *KeyPackage) decodeOneSignature(r *wire.Reader) {
	k.Version = ProtocolVersion(r.Uint16())
	k.CipherSuite = ciphersuite.ID(r.Uint16())
	k.InitKey = r.Opaque()
	k.Extensions = readExtensions(r)
	k.LeafNode.decode(r)
}

// isOneSignature reports whether k has no signature of its own.
func (k *KeyPackage) isOneSignature() bool { return len(k.Signature) == 0 }

// outerHash returns the hash of OuterKeyPackage.
func (k *KeyPackage) outerHash(s *ciphersuite.Suite) (hash []byte) {
	wire.Lend(func(w *wire.Writer) {
		k.encodeOuter(w)
		hash = s.Hash(w.Data())
	})
	return hash
}

// verifyOuterHash checks that the leaf, whose signature is valid, speaks for the rest of k.
func (k *KeyPackage) verifyOuterHash(s *ciphersuite.Suite) error {
	if !k.LeafNode.hasOuterHash(ComponentOuterKeyPackageHash, k.outerHash(s)) {
		return invalid(CheckOuterKeyPackageHash, "the leaf does not have the hash of the key package around it")
	}
	return nil
}

// newOneSignatureKeyPackage is [NewKeyPackage] for one without a signature of its own.
func newOneSignatureKeyPackage(cfg *Config, s *ciphersuite.Suite, o *KeyPackageOptions) (*KeyPackageBundle, error) {
	if !cfg.OneSignature {
		return nil, fmt.Errorf("mls: creating a key package with one signature: %w", ErrUnsupported)
	}
	initKey, err := s.GenerateHPKEKeyPair(cfg.Rand)
	if err != nil {
		return nil, fmt.Errorf("mls: creating a key package: %w", err)
	}
	k := &KeyPackage{Version: MLS10, CipherSuite: s.ID(), InitKey: initKey.PublicKey(), Extensions: o.Extensions.clone()}
	o.Leaf.beforeSigning = func(leaf *LeafNode) error {
		k.LeafNode = *leaf // whose capabilities count
		if err := cfg.verifyKeyPackageExtensions(k); err != nil {
			return err
		}
		if err := cfg.greaseKeyPackage(k); err != nil {
			return err
		}
		return leaf.setComponent(ComponentOuterKeyPackageHash, outerHash(k.outerHash(s)))
	}
	leaf, leafKey, err := newLeaf(cfg, s, &o.Identity, &o.Leaf)
	if err != nil {
		return nil, fmt.Errorf("mls: creating a key package: %w", err)
	}
	k.LeafNode = *leaf
	k.verified = marshal(k)
	return &KeyPackageBundle{keyPackage: k, initKey: initKey, encryptionKey: leafKey, identity: o.Identity}, nil
}

// verifyOneSignatureSupport checks that all who process an Add understand a key package
// without a signature.
func (s *publicState) verifyOneSignatureSupport(k *KeyPackage) error {
	if !k.isOneSignature() {
		return nil
	}
	if i, all := s.allSupportComponent(ComponentOuterKeyPackageHash); !all {
		return invalid(CheckOneSignatureSupport, "leaf %d does not understand key packages with one signature", i)
	}
	return nil
}

// allSupportComponent reports whether all members list a component, or which does not.
func (s *publicState) allSupportComponent(id ComponentID) (without LeafIndex, all bool) {
	for i, leaf := range s.tree.leaves {
		if !leaf.supportsComponent(id) {
			return i, false
		}
	}
	return 0, true
}
