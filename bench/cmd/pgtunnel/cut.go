package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/mendlink/mendlink/internal/netsim"
)

// A network lies between the ends of mlstunnel and can be cut.
type network interface {
	addr() string
	// cut cuts one link, and returns once that is done.
	cut(ctx context.Context) error
	close()
}

// A tally is what the clients have done while links were cut.
type tally struct {
	transport                  string
	clients                    int
	time                       time.Duration
	cuts                       int
	transactions, failed, lost int // lost: connections
	written                    int64
	full, resumed, updates     int
	balances, tellers, deltas  int64
}

func (t tally) String() string {
	return fmt.Sprintf("links cut %d times in %v over %s: %d transactions, %d failed, %d connections lost; "+
		"%d rows of history, balances agree; %d updates, %d full handshakes, %d resumptions",
		t.cuts, t.time, t.transport, t.transactions, t.failed, t.lost, t.written, t.updates, t.full, t.resumed)
}

// check says whether a transaction was lost, done in part or done twice.
func (t *tally) check() error {
	switch {
	case t.failed != 0:
		return fmt.Errorf("%d transactions failed", t.failed)
	case t.lost == 0 || t.transport == "tcp" && t.lost > t.cuts || t.lost > t.cuts*t.clients:
		return fmt.Errorf("%d connections were lost by %d cuts", t.lost, t.cuts)
	case t.balances != t.deltas || t.tellers != t.deltas:
		return fmt.Errorf("the branches have %d, the tellers %d, the history %d", t.balances, t.tellers, t.deltas)
	case t.written < int64(t.transactions) || t.written > int64(t.transactions+t.lost):
		// Of one whose connection was lost the client does not know whether it was done.
		return fmt.Errorf("the history has %d rows of %d transactions and %d lost connections", t.written, t.transactions, t.lost)
	case t.resumed < t.cuts:
		return fmt.Errorf("%d resumptions after %d cuts", t.resumed, t.cuts)
	case t.updates == 0:
		return errors.New("there was no update")
	}
	return nil
}

// cutLinks writes to the database over a network that is cut now and then, with clients each of which connects again
// when it has lost its connection.
func cutLinks(ctx context.Context, b *bed, o *options, transport string) (t tally, err error) {
	t = tally{transport: transport, clients: o.clients, time: o.cutting, cuts: o.cuts}
	server := freeAddress()
	between, err := newNetwork(transport, server)
	if err != nil {
		return t, err
	}
	defer between.close()
	w, err := b.throughMLSTunnel(ctx, transport, server, between.addr())
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	historyBefore, err := b.database.query(ctx, "select count(*) from pgbench_history")
	if err != nil {
		return t, err
	}

	began := time.Now()
	end := began.Add(o.cutting)
	var mu sync.Mutex
	var clients sync.WaitGroup
	fail := func(e error) {
		mu.Lock()
		defer mu.Unlock()
		err = errors.Join(err, e)
	}
	for range o.clients {
		clients.Go(func() {
			for time.Until(end) > time.Second {
				s, err := b.database.pgbench(ctx, w.address, 1, time.Until(end))
				if err != nil {
					fail(err)
					return
				}
				mu.Lock()
				t.transactions, t.failed = t.transactions+s.transactions, t.failed+s.failed
				if s.aborted {
					t.lost++
				}
				mu.Unlock()
			}
		})
	}
	for n := range o.cuts { // spread over the time, though a cut may last
		select {
		case <-ctx.Done():
			fail(ctx.Err())
		case <-time.After(time.Until(began.Add(time.Duration(n+1) * o.cutting / time.Duration(o.cuts+1)))):
			if err := between.cut(ctx); err != nil {
				fail(err)
			}
		}
	}
	clients.Wait()
	if err != nil {
		return t, err
	}
	if t.full, t.resumed, t.updates, err = w.status(ctx, b); err != nil {
		return t, err
	}
	for _, q := range []struct {
		sql string
		to  *int64
	}{
		{"select count(*) from pgbench_history", &t.written},
		{"select sum(bbalance) from pgbench_branches", &t.balances},
		{"select sum(tbalance) from pgbench_tellers", &t.tellers},
		{"select coalesce(sum(delta), 0) from pgbench_history", &t.deltas},
	} {
		if *q.to, err = b.database.query(ctx, q.sql); err != nil {
			return t, err
		}
	}
	t.written -= historyBefore
	return t, t.check()
}

func newNetwork(transport, server string) (network, error) {
	if transport == "quic" {
		u, err := netsim.NewUDP(server, 1, netsim.UDPFaults{})
		return udpNetwork{u}, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	n := &tcpNetwork{listener: l, server: server}
	n.running.Go(n.serve)
	return n, nil
}

// udpNetwork cuts the one link of a client by losing all datagrams until both ends have given it up.
type udpNetwork struct{ *netsim.UDP }

func (n udpNetwork) addr() string { return n.Addr() }
func (n udpNetwork) close()       { n.Close() }

func (n udpNetwork) cut(ctx context.Context) error {
	n.Cut()
	defer n.Heal()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(4 * keepAlive):
		return nil
	}
}

// tcpNetwork carries each link over connections of its own, and cuts the oldest.
type tcpNetwork struct {
	listener net.Listener
	server   string
	running  sync.WaitGroup

	mu    sync.Mutex
	links []*netsim.Stream
}

func (n *tcpNetwork) addr() string { return n.listener.Addr().String() }

func (n *tcpNetwork) serve() {
	for {
		near, err := n.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", n.server)
		if err != nil {
			near.Close()
			continue
		}
		s := netsim.NewStream(near, far, nil, nil)
		n.mu.Lock()
		n.links = append(n.links, s)
		n.mu.Unlock()
		n.running.Go(func() {
			s.Wait()
			n.forget(s)
		})
	}
}

func (n *tcpNetwork) forget(s *netsim.Stream) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, link := range n.links {
		if link == s {
			n.links = append(n.links[:i], n.links[i+1:]...)
			return
		}
	}
}

func (n *tcpNetwork) cut(context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.links) == 0 {
		return errors.New("there is no link to be cut")
	}
	go n.links[0].Close()
	return nil
}

func (n *tcpNetwork) close() {
	n.listener.Close()
	n.mu.Lock()
	links := n.links
	n.mu.Unlock()
	for _, s := range links {
		s.Close()
	}
	n.running.Wait()
}
