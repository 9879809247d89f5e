package main

import (
	"net"
	"net/netip"
	"sync"
)

// A link is the network between the two ends: a UDP relay on loopback that can be cut in the
// middle. Neither end is told: packets just do not arrive any more, until the sender tries anew
// from another socket.
type link struct {
	front  *net.UDPConn // for the sender
	target *net.UDPAddr

	mu     sync.Mutex
	flows  map[netip.AddrPort]*flow // by the sender's address
	closed bool
	wg     sync.WaitGroup
}

// A flow is what one socket of the sender and the receiver send to each other.
type flow struct {
	back *net.UDPConn // towards the receiver
	cut  bool
}

// maxPacket is the size of a buffer that any UDP packet fits.
const maxPacket = 64 << 10

// newLink returns a link that relays to target.
func newLink(target net.Addr) (*link, error) {
	front, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	roomy(front)
	l := &link{front: front, target: target.(*net.UDPAddr), flows: make(map[netip.AddrPort]*flow)}
	l.wg.Go(l.forward)
	return l, nil
}

// roomy asks for room for bursts. QUIC copes if there is less.
func roomy(c *net.UDPConn) {
	c.SetReadBuffer(2 << 20)
	c.SetWriteBuffer(2 << 20)
}

// addr returns the address to dial.
func (l *link) addr() string { return l.front.LocalAddr().String() }

// forward relays what the sender sends.
func (l *link) forward() {
	buf := make([]byte, maxPacket)
	for {
		n, from, err := l.front.ReadFromUDPAddrPort(buf)
		if err != nil {
			return // the link was closed
		}
		if f := l.flow(from); f != nil {
			f.back.Write(buf[:n]) // a packet that is lost is lost
		}
	}
}

// flow returns the flow of the sender's address, or nil if that was cut.
func (l *link) flow(from netip.AddrPort) *flow {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f, ok := l.flows[from]; ok {
		if f.cut {
			return nil
		}
		return f
	}
	if l.closed {
		return nil
	}
	back, err := net.DialUDP("udp", nil, l.target)
	if err != nil {
		return nil
	}
	roomy(back)
	f := &flow{back: back}
	l.flows[from] = f
	l.wg.Go(func() { l.backward(f, from) })
	return f
}

// backward relays what the receiver sends to one flow.
func (l *link) backward(f *flow, to netip.AddrPort) {
	buf := make([]byte, maxPacket)
	for {
		n, err := f.back.Read(buf)
		if err != nil {
			return // the flow was cut
		}
		l.front.WriteToUDPAddrPort(buf[:n], to)
	}
}

// cut ends all flows that there are.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.flows {
		f.cut = true
		f.back.Close()
	}
}

// close ends the link and waits for its goroutines.
func (l *link) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.front.Close()
	l.cut()
	l.wg.Wait()
}
