package grpcmend

import (
	"context"

	"github.com/mendlink/mendlink/netconn"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// An AuthInfo is what is known of a connection's peer and protection. gRPC hands
// it out with the peer of a call: see [FromContext].
type AuthInfo struct {
	credentials.CommonAuthInfo
	conn *netconn.Conn
}

var (
	_ credentials.AuthInfo             = (*AuthInfo)(nil)
	_ credentials.ChannelzSecurityInfo = (*AuthInfo)(nil)
)

func newAuthInfo(conn *netconn.Conn) *AuthInfo {
	return &AuthInfo{
		CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity},
		conn:           conn,
	}
}

// FromContext returns the AuthInfo of the connection that a call came over, as the
// server's handlers and interceptors have it in their context.
func FromContext(ctx context.Context) (*AuthInfo, bool) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil, false
	}
	info, ok := p.AuthInfo.(*AuthInfo)
	return info, ok
}

// AuthType returns "mendlink".
func (a *AuthInfo) AuthType() string { return protocol }

// ConnectionState returns the state of the moment: the peer's leaf, the session's
// ID and the epoch, among others. The last grows while the connection lives; of a connection
// that has ended it is the last one.
func (a *AuthInfo) ConnectionState() netconn.ConnectionState { return a.conn.ConnectionState() }

// Update puts fresh keys into the connection, as [netconn.Conn.Update] does. Calls go on meanwhile.
func (a *AuthInfo) Update(ctx context.Context) error { return a.conn.Update(ctx) }

// ExportKeyingMaterial returns octets that only the two ends of the connection can
// compute, as [netconn.Conn.ExportKeyingMaterial] does.
func (a *AuthInfo) ExportKeyingMaterial(label string, context []byte, length int) ([]byte, error) {
	return a.conn.ExportKeyingMaterial(label, context, length)
}

// GetSecurityValue tells gRPC's introspection the name of the cipher suite.
func (a *AuthInfo) GetSecurityValue() credentials.ChannelzSecurityValue {
	return &credentials.OtherChannelzSecurityValue{Name: protocol + " " + a.ConnectionState().Suite.String()}
}
