package main

import (
	"net"
	"sync"

	"github.com/mendlink/mendlink/netconn"
)

// A server serves a database to the peers that its configuration accepts.
type server struct {
	db       *database
	listener net.Listener
	wg       sync.WaitGroup

	mu     sync.Mutex
	closed bool
	conns  map[*netconn.Conn]bool
}

func newServer(config *netconn.Config, db *database) (*server, error) {
	listener, err := netconn.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		return nil, err
	}
	s := &server{db: db, listener: listener, conns: make(map[*netconn.Conn]bool)}
	s.wg.Go(s.accept)
	return s, nil
}

func (s *server) addr() string { return s.listener.Addr().String() }

func (s *server) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return // the server was closed
		}
		c := conn.(*netconn.Conn)
		if !s.add(c) {
			return
		}
		s.wg.Go(func() {
			// The client is told what its errors are, and nobody needs to hear
			// of a connection that was lost.
			_ = serveSession(c, s.db)
			c.Close()
			s.remove(c)
		})
	}
}

func (s *server) add(c *netconn.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		c.Close()
		return false
	}
	s.conns[c] = true
	return true
}

func (s *server) remove(c *netconn.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// cut breaks all transports at once, without a goodbye.
func (s *server) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		tcp := c.NetConn().(*net.TCPConn)
		tcp.SetLinger(0)
		tcp.Close()
	}
}

// close ends the server and waits for its sessions.
func (s *server) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.listener.Close()
	s.cut()
	s.wg.Wait()
}
