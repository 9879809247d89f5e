package grpcmend

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/mendlink/mendlink/netconn"
	"google.golang.org/grpc/credentials"
)

// protocol is the name under which gRPC knows the credentials.
const protocol = "mendlink"

// http2 is the application protocol that gRPC is carried by. RFC 9113, Section 3.2.
const http2 = "h2"

// transportCredentials are those of either end. All but serverName is shared by clones.
type transportCredentials struct {
	config     *netconn.Config // nil if there is none
	serverName string          // in place of the authority, unless empty
}

// NewCredentials returns credentials that secure connections as config says, for
// clients and for servers. An unusable config shows when a connection is made. Whatever
// config.Protocols says, the ends have to agree on h2, so that a connection that was meant for
// something else does not end up here.
//
// A client calls the server config.ServerName, by default the host in gRPC's authority.
// A client's sessions are stored, if config has a Store, under config.PeerName, by default the
// authority with the address that was dialled, so that those of several servers
// behind one name are told apart. Several connections to one server at once have a session
// each.
func NewCredentials(config *netconn.Config) credentials.TransportCredentials {
	if config = config.Clone(); config != nil {
		config.Protocols = []string{http2}
	}
	return &transportCredentials{config: config}
}

// ClientHandshake performs the initiator's handshake over transport.
func (c *transportCredentials) ClientHandshake(ctx context.Context, authority string, transport net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if c.config == nil {
		return handshake(ctx, netconn.Client(transport, nil))
	}
	if c.serverName != "" {
		authority = c.serverName
	}
	config := *c.config
	if config.ServerName == "" {
		config.ServerName = hostName(authority)
	}
	if config.Store != nil && config.PeerName == "" {
		config.PeerName = authority + " at " + transport.RemoteAddr().String()
	}
	return handshake(ctx, netconn.Client(transport, &config))
}

// ServerHandshake performs the responder's handshake over transport. It takes no
// longer than the configuration's HandshakeTimeout.
func (c *transportCredentials) ServerHandshake(transport net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return handshake(context.Background(), netconn.Server(transport, c.config))
}

func handshake(ctx context.Context, conn *netconn.Conn) (net.Conn, credentials.AuthInfo, error) {
	err := conn.HandshakeContext(ctx)
	if err == nil {
		if agreed := conn.ConnectionState().Negotiated.Protocol; agreed != http2 {
			err = fmt.Errorf("grpcmend: the peer does not say that it speaks %s, but %q", http2, agreed)
		}
	}
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return conn, newAuthInfo(conn), nil
}

// hostName returns the name of the host in an authority, empty if there is none: not an IP
// address, nor a path, which is what the authority of a Unix socket may be.
func hostName(authority string) string {
	host, _, err := net.SplitHostPort(authority)
	if err != nil {
		host = authority
	}
	if _, err := netip.ParseAddr(host); err == nil || strings.ContainsAny(host, "/:[]%") {
		return ""
	}
	return strings.TrimSuffix(host, ".")
}

// Info names the protocol.
func (c *transportCredentials) Info() credentials.ProtocolInfo {
	//lint:ignore SA1019 gRPC takes a channel's authority from it
	return credentials.ProtocolInfo{SecurityProtocol: protocol, ServerName: c.serverName}
}

// Clone returns credentials whose server name can be overridden apart.
func (c *transportCredentials) Clone() credentials.TransportCredentials {
	clone := *c
	return &clone
}

// OverrideServerName replaces the authority.
//
// Deprecated: gRPC does not use it. Use grpc.WithAuthority.
func (c *transportCredentials) OverrideServerName(name string) error {
	c.serverName = name
	return nil
}
