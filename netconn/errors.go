package netconn

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/channel/record"
	"github.com/mendlink/mendlink/internal/driver"
)

var (
	// ErrNoIdentityFits means that Config.Identities have none for the connection's cipher suite any more. It
	// is a LastUpdateError of the ConnectionState.
	ErrNoIdentityFits = errors.New("netconn: Config.Identities have none for the cipher suite any more")
	// ErrExpiresTooSoon means that Config.Renew returned a credential that would have to be replaced at
	// once. It is a LastUpdateError of the ConnectionState.
	ErrExpiresTooSoon = errors.New("netconn: Config.Renew returned a credential that is to be replaced at once")
	// ErrWriteClosed means that CloseWrite was called before.
	ErrWriteClosed = errors.New("netconn: writing after CloseWrite")
	// ErrIdleRecords means that a peer sends records without end that hold nothing.
	ErrIdleRecords = errors.New("netconn: too many records without content")
)

var driverErrors = driver.Errors{NoIdentityFits: ErrNoIdentityFits, ExpiresTooSoon: ErrExpiresTooSoon}

// An AlertError says that the peer ended the connection, and why. Alerts that come
// before the peer is authenticated may be from anybody who can write
// to the transport, even from a peer that speaks TLS: its alerts look the same.
type AlertError struct {
	Alert         channel.Alert
	Authenticated bool
}

func (e *AlertError) Error() string {
	text := fmt.Sprintf("netconn: the peer ended the handshake: %v (not authenticated)", e.Alert)
	if e.Authenticated {
		text = fmt.Sprintf("netconn: the peer ended the connection: %v", e.Alert)
	}
	if cause := e.Alert.Cause(); cause != nil {
		text = fmt.Sprintf("%s: %v", text, cause)
	}
	return text
}

// Is reports that the alert stands for target, such as channel.ErrSameSignatureKey.
func (e *AlertError) Is(target error) bool { return target == e.Alert.Cause() }

// A HandshakeTimeoutError says that the handshake was not complete in time. It is a
// net.Error that timed out, and wraps os.ErrDeadlineExceeded.
type HandshakeTimeoutError struct {
	After time.Duration // Config.HandshakeTimeout
}

func (e *HandshakeTimeoutError) Error() string {
	return fmt.Sprintf("netconn: handshake not complete after %v", e.After)
}

// Unwrap returns os.ErrDeadlineExceeded.
func (e *HandshakeTimeoutError) Unwrap() error { return os.ErrDeadlineExceeded }

// Timeout returns true.
func (e *HandshakeTimeoutError) Timeout() bool { return true }

// Temporary returns false: the connection is of no more use.
func (e *HandshakeTimeoutError) Temporary() bool { return false }

// opError names the operation and the connection that an error happened to, as net's own
// connections do. io.EOF stays as it is.
func (c *Conn) opError(op string, err error) error {
	var already *net.OpError
	if err == nil || err == io.EOF || errors.As(err, &already) {
		return err
	}
	return &net.OpError{Op: op, Net: c.LocalAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

// isTimeout reports that a deadline has passed. The system has timeouts of its own, after which a
// transport is of no more use.
func isTimeout(err error) bool {
	var t net.Error
	var system syscall.Errno
	return errors.As(err, &t) && t.Timeout() && !errors.As(err, &system)
}

// alertFor returns what to tell the peer about an error that came out of what it sent.
func alertFor(err error) channel.Alert {
	switch {
	case errors.Is(err, record.ErrAuthentication):
		return channel.AlertBadRecordMAC
	case errors.Is(err, record.ErrOverflow):
		return channel.AlertRecordOverflow
	case errors.Is(err, record.ErrUnexpected), errors.Is(err, ErrIdleRecords):
		return channel.AlertUnexpectedMessage
	}
	return channel.AlertOf(err)
}
