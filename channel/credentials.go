package channel

import (
	"slices"
	"time"

	"github.com/mendlink/mendlink/mls"
)

// credentialTypes returns the types of credentials that this end lists in its leaf: basic and X.509
// ones, those of its own identities, and those that its validator takes. RFC 9420, Section 7.2.
func (c *Config) credentialTypes() []mls.CredentialType {
	types := []mls.CredentialType{mls.CredentialBasic, mls.CredentialX509}
	add := func(t mls.CredentialType) {
		if !slices.Contains(types, t) {
			types = append(types, t)
		}
	}
	add(c.Identity.Credential.Type)
	for _, id := range c.Alternatives {
		add(id.Credential.Type)
	}
	for _, t := range (validator{c.Validator}).CredentialTypes() {
		add(t)
	}
	return types
}

// CredentialTypes returns those of the validator, if it says any.
func (v validator) CredentialTypes() []mls.CredentialType {
	if reader, ok := v.AuthenticationService.(mls.CredentialReader); ok {
		return reader.CredentialTypes()
	}
	return nil
}

// CredentialExpiry returns when a credential expires: of a type that the validator reads by the
// validator, else by the function of that name.
func (v validator) CredentialExpiry(c *mls.Credential) (time.Time, error) {
	if reader, ok := v.AuthenticationService.(mls.CredentialReader); ok && !hasDates(c.Type) && slices.Contains(reader.CredentialTypes(), c.Type) {
		return reader.CredentialExpiry(c)
	}
	return CredentialExpiry(*c)
}

// hasDates reports that this package knows what dates credentials of a type have.
func hasDates(t mls.CredentialType) bool {
	return t == mls.CredentialBasic || t == mls.CredentialX509
}

// CredentialExpiry returns when a credential, of this end or of the peer, stops being valid. Of types
// that [Config.Validator] takes as a [mls.CredentialReader], it says so; else it is as by the function
// of that name.
func (s *Session) CredentialExpiry(c mls.Credential) (time.Time, error) {
	return validator{s.mls.AuthenticationService}.CredentialExpiry(&c)
}

// leafChanges returns what this end changes in its leaf with the next update: it shows another
// identity, if it is to have one, and lists the type of that credential.
func (s *Session) leafChanges() mls.LeafChanges {
	changes := mls.LeafChanges{Identity: s.newIdentity()}
	if changes.Identity == nil {
		return changes
	}
	capabilities := ownLeaf(s.group).Capabilities
	if t := changes.Identity.Credential.Type; !slices.Contains(capabilities.Credentials, t) {
		capabilities.Credentials = append(slices.Clone(capabilities.Credentials), t)
		changes.Capabilities = &capabilities
	}
	return changes
}
