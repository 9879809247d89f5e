package quicmls

import (
	"context"
	"crypto/tls"
	"errors"
	"net"

	"github.com/quic-go/quic-go"

	"github.com/mendlink/mendlink/internal/driver"
)

// Dial connects to a UDP address and performs the handshake, or resumes the session that config.Store has for
// this peer and no living connection of this process holds. It goes on to a full handshake if the peer
// does not know the session any more. ctx has no effect on the connection afterwards. On
// an error nothing is left open.
//
// The last message of the handshake is this end's. A connection that is closed right after Dial may take it
// along, and then the responder has neither a connection nor a session: whoever has nothing to wait
// for can wait for [Conn.Update].
func Dial(ctx context.Context, address string, config *Config) (*Conn, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	config.named(address)
	q, err := quic.DialAddr(ctx, address, config.clientTLS(), config.quicConfig())
	if err != nil {
		return nil, err
	}
	return handshake(ctx, newConn(q, config, nil, true))
}

// DialEarly is Dial that sends the request to resume a session with the first packet, on QUIC
// 0-RTT, so that application data can follow after one round trip in place of two. That takes a session in config.Store,
// a TLS ticket of an earlier DialEarly in this process, and a responder with Allow0RTT; else it is like Dial.
//
// Whoever records the packet can replay it: the request, and nothing else, is in it. A replay gets an
// answer and never a connection.
//
// quic-go (as of v0.65.0) opens a stream on 0-RTT and takes in the responder's parameters without a lock (its issue 4303). Go's
// race detector may say so.
func DialEarly(ctx context.Context, address string, config *Config) (*Conn, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	config.named(address)
	q, err := quic.DialAddrEarly(ctx, address, config.earlyTLS(), config.quicConfig())
	if err != nil {
		return nil, err
	}
	return handshake(ctx, newConn(q, config, nil, true))
}

// DialTransport is Dial over a caller's QUIC transport, which stays open.
func DialTransport(ctx context.Context, t *quic.Transport, address net.Addr, config *Config) (*Conn, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	config.named(address.String())
	q, err := t.Dial(ctx, address, config.clientTLS(), config.quicConfig())
	if err != nil {
		return nil, err
	}
	return handshakeOn(ctx, t, q, config)
}

// DialTransportEarly is DialEarly over a caller's QUIC transport, which stays open.
func DialTransportEarly(ctx context.Context, t *quic.Transport, address net.Addr, config *Config) (*Conn, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	config.named(address.String())
	q, err := t.DialEarly(ctx, address, config.earlyTLS(), config.quicConfig())
	if err != nil {
		return nil, err
	}
	return handshakeOn(ctx, t, q, config)
}

// named sets what the address says about the peer.
func (c *Config) named(address string) {
	if c.PeerName == "" {
		c.PeerName = address
	}
	if c.ServerName == "" {
		c.ServerName = hostName(address)
	}
}

// handshakeOn performs the handshake of an initiator over a QUIC connection of a transport.
func handshakeOn(ctx context.Context, t *quic.Transport, q *quic.Conn, config *Config) (*Conn, error) {
	c := newConn(q, config, nil, true)
	c.transport = t
	return handshake(ctx, c)
}

func handshake(ctx context.Context, c *Conn) (*Conn, error) {
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// A Listener accepts connections as the responder.
type Listener struct {
	quic   quicListener
	config *Config
	gate   *driver.Gate
	keyed  *keyedListener // nil: none
}

// quicListener is what [quic.Listener] and [quic.EarlyListener] have in common.
type quicListener interface {
	Accept(context.Context) (*quic.Conn, error)
	Addr() net.Addr
	Close() error
}

// Listen listens on a UDP address for peers to accept.
func Listen(address string, config *Config) (*Listener, error) {
	return listen(config, func(t *tls.Config, q *quic.Config) (quicListener, error) {
		if q.Allow0RTT {
			return quic.ListenAddrEarly(address, t, q)
		}
		return quic.ListenAddr(address, t, q)
	})
}

// ListenTransport is Listen on a caller's QUIC transport, which stays open.
func ListenTransport(t *quic.Transport, config *Config) (*Listener, error) {
	return listen(config, func(c *tls.Config, q *quic.Config) (quicListener, error) {
		if q.Allow0RTT {
			return t.ListenEarly(c, q)
		}
		return t.Listen(c, q)
	})
}

func listen(config *Config, open func(*tls.Config, *quic.Config) (quicListener, error)) (*Listener, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	tlsConfig, err := config.serverTLS()
	if err != nil {
		return nil, err
	}
	quicConfig := config.quicConfig()
	if quicConfig.MaxIncomingStreams > 0 {
		quicConfig.MaxIncomingStreams++ // the control stream
	}
	var keyed *keyedListener
	if config.Keyed {
		if keyed, tlsConfig, err = newKeyedListener(tlsConfig); err != nil {
			return nil, err
		}
		if quicConfig.KeepAlivePeriod == 0 {
			quicConfig.KeepAlivePeriod = keyedKeepAlive
		}
	}
	q, err := open(tlsConfig, quicConfig)
	if err != nil {
		return nil, err
	}
	return &Listener{q, config, driver.NewGate(config.MaxHandshakes), keyed}, nil
}

// Accept waits for the next QUIC connection and returns it at once: a peer that stalls cannot keep others
// waiting, unless Config.MaxHandshakes do. The session's handshake takes place in the first method of the Conn that needs it.
func (l *Listener) Accept(ctx context.Context) (*Conn, error) {
	leave, err := l.gate.Enter(ctx)
	if ctx.Err() == nil && errors.Is(err, net.ErrClosed) { // after Close there are those that have come already, and no others
		leave, err = func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	q, err := l.quic.Accept(ctx)
	for err == nil && l.keyed.takes(q) {
		q, err = l.quic.Accept(ctx)
	}
	if err != nil {
		leave()
		return nil, err
	}
	c := newConn(q, l.config, nil, false)
	if l.keyed != nil {
		c.accepting = l.keyed.accepter()
	}
	stop := context.AfterFunc(c.ctx, leave) // nobody may ever perform the handshake
	c.handshake.leave = func() {
		stop()
		leave()
	}
	return c, nil
}

// Addr returns the address that the listener listens on.
func (l *Listener) Addr() net.Addr { return l.quic.Addr() }

// Close ends the listening. Connections that were accepted live on.
func (l *Listener) Close() error {
	l.gate.Close()
	return l.quic.Close()
}
