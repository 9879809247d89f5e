package quicmls

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
)

// A Stream is a bidirectional stream, like a [quic.Stream]. Its methods may be called by several
// goroutines at once.
type Stream struct {
	conn    *Conn
	send    SendStream
	receive ReceiveStream
}

func newStream(c *Conn, q *quic.Stream) *Stream {
	s := &Stream{conn: c}
	s.send.init(c, q)
	s.receive.init(c, q)
	return s
}

// StreamID returns the QUIC stream's ID.
func (s *Stream) StreamID() quic.StreamID { return s.send.StreamID() }

// Context returns a context that ends when the sending direction does: see [quic.Stream.Context].
func (s *Stream) Context() context.Context { return s.send.Context() }

// Read is [ReceiveStream.Read].
func (s *Stream) Read(p []byte) (int, error) { return s.receive.Read(p) }

// Write is [SendStream.Write].
func (s *Stream) Write(p []byte) (int, error) { return s.send.Write(p) }

// Close closes the sending direction: [SendStream.Close].
func (s *Stream) Close() error { return s.send.Close() }

// CancelRead is [ReceiveStream.CancelRead].
func (s *Stream) CancelRead(code quic.StreamErrorCode) { s.receive.CancelRead(code) }

// CancelWrite is [SendStream.CancelWrite].
func (s *Stream) CancelWrite(code quic.StreamErrorCode) { s.send.CancelWrite(code) }

// SetReadDeadline is [ReceiveStream.SetReadDeadline].
func (s *Stream) SetReadDeadline(t time.Time) error { return s.receive.SetReadDeadline(t) }

// SetWriteDeadline is [SendStream.SetWriteDeadline].
func (s *Stream) SetWriteDeadline(t time.Time) error { return s.send.SetWriteDeadline(t) }

// SetDeadline sets the deadlines of Read and Write. The zero time means none.
func (s *Stream) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

// SetPriority is [SendStream.SetPriority].
func (s *Stream) SetPriority(urgency int8, incremental bool) {
	s.send.SetPriority(urgency, incremental)
}

// Announce is [SendStream.Announce].
func (s *Stream) Announce() error { return s.send.Announce() }

// NetConn returns a view of the stream as a [net.Conn]. Its Close closes both directions: the
// sending one as Close does, and what the peer still sends is refused, with code 0. What the view reads or
// writes fails with an error that matches net.ErrClosed from then on. It has the connection's addresses.
func (s *Stream) NetConn() net.Conn { return &netConn{Stream: s} }

type netConn struct {
	*Stream
	closed atomic.Bool
}

func (c *netConn) LocalAddr() net.Addr  { return c.conn.LocalAddr() }
func (c *netConn) RemoteAddr() net.Addr { return c.conn.RemoteAddr() }

func (c *netConn) Read(p []byte) (int, error) {
	if c.closed.Load() {
		return 0, c.closedError()
	}
	n, err := c.Stream.Read(p)
	return n, c.orClosed(err)
}

func (c *netConn) Write(p []byte) (int, error) {
	if c.closed.Load() {
		return 0, c.closedError()
	}
	n, err := c.Stream.Write(p)
	return n, c.orClosed(err)
}

// WriteTo implements [io.WriterTo].
func (c *netConn) WriteTo(w io.Writer) (int64, error) {
	if c.closed.Load() {
		return 0, c.closedError()
	}
	n, err := c.Stream.WriteTo(w)
	return n, c.orClosed(err)
}

// ReadFrom implements [io.ReaderFrom].
func (c *netConn) ReadFrom(r io.Reader) (int64, error) {
	if c.closed.Load() {
		return 0, c.closedError()
	}
	n, err := c.Stream.ReadFrom(r)
	return n, c.orClosed(err)
}

// orClosed returns an error that matches net.ErrClosed in place of what Close leads to in a call that is under way.
// What the peer did, what ended the connection, and errors of the other end of a copy stay as they are.
func (c *netConn) orClosed(err error) error {
	if err == nil || !c.closed.Load() {
		return err
	}
	own, cancelled := errors.AsType[*quic.StreamError](err)
	if cancelled && !own.Remote && own.StreamID == c.StreamID() || errors.Is(err, ErrStreamClosed) {
		return c.closedError()
	}
	return err
}

func (c *netConn) closedError() error {
	return fmt.Errorf("quicmls: stream %d: %w", c.StreamID(), net.ErrClosed)
}

func (c *netConn) Close() error {
	c.closed.Store(true) // before what makes a Read or Write return
	err := c.Stream.Close()
	if e, ok := errors.AsType[*quic.StreamError](err); ok && e.Remote {
		err = nil // the peer has closed its end already
	}
	c.CancelRead(0)
	return err
}

// CloseWrite closes the sending direction alone.
func (c *netConn) CloseWrite() error { return c.Stream.Close() }
