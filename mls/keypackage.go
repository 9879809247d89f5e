package mls

import (
	"bytes"
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
	Signature   []byte // empty where the leaf's signature does for both

	// verified is the encoding of what was verified, so that what was changed
	// since does not pass for it, and init the init key, parsed.
	verified []byte
	init     *ciphersuite.HPKEPublicKey
}

// An UnverifiedKeyPackage is a KeyPackage as it came from somebody else.
type UnverifiedKeyPackage struct {
	keyPackage   *KeyPackage
	oneSignature bool
}

// ParseKeyPackage decodes an MLSMessage that holds a KeyPackage, or one with one signature
// less (see [Config.OneSignature]).
func ParseKeyPackage(message []byte) (*UnverifiedKeyPackage, error) {
	var m mlsMessage
	if err := unmarshal(message, &m); err != nil {
		return nil, fmt.Errorf("mls: parsing a key package: %w", err)
	}
	if m.keyPackage == nil {
		return nil, fmt.Errorf("mls: message is %v, want %v", m.wireFormat, WireFormatKeyPackage)
	}
	return &UnverifiedKeyPackage{m.keyPackage, m.wireFormat.isOneSignature()}, nil
}

// CipherSuite returns the suite that the key package says it is for.
func (u *UnverifiedKeyPackage) CipherSuite() ciphersuite.ID { return u.keyPackage.CipherSuite }

// Message returns the key package as an MLSMessage, of the format in which it came.
func (u *UnverifiedKeyPackage) Message() []byte {
	format := WireFormatKeyPackage
	if u.oneSignature {
		format = WireFormatOneSignatureKeyPackage
	}
	return marshal(&mlsMessage{wireFormat: format, keyPackage: u.keyPackage})
}

// Verify checks all rules of RFC 9420, Section 10.1, but for the verdict of the
// Authentication Service, who is asked when the key package is added to a group.
//
// Errors: an [*Error] for a broken rule, [*ciphersuite.UnsupportedError], or one that
// matches [ErrUnsupported] for a key package with one signature that the Config does not accept.
func (u *UnverifiedKeyPackage) Verify(cfg *Config) (*KeyPackage, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if u.oneSignature && !cfg.OneSignature {
		return nil, fmt.Errorf("mls: verifying a %v: %w", WireFormatOneSignatureKeyPackage, ErrUnsupported)
	}
	s, err := cfg.Suites.Lookup(u.keyPackage.CipherSuite)
	if err != nil {
		return nil, fmt.Errorf("mls: verifying a key package: %w", err)
	}
	if err := u.keyPackage.verify(s, cfg); err != nil {
		return nil, err
	}
	return u.keyPackage, nil
}

// Ref returns the KeyPackageRef, the hash that names the key package.
// RFC 9420, Section 5.2.
func (k *KeyPackage) Ref(s *ciphersuite.Suite) []byte {
	return refHashOf(s, "MLS 1.0 KeyPackage Reference", k)
}

// encodeContent writes KeyPackageTBS.
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

// verify checks a key package that is about to be added to a group. The rules
// between members are checked on the whole tree. RFC 9420, Section 10.1.
func (k *KeyPackage) verify(s *ciphersuite.Suite, cfg *Config) error {
	if k.Version != MLS10 {
		return invalid(CheckKeyPackageVersion, "key package is for version %d, want %d", k.Version, MLS10)
	}
	if k.CipherSuite != s.ID() {
		return invalid(CheckKeyPackageSuite, "key package is for suite %v, want %v", k.CipherSuite, s.ID())
	}
	leaf := &k.LeafNode
	if err := verifyLifetime(leaf, cfg.Now(), cfg.MaxLifetime); err != nil {
		return err
	}
	if k.verified != nil && isEncodingOf(k, k.verified) {
		return nil
	}
	if err := cfg.verifyLeafContents(leaf, LeafNodeSourceKeyPackage); err != nil {
		return err
	}
	init, err := s.ParseHPKEPublicKey(k.InitKey)
	if err != nil {
		return invalid(CheckKeyPackageInitKey, "%w", err)
	}
	if string(k.InitKey) == string(leaf.EncryptionKey) {
		return invalid(CheckKeyPackageInitKeyReuse, "init key and encryption key are the same")
	}
	if err := leaf.verify(s, nil, 0); err != nil {
		return err
	}
	if cfg.OneSignature && k.isOneSignature() {
		err = k.verifyOuterHash(s)
	} else {
		err = k.verifySignature()
	}
	if err != nil {
		return err
	}
	if err := cfg.verifyExtensions(InKeyPackage, k.Extensions); err != nil {
		return err
	}
	k.verified, k.init = marshal(k), init
	return nil
}

// verifySignature checks the signature with the key of the leaf, which has been verified.
func (k *KeyPackage) verifySignature() (err error) {
	wire.Lend(func(w *wire.Writer) {
		k.encodeContent(w)
		err = k.LeafNode.signature.VerifyWithLabel("KeyPackageTBS", w.Data(), k.Signature)
	})
	if err != nil {
		return invalid(CheckKeyPackageSignature, "%w", err)
	}
	return nil
}

// parsedInitKey returns the init key, nil if it has not been parsed.
func (k *KeyPackage) parsedInitKey() *ciphersuite.HPKEPublicKey {
	if k.init != nil && bytes.Equal(k.init.Bytes(), k.InitKey) {
		return k.init
	}
	return nil
}

// verifyKeyPackageExtensions checks the extensions of a key package of the
// client's own. Those that others do not list are ignored. RFC 9420, Section 10.
func (c *Config) verifyKeyPackageExtensions(k *KeyPackage) error {
	for _, x := range k.Extensions {
		if !k.LeafNode.Capabilities.supportsExtension(x.Type) {
			return invalid(CheckKeyPackageExtensionSupport, "extension %#04x is not among the capabilities", uint16(x.Type))
		}
	}
	return c.verifyExtensions(InKeyPackage, k.Extensions)
}
