package channel

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// DefaultMaxSessionAge is that of [Config.MaxSessionAge].
const DefaultMaxSessionAge = 30 * 24 * time.Hour

// maxEarlyDataLimit bounds [Config.MaxEarlyData], in octets.
const maxEarlyDataLimit = 1 << 16

// DefaultSuites are the cipher suites that are acceptable where
// [Config.Suites] is nil, the most preferred first: hybrid post-quantum ones
// before classical ones. A signer's key fits only some of them.
func DefaultSuites() []ciphersuite.ID {
	return []ciphersuite.ID{
		ciphersuite.MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519,
		ciphersuite.MLS_128_MLKEM768X25519_AES256GCM_SHA384_Ed25519,
		ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519,
		ciphersuite.MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519,
		ciphersuite.MLS_128_MLKEM768P256_AES128GCM_SHA256_P256,
		ciphersuite.MLS_128_MLKEM768P256_AES256GCM_SHA384_P256,
		ciphersuite.MLS_128_DHKEMP256_AES128GCM_SHA256_P256,
		ciphersuite.MLS_192_MLKEM1024P384_AES256GCM_SHA384_P384,
		ciphersuite.MLS_256_DHKEMP384_AES256GCM_SHA384_P384,
		ciphersuite.MLS_256_DHKEMP521_AES256GCM_SHA512_P521,
	}
}

// A Config says how this end takes part in sessions. It is copied when a
// session is made, and never modified, so that it can be shared by any number
// of sessions.
type Config struct {
	// Identity is what this end shows, and its signing key, which the peer must not
	// have as well: see [ErrSameSignatureKey]. Required.
	Identity mls.Identity
	// Alternatives are identities for the cipher suites that Identity's key does not
	// fit: with a suite goes the first, of Identity and these, whose key fits it.
	// Default: none.
	Alternatives []mls.Identity
	// Validator decides who may be the peer. It is asked in each handshake,
	// at each resumption and whenever the peer changes its leaf, about one leaf
	// maybe more than once. Required.
	Validator mls.AuthenticationService
	// Now returns the current time, as time.Now does. Required.
	Now func() time.Time
	// Rand is the source of all randomness. Default: crypto/rand.Reader.
	Rand io.Reader
	// Suites are the acceptable cipher suites. Those of the initiator stand in
	// its order of preference: the first that the responder has too is used.
	// Default: those of [DefaultSuites] that the key of an identity fits.
	Suites []ciphersuite.ID
	// APQ makes sessions of two groups, so that updates are post-quantum at the cost
	// of classical ones. Default: nil; sessions are of one group. A peer without it
	// gets one of Suites, unless APQ.Required is set.
	APQ *APQ
	// Registry maps the code points of suites. Default: [ciphersuite.Default].
	Registry *ciphersuite.Registry
	// PreviousIdentities are those under which stored sessions may still be. A
	// session that is resumed under one of them is moved to Identity, by an
	// update. Default: none; sessions of another signature key are of no use.
	PreviousIdentities []mls.Identity

	// Protocols are the application protocols that this end speaks, its
	// favourite first, of 1 to 255 octets each. The responder's favourite that
	// both have is used. Default: none is agreed on. RFC 7301.
	Protocols []string
	// ServerName is the name by which the initiator calls the responder, of at
	// most 255 octets. It is sent in the clear. Default: none.
	ServerName string
	// Select lets the responder choose another configuration, such as that of a
	// server name, for an initiator; nil means this one. [ErrUnknownName] refuses
	// the name, any other error the peer. What led up to the choice, such as the
	// suites to choose from and the Store to resume from, is of the first
	// configuration; the chosen one has to accept the suite as well ([ErrNoCommonSuite]). There is no choice
	// where a session is resumed: the first configuration's Validator decides about the peer then, so that it has to refuse
	// whomever a chosen one does not accept any more.
	// It may be called by several sessions at once.
	Select func(ClientHello) (*Config, error)
	// Features are the options that this end wants.
	Features Features
	// MaxRecordSize is how many octets of content this end accepts in one
	// protected record. Default, and the most: [MaxRecordSize].
	MaxRecordSize int
	// TransportBinding is a secret or a name that both ends have of the
	// transport beneath, such as a TLS exporter's output (RFC 9266), and nobody in the
	// middle can have at both sides. It is bound into the handshake and, at each
	// resumption, into the keys. Default: none; an end with one accepts no
	// peer without.
	TransportBinding []byte

	// LateBinding says that there is a binding, or the better part of it, only after
	// the session has begun: see [Session.BindTransport].
	LateBinding bool

	// PSK looks up a pre-shared key by its identity. It returns an error that
	// matches [mls.ErrUnknownPSK] for one that it does not know. Default: none is known.
	PSK func(identity []byte) ([]byte, error)
	// PSKIdentities are those of the pre-shared keys that the initiator offers,
	// of 1 to 255 octets each. They are sent in the clear. All that the responder knows as well go
	// into the keys of the first epoch. Default: none.
	PSKIdentities [][]byte
	// RequirePSK refuses a peer without a pre-shared key in common, and resumes no session whose full handshake
	// was without.
	RequirePSK bool

	// MaxEarlyData is how many octets this end accepts together with a
	// ResumptionRequest, at most 65,536. Default: 0; early data is refused.
	MaxEarlyData int

	// OneSignature makes the ClientHello a key package with one signature less, and lets
	// the responder take such a one (draft-kohbrok-mls-fewer-signatures): with ML-DSA that
	// saves 2.4 to 4.6 kB and the making and verifying of a signature. A responder with it takes other hellos too; one
	// without it refuses the initiator, with [AlertHandshakeFailure], so that responders get it
	// first. Default: off.
	OneSignature bool

	// Store keeps the session between connections. Default: none, and
	// sessions cannot be resumed.
	Store Store
	// PeerName is the label under which the initiator's session can be found
	// again, by [Store.FindByPeer]. The responder's is found under the
	// [Fingerprint] of the peer's key.
	PeerName string
	// KeyLogWriter is where the traffic secrets of each epoch are written, for
	// debugging with a packet analyser. Whoever reads it reads the connection.
	// Each write is complete lines. Default: none, which is the only safe choice.
	KeyLogWriter io.Writer
	// ResumeOnly makes a session that the peer cannot resume end with
	// [ErrResumptionRefused], rather than go on to a full handshake.
	ResumeOnly bool
	// MaxMessageSize bounds the body of a message, in octets. Default:
	// [DefaultMaxMessageSize].
	MaxMessageSize int
	// MaxSessionAge is the age, counted from the full handshake, at which a
	// session can no longer be resumed. It does not end a live connection.
	// Default: [DefaultMaxSessionAge].
	MaxSessionAge time.Duration
	// Trace is told what the session does. Default: nobody is.
	Trace *Trace
}

