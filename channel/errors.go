package channel

import (
	"errors"
	"fmt"
	"strings"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls"
)

var (
	// ErrUnexpectedMessage means that a message came in a state that does not
	// take it, or not under the protection that its type requires.
	ErrUnexpectedMessage = errors.New("channel: unexpected message")
	// ErrMalformed means that a message, or something in it, is not well-formed.
	ErrMalformed = errors.New("channel: malformed message")
	// ErrMessageSize means that a message is larger than the limit.
	ErrMessageSize = errors.New("channel: message too large")
	// ErrProfile means that the peer broke a rule of the two-party profile:
	// something is well-formed MLS but not what the profile wants.
	ErrProfile = errors.New("channel: against the two-party profile")
	// ErrNoCommonSuite means that the initiator's cipher suite is not acceptable.
	ErrNoCommonSuite = errors.New("channel: cipher suite not acceptable")
	// ErrNoCommonVersion means that the ends share no version of the profile.
	ErrNoCommonVersion = errors.New("channel: no common version of the profile")
	// ErrNoCommonProtocol means that the ends share none of their application
	// protocols.
	ErrNoCommonProtocol = errors.New("channel: no common application protocol")
	// ErrUnknownName is what [Config.Select] returns for a server name that
	// this end does not go by.
	ErrUnknownName = errors.New("channel: unknown server name")
	// ErrTransportBinding means that the ends do not sit on the same transport:
	// somebody may be in the middle of it.
	ErrTransportBinding = errors.New("channel: the ends are not on the same transport")
	// ErrDowngrade means that somebody led the ends to a cipher suite that is
	// not their best.
	ErrDowngrade = errors.New("channel: cipher suite was downgraded")
	// ErrNoAPQ means that sessions of two groups are wanted, and the peer makes none.
	ErrNoAPQ = errors.New("channel: peer has no post-quantum group")
	// ErrPSK means that a pre-shared key is wanted that the ends do not share.
	ErrPSK = errors.New("channel: no pre-shared key")
	// ErrPeerRefused means that [Config.Validator] does not accept the peer.
	// Its own error is in the chain.
	ErrPeerRefused = errors.New("channel: peer refused")
	// ErrSameSignatureKey means that the peer has this end's own signature key: both are configured with
	// one, or somebody sends back what this end has sent. Each end of a session needs its own.
	ErrSameSignatureKey = errors.New("channel: both ends have the same signature key")
	// ErrResumptionRefused means that the peer cannot resume the session, and
	// that the configuration forbids going on to a full handshake.
	ErrResumptionRefused = errors.New("channel: peer refused to resume the session")
	// ErrSuperseded means that another connection has taken the session over.
	// The stored session is that connection's; this one has not touched it.
	ErrSuperseded = errors.New("channel: session was resumed by another connection")
	// ErrNoSession means that the store does not hold such a session, or that
	// it is of no use to this configuration.
	ErrNoSession = errors.New("channel: no such session")
	// ErrSessionExpired means that the session's full handshake was longer ago
	// than [Config.MaxSessionAge].
	ErrSessionExpired = errors.New("channel: session expired")
	// ErrConflict is returned by [Store.Save] if the stored session has another
	// version than the one that was to be replaced.
	ErrConflict = errors.New("channel: stored session has another version")
	// ErrNotBound means that the session has to know its transport first: see
	// [Session.BindTransport].
	ErrNotBound = errors.New("channel: transport is not bound yet")
	// ErrBranch means that a key package or a Welcome is not one of a branch of this
	// session: of the two ends, under their identities here, and of its cipher suite.
	ErrBranch = errors.New("channel: not a branch of this session")
	// ErrNoBranch means that a Welcome is for no key package that waits for one: see
	// [Session.BranchKeyPackage].
	ErrNoBranch = errors.New("channel: no key package waits for this Welcome")
	// ErrBranchEpoch means that a branch was made of an epoch that this end has left
	// too long ago, or has not entered.
	ErrBranchEpoch = errors.New("channel: the branch's epoch is gone")
	// ErrNotReady means that the handshake is not complete yet.
	ErrNotReady = errors.New("channel: handshake not complete")
	// ErrStarted means that Start was called twice.
	ErrStarted = errors.New("channel: session was started before")
	// ErrClosed means that the session is closed.
	ErrClosed = errors.New("channel: session closed")
)

// An Error says why a session ended.
type Error struct {
	Alert Alert       // what to tell the peer
	State State       // of the session when it happened
	Type  MessageType // of the message that was being handled, zero if none was
	Err   error
}

func (e *Error) Error() string {
	text := cutShort(e.Err.Error())
	switch {
	case e.State == 0:
		return text
	case e.Type == 0:
		return fmt.Sprintf("%s (%v)", text, e.State)
	}
	return fmt.Sprintf("%s (%v, %v)", text, e.Type, e.State)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// AlertOf says what to tell the peer about an error of this package:
// [AlertInternalError] if the error does not know better.
func AlertOf(err error) Alert {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Alert
	case errors.Is(err, ErrClosed):
		return AlertCloseNotify
	}
	return AlertInternalError
}

// because gives an error its alert.
func because(a Alert, err error) error { return &Error{Alert: a, Err: err} }

// peerFault gives an error about what the peer sent its alert: the one that it
// has already, the one that fits its cause, or else the given one.
func peerFault(fallback Alert, err error) error {
	known := (*Error)(nil)
	switch {
	case errors.As(err, &known):
		return because(known.Alert, err)
	case breaks(err, mls.CheckLeafSignatureKeyUnique), breaks(err, mls.CheckProposalAddMember): // there are no members but the two ends
		return because(AlertCertificateUnknown, fmt.Errorf("%w: %w", ErrSameSignatureKey, err))
	case errors.Is(err, mls.ErrUnknownPSK):
		return because(AlertUnknownPSKIdentity, err)
	case errors.Is(err, mls.ErrDecrypt):
		return because(AlertDecryptError, err)
	case errors.Is(err, wire.ErrTruncated), errors.Is(err, wire.ErrTrailing), errors.Is(err, wire.ErrLength), errors.Is(err, wire.ErrOptional), errors.Is(err, ErrMalformed):
		return because(AlertDecodeError, err)
	case errors.Is(err, mls.ErrUnsupported):
		return because(AlertHandshakeFailure, err)
	}
	return because(fallback, err)
}

// brief writes down octets of the peer's for an error: no more of them than somebody may
// want to read, as there is no end of what peers send, and errors go to logs.
func brief(b []byte) string {
	const most = 64
	if len(b) <= most {
		return fmt.Sprintf("%x", b)
	}
	return fmt.Sprintf("%x... (%d octets)", b[:most], len(b))
}

// cutShort is brief for the text of an error. What validators say of a peer that they refuse may quote its credential,
// and anybody can send one.
func cutShort(text string) string {
	const most = 1 << 12
	if len(text) <= most {
		return text
	}
	return fmt.Sprintf("%s... (%d octets)", strings.ToValidUTF8(text[:most], ""), len(text))
}

// few is brief for lists. The format is that of the list.
func few[T any](format string, list []T) string {
	const most = 8
	if len(list) <= most {
		return fmt.Sprintf(format, list)
	}
	return fmt.Sprintf(format+" and %d more", list[:most], len(list)-most)
}

// breaks reports that an error is about one of the rules of package mls.
func breaks(err error, rule mls.Check) bool {
	broken, ok := errors.AsType[*mls.Error](err)
	return ok && broken.Check == rule
}
