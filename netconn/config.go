package netconn

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/internal/driver"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// Defaults of [Config].
const (
	DefaultHandshakeTimeout = 10 * time.Second
	DefaultIdentitySpread   = time.Second
	DefaultMaxHandshakes    = 1024
)

// A Config says who one is, who the peer may be, and how a connection behaves. Only
// Identity and Validator have no default. Every function copies the Config that it
// is given: it is never modified, and may be shared and reused. Its functions may be
// called by several goroutines at once, and must not call methods of the Conn.
type Config struct {
	// Identity is the own credential and the key that proves it. Required, unless Identities
	// has some.
	Identity mls.Identity
	// Alternatives are identities for the cipher suites that Identity's key does not fit: with a
	// suite goes the first, of Identity and these, whose key fits it. Default: none.
	Alternatives []mls.Identity
	// Identities, if it has any, take the place of Identity, Alternatives and PreviousIdentities in
	// each connection, as they are when it begins. When they change, living connections go on with the
	// new one, like after [Conn.Rotate], and Validator is asked about the peer again: see Refused. A Conn has to be
	// closed then, also after a failure, as the source knows of it. Default: none; nothing changes by itself.
	Identities IdentitySource
	// IdentitySpread is over how long the connections with the same Identities are spread, when these change: each
	// goes on with the new one after a random part of it. Validator is asked at once all the same. Default:
	// DefaultIdentitySpread. Negative: at once.
	IdentitySpread time.Duration
	// Validator decides who may be the peer, as identity.Pinned does. It is asked
	// in every handshake and resumption, whenever the peer changes its leaf, and by
	// [Conn.Revalidate]. Required.
	Validator mls.AuthenticationService
	// Refused says what becomes of a living connection whose peer Validator accepts no
	// more. It is asked when a certificate of the peer expires, and when Identities say that something
	// has changed. channel.RefusalClose ends the connection and the session. With RefusalWarn the
	// connection goes on, updates of the peer included as long as it shows nothing else, and Trace gets a
	// channel.PeerRefused; RefusalKeep says nothing. Default: RefusalClose.
	Refused channel.RefusalAction
	// RefusedBy returns what Refused says, each time that this matters, so that it may change while connections
	// live. What is not one of these actions is RefusalClose. Default: it is as Refused says.
	RefusedBy func() channel.RefusalAction
	// PreviousIdentities are those under which stored sessions may still be. A session
	// that is resumed under one of them is moved to Identity at once. Default: none;
	// sessions of another signature key are of no use.
	PreviousIdentities []mls.Identity
	// Renew returns another identity in place of one whose credential expires soon: see
	// [RekeyPolicy].BeforeExpiry. It is called by a goroutine of its own, is not called
	// again before it returns, and ctx ends with the connection. What it returns is shown to the
	// peer like that of [Conn.Rotate]. After an error it is called again later. Default:
	// credentials are not renewed.
	Renew func(ctx context.Context) (mls.Identity, error)

	// Suites lists the cipher suites that are acceptable, the most preferred first.
	// Default: channel's, a post-quantum hybrid first.
	Suites []ciphersuite.ID
	// APQ makes sessions whose post-quantum keys are apart from the classical ones, so that frequent
	// updates cost what classical ones do; see [RekeyPolicy].FullEvery. A peer without it gets one of Suites,
	// unless APQ.Required is set. Default: nil; there are no such sessions.
	APQ *channel.APQ
	// Registry maps code points to cipher suites. Default: ciphersuite.Default.
	Registry *ciphersuite.Registry

	// Protocols are the application protocols that this end speaks, its favourite first,
	// of 1 to 255 octets each. The responder's favourite that both have is used; see
	// [ConnectionState]. Default: none is agreed on.
	Protocols []string
	// ServerName is the name by which the initiator calls the responder, of at most 255
	// octets. Whoever sees the connection sees it. Default: for Dial to a TCP address its
	// host, unless that is an IP address; for Client none.
	ServerName string
	// Select lets the responder choose another configuration for an initiator, in a full
	// handshake; nil means this one. channel.ErrUnknownName refuses the name, any other
	// error the peer. What led up to the choice is of the first configuration: Suites,
	// HandshakeTimeout, MaxMessageSize, and the Store and the identities that sessions are
	// resumed with. So is the Validator of connections that resume: it has to refuse whomever a chosen one does not
	// accept any more. Default: there is no choice.
	Select func(channel.ClientHello) (*Config, error)
	// Features are the options that this end wants. Both have to. Default: none.
	Features channel.Features
	// MaxRecordSize is how many octets of content this end accepts in one protected
	// record, at least 63. The peer keeps to it. Default, and the most: 16,384.
	MaxRecordSize int
	// TransportBinding is a secret or a name that both ends have of the transport beneath,
	// such as an exporter's output, and nobody in the middle can have at both sides. It
	// goes into the keys. Default: none; an end with one accepts no peer without.
	TransportBinding []byte

	// PSK looks up a pre-shared key by its identity. For one that it does not know it returns
	// an error that matches mls.ErrUnknownPSK. Default: none is known.
	PSK func(identity []byte) ([]byte, error)
	// PSKIdentities are those of the pre-shared keys that the initiator offers, of 1 to
	// 255 octets each. Whoever sees the connection sees them. All that the responder knows as
	// well go into the first keys. Default: none.
	PSKIdentities [][]byte
	// RequirePSK refuses a peer without a pre-shared key in common, and resumes no session whose full
	// handshake was without. Default: false.
	RequirePSK bool

	// MaxEarlyData is how many octets of early data this end accepts from a peer that
	// resumes, at most 65,536. It goes for the life of a session. See [Conn.ReadEarlyData]
	// and [Conn.SetEarlyData]. Default: 0; early data is refused, and sent again by the peer.
	MaxEarlyData int

	// OneSignature makes the first message smaller by a signature, and lets this end
	// accept such a one. Peers that accept connections need it first: see
	// [channel.Config.OneSignature]. Default: false.
	OneSignature bool

	// Store keeps sessions, so that they can be resumed over another connection: what was agreed on, and
	// each heal, outlive a cut. Default: none; every connection begins with a full handshake. What is kept are
	// secrets that live on after Close, and a store should have room for all connections that are
	// open at once. So one is never made unasked: channel.NewMemoryStore(0) is one for 4,096.
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
	// Trace is told what the connection's session does, and gets no secrets. Its Event is
	// how to hear of [channel.PeerChanged], [channel.PeerRefused] and [channel.Updated]. It is
	// called while the session stands still, so it should be quick. Default: nobody is told.
	Trace *channel.Trace

	// CoalesceDelay lets Write keep small amounts back, for no longer than this, so that they share
	// records and system calls with what is written next. Write's return then means that the Conn has
	// taken over the data. It is sent when the delay is over, when about 128 KiB have come together, when this
	// end's Read has to wait for the peer, and by [Conn.Flush], [Conn.CloseWrite] and
	// [Conn.Close]. What goes wrong then shows in the next call. For bulk data in small pieces; where the peer
	// waits for each piece it costs time. Default: 0; Write gives all data to the transport.
	CoalesceDelay time.Duration
	// PipelineWrites lets a Write of more than about 128 KiB, and io.Copy to the Conn, seal one part while
	// another goroutine gives the part before to the transport: for single connections that a processor
	// is too slow for, where another one has nothing to do. It takes some 10 % more CPU time, and twice the memory while
	// it lasts. A deadline can leave up to 256 KiB sealed behind, in place of 128. Default: off.
	PipelineWrites bool

	// Rekey says when fresh key material is put into a living connection. Default: the
	// zero [RekeyPolicy], which stands for its defaults.
	Rekey RekeyPolicy
	// HandshakeTimeout bounds the handshake as a whole, from its first
	// step. Default: DefaultHandshakeTimeout. Negative: no bound.
	HandshakeTimeout time.Duration
	// MaxHandshakes bounds how many connections of a [Listener] are in their handshake at a time, from Accept
	// until it is complete, has failed, or Close was called. While there are so many, Accept waits, and who
	// connects waits in the system's backlog. Default: DefaultMaxHandshakes. Negative: no bound.
	MaxHandshakes int

	// Rand is the source of all randomness. Default: crypto/rand.Reader.
	Rand io.Reader
	// Time returns the current time. Default: time.Now.
	Time func() time.Time

	// keyRecords is how many records a key protects, for tests. Default: as many as it can.
	keyRecords uint64
}