// Clone returns a copy that shares nothing with c that could be changed, but for what its interfaces and
// functions stand for, such as the Store. The clone of nil is nil.
func (c *Config) Clone() *Config {
	if c == nil {
		return nil
	}
	d := *c
	d.Alternatives, d.PreviousIdentities = slices.Clone(c.Alternatives), slices.Clone(c.PreviousIdentities)
	d.Suites, d.Protocols = slices.Clone(c.Suites), slices.Clone(c.Protocols)
	if c.APQ != nil {
		d.APQ = &APQ{Suites: slices.Clone(c.APQ.Suites), Required: c.APQ.Required}
	}
	d.TransportBinding = slices.Clone(c.TransportBinding)
	d.PSKIdentities = slices.Clone(c.PSKIdentities)
	for i, id := range d.PSKIdentities {
		d.PSKIdentities[i] = slices.Clone(id)
	}
	return &d
}

// withDefaults returns a copy of c in which nothing is left open.
func (c *Config) withDefaults() (*Config, error) {
	if c == nil || c.Identity.Signer == nil || c.Validator == nil || c.Now == nil {
		return nil, errors.New("channel: Config needs an Identity with a Signer, a Validator and Now")
	}
	d := c.Clone()
	for i, id := range d.Alternatives {
		if id.Signer == nil {
			return nil, fmt.Errorf("channel: Config has alternative %d without a signer", i)
		}
	}
	if d.Rand == nil {
		d.Rand = rand.Reader
	}
	if d.Registry == nil {
		d.Registry = ciphersuite.Default()
	}
	if d.MaxMessageSize == 0 {
		d.MaxMessageSize = DefaultMaxMessageSize
	}
	if d.MaxSessionAge == 0 {
		d.MaxSessionAge = DefaultMaxSessionAge
	}
	if d.MaxRecordSize == 0 {
		d.MaxRecordSize = MaxRecordSize
	}
	if d.MaxMessageSize < 0 || d.MaxMessageSize >= 1<<24 || d.MaxSessionAge < 0 {
		return nil, fmt.Errorf("channel: Config has MaxMessageSize %d and MaxSessionAge %v", d.MaxMessageSize, d.MaxSessionAge)
	}
	if err := d.verifyNegotiable(); err != nil {
		return nil, err
	}
	var err error
	if d.APQ, err = d.usablePairs(); err != nil {
		return nil, err
	}
	d.Suites, err = d.usableSuites()
	return d, err
}

