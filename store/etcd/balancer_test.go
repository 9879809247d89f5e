package etcd

import (
	"io"
	"net"
	"slices"
	"sync"
	"testing"
)

// A balancer gives each TCP connection to the next backend that takes it.
type balancer struct {
	listener net.Listener

	mu       sync.Mutex
	backends []string
	counts   []int
	next     int
	conns    map[net.Conn]bool
}

func newBalancer(t *testing.T, backends int) *balancer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{listener: l, backends: make([]string, backends), counts: make([]int, backends), conns: make(map[net.Conn]bool)}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { b.serve(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		b.mu.Lock()
		for conn := range b.conns {
			conn.Close()
		}
		b.conns = nil
		b.mu.Unlock()
		wg.Wait()
	})
	return b
}

func (b *balancer) address() string { return b.listener.Addr().String() }

// set says where a backend is.
func (b *balancer) set(n int, address string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.backends[n] = address
}

// served returns how many connections each backend has had.
func (b *balancer) served() []int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.counts)
}

func (b *balancer) serve(client net.Conn) {
	defer client.Close()
	backend := b.connect()
	if backend == nil || !b.hold(client, backend) {
		return
	}
	defer b.release(client, backend)
	done := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{client, backend}, {backend, client}} {
		go func() {
			io.Copy(way[0], way[1])
			done <- struct{}{}
		}()
	}
	<-done // an end of either is the end of both
	client.Close()
	backend.Close()
	<-done
}

// connect returns a connection to the next backend that can be reached, nil if there is none.
func (b *balancer) connect() net.Conn {
	for range len(b.backends) {
		b.mu.Lock()
		n := b.next % len(b.backends)
		b.next++
		address := b.backends[n]
		b.mu.Unlock()
		if conn, err := net.Dial("tcp", address); err == nil {
			b.mu.Lock()
			b.counts[n]++
			b.mu.Unlock()
			return conn
		}
	}
	return nil
}

func (b *balancer) hold(conns ...net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, conn := range conns {
		if b.conns == nil {
			conn.Close()
			continue
		}
		b.conns[conn] = true
	}
	return b.conns != nil
}

func (b *balancer) release(conns ...net.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, conn := range conns {
		conn.Close()
		delete(b.conns, conn)
	}
}
