package main

import (
	"context"
	"crypto/tls"
	"net"

	"github.com/mendlink/mendlink/netconn"
)

// clientWithTLSInside is the stack of a client that has a TLS session in a Mendlink
// connection, as for an application that insists on TLS over a link that heals.
func clientWithTLSInside(tlsConfig *tls.Config, config *netconn.Config) stack {
	return func(ctx context.Context, tcp net.Conn) (app, *netconn.Conn, error) {
		link := netconn.Client(tcp, config)
		inner := tls.Client(link, tlsConfig)
		return inner, link, inner.HandshakeContext(ctx) // whose first flight brings about the link's
	}
}

// serverWithTLSInside is that of its server.
func serverWithTLSInside(tlsConfig *tls.Config, config *netconn.Config) stack {
	return func(ctx context.Context, tcp net.Conn) (app, *netconn.Conn, error) {
		link := netconn.Server(tcp, config)
		inner := tls.Server(link, tlsConfig)
		return inner, link, inner.HandshakeContext(ctx)
	}
}
