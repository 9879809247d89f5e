package mls

import (
	"crypto"
	"crypto/rand"
	"errors"
	"io"
	"time"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// DefaultMaxLifetime is the longest lifetime of a key package that is accepted
// where [Config.MaxLifetime] is zero.
const DefaultMaxLifetime = 91 * 24 * time.Hour

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
	// resumption PSKs that it has itself (see ResumptionPSKs). Default: none
	// is known.
	PSK func(id PreSharedKeyID) ([]byte, error)
	// ResumptionPSKs is the number of past epochs whose resumption PSK a group
	// keeps. Default: 0; only the current epoch's is at hand.
	ResumptionPSKs int
	// MaxLifetime bounds the lifetime of the key packages that are accepted.
	// Default: [DefaultMaxLifetime]. Negative: no bound.
	MaxLifetime time.Duration
	// Padding returns by how many octets to pad the plaintext, of the given
	// length, of a PrivateMessage. Default: no padding.
	Padding func(length int) int
	// MaxForward is the number of generations that a sender's ratchet may be
	// moved ahead by one message. Default: 1024.
	MaxForward uint32
	// MaxSkipped is the number of keys that are kept for messages that have
	// been overtaken, for each ratchet. Default: 1024.
	MaxSkipped int
}

// An AuthenticationService decides whether a credential may speak with a
// signature key. RFC 9420, Section 5.3.1.
type AuthenticationService interface {
	// ValidateLeaf is asked about each leaf that enters a group's tree or
	// changes in it, but for the client's own. previous is the leaf that it
	// replaces, nil for a new member. An error refuses the leaf.
	ValidateLeaf(leaf, previous *LeafNode) error
}

// An Identity is what a client shows in its leaf, and the key that proves it.
type Identity struct {
	Credential Credential
	// Signer is the private signature key. It may live elsewhere, in an HSM or
	// an agent. Its public key is of the cipher suite's signature scheme.
	Signer crypto.Signer
}

// withDefaults returns a copy of c in which nothing is left open.
func (c *Config) withDefaults() (*Config, error) {
	if c == nil || c.AuthenticationService == nil || c.Now == nil {
		return nil, errors.New("mls: Config needs an AuthenticationService and Now")
	}
	d := *c
	if d.Suites == nil {
		d.Suites = ciphersuite.Default()
	}
	if d.Rand == nil {
		d.Rand = rand.Reader
	}
	if d.MaxLifetime == 0 {
		d.MaxLifetime = DefaultMaxLifetime
	}
	return &d, nil
}
