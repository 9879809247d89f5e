package channel

import (
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// A ConnectionState says how a connection is protected at one moment. Drivers keep it; before the
// handshake is complete all of it is zero.
type ConnectionState struct {
	HandshakeComplete bool
	Resumed           bool      // the session began on an earlier connection
	SessionID         SessionID // the same through all resumptions
	Epoch             uint64    // grows with each update of either end
	Suite             ciphersuite.ID
	Role              Role          // in the session's full handshake, whoever resumed it
	Peer              *mls.LeafNode // whom Config.Validator has accepted last; not to be modified
	// Negotiated is what both ends have agreed on for the life of the session, such as the
	// application protocol. Not to be modified.
	Negotiated Negotiated
	// EarlyData says what became of this end's early data: whether
	// the peer has taken it with the first flight (EarlyDataDelivered) or it has been sent
	// behind the handshake (EarlyDataRejected), so that the peer's stream begins with it in both
	// cases. If it is EarlyDataUnknown, this connection's stream begins without it, and the peer may
	// have it, or get it once, over another connection. Zero if there was none.
	EarlyData EarlyDataFate
	// LastUpdateError is why the last update that the update policy or an [IdentitySource] asked for
	// could not be begun, or why there is no renewed identity, nil if there is no such reason. It is
	// tried again later.
	LastUpdateError error
}

// OnThisConnection is the fate as far as this connection goes. Data that was
// delivered over another one is not part of its stream, and to send it again could
// deliver it twice: EarlyDataUnknown.
func (e EarlyDataResult) OnThisConnection() EarlyDataFate {
	if e.Elsewhere {
		return EarlyDataUnknown
	}
	return e.Fate
}
