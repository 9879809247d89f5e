package mls

import (
	"errors"
	"fmt"
)

var (
	// ErrUnsupported means that a message uses something that is well-formed
	// but that this client does not know: a wire format, a credential type, a
	// proposal type, a cipher suite.
	ErrUnsupported = errors.New("mls: not supported")
	// ErrErased means that what was asked for was erased before.
	ErrErased = errors.New("mls: erased")
	// ErrWrongGroup means that a message belongs to another group.
	ErrWrongGroup = errors.New("mls: message belongs to another group")
	// ErrWrongEpoch means that a message belongs to another epoch.
	ErrWrongEpoch = errors.New("mls: message belongs to another epoch")
	// ErrDecrypt means that a ciphertext could not be decrypted: it was
	// changed, or made with other keys.
	ErrDecrypt = errors.New("mls: decryption failed")
	// ErrKeyConsumed means that the key of an encrypted message is gone: the message was
	// processed before, or it comes so late that its key is kept no more (Config.MaxSkipped,
	// Config.MaxSkippedAge). A delivery service that delivers twice leads to it.
	ErrKeyConsumed = errors.New("mls: message was processed before, or comes too late")
	// ErrTooFarAhead means that so many messages of its sender are missing before an encrypted one that
	// its key is not derived (Config.MaxForward).
	ErrTooFarAhead = errors.New("mls: message is too far ahead")
	// ErrUnknownPSK means that a pre-shared key is not known to this client.
	ErrUnknownPSK = errors.New("mls: unknown pre-shared key")
	// ErrOwnMessage means that a message was sent by this very client. It has
	// no keys to decrypt it.
	ErrOwnMessage = errors.New("mls: message was sent by this client")
	// ErrPendingProposals means that application data cannot be sent before the
	// proposals of the epoch are committed.
	ErrPendingProposals = errors.New("mls: proposals wait for a commit")
	// ErrTooManyProposals means that no more proposals are remembered in an
	// epoch. A commit makes room.
	ErrTooManyProposals = errors.New("mls: too many proposals are pending")
	// ErrNoSuchMember means that the group has no such member.
	ErrNoSuchMember = errors.New("mls: no such member")
	// ErrNotRecipient means that a targeted message is for other members.
	ErrNotRecipient = errors.New("mls: message is for other members")
	// ErrNotClosed means that a group is still open, so that nothing can take
	// its place.
	ErrNotClosed = errors.New("mls: group is not closed")
	// ErrInactive means that the group cannot be used any more: a commit closed
	// it for re-initialization.
	ErrInactive = errors.New("mls: group is closed")
)

// A Check names a validation rule of the specification.
type Check string

// An Error says that a message or object breaks a validation rule.
type Error struct {
	Check   Check  // the rule that was broken
	Section string // where it is stated, as "RFC 9420, Section 7.3"
	Err     error  // what was expected and what came; may wrap a cause
}

func (e *Error) Error() string {
	return fmt.Sprintf("mls: %s (%s): %v", e.Check, e.Section, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// invalid returns an [Error] with a formatted cause.
func invalid(c Check, format string, args ...any) error {
	return &Error{Check: c, Section: checkSections[c], Err: fmt.Errorf(format, args...)}
}
