package tlspsk

import (
	"crypto/tls"
	"fmt"
	"net"
	"slices"
)

// DefaultServerName is that of [Config.ServerName]. It can be nobody's (RFC 6761).
const DefaultServerName = "mendlink.invalid"

// A Config says what both ends have to agree on. It is copied, and never modified.
type Config struct {
	// Protocols are the application protocols (ALPN) that this end speaks. The server's
	// favourite that both have is used; there has to be one. Required.
	Protocols []string
	// ServerName is the host name that the client sends in the clear, and that the server
	// takes. It says nothing about who the server is. Default: [DefaultServerName].
	ServerName string
	// Curves are the key exchanges that are acceptable. With one that is
	// not post-quantum, the confidentiality of a connection against a quantum computer rests on the
	// secrecy of the epoch alone. Default: those of crypto/tls, which has X25519MLKEM768 first.
	Curves []tls.CurveID
}

func (c *Config) withDefaults() (*Config, error) {
	if c == nil || len(c.Protocols) == 0 {
		return nil, fmt.Errorf("%w: no Protocols", ErrConfig)
	}
	d := &Config{Protocols: slices.Clone(c.Protocols), ServerName: c.ServerName, Curves: slices.Clone(c.Curves)}
	for _, p := range d.Protocols {
		if len(p) == 0 || len(p) > 255 {
			return nil, fmt.Errorf("%w: a protocol of %d octets, want 1 to 255", ErrConfig, len(p))
		}
	}
	if d.ServerName == "" {
		d.ServerName = DefaultServerName
	}
	if net.ParseIP(d.ServerName) != nil { // which TLS does not send
		return nil, fmt.Errorf("%w: ServerName %q is an address", ErrConfig, d.ServerName)
	}
	return d, nil
}

// tls returns what both ends have in common.
func (c *Config) tls() *tls.Config {
	return &tls.Config{
		MinVersion:       tls.VersionTLS13,
		MaxVersion:       tls.VersionTLS13,
		NextProtos:       c.Protocols,
		CurvePreferences: c.Curves,
	}
}

// verify checks that a connection is what was agreed on: keyed by a pre-shared key and
// with a protocol. Only a key of ours can be that key, as there is no other.
func (c *Config) verify(state tls.ConnectionState) error {
	if state.Version != tls.VersionTLS13 || !state.DidResume {
		return fmt.Errorf("%w: TLS version %#x, by a key: %t", ErrNotKeyed, state.Version, state.DidResume)
	}
	if !slices.Contains(c.Protocols, state.NegotiatedProtocol) {
		return fmt.Errorf("%w: the ends agreed on the protocol %q", ErrNotKeyed, state.NegotiatedProtocol)
	}
	return nil
}
