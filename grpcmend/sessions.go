package grpcmend

import (
	"net"
	"sync"
)

// sessions are the labels under which a connection is using a stored session, or is going
// to store one. gRPC may have several connections to one server at once, and to resume
// the session of one of them on another would end the first.
type sessions struct {
	mu    sync.Mutex
	inUse map[string]bool
}

func newSessions() *sessions { return &sessions{inUse: make(map[string]bool)} }

// take takes a label until release is called, unless another connection has it.
func (s *sessions) take(label string) (release func(), free bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inUse[label] {
		return nil, false
	}
	s.inUse[label] = true
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.inUse, label)
	}), true
}

// A sessionConn gives its label back when it has ended. gRPC reads no more after an error,
// and that it has read one is why it dials again.
type sessionConn struct {
	net.Conn
	release func()
}

func (c *sessionConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		c.release()
	}
	return n, err
}

func (c *sessionConn) Close() error {
	c.release()
	return c.Conn.Close()
}