// A RekeyPolicy says when an end updates its keys by itself, after how much time, data
// or silence. Its zero value stands for the defaults, negative values for never. Updates never
// interrupt the flow of data and never end a connection.
type RekeyPolicy = channel.UpdatePolicy

// An IdentitySource has identities that change while connections live, such as
// identity.Live, which reads them from files. Its methods are called by several goroutines at
// once, and must neither wait nor call those of a Conn.
type IdentitySource = channel.IdentitySource

// withDefaults returns a copy of c in which nothing is left open that netconn decides.
func (c *Config) withDefaults() (*Config, error) {
	if c == nil {
		return nil, errors.New("netconn: there is no Config")
	}
	d := c.Clone()
	driver.TakeIdentities(d.Identities, &d.Identity, &d.Alternatives, &d.PreviousIdentities)
	if d.Identity.Signer == nil {
		return nil, errors.New("netconn: Config needs an Identity")
	}
	if c.Validator == nil {
		return nil, errors.New("netconn: Config needs a Validator")
	}
	if c.Refused > channel.RefusalClose {
		return nil, fmt.Errorf("netconn: Config has Refused %d", c.Refused)
	}
	if err := c.Rekey.Verify(); err != nil {
		return nil, err
	}
	if d.HandshakeTimeout == 0 {
		d.HandshakeTimeout = DefaultHandshakeTimeout
	}
	if d.IdentitySpread == 0 {
		d.IdentitySpread = DefaultIdentitySpread
	}
	if d.Rand == nil {
		d.Rand = rand.Reader
	}
	if d.Time == nil {
		d.Time = time.Now
	}
	return d, nil
}

