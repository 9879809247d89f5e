package mls

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// MultiCredentialService is an [AuthenticationService] for clients that
// understand multi-credentials: it has another service judge each credential in
// one, as if it stood in the leaf with its own key, and checks that all of them
// belong to the leaf. Other credentials are left to that service.
//
// It is to be Config.AuthenticationService itself. Then leaves say that their
// client supports the two types and those in Credentials, and groups check that
// all members support each other's.
//
// A leaf may take another's place if that other one had credentials of some of
// the same types: each of these has to be accepted as a successor, and those of
// types that are new as of a new member. So a client can add a credential,
// and give an old one up later.
type MultiCredentialService struct {
	// Service judges single credentials. Required.
	Service AuthenticationService
	// Credentials are the types that Service judges. Required. A binding of a
	// credential of type multi has to be of one of them; in one of type
	// weak-multi, others are passed over.
	Credentials []CredentialType
	// Suites are the cipher suites whose signatures can be verified, as
	// Credentials are the types. Default: [ciphersuite.Default].
	Suites *ciphersuite.Registry
}

// multiCredentials returns the service if the client understands
// multi-credentials, else nil.
func (c *Config) multiCredentials() *MultiCredentialService {
	m, ok := c.AuthenticationService.(*MultiCredentialService)
	if !ok {
		return nil
	}
	return m
}

// supportedCredentials returns the types that a leaf of the client lists besides
// its own.
func (c *Config) supportedCredentials() []CredentialType {
	m := c.multiCredentials()
	if m == nil {
		return nil
	}
	return append(slices.Clone(m.Credentials), CredentialMulti, CredentialWeakMulti)
}

// verifyOwnCredential checks that the bindings in a leaf of the client's own are
// for its signature key.
func (c *Config) verifyOwnCredential(leaf *LeafNode) error {
	m := c.multiCredentials()
	if m == nil {
		return nil
	}
	_, err := m.parts(leaf, true)
	return err
}

// ValidateLeaf implements [AuthenticationService].
// draft-ietf-mls-extensions, Section 6.5.2.
func (m *MultiCredentialService) ValidateLeaf(leaf, previous *LeafNode) error {
	if m.Service == nil {
		return errors.New("mls: MultiCredentialService needs a Service")
	}
	if !leaf.Credential.isMulti() && (previous == nil || !previous.Credential.isMulti()) {
		return m.Service.ValidateLeaf(leaf, previous)
	}
	parts, err := m.parts(leaf, true)
	if err != nil {
		return err
	}
	var before []*LeafNode
	if previous != nil {
		if before, err = m.parts(previous, false); err != nil { // verified when it came
			return err
		}
	}
	succeeds := previous == nil
	for _, part := range parts {
		known := slices.DeleteFunc(slices.Clone(before), func(p *LeafNode) bool { return p.Credential.Type != part.Credential.Type })
		if err := m.validatePart(part, known); err != nil {
			return err
		}
		succeeds = succeeds || len(known) > 0
	}
	if !succeeds {
		return fmt.Errorf("%w: no type of credential is there before and after", ErrOtherClient)
	}
	return nil
}

// validatePart has the service judge one credential, as the successor of one of
// known, or of a new member if there are none.
func (m *MultiCredentialService) validatePart(part *LeafNode, known []*LeafNode) (err error) {
	if len(known) == 0 {
		return m.Service.ValidateLeaf(part, nil)
	}
	for _, previous := range known {
		if err = m.Service.ValidateLeaf(part, previous); err == nil {
			return nil
		}
	}
	return err
}

// ValidateExternalSender hands the credential of an external sender, which cannot
// be a multi-credential, to the service.
func (m *MultiCredentialService) ValidateExternalSender(sender *ExternalSender) error {
	service, ok := m.Service.(ExternalSenderAuthenticationService)
	if !ok || sender.Credential.isMulti() {
		return fmt.Errorf("%w: %#04x from an external sender", ErrCredentialType, uint16(sender.Credential.Type))
	}
	return service.ValidateExternalSender(sender)
}

// SameClient implements [ClientMatcher]: two leaves are of one client if two of
// their credentials are.
func (m *MultiCredentialService) SameClient(a, b *LeafNode) bool {
	partsOfA, errA := m.parts(a, false)
	partsOfB, errB := m.parts(b, false)
	if errA != nil || errB != nil {
		return false // neither is in a group
	}
	matcher, ok := m.Service.(ClientMatcher)
	for _, x := range partsOfA {
		for _, y := range partsOfB {
			same := bytes.Equal(x.SignatureKey, y.SignatureKey) || x.Credential.Equal(y.Credential)
			if ok {
				same = matcher.SameClient(x, y)
			}
			if same {
				return true
			}
		}
	}
	return false
}

// parts returns a leaf as it would be with each of its credentials alone, of those
// that are supported. If verify is set, the bindings are verified.
func (m *MultiCredentialService) parts(leaf *LeafNode, verify bool) ([]*LeafNode, error) {
	bindings, err := leaf.Credential.Bindings()
	if err != nil {
		return nil, err
	}
	if bindings == nil {
		return []*LeafNode{leaf}, nil
	}
	var parts []*LeafNode
	for i := range bindings {
		b := &bindings[i]
		s, err := m.supports(b)
		if err != nil {
			if leaf.Credential.Type == CredentialWeakMulti {
				continue
			}
			return nil, err
		}
		if verify {
			if err := b.Verify(s, leaf.SignatureKey); err != nil {
				return nil, err
			}
		}
		part := *leaf
		part.Credential, part.SignatureKey = b.Credential, b.CredentialKey
		parts = append(parts, &part)
	}
	if len(parts) == 0 {
		return nil, fmt.Errorf("%w: none of %d in a weak-multi credential", ErrCredentialType, len(bindings))
	}
	return parts, nil
}

// supports returns the cipher suite of a binding, or why the client does not
// support it.
func (m *MultiCredentialService) supports(b *CredentialBinding) (*ciphersuite.Suite, error) {
	if !slices.Contains(m.Credentials, b.Credential.Type) {
		return nil, fmt.Errorf("%w: %#04x in a multi-credential", ErrCredentialType, uint16(b.Credential.Type))
	}
	suites := m.Suites
	if suites == nil {
		suites = ciphersuite.Default()
	}
	s, err := suites.Lookup(b.CipherSuite)
	if err != nil {
		return nil, fmt.Errorf("mls: in a multi-credential: %w", err)
	}
	return s, nil
}
