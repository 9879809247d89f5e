package mls

import (
	"bytes"
	"fmt"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/mls/internal/keysched"
)

// Components of an application may use the keys of a group for purposes of their
// own: each operation has a label that names the component, so that nothing that
// one of them signs or encrypts is taken for another's, or for MLS's own.
// draft-ietf-mls-extensions, Sections 4.1 to 4.3.

// ComponentOperationLabel returns the label of an operation of a component,
// encoded for the functions of a [ciphersuite.Suite] that take a label.
func ComponentOperationLabel(component ComponentID, label string) string {
	return string(wire.Encode(func(w *wire.Writer) {
		w.Opaque([]byte("MLS Component"))
		w.Uint16(uint16(component))
		w.Opaque([]byte(label))
	}))
}

// ComponentKeys are what one component of an application may do with a member's
// private keys. It has one ID, so that whoever is given nothing else can neither
// sign in another's place nor decrypt what is meant for another.
//
// ComponentKeys of a [Group] is one of its epoch, and used like the Group; that of
// a [Membership] goes with it from epoch to epoch, and may be used from several
// goroutines at once. It has no state of its own.
type ComponentKeys struct {
	id ComponentID
	on func(func(*Group) error) error // calls its argument with the member's state
}

// ComponentKeys returns the member's private keys for the use of one component.
func (g *Group) ComponentKeys(id ComponentID) *ComponentKeys {
	return &ComponentKeys{id: id, on: func(do func(*Group) error) error { return do(g) }}
}

// ComponentKeys returns the member's private keys for the use of one component: see
// [Group.ComponentKeys].
func (m *Membership) ComponentKeys(id ComponentID) *ComponentKeys {
	return &ComponentKeys{id: id, on: func(do func(*Group) error) error {
		if err := m.use(); err != nil {
			return err
		}
		defer m.mu.Unlock()
		return do(m.state.group)
	}}
}

// ID returns the component's ID.
func (c *ComponentKeys) ID() ComponentID { return c.id }

