// Package netsim has networks for tests: what lies between two ends, and goes wrong on demand.
package netsim

import (
	"container/heap"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"
)

// UDPFaults says what a network does to datagrams. The first three are probabilities, from 0 to 1.
// Zero values leave all as it is.
type UDPFaults struct {
	Drop      float64
	Duplicate float64
	Reorder   float64       // to be held back, so that others overtake it
	Delay     time.Duration // of each datagram
	Jitter    time.Duration // the most that chance adds to Delay
}

// heldBack is how much longer a datagram takes that others shall overtake.
const heldBack = 5 * time.Millisecond

// Bounds of what a link keeps.
const (
	maxUDPQueue = 1 << 13 // datagrams on their way; more are lost, as in a router
	maxUDPSize  = 1 << 16
)

// UDPStats count datagrams, of both directions together.
type UDPStats struct {
	Relayed, Dropped, Duplicated, Reordered int
}

// A UDP is a network between clients and a server on loopback, behind which each client has an
// address of its own, as behind a NAT. Its faults are drawn from a seed. Its methods may be
// called by several goroutines at once.
type UDP struct {
	server netip.AddrPort
	front  *net.UDPConn // to which clients send
	wake   chan struct{}
	done   chan struct{}
	wg     sync.WaitGroup

	mu     sync.Mutex
	rand   *rand.Rand
	faults UDPFaults
	stats  UDPStats
	cut    bool
	closed bool
	back   map[netip.AddrPort]*net.UDPConn // from which those of a client go on to the server
	queue  packetQueue
	order  int // counts what was queued
}

// NewUDP returns a network to the server at this address. The caller has to close it.
func NewUDP(server string, seed uint64, faults UDPFaults) (*UDP, error) {
	address, err := netip.ParseAddrPort(server)
	if err != nil {
		return nil, err
	}
	front, err := listenUDP()
	if err != nil {
		return nil, err
	}
	u := &UDP{
		server: address,
		front:  front,
		wake:   make(chan struct{}, 1),
		done:   make(chan struct{}),
		rand:   rand.New(rand.NewPCG(seed, 0)),
		faults: faults,
		back:   make(map[netip.AddrPort]*net.UDPConn),
	}
	u.wg.Go(u.fromClients)
	u.wg.Go(u.deliver)
	return u, nil
}

func listenUDP() (*net.UDPConn, error) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	// What the kernel has no room for is lost without being counted: the more room, the better.
	return c, errors.Join(c.SetReadBuffer(4<<20), c.SetWriteBuffer(4<<20))
}

// Addr returns the address to which clients send.
func (u *UDP) Addr() string { return u.front.LocalAddr().String() }

// SetFaults replaces the faults, for what comes from then on.
func (u *UDP) SetFaults(f UDPFaults) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.faults = f
}

// Cut loses everything, in both directions, until Heal.
func (u *UDP) Cut() { u.setCut(true) }

// Heal ends a Cut.
func (u *UDP) Heal() { u.setCut(false) }

func (u *UDP) setCut(cut bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.cut = cut
}

// Rebind gives each client another address towards the server, as a NAT does that has
// forgotten it. What the server sends to the old one is lost.
func (u *UDP) Rebind() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	for client, old := range u.back {
		if err := u.bind(client); err != nil {
			return err
		}
		old.Close()
	}
	return nil
}

// Stats returns what has happened so far.
func (u *UDP) Stats() UDPStats {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.stats
}

// Close ends the network and waits for its goroutines.
func (u *UDP) Close() error {
	u.mu.Lock()
	if u.closed {
		u.mu.Unlock()
		return net.ErrClosed
	}
	u.closed = true
	close(u.done)
	err := u.front.Close()
	for _, c := range u.back {
		err = errors.Join(err, c.Close())
	}
	u.mu.Unlock()
	u.wg.Wait()
	return err
}

// fromClients takes in what clients send.
func (u *UDP) fromClients() {
	buf := make([]byte, maxUDPSize)
	for {
		n, client, err := u.front.ReadFromUDPAddrPort(buf)
		if err != nil {
			return // closed
		}
		u.pass(buf[:n], client, true)
	}
}

