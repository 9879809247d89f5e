package mls

import (
	"crypto"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// defaultLifetime is how long a key package is valid where nothing is said.
const defaultLifetime = 7 * 24 * time.Hour

// newLeaf makes the signed leaf of a key package, which is also what a group
// begins with, and its private encryption key.
func newLeaf(cfg *Config, s *ciphersuite.Suite, id *Identity, o *LeafOptions) (*LeafNode, *ciphersuite.HPKEPrivateKey, error) {
	leaf, err := describeLeaf(cfg, s, id, o)
	if err != nil {
		return nil, nil, err
	}
	key, err := s.GenerateHPKEKeyPair(cfg.Rand)
	if err != nil {
		return nil, nil, err
	}
	leaf.EncryptionKey = key.PublicKey()
	if o.beforeSigning != nil {
		if err := o.beforeSigning(leaf); err != nil {
			return nil, nil, err
		}
	}
	if err := cfg.verifyLeafContents(leaf, LeafNodeSourceKeyPackage); err != nil {
		return nil, nil, err
	}
	if err := verifyLifetime(leaf, cfg.Now(), cfg.MaxLifetime); err != nil {
		return nil, nil, err
	}
	if err := leaf.sign(s, cfg.Rand, id, nil, 0); err != nil {
		return nil, nil, err
	}
	return leaf, key, nil
}

// describeLeaf returns a leaf but for its encryption key and its signature.
func describeLeaf(cfg *Config, s *ciphersuite.Suite, id *Identity, o *LeafOptions) (*LeafNode, error) {
	signatureKey, err := encodedSignatureKey(s, id.Signer)
	if err != nil {
		return nil, err
	}
	leaf := &LeafNode{
		SignatureKey: signatureKey,
		Credential:   id.Credential,
		Source:       LeafNodeSourceKeyPackage,
		Lifetime:     o.Lifetime,
		Extensions:   o.Extensions.clone(),
	}
	leaf.Capabilities = cfg.withOneSignature(o.Capabilities.clone()).withDefaults(cfg, leaf, o.around)
	cfg.listWireFormats(leaf)
	if err := leaf.Capabilities.verifyTypes(); err != nil {
		return nil, err
	}
	if err := cfg.verifyOwnCredential(leaf); err != nil {
		return nil, err
	}
	if leaf.Lifetime == (Lifetime{}) {
		leaf.Lifetime = LifetimeFrom(cfg.Now(), defaultLifetime)
	}
	if err := cfg.describeComponents(leaf); err != nil {
		return nil, err
	}
	return leaf, cfg.greaseLeaf(leaf)
}

// encodedSignatureKey returns the public key of a signer, as a leaf holds it.
func encodedSignatureKey(s *ciphersuite.Suite, signer crypto.Signer) ([]byte, error) {
	if signer == nil {
		return nil, errors.New("mls: there is no Signer")
	}
	return s.SignaturePublicKey(signer.Public())
}

// withDefaults fills in what is nil.
func (c Capabilities) withDefaults(cfg *Config, leaf *LeafNode, around Extensions) Capabilities {
	if c.Versions == nil {
		c.Versions = []ProtocolVersion{MLS10}
	}
	if c.CipherSuites == nil {
		c.CipherSuites = cfg.Suites.IDs()
	}
	if c.Credentials == nil {
		c.Credentials = []CredentialType{leaf.Credential.Type}
		for _, t := range cfg.supportedCredentials() {
			if !slices.Contains(c.Credentials, t) {
				c.Credentials = append(c.Credentials, t)
			}
		}
	}
	if c.Extensions == nil {
		for _, x := range slices.Concat(leaf.Extensions, around) {
			if !x.Type.isDefault() && !slices.Contains(c.Extensions, x.Type) {
				c.Extensions = append(c.Extensions, x.Type)
			}
		}
		for _, x := range cfg.Extensions {
			if !slices.Contains(c.Extensions, x.Type) {
				c.Extensions = append(c.Extensions, x.Type)
			}
		}
		if (len(cfg.Components) > 0 || cfg.OneSignature) && !slices.Contains(c.Extensions, ExtensionAppDataDictionary) {
			c.Extensions = append(c.Extensions, ExtensionAppDataDictionary)
		}
	}
	if c.Proposals == nil {
		for _, p := range cfg.Proposals {
			c.Proposals = append(c.Proposals, p.Type)
		}
		if len(cfg.Components) > 0 {
			c.Proposals = append(c.Proposals, ProposalAppDataUpdate, ProposalAppEphemeral)
		}
		if cfg.SelfRemove {
			c.Proposals = append(c.Proposals, ProposalSelfRemove)
		}
	}
	return c
}

// KeyPackageOptions are the properties of a new key package.
type KeyPackageOptions struct {
	// Suite is the cipher suite of the groups to join. Required.
	Suite ciphersuite.ID
	// Identity is the client's. Required.
	Identity Identity
	// Leaf describes the client's leaf further.
	Leaf LeafOptions
	// Extensions are those of the key package itself.
	Extensions Extensions
	// LastResort marks the key package as one that may be used more than once, so
	// that others cannot keep the client from being added by using all of its
	// key packages up. A [Client] keeps the private keys of such a one until
	// [Client.EraseKeyPackage] or [Client.EraseExpiredKeyPackages]: whoever steals
	// them meanwhile can read the Welcomes that it was used for. It is to be
	// replaced often. draft-ietf-mls-extensions, Section 6.4.
	LastResort bool
	// OneSignature makes a key package that the signature of its leaf speaks for, so
	// that it needs none of its own. Whoever adds it, and all members of the group, have
	// to understand that. It needs [Config.OneSignature].
	OneSignature bool
}

// A KeyPackageBundle is a key package with its private keys. It is used once.
type KeyPackageBundle struct {
	keyPackage    *KeyPackage
	initKey       *ciphersuite.HPKEPrivateKey
	encryptionKey *ciphersuite.HPKEPrivateKey // nil once a group has it, or Erase was called
	identity      Identity
}

// NewKeyPackage makes a key package and its private keys. RFC 9420, Section 10.
func NewKeyPackage(cfg *Config, o KeyPackageOptions) (*KeyPackageBundle, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s, err := cfg.Suites.Lookup(o.Suite)
	if err != nil {
		return nil, fmt.Errorf("mls: creating a key package: %w", err)
	}
	if o.LastResort {
		if o.Extensions, err = markLastResort(o.Extensions); err != nil {
			return nil, fmt.Errorf("mls: creating a key package: %w", err)
		}
	}
	o.Leaf.around = o.Extensions
	if o.OneSignature {
		return newOneSignatureKeyPackage(cfg, s, &o)
	}
	leaf, leafKey, err := newLeaf(cfg, s, &o.Identity, &o.Leaf)
	if err != nil {
		return nil, fmt.Errorf("mls: creating a key package: %w", err)
	}
	initKey, err := s.GenerateHPKEKeyPair(cfg.Rand)
	if err != nil {
		return nil, fmt.Errorf("mls: creating a key package: %w", err)
	}
	k := &KeyPackage{
		Version:     MLS10,
		CipherSuite: s.ID(),
		InitKey:     initKey.PublicKey(),
		LeafNode:    *leaf,
		Extensions:  o.Extensions.clone(),
	}
	if err := cfg.verifyKeyPackageExtensions(k); err != nil {
		return nil, err
	}
	if _, err := k.LastResort(); err != nil {
		return nil, err
	}
	if err := cfg.greaseKeyPackage(k); err != nil {
		return nil, err
	}
	wire.Lend(func(w *wire.Writer) {
		k.encodeContent(w)
		k.Signature, err = s.SignWithLabel(cfg.Rand, o.Identity.Signer, "KeyPackageTBS", w.Data())
	})
	if err != nil {
		return nil, fmt.Errorf("mls: signing a key package: %w", err)
	}
	k.verified = marshal(k)
	return &KeyPackageBundle{keyPackage: k, initKey: initKey, encryptionKey: leafKey, identity: o.Identity}, nil
}

// KeyPackage returns the public part.
func (b *KeyPackageBundle) KeyPackage() *KeyPackage { return b.keyPackage }

// Message returns the public part as an MLSMessage.
func (b *KeyPackageBundle) Message() []byte {
	format := WireFormatKeyPackage
	if b.keyPackage.isOneSignature() {
		format = WireFormatOneSignatureKeyPackage
	}
	return marshal(&mlsMessage{wireFormat: format, keyPackage: b.keyPackage})
}

// Erase erases the private keys. It does no harm to a group that was joined
// with them.
func (b *KeyPackageBundle) Erase() {
	b.initKey.Erase()
	if b.encryptionKey != nil {
		b.encryptionKey.Erase()
		b.encryptionKey = nil
	}
}
