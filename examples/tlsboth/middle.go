package main

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
)

// A middle is somebody in the middle of a TLS connection whose certificate the client
// accepts: a proxy that inspects, or an authority that was robbed. It relays what it reads.
type middle struct {
	listener net.Listener
	client   *tls.Config // to be the server's client
	target   string
	wg       sync.WaitGroup

	mu     sync.Mutex
	closed bool
	conns  []net.Conn
	read   int // octets that it has read in TLS
}

// newMiddle returns one that has the server's certificate, and its address.
func newMiddle(client, server *tls.Config, target string) (*middle, string, error) {
	listener, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		return nil, "", err
	}
	m := &middle{listener: listener, client: client, target: target}
	m.wg.Go(m.serve)
	return m, listener.Addr().String(), nil
}

// serve relays one connection.
func (m *middle) serve() {
	client, err := m.listener.Accept()
	if err != nil || !m.keep(client) {
		return
	}
	defer client.Close()
	server, err := tls.Dial("tcp", m.target, m.client)
	if err != nil || !m.keep(server) {
		return
	}
	defer server.Close()
	var both sync.WaitGroup
	both.Go(func() { m.relay(server, client.(*tls.Conn)) })
	both.Go(func() { m.relay(client.(*tls.Conn), server) })
	both.Wait()
}

func (m *middle) relay(to, from *tls.Conn) {
	io.Copy(io.MultiWriter(to, m), from)
	to.CloseWrite()
}

// Write counts what was read.
func (m *middle) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.read += len(p)
	return len(p), nil
}

// keep takes note of a connection that close has to close, and closes it if that is over.
func (m *middle) keep(c net.Conn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		c.Close()
		return false
	}
	m.conns = append(m.conns, c)
	return true
}

// close ends it, and returns how many octets it has read in TLS.
func (m *middle) close() int {
	m.listener.Close()
	m.mu.Lock()
	m.closed = true
	for _, c := range m.conns {
		c.Close()
	}
	m.mu.Unlock()
	m.wg.Wait()
	return m.read
}
