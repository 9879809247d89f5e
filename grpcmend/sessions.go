package grpcmend

import (
	"fmt"
	"net"
	"sync"
)

// sessions gives each connection a label of its own to store its session under. gRPC may
// have several connections to one server at once, and to resume the session of one of
// them on another would end the first.
type sessions struct {
	mu    sync.Mutex
	inUse map[string]bool
}

func newSessions() *sessions { return &sessions{inUse: make(map[string]bool)} }

// take returns name if no connection has it, or else the first of "name #2" and so on that
// none has. It is free again once release was called, and with it the session for the
// next connection to resume.
func (s *sessions) take(name string) (label string, release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	label = name
	for n := 2; s.inUse[label]; n++ {
		label = fmt.Sprintf("%s #%d", name, n)
	}
	s.inUse[label] = true
	return label, sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.inUse, label)
	})
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
	defer c.release()
	return c.Conn.Close()
}
