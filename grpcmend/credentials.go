package grpcmend

import (
	"context"
	"net"

	"github.com/mendlink/mendlink/netconn"
	"google.golang.org/grpc/credentials"
)

// protocol is the name under which gRPC knows the credentials.
const protocol = "mendlink"

// transportCredentials are those of either end. All but serverName is shared by clones.
type transportCredentials struct {
	config     *netconn.Config
	sessions   *sessions
	serverName string // in place of the authority, unless empty
}

// NewCredentials returns credentials that secure connections as config says, for
// clients and for servers. An unusable config shows when a connection is made.
//
// A client's sessions are stored, if config has a Store, under config.PeerName, by default the
// authority with the address that was dialled, so that those of several servers
// behind one name are told apart.
func NewCredentials(config *netconn.Config) credentials.TransportCredentials {
	if config != nil {
		copied := *config
		config = &copied
	}
	return &transportCredentials{config: config, sessions: newSessions()}
}

// ClientHandshake performs the initiator's handshake over transport.
func (c *transportCredentials) ClientHandshake(ctx context.Context, authority string, transport net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if c.config == nil || c.config.Store == nil {
		return handshake(ctx, netconn.Client(transport, c.config))
	}
	config := *c.config
	if config.PeerName == "" {
		if c.serverName != "" {
			authority = c.serverName
		}
		config.PeerName = authority + " at " + transport.RemoteAddr().String()
	}
	release, free := c.sessions.take(config.PeerName)
	if !free {
		config.Store = nil // to resume the session would end the other connection
		return handshake(ctx, netconn.Client(transport, &config))
	}
	conn, info, err := handshake(ctx, netconn.Client(transport, &config))
	if err != nil {
		release()
		return nil, nil, err
	}
	return &sessionConn{Conn: conn, release: release}, info, nil
}

// ServerHandshake performs the responder's handshake over transport. It takes no
// longer than the configuration's HandshakeTimeout.
func (c *transportCredentials) ServerHandshake(transport net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return handshake(context.Background(), netconn.Server(transport, c.config))
}

func handshake(ctx context.Context, conn *netconn.Conn) (net.Conn, credentials.AuthInfo, error) {
	if err := conn.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, nil, err
	}
	return conn, newAuthInfo(conn), nil
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
