package quicmls

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/internal/driver"
	"github.com/mendlink/mendlink/mls"
)

// Defaults of [Config].
const (
	DefaultHandshakeTimeout = 10 * time.Second
	DefaultEpochGrace       = 10 * time.Second
	DefaultIdentitySpread   = time.Second
	DefaultMaxHandshakes    = 1024
)

// A Config says who one is, who the peer may be, and how a connection behaves. Only
// Identity and Validator have no default. Every function copies the Config that it is given: it is
// never modified, and may be shared and reused. Its functions may be called by several
// goroutines at once, and must not call methods of the Conn.
type Config struct {
	// Config is that of the sessions. Now is time.Now if it is nil. PeerName is, for Dial, the
	// address as it was given, and ServerName its host, unless that is an IP address.
	// TransportBinding comes on top of the TLS exporter's output (RFC 9266), which is always
	// bound in. MaxEarlyData has no effect: there is no place for such data on QUIC streams.
	channel.Config

	// Identities, if it has any, take the place of Identity, Alternatives and PreviousIdentities in
	// each connection, as they are when its handshake begins. When they change, living connections go on with
	// the new one, like after [Conn.Rotate], and Validator is asked about the peer again: see Refused. A
	// connection whose configuration Select has chosen keeps the identity of that. Default: none; nothing
	// changes by itself.
	Identities channel.IdentitySource
	// IdentitySpread is over how long the connections with the same Identities are spread, when these change: each
	// goes on with the new one after a random part of it. Validator is asked at once all the same. Default:
	// DefaultIdentitySpread. Negative: at once.
	IdentitySpread time.Duration
	// Refused says what becomes of a living connection whose peer Validator accepts no
	// more. It is asked when a certificate of the peer expires, and when Identities say that something
	// has changed. channel.RefusalClose ends the connection and the session. With RefusalWarn the
	// connection goes on, updates of the peer included as long as it shows nothing else, and Trace gets a
	// channel.PeerRefused; RefusalKeep says nothing. Default: RefusalClose.
	Refused channel.RefusalAction
	// RefusedBy returns what Refused says, each time that this matters, so that it may change while connections
	// live. What is not one of these actions is RefusalClose. Default: it is as Refused says.
	RefusedBy func() channel.RefusalAction
	// Rekey says when fresh key material is put into a living connection. Default: the
	// zero value, which stands for its defaults.
	Rekey channel.UpdatePolicy
	// Renew returns another identity in place of one whose credential expires soon: see
	// channel.UpdatePolicy.BeforeExpiry. It is called by a goroutine of its own, is not called
	// again before it returns, and ctx ends with the connection. What it returns is shown to the
	// peer like that of [Conn.Rotate]. After an error it is called again later. Default:
	// credentials are not renewed.
	Renew func(ctx context.Context) (mls.Identity, error)
	// HandshakeTimeout bounds the handshake of the session, from its first step. QUIC's own is
	// bounded by QUIC.HandshakeIdleTimeout. Default: DefaultHandshakeTimeout. Negative: no bound.
	HandshakeTimeout time.Duration
	// MaxHandshakes bounds how many connections of a [Listener] are in the handshake of their session at a time, from
	// Accept until it is complete or the connection has ended. While there are so many, Accept waits; some
	// QUIC connections, 32 with quic-go v0.65.0, wait for it, and it refuses all others. Default: DefaultMaxHandshakes.
	// Negative: no bound.
	MaxHandshakes int
	// EpochGrace is how long after an update a stream may still begin in the epoch before, and a
	// datagram of it may still come. What begins later is reset: see [ErrEpochGone]. Streams
	// that have begun are not concerned. No more than the last 200 epochs are kept, however
	// short they were. Default: DefaultEpochGrace.
	EpochGrace time.Duration

	// Keyed has a [Listener] take in connections that a session has keyed, beside those on which the sessions
	// are: see [Conn.DialKeyed]. It keeps connections alive by itself then, unless QUIC.KeepAlivePeriod is set.
	// Default: false.
	Keyed bool
	// Allow0RTT lets the responder answer a resumption that comes with the first packet, on QUIC
	// 0-RTT: see [DialEarly]. Default: false.
	Allow0RTT bool
	// TraceFor returns the trace of the session on one connection, in place of Trace. id is the
	// connection's in the qlog that QUIC.Tracer writes, so that the two can be told to
	// belong together: it is the trace's group_id there, and the same at both ends. It is not valid
	// for a QUIC connection that was made elsewhere without [WithTraceID]. Default: Trace is used.
	TraceFor func(id quic.ConnectionID) *channel.Trace

	// TLS is that of the QUIC connection. Who the peer is comes from the session, not from
	// here: the default is a certificate that is good for nothing but its purpose, and is not looked
	// at. NextProtos is {[NextProto]} if it is empty. For 0-RTT it needs tickets, and the initiator's a
	// ClientSessionCache, as the default has.
	TLS *tls.Config
	// QUIC is the configuration of the QUIC connection. Datagrams are as it says; its
	// MaxIncomingStreams do not count the control stream. Default: quic-go's, with datagrams.
	QUIC *quic.Config
}

