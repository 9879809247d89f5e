package quicmls

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/channel/record"
	"github.com/mendlink/mendlink/internal/driver"
)

var (
	// ErrNoIdentityFits means that Config.Identities have none for the connection's cipher suite any more. It
	// is a LastUpdateError of the ConnectionState.
	ErrNoIdentityFits = errors.New("quicmls: Config.Identities have none for the cipher suite any more")
	// ErrExpiresTooSoon means that Config.Renew returned a credential that would have to be replaced at
	// once. It is a LastUpdateError of the ConnectionState.
	ErrExpiresTooSoon = errors.New("quicmls: Config.Renew returned a credential that is to be replaced at once")
	// ErrEpochGone means that a stream began, or went on, in an epoch so long ago that its keys
	// are erased: see [Config].EpochGrace. The stream is reset, and the connection lives on.
	ErrEpochGone = errors.New("quicmls: the stream's epoch is gone")
	// ErrStreamClosed means that a stream's sending direction was closed before.
	ErrStreamClosed = errors.New("quicmls: writing to a stream that is closed")
	// ErrControl means that the peer has ended the stream of the two-party messages.
	ErrControl = errors.New("quicmls: control stream has ended")
	// ErrNotKeyed means that this end cannot dial, or accept, connections that the session keys.
	ErrNotKeyed = errors.New("quicmls: no keyed connections at this end")
	// ErrNoBinding means that the TLS connection exports no keying material to bind to.
	ErrNoBinding = errors.New("quicmls: no keying material of the TLS connection")
)

// Error codes that this package uses by itself. All others are the application's.
const (
	// errorCodeAlert and the 255 codes above it end a connection: the last octet is a
	// channel.Alert.
	errorCodeAlert quic.ApplicationErrorCode = 0x6d6c00
	// ErrorCodeEpochGone resets a stream: see [ErrEpochGone].
	ErrorCodeEpochGone quic.StreamErrorCode = 0x6d6c01
)

var driverErrors = driver.Errors{NoIdentityFits: ErrNoIdentityFits, ExpiresTooSoon: ErrExpiresTooSoon}

// An AlertError says that the peer ended the connection because of an error, and what that was. It
// wraps the [quic.ApplicationError] in which it came, which only QUIC has authenticated.
type AlertError struct {
	Alert channel.Alert
	Err   *quic.ApplicationError
}

func (e *AlertError) Error() string {
	text := fmt.Sprintf("quicmls: the peer ended the connection: %v", e.Alert)
	if cause := e.Alert.Cause(); cause != nil {
		text = fmt.Sprintf("%s: %v", text, cause)
	}
	return text
}

// Is reports that the alert stands for target, such as channel.ErrSameSignatureKey.
func (e *AlertError) Is(target error) bool { return target == e.Alert.Cause() }

// Unwrap returns the QUIC error.
func (e *AlertError) Unwrap() error { return e.Err }

// A HandshakeTimeoutError says that the handshake was not complete in time. It is a
// net.Error that timed out, and wraps os.ErrDeadlineExceeded.
type HandshakeTimeoutError struct {
	After time.Duration // Config.HandshakeTimeout
}

func (e *HandshakeTimeoutError) Error() string {
	return fmt.Sprintf("quicmls: handshake not complete after %v", e.After)
}

// Unwrap returns os.ErrDeadlineExceeded.
func (e *HandshakeTimeoutError) Unwrap() error { return os.ErrDeadlineExceeded }

// Timeout returns true.
func (e *HandshakeTimeoutError) Timeout() bool { return true }

// Temporary returns false: the connection is of no more use.
func (e *HandshakeTimeoutError) Temporary() bool { return false }

// explain returns what an error of QUIC means here.
func explain(err error) error {
	if closed, ok := errors.AsType[*quic.ApplicationError](err); ok && closed.Remote && closed.ErrorCode&^0xff == errorCodeAlert {
		return &AlertError{Alert: channel.Alert(closed.ErrorCode & 0xff), Err: closed}
	}
	return err
}

// explain returns what an error of QUIC means here. One that says that the connection has ended frees its
// session: whoever has seen it may dial, and resume.
func (c *Conn) explain(err error) error {
	err = explain(err)
	if errors.Is(err, net.ErrClosed) {
		c.driver.Fail(err)
	}
	return err
}

// isTimeout reports that an operation was not done by its deadline.
func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// alertFor returns what to tell the peer about an error that came out of what it sent.
func alertFor(err error) channel.Alert {
	switch {
	case errors.Is(err, record.ErrAuthentication):
		return channel.AlertBadRecordMAC
	case errors.Is(err, record.ErrOverflow):
		return channel.AlertRecordOverflow
	case errors.Is(err, record.ErrUnexpected), errors.Is(err, ErrControl):
		return channel.AlertUnexpectedMessage
	case errors.Is(err, ErrNoBinding):
		return channel.AlertInternalError
	case isTimeout(err), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return channel.AlertUserCanceled
	}
	return channel.AlertOf(err)
}
