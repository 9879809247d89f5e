package channel

import "fmt"

// State is what a [Session] waits for.
type State uint8

// The states of a session. Where the profile has a name for one, it stands in
// parentheses.
const (
	// StateIdle is that of a session that has not been started.
	StateIdle State = 1 + iota
	// StateAwaitingHello is that of a responder: the peer begins, with a full
	// handshake or by resuming a session (Awaiting ClientHello).
	StateAwaitingHello
	// StateAwaitingClientHello is that of a responder that has refused to
	// resume a session: only a full handshake is left.
	StateAwaitingClientHello
	// StateAwaitingServerHello is that of an initiator (Awaiting ServerHello).
	StateAwaitingServerHello
	// StateAwaitingHandshakeDone is that of a responder that has not seen yet
	// that the initiator holds the keys.
	StateAwaitingHandshakeDone
	// StateSynced: no update is under way (Synced).
	StateSynced
	// StateAcknowledged: the peer's update is applied and acknowledged, and its
	// KeySwitch is to come (Synced).
	StateAcknowledged
	// StateUpdating: this end's update is not acknowledged yet (Awaiting
	// EpochKeyUpdate).
	StateUpdating
	// StateAcknowledgedUpdating: both at once. The KeySwitch comes first
	// (Awaiting EpochKeyUpdate).
	StateAcknowledgedUpdating
	// StateAwaitingResumptionResponse is that of an end that resumes (Awaiting
	// ResumptionResponse).
	StateAwaitingResumptionResponse
	// StateAwaitingResumptionAck is that of an end that has answered a
	// ResumptionRequest (Awaiting EpochKeyUpdate).
	StateAwaitingResumptionAck
	// StateAwaitingEarlyDataStatus is that of an end that has resumed and sent
	// early data: the peer says first what became of it.
	StateAwaitingEarlyDataStatus
	// StateClosed: nothing can be done any more.
	StateClosed
)

var stateNames = [...]string{
	StateIdle:                       "idle",
	StateAwaitingHello:              "awaiting a hello",
	StateAwaitingClientHello:        "awaiting ClientHello",
	StateAwaitingServerHello:        "awaiting ServerHello",
	StateAwaitingHandshakeDone:      "awaiting HandshakeDone",
	StateSynced:                     "synced",
	StateAcknowledged:               "awaiting KeySwitch",
	StateUpdating:                   "awaiting EpochKeyUpdate",
	StateAcknowledgedUpdating:       "awaiting KeySwitch and EpochKeyUpdate",
	StateAwaitingResumptionResponse: "awaiting ResumptionResponse",
	StateAwaitingResumptionAck:      "awaiting EpochKeyUpdate of a resumption",
	StateAwaitingEarlyDataStatus:    "awaiting EarlyDataStatus",
	StateClosed:                     "closed",
}

func (s State) String() string {
	if s == 0 || int(s) >= len(stateNames) {
		return fmt.Sprintf("State(%d)", uint8(s))
	}
	return stateNames[s]
}

// complete reports whether the handshake is complete.
func (s State) complete() bool {
	switch s {
	case StateSynced, StateAcknowledged, StateUpdating, StateAcknowledgedUpdating:
		return true
	}
	return false
}

// receivesProtected reports whether what comes protected can only be from a peer
// that has been authenticated before.
func (s State) receivesProtected() bool {
	return s.complete() || s == StateAwaitingResumptionAck || s == StateAwaitingEarlyDataStatus
}

// Role is the part that an end had in the full handshake, whoever resumes later.
type Role uint8

// The roles.
const (
	RoleInitiator Role = 1
	RoleResponder Role = 2
)

func (r Role) String() string {
	switch r {
	case RoleInitiator:
		return "initiator"
	case RoleResponder:
		return "responder"
	}
	return fmt.Sprintf("Role(%d)", uint8(r))
}

// UpdateReason says why an update is made.
type UpdateReason uint8

// The reasons for an update, the weakest first, but for the last.
const (
	// ReasonBytes: a lot was sent under the traffic keys. An update by
	// the peer serves as well.
	ReasonBytes UpdateReason = 1 + iota
	// ReasonRecords: many records were protected with the traffic keys. An
	// update by the peer serves as well.
	ReasonRecords
	// ReasonAge: this end's private keys are old. Only an update of its own
	// replaces them.
	ReasonAge
	// ReasonIdle: the connection has been quiet for long, and the keys that it
	// goes on with shall be fresh.
	ReasonIdle
	// ReasonExpiry: this end's credential is about to expire.
	ReasonExpiry
	// ReasonRequested: the application wants keys that are made from now on.
	ReasonRequested
	// ReasonIdentity: this end has another credential or signature key.
	ReasonIdentity
	// ReasonFullAge: this end's post-quantum keys are old. Only a full update of its
	// own replaces them. It is next to ReasonAge in strength.
	ReasonFullAge
)

// byTraffic reports whether fresh traffic keys are enough, whoever made them.
func (r UpdateReason) byTraffic() bool { return r <= ReasonRecords }

// needsLater reports whether only an update serves that is made from now on.
func (r UpdateReason) needsLater() bool { return r == ReasonRequested || r == ReasonIdentity }

// or returns the stronger of two reasons.
func (r UpdateReason) or(other UpdateReason) UpdateReason {
	if other.strength() > r.strength() {
		return other
	}
	return r
}

func (r UpdateReason) strength() int {
	if r == ReasonFullAge {
		return 2*int(ReasonAge) + 1
	}
	return 2 * int(r)
}

func (r UpdateReason) String() string {
	switch r {
	case ReasonBytes:
		return "bytes"
	case ReasonRecords:
		return "records"
	case ReasonAge:
		return "age"
	case ReasonIdle:
		return "idle"
	case ReasonExpiry:
		return "expiry"
	case ReasonRequested:
		return "requested"
	case ReasonIdentity:
		return "identity"
	case ReasonFullAge:
		return "full age"
	}
	return fmt.Sprintf("UpdateReason(%d)", uint8(r))
}
