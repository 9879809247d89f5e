package mls

import (
	"bytes"
	"fmt"
	"io"
	"slices"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// A client that has several credentials can show them together, each with a key
// of its own, which vouches for the signature key of the leaf.
// draft-ietf-mls-extensions, Section 6.5.
const (
	// CredentialMulti is for clients whose credentials all members have to
	// understand.
	CredentialMulti CredentialType = 3
	// CredentialWeakMulti is for clients of whose credentials each member has
	// to understand one.
	CredentialWeakMulti CredentialType = 4
)

// MaxCredentialBindings is how many bindings a multi-credential may have. The
// draft has no bound; each binding costs whoever meets it a signature to check.
const MaxCredentialBindings = 64

// A CredentialBinding is one credential of a multi-credential, and the statement
// of its holder that the signature key of a leaf is theirs.
type CredentialBinding struct {
	// CipherSuite is the one whose signature scheme CredentialKey is of. It may
	// be another than the group's.
	CipherSuite ciphersuite.ID
	// Credential is a credential of any other type.
	Credential    Credential
	CredentialKey []byte // the public key that Credential is about
	Signature     []byte
}

// NewCredentialBinding lets the holder of a credential, and of its key
// id.Signer, vouch for signatureKey, encoded as in a leaf of the group's cipher
// suite ([ciphersuite.Suite.SignaturePublicKey]). s is the suite of the
// credential's own key.
func NewCredentialBinding(s *ciphersuite.Suite, rand io.Reader, id Identity, signatureKey []byte) (CredentialBinding, error) {
	b := CredentialBinding{CipherSuite: s.ID(), Credential: id.Credential}
	var err error
	if b.CredentialKey, err = encodedSignatureKey(s, id.Signer); err == nil {
		b.Signature, err = s.SignWithLabel(rand, id.Signer, "CredentialBindingTBS", b.toBeSigned(signatureKey))
	}
	if err != nil {
		return CredentialBinding{}, fmt.Errorf("mls: binding a credential: %w", err)
	}
	return b, nil
}

// Verify checks that the holder of the credential's key vouches for signatureKey.
// s has to be the binding's cipher suite. Whose key that is, it does not say.
func (b *CredentialBinding) Verify(s *ciphersuite.Suite, signatureKey []byte) error {
	err := s.VerifyWithLabel(b.CredentialKey, "CredentialBindingTBS", b.toBeSigned(signatureKey), b.Signature)
	if err != nil {
		return invalid(CheckCredentialBinding, "binding of %s: %w", describe(&b.Credential), err)
	}
	return nil
}

// toBeSigned returns CredentialBindingTBS. draft-ietf-mls-extensions, Section 6.5.1.
func (b *CredentialBinding) toBeSigned(signatureKey []byte) []byte {
	return wire.Encode(func(w *wire.Writer) {
		b.encodeContent(w)
		w.Opaque(signatureKey)
	})
}

// encodeContent writes all fields above the signature.
func (b *CredentialBinding) encodeContent(w *wire.Writer) {
	w.Uint16(uint16(b.CipherSuite))
	b.Credential.encode(w)
	w.Opaque(b.CredentialKey)
}

func (b *CredentialBinding) encode(w *wire.Writer) {
	b.encodeContent(w)
	w.Opaque(b.Signature)
}

func (b *CredentialBinding) decode(r *wire.Reader) {
	b.CipherSuite = ciphersuite.ID(r.Uint16())
	b.Credential.decode(r)
	b.CredentialKey = r.Opaque()
	b.Signature = r.Opaque()
}

// MultiCredential returns a credential of type multi.
func MultiCredential(bindings ...CredentialBinding) Credential {
	return multiCredential(CredentialMulti, bindings)
}

// WeakMultiCredential returns a credential of type weak-multi. It is as secure as
// the weakest of its bindings.
func WeakMultiCredential(bindings ...CredentialBinding) Credential {
	return multiCredential(CredentialWeakMulti, bindings)
}

func multiCredential(t CredentialType, bindings []CredentialBinding) Credential {
	return Credential{Type: t, Data: wire.Encode(func(w *wire.Writer) {
		for i := range bindings {
			bindings[i].encode(w)
		}
	})}
}

// isMulti reports whether c is of type multi or weak-multi.
func (c *Credential) isMulti() bool {
	return c.Type == CredentialMulti || c.Type == CredentialWeakMulti
}

// Bindings returns the bindings of a credential of type multi or weak-multi, whose
// signatures are not verified yet. There is at least one, and none that holds a
// multi-credential itself. It returns nil for other types.
func (c *Credential) Bindings() ([]CredentialBinding, error) {
	if !c.isMulti() {
		return nil, nil
	}
	r := wire.NewReader(bytes.Clone(c.Data))
	var bindings []CredentialBinding
	for len(r.Rest()) > 0 && r.Err() == nil {
		if len(bindings) == MaxCredentialBindings {
			r.Fail(fmt.Errorf("there are more than %d bindings", MaxCredentialBindings))
			break
		}
		var b CredentialBinding
		b.decode(r)
		if r.Err() == nil && b.Credential.isMulti() {
			r.Fail(fmt.Errorf("binding %d holds a multi-credential", len(bindings)))
		}
		bindings = append(bindings, b)
	}
	err := r.Err()
	if err == nil && len(bindings) == 0 {
		err = fmt.Errorf("there are no bindings")
	}
	if err != nil {
		return nil, invalid(CheckMultiCredential, "credential of type %d: %w", c.Type, err)
	}
	return bindings, nil
}

// A bindingSet is what the bindings of a multi-credential ask of each member.
type bindingSet struct {
	weak  bool // one of them is enough
	kinds []bindingKind
}

type bindingKind struct {
	suite      ciphersuite.ID
	credential CredentialType
}

func (k bindingKind) supportedBy(c *Capabilities) bool {
	return slices.Contains(c.CipherSuites, k.suite) && slices.Contains(c.Credentials, k.credential)
}

// verifySupport checks that a member with capabilities c supports as many of the
// bindings as it has to.
func (s *bindingSet) verifySupport(c *Capabilities) error {
	for _, k := range s.kinds {
		switch supported := k.supportedBy(c); {
		case supported && s.weak:
			return nil
		case !supported && !s.weak:
			return invalid(CheckMultiCredentialSupport, "a binding of suite %v and credential type %d is not supported", k.suite, k.credential)
		}
	}
	if s.weak {
		return invalid(CheckWeakMultiCredentialSupport, "none of %d bindings of a weak-multi credential is supported", len(s.kinds))
	}
	return nil
}

// bindingSets returns what the multi-credentials of a tree ask for, and what those
// of them do that are new since before.
func (t *ratchetTree) bindingSets(before *ratchetTree) (inUse, fresh []bindingSet, err error) {
	seen, seenFresh := make(map[string]bool), make(map[string]bool)
	for i, leaf := range t.leaves {
		bindings, err := leaf.Credential.Bindings()
		if err != nil {
			return nil, nil, fmt.Errorf("mls: leaf %d: %w", i, err)
		}
		if bindings == nil {
			continue
		}
		set := bindingSet{weak: leaf.Credential.Type == CredentialWeakMulti}
		for _, b := range bindings {
			set.kinds = append(set.kinds, bindingKind{b.CipherSuite, b.Credential.Type})
		}
		key := fmt.Sprint(set)
		if !seen[key] {
			seen[key] = true
			inUse = append(inUse, set)
		}
		if t.isNew(leafPosition(i), before) && !seenFresh[key] {
			seenFresh[key] = true
			fresh = append(fresh, set)
		}
	}
	return inUse, fresh, nil
}

// verifyMultiCredentials checks that the members support each other's
// multi-credentials. If there is an earlier tree in which they did, only what is new
// since is checked against all else. draft-ietf-mls-extensions, Section 6.5.2.
func (c *Config) verifyMultiCredentials(t, before *ratchetTree) error {
	if c.multiCredentials() == nil {
		return nil
	}
	inUse, fresh, err := t.bindingSets(before)
	if err != nil {
		return err
	}
	for i, leaf := range t.leaves {
		sets := fresh
		if t.isNew(leafPosition(i), before) {
			sets = inUse
		}
		for k := range sets {
			if err := sets[k].verifySupport(&leaf.Capabilities); err != nil {
				return fmt.Errorf("mls: leaf %d: %w", i, err)
			}
		}
	}
	return nil
}