// fromServer takes in what the server sends to one address of a client.
func (u *UDP) fromServer(back *net.UDPConn, client netip.AddrPort) {
	buf := make([]byte, maxUDPSize)
	for {
		n, from, err := back.ReadFromUDPAddrPort(buf)
		if err != nil {
			return // closed
		}
		if from == u.server {
			u.pass(buf[:n], client, false)
		}
	}
}

// bind gives a client another address towards the server. u.mu is locked.
func (u *UDP) bind(client netip.AddrPort) error {
	back, err := listenUDP()
	if err != nil {
		return err
	}
	u.back[client] = back
	u.wg.Go(func() { u.fromServer(back, client) })
	return nil
}

// pass lets chance decide what becomes of a datagram.
func (u *UDP) pass(b []byte, client netip.AddrPort, up bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return
	}
	if u.back[client] == nil && u.bind(client) != nil {
		u.stats.Dropped++
		return
	}
	f := u.faults
	// As many draws for each datagram, whatever becomes of it: the seed decides about the n-th.
	drop, duplicate, reorder, jitter := u.rand.Float64(), u.rand.Float64(), u.rand.Float64(), u.rand.Float64()
	if u.cut || drop < f.Drop || len(u.queue) >= maxUDPQueue {
		u.stats.Dropped++
		return
	}
	delay := f.Delay + time.Duration(jitter*float64(f.Jitter))
	if reorder < f.Reorder {
		u.stats.Reordered++
		delay += heldBack
	}
	due := time.Now().Add(delay)
	u.push(&packet{due: due, client: client, up: up, data: append([]byte(nil), b...)})
	if duplicate < f.Duplicate {
		u.stats.Duplicated++
		u.push(&packet{due: due.Add(time.Duration(jitter * float64(heldBack))), client: client, up: up, data: append([]byte(nil), b...)})
	}
}

func (u *UDP) push(p *packet) {
	p.order = u.order
	u.order++
	heap.Push(&u.queue, p)
	select {
	case u.wake <- struct{}{}:
	default:
	}
}

// deliver sends on what has waited long enough.
func (u *UDP) deliver() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-u.wake:
		case <-timer.C:
		case <-u.done:
			return
		}
		for {
			p, from, wait := u.due()
			if p == nil {
				if wait > 0 {
					timer.Reset(wait)
				}
				break
			}
			to := u.server
			if !p.up {
				to = p.client
			}
			if _, err := from.WriteToUDPAddrPort(p.data, to); err != nil {
				u.lost() // as by any network
			}
		}
	}
}

// lost says that a datagram was counted as relayed and was not.
func (u *UDP) lost() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.stats.Relayed--
	u.stats.Dropped++
}

// due returns the next datagram and from where it is to be sent, or how long there is none; 0: for
// good, until another is pushed.
func (u *UDP) due() (p *packet, from *net.UDPConn, wait time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for len(u.queue) > 0 {
		if wait := time.Until(u.queue[0].due); wait > 0 {
			return nil, nil, wait
		}
		p := heap.Pop(&u.queue).(*packet)
		if u.cut {
			u.stats.Dropped++
			continue
		}
		u.stats.Relayed++
		if p.up {
			return p, u.back[p.client], 0
		}
		return p, u.front, 0
	}
	return nil, nil, 0
}

// A packet is a datagram on its way.
type packet struct {
	due    time.Time
	order  int // among those that are due at one time
	client netip.AddrPort
	up     bool // to the server
	data   []byte
}

// A packetQueue is a heap of what is due next.
type packetQueue []*packet

func (q packetQueue) Len() int { return len(q) }

func (q packetQueue) Less(i, j int) bool {
	if !q[i].due.Equal(q[j].due) {
		return q[i].due.Before(q[j].due)
	}
	return q[i].order < q[j].order
}

func (q packetQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *packetQueue) Push(p any)   { *q = append(*q, p.(*packet)) }

func (q *packetQueue) Pop() any {
	last := len(*q) - 1
	p := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return p
}