// Clone returns a copy that shares nothing with c that could be changed, but for what its interfaces and
// functions stand for, such as the Store. The clone of nil is nil.
func (c *Config) Clone() *Config {
	if c == nil {
		return nil
	}
	d := *c
	d.Alternatives, d.PreviousIdentities = slices.Clone(c.Alternatives), slices.Clone(c.PreviousIdentities)
	d.Suites = append([]ciphersuite.ID(nil), c.Suites...)
	if c.APQ != nil {
		d.APQ = &channel.APQ{Suites: slices.Clone(c.APQ.Suites), Required: c.APQ.Required}
	}
	d.Protocols = slices.Clone(c.Protocols)
	d.TransportBinding = bytes.Clone(c.TransportBinding)
	d.PSKIdentities = slices.Clone(c.PSKIdentities)
	for i, id := range d.PSKIdentities {
		d.PSKIdentities[i] = bytes.Clone(id)
	}
	return &d
}

// settings are what a Conn itself needs of its Config after the handshake.
type settings struct {
	coalesceDelay  time.Duration
	pipelineWrites bool
	keyRecords     uint64
}

func (c *Config) settings() settings {
	return settings{c.CoalesceDelay, c.PipelineWrites, c.keyRecords}
}

// driverConfig returns what the driver needs of c.
func (c *Config) driverConfig() *driver.Config {
	return &driver.Config{
		Identity: c.Identity,
		Rekey:    c.Rekey,
		Rand:     c.Rand,
		Settings: driver.Settings{Now: c.Time, Renew: c.Renew, Identities: c.Identities, Spread: c.IdentitySpread, Refused: c.Refused, RefusedBy: c.RefusedBy, Errors: &driverErrors},
	}
}

// channelConfig returns what the protocol needs of c.
func (c *Config) channelConfig() *channel.Config {
	return &channel.Config{
		Identity:           c.Identity,
		Alternatives:       c.Alternatives,
		Validator:          c.Validator,
		PreviousIdentities: c.PreviousIdentities,
		Suites:             c.Suites,
		APQ:                c.APQ,
		Registry:           c.Registry,
		Protocols:          c.Protocols,
		ServerName:         c.ServerName,
		Features:           c.Features,
		MaxRecordSize:      c.MaxRecordSize,
		TransportBinding:   c.TransportBinding,
		PSK:                c.PSK,
		PSKIdentities:      c.PSKIdentities,
		RequirePSK:         c.RequirePSK,
		MaxEarlyData:       c.MaxEarlyData,
		OneSignature:       c.OneSignature,
		Store:              c.Store,
		PeerName:           c.PeerName,
		MaxSessionAge:      c.MaxSessionAge,
		MaxMessageSize:     c.MaxMessageSize,
		KeyLogWriter:       c.KeyLogWriter,
		Trace:              c.Trace,
		Rand:               c.Rand,
		Now:                c.Time,
	}
}