// verifyNegotiable checks what is told to the peer.
func (c *Config) verifyNegotiable() error {
	if c.MaxRecordSize < MinRecordSize || c.MaxRecordSize > MaxRecordSize {
		return fmt.Errorf("channel: Config has MaxRecordSize %d, want %d to %d", c.MaxRecordSize, MinRecordSize, MaxRecordSize)
	}
	if c.MaxEarlyData < 0 || c.MaxEarlyData > maxEarlyDataLimit {
		return fmt.Errorf("channel: Config has MaxEarlyData %d, want 0 to %d", c.MaxEarlyData, maxEarlyDataLimit)
	}
	if c.Features&^definedFeatures != 0 {
		return fmt.Errorf("channel: Config has the undefined features %#x", c.Features&^definedFeatures)
	}
	if len(c.ServerName) > maxNameLength || len(c.Protocols) > maxNames || len(c.PSKIdentities) > maxNames {
		return fmt.Errorf("channel: Config has a ServerName of %d octets, %d Protocols and %d PSKIdentities, want at most %d, %d and %d",
			len(c.ServerName), len(c.Protocols), len(c.PSKIdentities), maxNameLength, maxNames, maxNames)
	}
	for _, p := range c.Protocols {
		if len(p) == 0 || len(p) > maxNameLength {
			return fmt.Errorf("channel: Config has a protocol of %d octets, want 1 to %d", len(p), maxNameLength)
		}
	}
	for _, id := range c.PSKIdentities {
		if len(id) == 0 || len(id) > maxNameLength {
			return fmt.Errorf("channel: Config has a PSK identity of %d octets, want 1 to %d", len(id), maxNameLength)
		}
	}
	return nil
}

// usableSuites returns the suites of c, or those of the default ones that one of
// c's identities fits.
func (c *Config) usableSuites() ([]ciphersuite.ID, error) {
	suites := slices.Clone(c.Suites)
	if c.Suites == nil {
		suites = slices.DeleteFunc(DefaultSuites(), func(id ciphersuite.ID) bool { return c.fits(id) != nil })
	}
	if len(suites) == 0 {
		return nil, fmt.Errorf("%w: none fits a signer whose public key is a %T, or one of %d alternatives", ErrNoCommonSuite, c.Identity.Signer.Public(), len(c.Alternatives))
	}
	for _, id := range suites {
		if err := c.fits(id); err != nil {
			return nil, fmt.Errorf("channel: Config has suite %v: %w", id, err)
		}
	}
	return suites, nil
}

// fits returns an error unless the suite is there and the key of an identity is
// of its signature scheme.
func (c *Config) fits(id ciphersuite.ID) error {
	suite, err := c.Registry.Lookup(id)
	if err == nil {
		_, err = c.identityFor(suite)
	}
	return err
}

// identityFor returns the identity that goes with a suite. If there is none, the
// error says why the first is not.
func (c *Config) identityFor(suite *ciphersuite.Suite) (mls.Identity, error) {
	var first error
	for _, id := range append([]mls.Identity{c.Identity}, c.Alternatives...) {
		_, err := suite.SignaturePublicKey(id.Signer.Public())
		if err == nil {
			return id, nil
		}
		if first == nil {
			first = err
		}
	}
	return mls.Identity{}, first
}

// mls returns the configuration of the groups that sessions are made of.
func (c *Config) mls() *mls.Config {
	m := &mls.Config{
		AuthenticationService: validator{c.Validator},
		Now:                   c.Now,
		Suites:                c.Registry,
		Rand:                  c.Rand,
		Components:            components,
		OneSignature:          c.OneSignature,
	}
	if c.APQ != nil {
		m.Components = append(slices.Clip(components), mls.APQComponent())
		m.WireFormats = mls.WireFormats{mls.WireFormatAPQMessagePair}
	}
	return m
}

// A validator marks the errors of [Config.Validator].
type validator struct{ mls.AuthenticationService }

func (v validator) ValidateLeaf(leaf, previous *mls.LeafNode) error {
	if err := v.AuthenticationService.ValidateLeaf(leaf, previous); err != nil {
		return because(AlertBadCertificate, fmt.Errorf("%w: %w", ErrPeerRefused, err))
	}
	return nil
}
