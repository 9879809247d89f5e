package main

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// A link is the network between the two ends: a TCP relay on loopback that can
// be cut in the middle and that writes down what passes, as an eavesdropper
// does.
type link struct {
	listener net.Listener
	target   string

	mu     sync.Mutex
	pairs  map[*pair]bool
	closed bool
	tap    *tap // nil: nobody listens
	wg     sync.WaitGroup
}

// pair is one relayed connection.
type pair struct {
	client, server *net.TCPConn
}

// newLink returns a link that relays what is dialled to target.
func newLink(target string) (*link, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &link{listener: listener, target: target, pairs: make(map[*pair]bool)}
	l.wg.Add(1)
	go l.serve()
	return l, nil
}

// addr returns the address to dial.
func (l *link) addr() string { return l.listener.Addr().String() }

func (l *link) serve() {
	defer l.wg.Done()
	for {
		client, err := l.listener.Accept()
		if err != nil {
			return // the listener was closed
		}
		server, err := net.Dial("tcp", l.target)
		if err != nil {
			client.Close()
			continue
		}
		p := &pair{client.(*net.TCPConn), server.(*net.TCPConn)}
		if !l.add(p) {
			p.cut()
			return
		}
		var both sync.WaitGroup
		both.Add(2)
		go func() { defer both.Done(); l.relay(p.server, p.client, fromInitiator) }()
		go func() { defer both.Done(); l.relay(p.client, p.server, fromResponder) }()
		l.wg.Add(1)
		go func() {
			defer l.wg.Done()
			both.Wait()
			p.close()
			l.remove(p)
		}()
	}
}

// relay copies one direction until it ends, and passes the end on.
func (l *link) relay(to, from *net.TCPConn, d direction) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			l.mu.Lock()
			t := l.tap
			l.mu.Unlock()
			if t != nil {
				t.write(d, buf[:n])
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if errors.Is(err, io.EOF) {
			to.CloseWrite() // a half-close; if it fails the other half ends too
			return
		}
		if err != nil {
			return
		}
	}
}

func (l *link) add(p *pair) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.pairs[p] = true
	return true
}

func (l *link) remove(p *pair) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.pairs, p)
}

// cut breaks all connections at once, without a goodbye: both ends see a reset.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.pairs {
		p.cut()
	}
}

// listen starts writing down what passes from now on.
func (l *link) listen() *tap {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tap = &tap{}
	return l.tap
}

// close ends the link and waits for its goroutines.
func (l *link) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.listener.Close()
	l.cut()
	l.wg.Wait()
}

func (p *pair) cut() {
	p.client.SetLinger(0)
	p.server.SetLinger(0)
	p.close()
}

func (p *pair) close() {
	p.client.Close()
	p.server.Close()
}

type direction int

const (
	fromInitiator direction = iota
	fromResponder
)

func (d direction) String() string {
	return [...]string{"initiator to responder", "responder to initiator"}[d]
}

// A tap is what an eavesdropper has written down.
type tap struct {
	mu    sync.Mutex
	bytes [2][]byte
}

// maxTap bounds a tap, for each direction.
const maxTap = 16 << 20

func (t *tap) write(d direction, b []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.bytes[d])+len(b) <= maxTap {
		t.bytes[d] = append(t.bytes[d], b...)
	}
}

// take returns what passed since the last call, once nothing more has passed
// for a little while, or after a second.
func (t *tap) take() (taken [2][]byte) {
	for quiet, before, tries := 0, -1, 0; quiet < 5 && tries < 100; tries++ {
		time.Sleep(10 * time.Millisecond)
		t.mu.Lock()
		n := len(t.bytes[0]) + len(t.bytes[1])
		t.mu.Unlock()
		if n == before {
			quiet++
		} else {
			quiet, before = 0, n
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	taken = t.bytes
	t.bytes = [2][]byte{}
	return taken
}
