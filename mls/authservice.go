package mls

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

var (
	// ErrCredentialType means that an authentication service does not take
	// credentials of a type.
	ErrCredentialType = errors.New("mls: credential type is not accepted")
	// ErrUnknownClient means that a credential's identity, or the key that it
	// comes with, is not one that an authentication service accepts.
	ErrUnknownClient = errors.New("mls: client is not known")
	// ErrOtherClient means that a credential cannot take the place of another,
	// because it names somebody else.
	ErrOtherClient = errors.New("mls: credential names another client")
)

// CredentialMux is an [AuthenticationService] that hands each credential to the
// service for its type. A member cannot change the type of its credential,
// unless the service for the new type allows that. Credentials of other types
// are refused with [ErrCredentialType].
type CredentialMux map[CredentialType]AuthenticationService

// ValidateLeaf asks the service for the type of leaf's credential.
func (m CredentialMux) ValidateLeaf(leaf, previous *LeafNode) error {
	service, ok := m[leaf.Credential.Type]
	if !ok {
		return fmt.Errorf("%w: %#04x", ErrCredentialType, uint16(leaf.Credential.Type))
	}
	return service.ValidateLeaf(leaf, previous)
}

// ValidateExternalSender asks the service for the type of sender's credential.
// A service without this method accepts none.
func (m CredentialMux) ValidateExternalSender(sender *ExternalSender) error {
	service, ok := m[sender.Credential.Type].(ExternalSenderAuthenticationService)
	if !ok {
		return fmt.Errorf("%w: %#04x from an external sender", ErrCredentialType, uint16(sender.Credential.Type))
	}
	return service.ValidateExternalSender(sender)
}

// CredentialTypes returns the types that there are services for, in order.
func (m CredentialMux) CredentialTypes() []CredentialType { return slices.Sorted(maps.Keys(m)) }

// CredentialExpiry asks the service for the type of the credential. The zero time, for never, is the
// answer where that is no [CredentialReader].
func (m CredentialMux) CredentialExpiry(c *Credential) (time.Time, error) {
	if reader, ok := m[c.Type].(CredentialReader); ok {
		return reader.CredentialExpiry(c)
	}
	return time.Time{}, nil
}

// BasicAuthenticationService is an [AuthenticationService] for basic
// credentials. A member may change its signature key, if Accept says so, and
// keeps its identity: all else is [ErrOtherClient].
type BasicAuthenticationService struct {
	// Accept decides whether a signature key, encoded as in a leaf, may speak
	// for an identity. It is asked about each leaf and each external sender.
	// The credential itself proves nothing: anybody can write any identity
	// into one. Required; [AllowKeys] makes one from a list.
	Accept func(identity, signatureKey []byte) error
}

// AllowKeys returns a function for [BasicAuthenticationService] that accepts the
// given signature keys of each identity and returns [ErrUnknownClient] for
// others. It reads the map each time and does not lock it.
func AllowKeys(keys map[string][][]byte) func(identity, signatureKey []byte) error {
	return func(identity, signatureKey []byte) error {
		allowed, ok := keys[string(identity)]
		if !ok {
			return fmt.Errorf("%w: identity %q", ErrUnknownClient, identity)
		}
		for _, key := range allowed {
			if bytes.Equal(key, signatureKey) {
				return nil
			}
		}
		return fmt.Errorf("%w: identity %q with signature key %x", ErrUnknownClient, identity, signatureKey)
	}
}

// ValidateLeaf checks a leaf's credential, and that it names whom previous named.
func (s *BasicAuthenticationService) ValidateLeaf(leaf, previous *LeafNode) error {
	if previous != nil && (previous.Credential.Type != CredentialBasic || !bytes.Equal(leaf.Credential.Identity, previous.Credential.Identity)) {
		return fmt.Errorf("%w: basic identity %q after %s", ErrOtherClient, leaf.Credential.Identity, describe(&previous.Credential))
	}
	return s.accept(&leaf.Credential, leaf.SignatureKey)
}

// ValidateExternalSender checks the credential of an external sender.
func (s *BasicAuthenticationService) ValidateExternalSender(sender *ExternalSender) error {
	return s.accept(&sender.Credential, sender.SignatureKey)
}

func (s *BasicAuthenticationService) accept(c *Credential, signatureKey []byte) error {
	if c.Type != CredentialBasic {
		return fmt.Errorf("%w: %#04x, want %#04x (basic)", ErrCredentialType, uint16(c.Type), uint16(CredentialBasic))
	}
	if s.Accept == nil {
		return errors.New("mls: BasicAuthenticationService needs Accept")
	}
	return s.Accept(c.Identity, signatureKey)
}

// describe names a credential in an error.
func describe(c *Credential) string {
	if c.Type == CredentialBasic {
		return fmt.Sprintf("%q", c.Identity)
	}
	return fmt.Sprintf("a credential of type %#04x", uint16(c.Type))
}
