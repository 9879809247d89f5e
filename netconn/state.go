package netconn

import (
	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// A ConnectionState says how a connection is protected at one moment. Before the
// handshake is complete all of it is zero.
type ConnectionState struct {
	HandshakeComplete bool
	Resumed           bool              // the session began on an earlier connection
	SessionID         channel.SessionID // the same through all resumptions
	Epoch             uint64            // grows with each update of either end
	Suite             ciphersuite.ID
	Role              channel.Role  // in the session's full handshake, whoever resumed it
	Peer              *mls.LeafNode // whom Config.Validator has accepted; not to be modified
	// LastUpdateError is why the last update that the RekeyPolicy asked for could not be
	// begun, nil if it could. It is tried again when the next is due.
	LastUpdateError error
}

// ConnectionState returns the state of the moment, or the last one of a connection that has ended.
func (c *Conn) ConnectionState() ConnectionState {
	c.sessionMu.Lock()
	defer c.sessionMu.Unlock()
	if !c.state.HandshakeComplete {
		return ConnectionState{}
	}
	state := c.state
	state.LastUpdateError = c.updates.lastError()
	return state
}

// ExportKeyingMaterial returns length octets that both ends, and nobody else, can
// compute from label and context. They are bound to the epoch: both ends must call it
// in the same one (see ConnectionState), and another epoch gives other octets. It performs the
// handshake first if need be.
func (c *Conn) ExportKeyingMaterial(label string, context []byte, length int) ([]byte, error) {
	if err := c.Handshake(); err != nil {
		return nil, err
	}
	c.sessionMu.Lock()
	defer c.sessionMu.Unlock()
	return c.session.ExportKeyingMaterial(label, context, length)
}
