package netconn

import (
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
)

// A source reads a transport into pooled buffers and holds none while it waits for
// the first octet: a parked Read costs nothing but its goroutine.
type source struct {
	conn net.Conn
	raw  syscall.RawConn       // nil if the transport is not a socket of net itself
	try  func(fd uintptr) bool // s.tryRead, made once so that no Read allocates

	pool *sync.Pool // of what is taken from now on
	buf  *buffer    // nil while nothing is buffered
	r, w int        // buf.data[r:w] has not been taken yet

	first []byte // of transports without raw
	n     int    // outcome of tryRead
	err   error
}

func (s *source) init(conn net.Conn) {
	s.conn, s.pool = conn, handshakeBuffers
	// Only net's own types: a type that embeds one of them may have a Read of its own.
	switch conn := conn.(type) {
	case *net.TCPConn:
		s.raw, _ = conn.SyscallConn()
	case *net.UnixConn:
		s.raw, _ = conn.SyscallConn()
	}
	if !canReadRaw {
		s.raw = nil
	}
	if s.raw != nil {
		s.try = s.tryRead
	}
}

func (s *source) buffered() []byte {
	if s.buf == nil {
		return nil
	}
	return s.buf.data[s.r:s.w]
}

// take consumes the next n buffered octets. They stay valid until fill or release.
func (s *source) take(n int) []byte {
	b := s.buf.data[s.r : s.r+n]
	s.r += n
	return b
}

// putBack takes back the last take.
func (s *source) putBack(taken []byte) { s.r -= len(taken) }

// fill reads once, in such a way that a record of size octets that begins at the
// first octet not yet taken has room. An error leaves what is buffered as it is.
func (s *source) fill(size int) error {
	switch {
	case s.buf == nil:
	case s.buf.pool != s.pool:
		other := getBuffer(s.pool)
		s.r, s.w = 0, copy(other.data, s.buf.data[s.r:s.w])
		s.buf.release()
		s.buf = other
	case s.r > 0 && (s.r == s.w || s.r+size > len(s.buf.data)):
		s.r, s.w = 0, copy(s.buf.data, s.buf.data[s.r:s.w])
	}
	switch {
	case s.raw != nil:
		return s.fillRaw()
	case s.buf == nil:
		return s.fillFirst()
	}
	n, err := s.conn.Read(s.buf.data[s.w:])
	s.w += n
	if n > 0 {
		return nil
	}
	return err
}

// fillFirst waits for the first octets with a small buffer.
func (s *source) fillFirst() error {
	if s.first == nil {
		s.first = make([]byte, firstReadSize)
	}
	n, err := s.conn.Read(s.first)
	if n > 0 {
		s.buf = getBuffer(s.pool)
		s.r, s.w = 0, copy(s.buf.data, s.first[:n])
		return nil
	}
	return err
}

// fillRaw waits until the socket is readable and only then takes a buffer.
func (s *source) fillRaw() error {
	if err := s.raw.Read(s.try); err != nil {
		return asRead(err)
	}
	switch {
	case s.err != nil:
		return s.err
	case s.n == 0:
		return io.EOF
	}
	return nil
}

// asRead returns an error of a raw read, such as that a deadline has passed, as net's own Read would: who looks for
// Op "read", or counts errors by it, need not know how the Conn reads.
func asRead(err error) error {
	raw, ok := errors.AsType[*net.OpError](err)
	if !ok {
		return err
	}
	read := *raw
	read.Op = "read"
	return &read
}

// tryRead reports whether the read is over, with its outcome in s.n and s.err.
func (s *source) tryRead(fd uintptr) bool {
	fresh := s.buf == nil
	if fresh {
		s.buf, s.r, s.w = getBuffer(s.pool), 0, 0
	}
	again := false
	s.n, again, s.err = readRaw(fd, s.buf.data[s.w:])
	s.w += s.n
	if fresh && s.n == 0 {
		s.release()
	}
	return !again
}

// release gives the buffer back if nothing in it is needed any more.
func (s *source) release() {
	if s.buf != nil && s.r == s.w {
		s.buf.release()
		s.buf, s.r, s.w = nil, 0, 0
	}
}

// discard gives the buffer back with what is in it.
func (s *source) discard() {
	s.r = s.w
	s.release()
}
