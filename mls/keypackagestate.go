package mls

import (
	"bytes"
	"crypto"
	"fmt"

	"github.com/mendlink/mendlink/internal/wire"
)

// keyPackageVersion is the first field of a marshalled KeyPackageBundle.
const keyPackageVersion uint16 = 1

// Marshal returns the key package with its private keys, but without the private
// signature key, for [RestoreKeyPackage]. It returns an error that matches
// [ErrErased] if a group was joined with it.
//
//	struct {
//	    uint16 version = 1;
//	    KeyPackage key_package;
//	    opaque init_private_key<V>;
//	    opaque encryption_private_key<V>;
//	} KeyPackageBundle;
func (b *KeyPackageBundle) Marshal() ([]byte, error) {
	if b.encryptionKey == nil {
		return nil, fmt.Errorf("mls: marshalling a key package: %w", ErrErased)
	}
	initKey, encryptionKey := b.initKey.Bytes(), b.encryptionKey.Bytes()
	defer clear(initKey)
	defer clear(encryptionKey)
	return wire.Encode(func(w *wire.Writer) {
		w.Uint16(keyPackageVersion)
		b.keyPackage.encode(w)
		w.Opaque(initKey)
		w.Opaque(encryptionKey)
	}), nil
}

// RestoreKeyPackage returns the key package that [KeyPackageBundle.Marshal]
// wrote. signer is the private key to the signature key of its leaf. As for
// [RestoreGroup], state has to come from a safe place.
func RestoreKeyPackage(cfg *Config, signer crypto.Signer, state []byte) (*KeyPackageBundle, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	b, err := restoreKeyPackage(cfg, OnlySigner(signer), bytes.Clone(state))
	if err != nil {
		return nil, fmt.Errorf("mls: restoring a key package: %w", err)
	}
	return b, nil
}

// restoreKeyPackage keeps state.
func restoreKeyPackage(cfg *Config, signers SignerLookup, state []byte) (*KeyPackageBundle, error) {
	var stored storedKeyPackage
	if err := unmarshalAliased(state, &stored); err != nil {
		return nil, err
	}
	defer stored.erase()
	k := &stored.keyPackage
	s, err := cfg.Suites.Lookup(k.CipherSuite)
	if err != nil {
		return nil, err
	}
	b := &KeyPackageBundle{keyPackage: k, identity: Identity{Credential: k.LeafNode.Credential}}
	if b.identity.Signer, err = signers(s, k.LeafNode.SignatureKey); err != nil {
		return nil, err
	}
	if b.initKey, err = s.ParseHPKEKeyPair(stored.initKey, k.InitKey); err != nil {
		return nil, err
	}
	if b.encryptionKey, err = s.ParseHPKEKeyPair(stored.encryptionKey, k.LeafNode.EncryptionKey); err != nil {
		return nil, err
	}
	k.verified = marshal(k) // by whoever made it
	return b, nil
}

// storedKeyPackage is a KeyPackageBundle as it was marshalled.
type storedKeyPackage struct {
	keyPackage             KeyPackage
	initKey, encryptionKey []byte
}

func (s *storedKeyPackage) decode(r *wire.Reader) {
	if v := r.Uint16(); r.Err() == nil && v != keyPackageVersion {
		r.Fail(fmt.Errorf("version %d, want %d: %w", v, keyPackageVersion, ErrUnsupported))
	}
	s.keyPackage.decode(r)
	s.initKey = r.Opaque()
	s.encryptionKey = r.Opaque()
}

func (s *storedKeyPackage) erase() {
	clear(s.initKey)
	clear(s.encryptionKey)
}
