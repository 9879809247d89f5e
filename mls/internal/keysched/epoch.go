package keysched

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

var (
	// ErrErased means that a secret was asked for that has been erased.
	ErrErased = errors.New("keysched: secret was erased")
	// ErrLength means that more octets were asked for than the key derivation
	// function can produce.
	ErrLength = errors.New("keysched: length out of range")
)

// An Epoch holds the secrets of one epoch, each of KDF.Nh octets
// (RFC 9420, Section 8, Table 4). The epoch secret itself is not kept.
//
// Secrets live as long as the caller lets them: whoever has consumed one,
// clears it and sets it to nil. An Epoch is not safe for concurrent use.
type Epoch struct {
	SenderDataSecret        []byte // encrypts sender data (Section 6.3.2)
	EncryptionSecret        []byte // root of the secret tree (Section 9)
	ExporterSecret          []byte // see Export
	ExternalSecret          []byte // see ExternalKeyPair
	ConfirmationKey         []byte // see ConfirmationTag
	MembershipKey           []byte // MACs PublicMessages (Section 6.2)
	ResumptionPSK           []byte // links to other epochs (Section 8.6)
	EpochAuthenticator      []byte // the same at all members (Section 8.7)
	ApplicationExportSecret []byte // root of the exporter tree (draft-ietf-mls-extensions)
	InitSecret              []byte // input to the next epoch
}

// JoinerSecret derives the secret that lets a member join the epoch from the
// previous epoch's init secret, the commit secret and the epoch's encoded
// GroupContext. A commit without a path has no commit secret: nil stands for
// the all-zero one. The caller erases the result.
func JoinerSecret(s *ciphersuite.Suite, initSecret, commitSecret, groupContext []byte) []byte {
	secret := s.Extract(initSecret, orZero(s, commitSecret))
	defer clear(secret)
	return s.ExpandWithLabel(secret, "joiner", groupContext, s.HashSize())
}

// NewEpoch derives an epoch's secrets from its joiner secret, its PSK secret
// (nil stands for the all-zero one) and its encoded GroupContext.
func NewEpoch(s *ciphersuite.Suite, joinerSecret, pskSecret, groupContext []byte) *Epoch {
	member := s.Extract(joinerSecret, orZero(s, pskSecret))
	defer clear(member)
	epochSecret := s.ExpandWithLabel(member, "epoch", groupContext, s.HashSize())
	defer clear(epochSecret)
	return FirstEpoch(s, epochSecret)
}

// FirstEpoch derives the secrets of epoch 0, whose epoch secret the creator of
// the group draws at random (RFC 9420, Section 11).
func FirstEpoch(s *ciphersuite.Suite, epochSecret []byte) *Epoch {
	derive := func(label string) []byte { return s.DeriveSecret(epochSecret, label) }
	return &Epoch{
		SenderDataSecret:        derive("sender data"),
		EncryptionSecret:        derive("encryption"),
		ExporterSecret:          derive("exporter"),
		ExternalSecret:          derive("external"),
		ConfirmationKey:         derive("confirm"),
		MembershipKey:           derive("membership"),
		ResumptionPSK:           derive("resumption"),
		EpochAuthenticator:      derive("authentication"),
		ApplicationExportSecret: derive("application_export"),
		InitSecret:              derive("init"),
	}
}

// WelcomeKey derives the AEAD key and nonce that encrypt the GroupInfo in the
// Welcome to an epoch (RFC 9420, Section 12.4.3.1). A nil pskSecret stands for
// the all-zero one. The caller erases the key.
func WelcomeKey(s *ciphersuite.Suite, joinerSecret, pskSecret []byte) (key, nonce []byte) {
	member := s.Extract(joinerSecret, orZero(s, pskSecret))
	defer clear(member)
	welcome := s.DeriveSecret(member, "welcome")
	defer clear(welcome)
	return s.ExpandWithLabel(welcome, "key", nil, s.KeySize()), s.ExpandWithLabel(welcome, "nonce", nil, s.NonceSize())
}

// Export derives length octets for an application's use (RFC 9420, Section 8.5).
// Equal labels and contexts give equal secrets throughout the epoch. The error
// matches [ErrErased] after [Epoch.EraseExporter], and [ErrLength] if length is
// negative or above 255 times KDF.Nh.
func (e *Epoch) Export(s *ciphersuite.Suite, label string, context []byte, length int) ([]byte, error) {
	if len(e.ExporterSecret) == 0 {
		return nil, fmt.Errorf("%w: exporter secret", ErrErased)
	}
	if limit := 255 * s.HashSize(); length < 0 || length > limit {
		return nil, fmt.Errorf("%w: %d octets to export, at most %d", ErrLength, length, limit)
	}
	secret := s.DeriveSecret(e.ExporterSecret, label)
	defer clear(secret)
	return s.ExpandWithLabel(secret, "exported", s.Hash(context), length), nil
}

// EraseExporter erases the exporter secret, so that nothing can be exported
// from the epoch any more.
func (e *Epoch) EraseExporter() {
	clear(e.ExporterSecret)
	e.ExporterSecret = nil
}

// Erase erases all secrets.
func (e *Epoch) Erase() {
	for _, secret := range e.secrets() {
		clear(*secret)
		*secret = nil
	}
}

// Clone returns a copy that shares no memory with e.
func (e *Epoch) Clone() *Epoch {
	c := *e
	for _, secret := range c.secrets() {
		*secret = bytes.Clone(*secret)
	}
	return &c
}

// secrets returns pointers to all secrets.
func (e *Epoch) secrets() [10]*[]byte {
	return [...]*[]byte{
		&e.SenderDataSecret, &e.EncryptionSecret, &e.ExporterSecret, &e.ExternalSecret, &e.ConfirmationKey,
		&e.MembershipKey, &e.ResumptionPSK, &e.EpochAuthenticator, &e.ApplicationExportSecret, &e.InitSecret,
	}
}

// orZero returns secret, or the all-zero secret in place of nil.
func orZero(s *ciphersuite.Suite, secret []byte) []byte {
	if secret == nil {
		return make([]byte, s.HashSize())
	}
	return secret
}
