package netconn

import (
	"context"
	"net"
	"net/netip"
	"strings"

	"github.com/mendlink/mendlink/internal/driver"
)

// A Dialer connects to a peer as the initiator.
type Dialer struct {
	// Config is the configuration of the connections. Required.
	Config *Config
	// EarlyData are the first octets of each connection's stream. They travel with the first
	// flight where that is possible: see [Conn.SetEarlyData]. Default: none.
	EarlyData []byte
	// NetDialer makes the transport connections. Default: the zero net.Dialer.
	NetDialer *net.Dialer
}

// Dial connects to address and performs the handshake, or resumes the session that
// config.Store has for this peer. See [Dialer.DialContext].
func Dial(network, address string, config *Config) (*Conn, error) {
	return (&Dialer{Config: config}).dial(context.Background(), network, address)
}

// DialContext connects to address and performs the handshake. If the configuration
// has a Store with a session for the peer's name, by default the address,
// it resumes that session, and goes on to a full handshake if the peer does not know it any more.
// A session of a Conn of this process that is neither closed nor at its end is left to it.
//
// ctx bounds connecting and the handshake, and has no effect on the connection
// afterwards. The net.Conn is a [*Conn]. The errors are those of [net.Dialer.DialContext] and
// [Conn.HandshakeContext]; on any of them nothing is left open.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := d.dial(ctx, network, address)
	if err != nil {
		return nil, err // not a nil *Conn
	}
	return c, nil
}

func (d *Dialer) dial(ctx context.Context, network, address string) (*Conn, error) {
	config, err := d.Config.withDefaults()
	if err != nil {
		return nil, err
	}
	if config.PeerName == "" {
		config.PeerName = address
	}
	if config.ServerName == "" {
		config.ServerName = hostName(network, address)
	}
	netDialer := d.NetDialer
	if netDialer == nil {
		netDialer = new(net.Dialer)
	}
	transport, err := netDialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	conn := Client(transport, config)
	if len(d.EarlyData) > 0 {
		conn.SetEarlyData(d.EarlyData)
	}
	if err := conn.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// hostName returns the name of the host in an address, empty if there is none.
func hostName(network, address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil || !strings.HasPrefix(network, "tcp") {
		return ""
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return ""
	}
	return strings.TrimSuffix(host, ".")
}

// A Listener accepts connections as the responder.
type Listener struct {
	net.Listener
	config *Config
	gate   *driver.Gate
}

// Listen listens on a local address, as net.Listen does, for peers to accept.
func Listen(network, address string, config *Config) (*Listener, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	inner, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	return NewListener(inner, config), nil
}

// NewListener returns a listener that accepts connections from inner. An unusable
// config shows when the connections are used.
func NewListener(inner net.Listener, config *Config) *Listener {
	limit := DefaultMaxHandshakes
	if config != nil && config.MaxHandshakes != 0 {
		limit = config.MaxHandshakes
	}
	return &Listener{Listener: inner, config: config.Clone(), gate: driver.NewGate(limit)}
}

// Accept waits for the next connection, a [*Conn], and returns it at once: a peer that
// stalls cannot keep others waiting, unless Config.MaxHandshakes do. The handshake takes place in the connection's first Read,
// Write or HandshakeContext. A connection that nobody uses has to be closed, as it counts among these.
//
// Servers that take any net.Listener, such as net/http's, drop a connection whose handshake fails and do not say why.
// The Failed of Config.Trace is told of peers that were refused. That one spoke another protocol, or nothing in time, shows
// in the error of HandshakeContext alone.
func (l *Listener) Accept() (net.Conn, error) {
	leave, err := l.gate.Enter(context.Background())
	if err != nil {
		return nil, &net.OpError{Op: "accept", Net: l.Addr().Network(), Addr: l.Addr(), Err: err}
	}
	transport, err := l.Listener.Accept()
	if err != nil {
		leave()
		return nil, err
	}
	c := Server(transport, l.config)
	c.opening.leave = leave
	return c, nil
}

// Close ends the listening. Connections that were accepted live on.
func (l *Listener) Close() error {
	l.gate.Close()
	return l.Listener.Close()
}
