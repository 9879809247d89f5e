package main

import (
	"context"
	"crypto/tls"
	"net"

	"github.com/mendlink/mendlink/netconn"
)

// A binding returns a copy of config that is good on one TLS connection only.
type binding func(transport *tls.Conn, config *netconn.Config) (*netconn.Config, error)

// clientOverTLS is the stack of a client that has Mendlink in a TLS connection.
func clientOverTLS(tlsConfig *tls.Config, config *netconn.Config, bind binding) stack {
	return func(ctx context.Context, tcp net.Conn) (app, *netconn.Conn, error) {
		return overTLS(ctx, tls.Client(tcp, tlsConfig), netconn.Client, config, bind)
	}
}

// serverOverTLS is that of its server.
func serverOverTLS(tlsConfig *tls.Config, config *netconn.Config, bind binding) stack {
	return func(ctx context.Context, tcp net.Conn) (app, *netconn.Conn, error) {
		return overTLS(ctx, tls.Server(tcp, tlsConfig), netconn.Server, config, bind)
	}
}

// overTLS performs both handshakes: that of TLS, and in it that of Mendlink, bound to
// the first. end is netconn.Client or netconn.Server.
//
// A write deadline that has passed breaks crypto/tls for good, and so the link on it too,
// although a Mendlink connection over TCP would go on.
func overTLS(ctx context.Context, transport *tls.Conn, end func(net.Conn, *netconn.Config) *netconn.Conn, config *netconn.Config, bind binding) (app, *netconn.Conn, error) {
	if err := transport.HandshakeContext(ctx); err != nil {
		return nil, nil, err
	}
	bound, err := bind(transport, config)
	if err != nil {
		return nil, nil, err
	}
	link := end(transport, bound)
	return link, link, link.HandshakeContext(ctx)
}

// exported binds to what TLS's exporter gives, which the two ends of this connection
// know and nobody else. Somebody in the middle has one TLS connection with each of
// them, so that their bindings differ and they refuse each other. RFC 9266, Section 2.
func exported(transport *tls.Conn, config *netconn.Config) (*netconn.Config, error) {
	state := transport.ConnectionState()
	b, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
	if err != nil {
		return nil, err
	}
	bound := *config
	bound.TransportBinding = b
	return &bound, nil
}

// unbound does not bind, for comparison.
func unbound(_ *tls.Conn, config *netconn.Config) (*netconn.Config, error) { return config, nil }