// withDefaults returns a copy of c in which nothing is left open that this package decides.
func (c *Config) withDefaults() (*Config, error) {
	if c == nil {
		return nil, errors.New("quicmls: there is no Config")
	}
	if c.sessions().Identity.Signer == nil {
		return nil, errors.New("quicmls: Config needs an Identity")
	}
	if c.Validator == nil {
		return nil, errors.New("quicmls: Config needs a Validator")
	}
	if c.Refused > channel.RefusalClose {
		return nil, fmt.Errorf("quicmls: Config has Refused %d", c.Refused)
	}
	if err := c.Rekey.Verify(); err != nil {
		return nil, err
	}
	if c.EpochGrace < 0 {
		return nil, fmt.Errorf("quicmls: Config has an EpochGrace of %v", c.EpochGrace)
	}
	d := c.Clone()
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Rand == nil {
		d.Rand = rand.Reader
	}
	if d.HandshakeTimeout == 0 {
		d.HandshakeTimeout = DefaultHandshakeTimeout
	}
	if d.IdentitySpread == 0 {
		d.IdentitySpread = DefaultIdentitySpread
	}
	if d.MaxHandshakes == 0 {
		d.MaxHandshakes = DefaultMaxHandshakes
	}
	if d.EpochGrace == 0 {
		d.EpochGrace = DefaultEpochGrace
	}
	d.MaxEarlyData = 0
	return d, nil
}

// Clone returns a copy that shares nothing with c that could be changed, but for what its interfaces and
// functions stand for, such as the Store, and for TLS and QUIC. The clone of nil is nil.
func (c *Config) Clone() *Config {
	if c == nil {
		return nil
	}
	d := *c
	d.Config = *c.Config.Clone()
	return &d
}

// sessions returns the configuration of sessions, with the identities of the moment.
func (c *Config) sessions() channel.Config {
	cfg := c.Config
	driver.TakeIdentities(c.Identities, &cfg.Identity, &cfg.Alternatives, &cfg.PreviousIdentities)
	return cfg
}

// driverConfig returns what the driver needs of c, for an end that shows this identity.
func (c *Config) driverConfig(identity mls.Identity) *driver.Config {
	return &driver.Config{
		Identity: identity,
		Rekey:    c.Rekey,
		Rand:     c.Rand,
		Settings: driver.Settings{Now: c.Now, Renew: c.Renew, Identities: c.Identities, Spread: c.IdentitySpread, Refused: c.Refused, RefusedBy: c.RefusedBy, Errors: &driverErrors},
	}
}

// chosenConfig is driverConfig for an end whose session has a configuration that Select has chosen.
func (c *Config) chosenConfig(identity mls.Identity) *driver.Config {
	d := c.driverConfig(identity)
	if d.Identities != nil {
		d.Identities = onlyWatched{d.Identities}
	}
	return d
}

// onlyWatched is a source whose identities nobody shows: it says when to ask the validator again.
type onlyWatched struct{ channel.IdentitySource }

// Identities implements [channel.IdentitySource].
func (onlyWatched) Identities() []mls.Identity { return nil }

// quicSettings are what a Config says about QUIC connections.
type quicSettings struct {
	config    *quic.Config // nil: the default
	allow0RTT bool
	traced    bool
}

func (c *Config) quicSettings() quicSettings {
	return quicSettings{c.QUIC, c.Allow0RTT, c.TraceFor != nil}
}

// quicConfig returns the configuration of QUIC connections.
func (c *Config) quicConfig() *quic.Config { return c.quicSettings().apply() }

func (s quicSettings) apply() *quic.Config {
	q := &quic.Config{EnableDatagrams: true}
	if s.config != nil {
		q = s.config.Clone()
	}
	q.Allow0RTT = q.Allow0RTT || s.allow0RTT
	if s.traced {
		q = WithTraceID(q)
	}
	return q
}