// Sign signs content with the signature key of the member's leaf, for
// [Group.SafeVerify]. It is SafeSignWithLabel of draft-ietf-mls-extensions.
//
// Errors: one that matches [ErrErased], or those of the signer.
func (c *ComponentKeys) Sign(label string, content []byte) (signature []byte, err error) {
	err = c.on(func(g *Group) (err error) {
		if g.erased {
			return ErrErased
		}
		signature, err = g.suite.SignWithLabel(g.cfg.Rand, g.signer, ComponentOperationLabel(c.id, label), content)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("mls: signing for component %#04x: %w", uint16(c.id), err)
	}
	return signature, nil
}

// Decrypt decrypts what [Group.SafeEncrypt] has encrypted to the member's leaf.
// The key of a leaf lives until its member commits with a path, or has an Update
// committed: what is encrypted to an earlier one needs the Group of that time. It
// is SafeDecryptWithLabel of draft-ietf-mls-extensions.
//
// Errors match [ErrDecrypt] or [ErrErased].
func (c *ComponentKeys) Decrypt(label string, context, kemOutput, ciphertext []byte) (plaintext []byte, err error) {
	return c.decrypt(label, context, kemOutput, ciphertext, func(g *Group) (*ciphersuite.HPKEPrivateKey, error) {
		key := g.keys.at(leafPosition(g.own))
		if key == nil {
			return nil, ErrErased
		}
		return key.HPKEPrivateKey, nil
	})
}

// DecryptToGroup decrypts what was encrypted to the external_pub of the epoch:
// see [Group.SafeEncryptToGroup]. Errors match [ErrDecrypt] or [ErrErased].
func (c *ComponentKeys) DecryptToGroup(label string, context, kemOutput, ciphertext []byte) (plaintext []byte, err error) {
	var external *ciphersuite.HPKEPrivateKey
	defer func() {
		if external != nil {
			external.Erase()
		}
	}()
	return c.decrypt(label, context, kemOutput, ciphertext, func(g *Group) (_ *ciphersuite.HPKEPrivateKey, err error) {
		external, err = keysched.ExternalKeyPair(g.suite, g.epoch.ExternalSecret)
		return external, err
	})
}

func (c *ComponentKeys) decrypt(label string, context, kemOutput, ciphertext []byte, key func(*Group) (*ciphersuite.HPKEPrivateKey, error)) (plaintext []byte, err error) {
	err = c.on(func(g *Group) error {
		if g.erased {
			return ErrErased
		}
		private, err := key(g)
		if err != nil {
			return err
		}
		plaintext, err = safeDecrypt(g.suite, private, c.id, label, context, kemOutput, ciphertext)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("mls: decrypting for component %#04x: %w", uint16(c.id), err)
	}
	return plaintext, nil
}

// SafeEncrypt encrypts plaintext to a member, for [ComponentKeys.Decrypt] with the
// same component, label and context: by the encryption key of its leaf. It is
// SafeEncryptWithLabel of draft-ietf-mls-extensions.
//
// Errors: one that matches [ErrNoSuchMember], or those of the randomness.
func (s *publicState) SafeEncrypt(to LeafIndex, component ComponentID, label string, context, plaintext []byte) (kemOutput, ciphertext []byte, err error) {
	leaf := s.tree.leafNode(to)
	if leaf == nil {
		return nil, nil, fmt.Errorf("mls: encrypting to leaf %d: %w", to, ErrNoSuchMember)
	}
	key, err := leaf.parseEncryptionKey(s.suite)
	if err == nil {
		kemOutput, ciphertext, err = key.EncryptWithLabel(s.cfg.Rand, ComponentOperationLabel(component, label), context, plaintext)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("mls: encrypting to leaf %d: %w", to, err)
	}
	return kemOutput, ciphertext, nil
}

// SafeVerify checks a signature that a member has made by [ComponentKeys.Sign], with
// the same component and label. It is SafeVerifyWithLabel of
// draft-ietf-mls-extensions.
//
// Errors match [ErrNoSuchMember] or [ciphersuite.ErrSignature].
func (s *publicState) SafeVerify(by LeafIndex, component ComponentID, label string, content, signature []byte) error {
	leaf := s.tree.leafNode(by)
	if leaf == nil {
		return fmt.Errorf("mls: verifying a signature of leaf %d: %w", by, ErrNoSuchMember)
	}
	key, err := leaf.parseSignatureKey(s.suite)
	if err == nil {
		err = key.VerifyWithLabel(ComponentOperationLabel(component, label), content, signature)
	}
	if err != nil {
		return fmt.Errorf("mls: verifying a signature of leaf %d for component %#04x: %w", by, uint16(component), err)
	}
	return nil
}

// SafeEncryptToGroup encrypts plaintext to all members of the epoch, for
// [ComponentKeys.DecryptToGroup], by the epoch's external_pub. Whoever joins later
// cannot decrypt it.
//
// Errors: one that matches [ErrErased], or those of the randomness.
func (g *Group) SafeEncryptToGroup(component ComponentID, label string, context, plaintext []byte) (kemOutput, ciphertext []byte, err error) {
	if g.erased {
		return nil, nil, fmt.Errorf("mls: encrypting to the group: %w", ErrErased)
	}
	key, err := keysched.ExternalKeyPair(g.suite, g.epoch.ExternalSecret)
	if err != nil {
		return nil, nil, fmt.Errorf("mls: deriving the external key: %w", err)
	}
	defer key.Erase()
	return g.safeEncryptToGroup(key.PublicKey(), component, label, context, plaintext)
}

// SafeEncryptToGroup encrypts plaintext to all members of the epoch: see
// [Group.SafeEncryptToGroup].
func (m *Membership) SafeEncryptToGroup(component ComponentID, label string, context, plaintext []byte) (kemOutput, ciphertext []byte, err error) {
	if err := m.use(); err != nil {
		return nil, nil, err
	}
	defer m.mu.Unlock()
	return m.state.group.SafeEncryptToGroup(component, label, context, plaintext)
}

// SafeEncryptToGroup encrypts plaintext to all members of the epoch: see
// [Group.SafeEncryptToGroup]. An Observer knows the external_pub of the epoch
// whose GroupInfo it was made from, if that has one, and of no later epoch: the
// error names [CheckExternalPub] where it does not.
func (o *Observer) SafeEncryptToGroup(component ComponentID, label string, context, plaintext []byte) (kemOutput, ciphertext []byte, err error) {
	key, err := (&groupInfo{extensions: o.external}).externalPub(o.suite)
	if err != nil {
		return nil, nil, err
	}
	return o.safeEncryptToGroup(key, component, label, context, plaintext)
}

// keepExternalPub keeps the external_pub of a GroupInfo.
func (o *Observer) keepExternalPub(info Extensions) {
	if data, ok := info.Find(ExtensionExternalPub); ok {
		o.external = Extensions{{Type: ExtensionExternalPub, Data: bytes.Clone(data)}}
	}
}

func (s *publicState) safeEncryptToGroup(key []byte, component ComponentID, label string, context, plaintext []byte) (kemOutput, ciphertext []byte, err error) {
	kemOutput, ciphertext, err = s.suite.EncryptWithLabel(s.cfg.Rand, key, ComponentOperationLabel(component, label), context, plaintext)
	if err != nil {
		return nil, nil, fmt.Errorf("mls: encrypting to the group: %w", err)
	}
	return kemOutput, ciphertext, nil
}

// SafeEncrypt encrypts plaintext to the init key of a key package, for
// [KeyPackageBundle.SafeDecrypt] with the same component, label and context. That
// key is erased as soon as a group is joined with the key package.
//
// Errors: [*ciphersuite.UnsupportedError], or those of the randomness.
func (k *KeyPackage) SafeEncrypt(cfg *Config, component ComponentID, label string, context, plaintext []byte) (kemOutput, ciphertext []byte, err error) {
	if cfg, err = cfg.withDefaults(); err != nil {
		return nil, nil, err
	}
	s, err := cfg.Suites.Lookup(k.CipherSuite)
	if err == nil {
		kemOutput, ciphertext, err = s.EncryptWithLabel(cfg.Rand, k.InitKey, ComponentOperationLabel(component, label), context, plaintext)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("mls: encrypting to a key package: %w", err)
	}
	return kemOutput, ciphertext, nil
}

// SafeDecrypt decrypts, for a component, what [KeyPackage.SafeEncrypt] has
// encrypted. Errors match [ErrDecrypt], or [ErrErased] once the key package is
// used up; or they are a [*ciphersuite.UnsupportedError].
func (b *KeyPackageBundle) SafeDecrypt(cfg *Config, component ComponentID, label string, context, kemOutput, ciphertext []byte) ([]byte, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if b.encryptionKey == nil {
		return nil, fmt.Errorf("mls: decrypting by a key package: %w", ErrErased)
	}
	s, err := cfg.Suites.Lookup(b.keyPackage.CipherSuite)
	if err != nil {
		return nil, fmt.Errorf("mls: decrypting by a key package: %w", err)
	}
	plaintext, err := safeDecrypt(s, b.initKey, component, label, context, kemOutput, ciphertext)
	if err != nil {
		return nil, fmt.Errorf("mls: decrypting for component %#04x: %w", uint16(component), err)
	}
	return plaintext, nil
}

func safeDecrypt(s *ciphersuite.Suite, key *ciphersuite.HPKEPrivateKey, component ComponentID, label string, context, kemOutput, ciphertext []byte) ([]byte, error) {
	plaintext, err := s.DecryptWithLabel(key, ComponentOperationLabel(component, label), context, kemOutput, ciphertext)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDecrypt, err)
	}
	return plaintext, nil
}
