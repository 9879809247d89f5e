package mls

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// DefaultMaxLifetime is the longest lifetime of a key package that is accepted
// where [Config.MaxLifetime] is zero.
const DefaultMaxLifetime = 91 * 24 * time.Hour

// DefaultMaxSkippedAge is how long the keys of overtaken messages are kept where
// [Config.MaxSkippedAge] is zero.
const DefaultMaxSkippedAge = time.Hour

// A Config says how a client takes part in groups. It is not modified and may
// be shared by any number of groups.
type Config struct {
	// AuthenticationService decides whose leaves are accepted. Required.
	AuthenticationService AuthenticationService
	// Now returns the current time, as time.Now does. Required.
	Now func() time.Time
	// Suites maps code points to cipher suites. Default: [ciphersuite.Default].
	Suites *ciphersuite.Registry
	// Rand is the source of all randomness. Default: [rand.Reader].
	Rand io.Reader
	// PSK looks up a pre-shared key, in octets. It returns an error that wraps
	// [ErrUnknownPSK] for one that it does not know. A group answers for the
	// resumption PSKs that it has itself (see ResumptionPSKs). Keys of each type,
	// and of each component, have names of their own: id.Type and id.Component
	// decide, too. Default: none is known.
	PSK func(id PreSharedKeyID) ([]byte, error)
	// ResumptionPSKs is the number of past epochs whose resumption PSK a group
	// keeps. Default: 0; only the current epoch's is at hand.
	ResumptionPSKs int
	// Proposals are the types of proposals that the application brings besides
	// those of RFC 9420.
	Proposals []CustomProposalType
	// Extensions are the types of extensions that the application brings.
	Extensions []CustomExtensionType
	// Components are the parts of the application that keep data of their own in
	// groups. Default: none, and the proposals AppDataUpdate and AppEphemeral are
	// not supported. draft-ietf-mls-extensions, Section 4.
	Components []Component
	// WireFormats are the wire formats that the application understands besides
	// those of RFC 9420. If it is not nil, leaves list them (in the extension
	// supported_wire_formats), and groups may require them of their members
	// ([WireFormats.Required]). Messages of these formats are the application's
	// own business: a Group refuses them. Default: the two extensions are not
	// understood. draft-ietf-mls-extensions, Section 5.
	WireFormats WireFormats
	// SelfRemove makes the client one that understands [SelfRemove] proposals, and
	// says so in its capabilities. States in which such a proposal waits for a
	// commit need it to be restored. Default: off.
	SelfRemove bool
	// GREASE puts random values of those that are reserved for it into what the
	// client generates, so that others cannot forget how to ignore what they do
	// not know. RFC 9420, Section 13.5, recommends it; it costs some 60 octets
	// in each leaf. Default: off.
	GREASE bool
	// MaxLifetime bounds the lifetime of the key packages that are accepted.
	// Default: [DefaultMaxLifetime]. Negative: no bound.
	MaxLifetime time.Duration
	// Padding returns by how many octets to pad the plaintext, of the given
	// length, of a PrivateMessage or a targeted message. Default: no padding.
	Padding func(length int) int
	// MaxForward is the number of generations that a sender's ratchet may be
	// moved ahead by one message. Default: 1024.
	MaxForward uint32
	// MaxSkipped is the number of keys that are kept for messages that have
	// been overtaken, for each ratchet. Default: 1024.
	MaxSkipped int
	// MaxSkippedAge is how long such a key can be used (see
	// [Group.EraseExpiredKeys]). Default: [DefaultMaxSkippedAge]. Negative: as
	// long as the epoch lives.
	MaxSkippedAge time.Duration

	// TargetedMessages lets members send to one another, or to several, within a group
	// (see [Group.ProtectTo]). A [Client] then keeps the private key of its leaf for
	// as long as past epochs. Default: off; such messages are [ErrUnsupported].
	TargetedMessages bool

	// OneSignature accepts, and lets the client make, key packages and Updates whose leaf
	// speaks for what is around it, so that one signature does for both
	// (draft-kohbrok-mls-fewer-signatures). New leaves say so, for the others to know. Default: off.
	OneSignature bool

	proposals  *proposalKinds
	extensions extensionKinds
}

// An AuthenticationService decides whether a credential may speak with a
// signature key. RFC 9420, Section 5.3.1.
type AuthenticationService interface {
	// ValidateLeaf is asked about each leaf that enters a group's tree or
	// changes in it, but for the client's own. previous is the leaf that it
	// replaces, nil for a new member. An error refuses the leaf.
	ValidateLeaf(leaf, previous *LeafNode) error
}

// An ExternalSenderAuthenticationService is an [AuthenticationService] that can
// tell who may send proposals to a group from outside. Without it, a group with
// external senders is refused.
type ExternalSenderAuthenticationService interface {
	// ValidateExternalSender is asked about each sender of an external_senders
	// extension that enters a group or changes. An error refuses it.
	ValidateExternalSender(sender *ExternalSender) error
}

