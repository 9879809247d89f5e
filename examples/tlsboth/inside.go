package main

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/mendlink/mendlink/netconn"
)

// clientWithTLSInside is the stack of a client that has a TLS session in a Mendlink
// connection, as for an application that insists on TLS over a link that heals.
func clientWithTLSInside(tlsConfig *tls.Config, config *netconn.Config) stack {
	return func(ctx context.Context, tcp net.Conn) (app, *netconn.Conn, error) {
		link := netconn.Client(tcp, config)
		return inside(ctx, link, tls.Client(link, tlsConfig))
	}
}

// serverWithTLSInside is that of its server.
func serverWithTLSInside(tlsConfig *tls.Config, config *netconn.Config) stack {
	return func(ctx context.Context, tcp net.Conn) (app, *netconn.Conn, error) {
		link := netconn.Server(tcp, config)
		return inside(ctx, link, tls.Server(link, tlsConfig))
	}
}

func inside(ctx context.Context, link *netconn.Conn, session *tls.Conn) (app, *netconn.Conn, error) {
	return &inner{session, link}, link, session.HandshakeContext(ctx) // which brings about the link's
}

// inner is a TLS session that leaves its link alone.
type inner struct {
	*tls.Conn
	link *netconn.Conn
}

// CloseWrite ends the session's data in one direction. To keep anything from being written
// after that, crypto/tls leaves behind a write deadline that has passed: but the link
// goes on, and has to answer updates of the peer.
func (c *inner) CloseWrite() error {
	err := c.Conn.CloseWrite()
	if deadlineErr := c.link.SetWriteDeadline(time.Time{}); err == nil {
		err = deadlineErr
	}
	return err
}
