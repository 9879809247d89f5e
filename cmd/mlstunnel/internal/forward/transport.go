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

	reading sync.Mutex // held by Read
	setting sync.Mutex // held by who sets closed, or a read deadline before that
	closed  atomic.Bool
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
	if !t.regular.Load() || !t.endReading() {
		return t.TCPConn.Close()
	}
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

// endReading wakes a Read, which is of no more use. It does so once, and reports that it has.
func (t *transport) endReading() bool {
	t.setting.Lock()
	defer t.setting.Unlock()
	if t.closed.Swap(true) {
		return false
	}
	t.TCPConn.SetReadDeadline(time.Unix(1, 0))
	return true
}

// SetReadDeadline does nothing after Close: it would keep that waiting for a Read, or cut what still arrives.
func (t *transport) SetReadDeadline(at time.Time) error {
	t.setting.Lock()
	defer t.setting.Unlock()
	if t.closed.Load() {
		return os.ErrClosed
	}
	return t.TCPConn.SetReadDeadline(at)
}