// A ClientMatcher is an [AuthenticationService] that can tell whether two leaves,
// which may be of different groups, are of the same client. Without it, they
// are if they have the same credential or the same signature key.
type ClientMatcher interface {
	SameClient(a, b *LeafNode) bool
}

// A CredentialReader is an [AuthenticationService] that takes credentials of further types than
// basic and x509, such as that of the module identity/webtoken. It has a channel list these types
// in its leaf, and know when such a credential, a peer's or its own, has to be replaced.
type CredentialReader interface {
	// CredentialTypes returns the types.
	CredentialTypes() []CredentialType
	// CredentialExpiry returns when a credential of one of these types stops being valid, the zero time
	// for never. Nobody need have verified it.
	CredentialExpiry(c *Credential) (time.Time, error)
}

// An Identity is what a client shows in its leaf, and the key that proves it.
type Identity struct {
	Credential Credential
	// Signer is the private signature key. It may live elsewhere, in an HSM or
	// an agent. Its public key is of the cipher suite's signature scheme.
	Signer crypto.Signer
}

// WithDefaults returns a copy of c in which nothing is left open, or says what is wrong with c.
// Groups share such a copy, where each makes one of any other Config: for programs with many
// groups. It must not be changed.
func (c *Config) WithDefaults() (*Config, error) { return c.withDefaults() }

// withDefaults returns a copy of c in which nothing is left open.
func (c *Config) withDefaults() (*Config, error) {
	if c == nil || c.AuthenticationService == nil || c.Now == nil {
		return nil, errors.New("mls: Config needs an AuthenticationService and Now")
	}
	if c.proposals != nil {
		return c, nil // a copy that this function made
	}
	d := *c
	var err error
	known := builtinProposals
	if len(c.Components) > 0 {
		known = allProposals
	}
	if c.SelfRemove {
		known = known.withSelfRemove()
	}
	if d.proposals, err = known.with(c.Proposals); err != nil {
		return nil, err
	}
	if err := d.verifyComponentIDs(); err != nil {
		return nil, err
	}
	extensions := builtinExtensions
	if c.WireFormats != nil {
		extensions = extensions.withWireFormats()
	}
	if d.extensions, err = extensions.with(c.Extensions); err != nil {
		return nil, err
	}
	if d.Suites == nil {
		d.Suites = ciphersuite.Default()
	}
	if d.Rand == nil {
		d.Rand = rand.Reader
	}
	if d.MaxLifetime == 0 {
		d.MaxLifetime = DefaultMaxLifetime
	}
	if d.MaxSkippedAge == 0 {
		d.MaxSkippedAge = DefaultMaxSkippedAge
	}
	return &d, nil
}

// validateLeaf asks the Authentication Service about a leaf that takes the place
// of previous, nil for a new member. RFC 9420, Sections 5.3.1 and 7.3.
func (c *Config) validateLeaf(i LeafIndex, leaf, previous *LeafNode) error {
	err := c.AuthenticationService.ValidateLeaf(leaf, previous)
	if broken := (*Error)(nil); errors.As(err, &broken) {
		return fmt.Errorf("mls: leaf %d: %w", i, err) // it names a rule of its own
	}
	if err != nil {
		return invalid(CheckLeafCredential, "leaf %d: %w", i, err)
	}
	return nil
}

// validateExternalSenders asks the Authentication Service about the external
// senders of a GroupContext. RFC 9420, Section 5.3.1.
func (c *Config) validateExternalSenders(s *ciphersuite.Suite, context Extensions) error {
	senders, err := externalSenders(context)
	if err != nil {
		return err
	}
	for i := range senders {
		if err := s.ValidateSignaturePublicKey(senders[i].SignatureKey); err != nil {
			return invalid(CheckExternalSenderKey, "external sender %d: %w", i, err)
		}
		if err := senders[i].Credential.verifyWebToken(); err != nil {
			return err
		}
		service, ok := c.AuthenticationService.(ExternalSenderAuthenticationService)
		if !ok {
			return invalid(CheckExternalSenderCredential, "the Authentication Service does not know of external senders")
		}
		if err := service.ValidateExternalSender(&senders[i]); err != nil {
			return invalid(CheckExternalSenderCredential, "external sender %d: %w", i, err)
		}
	}
	return nil
}

// sameClient reports whether two leaves are of the same client.
func (c *Config) sameClient(a, b *LeafNode) bool {
	if matcher, ok := c.AuthenticationService.(ClientMatcher); ok {
		return matcher.SameClient(a, b)
	}
	return bytes.Equal(a.SignatureKey, b.SignatureKey) || a.Credential.Equal(b.Credential)
}
