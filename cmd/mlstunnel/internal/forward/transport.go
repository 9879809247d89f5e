package forward

import (
	"context"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A transport is a TCP connection beneath a netconn.Conn, which can be closed so that all that was sent arrives.
//
// To close a socket for which something comes, such as a message of the peer's next update, is a reset for the peer, by
// which it loses what it has not read yet. So after a regular end the sending direction is closed, and the
// socket once the peer has done the same.
type transport struct {
	*net.TCPConn
	forward *Forward
	regular atomic.Bool // both directions have ended authentically

	closed  atomic.Bool
	reading sync.Mutex // held by Read
}

func (t *transport) Read(p []byte) (int, error) {
	t.reading.Lock()
	defer t.reading.Unlock()
	if t.closed.Load() {
		return 0, net.ErrClosed
	}
	return t.TCPConn.Read(p)
}

// Close closes the socket, or after a regular end has it closed when the peer is done. It does not wait for that.
func (t *transport) Close() error {
	if !t.regular.Load() || t.closed.Swap(true) {
		return t.TCPConn.Close()
	}
	t.TCPConn.SetReadDeadline(time.Unix(1, 0)) // wakes a Read, which is of no more use
	t.reading.Lock()
	defer t.reading.Unlock()
	if err := t.TCPConn.CloseWrite(); err != nil {
		return t.TCPConn.Close() // the peer is gone already
	}
	t.TCPConn.SetReadDeadline(time.Time{})
	t.forward.open.Go(func() {
		defer t.TCPConn.Close()
		defer context.AfterFunc(t.forward.living, func() { t.TCPConn.Close() })()
		io.Copy(io.Discard, t.TCPConn) // how it ends is no matter
	})
	return nil
}

// SetReadDeadline does nothing after Close.
func (t *transport) SetReadDeadline(at time.Time) error {
	if t.closed.Load() {
		return os.ErrClosed
	}
	return t.TCPConn.SetReadDeadline(at)
}
