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
	Peer              *mls.LeafNode // whom Config.Validator has accepted last; not to be modified
	// Negotiated is what both ends have agreed on for the life of the session, such as the
	// application protocol. Not to be modified.
	Negotiated channel.Negotiated
	// EarlyData says what became of this end's early data, see [Conn.SetEarlyData]: whether
	// the peer has taken it with the first flight (EarlyDataDelivered) or the Conn has sent it
	// behind the handshake (EarlyDataRejected), so that the peer's stream begins with it in both
	// cases. If it is EarlyDataUnknown, this connection's stream begins without it, and the peer may
	// have it, or get it once, over another connection. Zero if there was none.
	EarlyData channel.EarlyDataFate
	// LastUpdateError is why the last update that the RekeyPolicy or Config.Identities asked for could
	// not be begun, or Config.Renew's error, nil if there was none. It is tried again later.
	LastUpdateError error
}

// state is what a Conn notes of its ConnectionState: the rest its session knows to the end.
type state struct {
	complete bool
	early    channel.EarlyDataFate
	suite    ciphersuite.ID
	epoch    uint64
	peer     *mls.LeafNode
}

// ConnectionState returns the state of the moment, or the last one of a connection that has ended.
func (c *Conn) ConnectionState() ConnectionState {
	c.sessionMu.Lock()
	defer c.sessionMu.Unlock()
	if !c.state.complete {
		return ConnectionState{}
	}
	state := ConnectionState{
		HandshakeComplete: true,
		Resumed:           c.session.Resumed(),
		SessionID:         c.session.ID(),
		Epoch:             c.state.epoch,
		Suite:             c.state.suite,
		Role:              c.session.Role(),
		Peer:              c.state.peer,
		Negotiated:        c.session.Negotiated(),
		EarlyData:         c.state.early,
		LastUpdateError:   c.live.lastError(),
	}
	if state.LastUpdateError == nil {
		state.LastUpdateError = c.policy.lastError()
	}
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

// ExportFrom is [Conn.ExportKeyingMaterial] for what the end of the given role alone
// sends: each role gives other octets, and they are bound to who has it.
func (c *Conn) ExportFrom(from channel.Role, label string, context []byte, length int) ([]byte, error) {
	if err := c.Handshake(); err != nil {
		return nil, err
	}
	c.sessionMu.Lock()
	defer c.sessionMu.Unlock()
	return c.session.ExportFrom(from, label, context, length)
}

// EpochAuthenticator returns a value that both ends have in common in an epoch, and that
// says nothing about its keys: with somebody in the middle they see different ones. It is of
// the size of the suite's hash, and nil before the handshake and after the end of the connection.
func (c *Conn) EpochAuthenticator() []byte {
	c.sessionMu.Lock()
	defer c.sessionMu.Unlock()
	if c.session == nil {
		return nil
	}
	return c.session.EpochAuthenticator()
}

// ShortFingerprint returns the EpochAuthenticator in a form for people to compare, six
// groups of five digits. Empty where that is nil.
func (c *Conn) ShortFingerprint() string {
	c.sessionMu.Lock()
	defer c.sessionMu.Unlock()
	if c.session == nil {
		return ""
	}
	return c.session.ShortFingerprint()
}
