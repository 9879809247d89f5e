package netconn

import (
	"crypto/rand"
	"errors"
	"io"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// Defaults of [Config] and [RekeyPolicy].
const (
	DefaultHandshakeTimeout = 10 * time.Second
	DefaultRekeyEvery       = 5 * time.Minute
	DefaultRekeyBytes       = 1 << 30
)

// A Config says who one is, who the peer may be, and how a connection behaves. Only
// Identity and Validator have no default. Every function copies the Config that it
// is given: it is never modified, and may be shared and reused.
type Config struct {
	// Identity is the own credential and the key that proves it. Required.
	Identity mls.Identity
	// Validator decides who may be the peer, as identity.Pinned does. It is asked
	// in every handshake and resumption and whenever the peer changes its leaf,
	// possibly by several goroutines at once. It must not call methods of the Conn.
	// Required.
	Validator mls.AuthenticationService

	// Suites lists the cipher suites that are acceptable, the most preferred first.
	// Default: channel's, a post-quantum hybrid first.
	Suites []ciphersuite.ID
	// Registry maps code points to cipher suites. Default: ciphersuite.Default.
	Registry *ciphersuite.Registry

	// Store keeps sessions, so that they can be resumed over another connection.
	// Default: none; every connection begins with a full handshake.
	Store channel.Store
	// PeerName is the label under which the initiator stores its session and looks for
	// one to resume. Default: for Dial the address as it was given; for Client none,
	// so that it does not resume.
	PeerName string
	// MaxSessionAge bounds how long after its full handshake a session may be
	// resumed. Default: channel's.
	MaxSessionAge time.Duration
	// MaxMessageSize bounds one two-party message, in octets. Default: channel's.
	MaxMessageSize int

	// KeyLogWriter is where the traffic secrets of each epoch are written, for
	// debugging with a packet analyser. Whoever reads it reads the connection. Default:
	// none, which is the only safe choice.
	KeyLogWriter io.Writer

	// Rekey says when fresh key material is put into a living connection.
	Rekey RekeyPolicy
	// HandshakeTimeout bounds the handshake as a whole, from its first
	// step. Default: DefaultHandshakeTimeout. Negative: no bound.
	HandshakeTimeout time.Duration

	// Rand is the source of all randomness. Default: crypto/rand.Reader.
	Rand io.Reader
	// Time returns the current time. Default: time.Now.
	Time func() time.Time
}

// A RekeyPolicy says when an end updates its keys by itself. Each end has
// its own and follows it alone: an update heals the end that makes it. Updates never
// interrupt the flow of data and never end a connection. The responder's first period is
// half as long, so that two ends with the same policy take turns.
type RekeyPolicy struct {
	// Every is the time between two updates. Default: DefaultRekeyEvery. Negative: never.
	Every time.Duration
	// Bytes is the number of octets of application data, both directions taken
	// together, between two updates. Default: DefaultRekeyBytes. Negative: never.
	Bytes int64
}

// withDefaults returns a copy of c in which nothing is left open that netconn decides.
func (c *Config) withDefaults() (*Config, error) {
	if c == nil || c.Identity.Signer == nil {
		return nil, errors.New("netconn: Config needs an Identity")
	}
	if c.Validator == nil {
		return nil, errors.New("netconn: Config needs a Validator")
	}
	d := *c
	d.Suites = append([]ciphersuite.ID(nil), c.Suites...)
	if d.HandshakeTimeout == 0 {
		d.HandshakeTimeout = DefaultHandshakeTimeout
	}
	if d.Rekey.Every == 0 {
		d.Rekey.Every = DefaultRekeyEvery
	}
	if d.Rekey.Bytes == 0 {
		d.Rekey.Bytes = DefaultRekeyBytes
	}
	if d.Rand == nil {
		d.Rand = rand.Reader
	}
	if d.Time == nil {
		d.Time = time.Now
	}
	return &d, nil
}

// channelConfig returns what the protocol needs of c.
func (c *Config) channelConfig() *channel.Config {
	return &channel.Config{
		Identity:       c.Identity,
		Validator:      c.Validator,
		Suites:         c.Suites,
		Registry:       c.Registry,
		Store:          c.Store,
		PeerName:       c.PeerName,
		Rand:           c.Rand,
		Now:            c.Time,
		MaxMessageSize: c.MaxMessageSize,
		MaxSessionAge:  c.MaxSessionAge,
		KeyLogWriter:   c.KeyLogWriter,
	}
}
