package quicmls

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/mendlink/mendlink/internal/netsim"
)

// network returns a network to put in front of the responder, until the end of the test.
func network(t testing.TB, seed uint64, faults netsim.UDPFaults) (via func(address string) string, net func() *netsim.UDP) {
	t.Helper()
	var u *netsim.UDP
	return func(address string) string {
		var err error
		if u, err = netsim.NewUDP(address, seed, faults); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := u.Close(); err != nil {
				t.Error(err)
			}
		})
		return u.Addr()
	}, func() *netsim.UDP { return u }
}

// rough is a network that does everything wrong, a little.
var rough = netsim.UDPFaults{Drop: 0.02, Duplicate: 0.02, Reorder: 0.03, Delay: time.Millisecond, Jitter: 2 * time.Millisecond}

// load is what a direction of a stream carries: it follows from who sends it, and the stream.
func load(id quic.StreamID, initiator bool, most int) []byte {
	seed := [32]byte{'l'}
	binary.BigEndian.PutUint64(seed[8:], uint64(id))
	if initiator {
		seed[1] = 1
	}
	source := rand.NewChaCha8(seed)
	b := make([]byte, int(source.Uint64()%uint64(most)))
	source.Read(b)
	return b
}

// A crowd is many streams between two ends, all busy at once, each with its load.
type crowd struct {
	t      testing.TB
	most   int          // octets of a load
	done   atomic.Int32 // directions that have arrived
	octets atomic.Int64
}

// unload checks that a direction brings its load, and then its end.
func (c *crowd) unload(id quic.StreamID, fromInitiator bool, r io.Reader) {
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, load(id, fromInitiator, c.most)) {
		c.t.Errorf("stream %d, from initiator: %t: %d octets, %v", id, fromInitiator, len(got), err)
		return
	}
	c.octets.Add(int64(len(got)))
	c.done.Add(1)
}

// send sends a load in pieces, with rests between them.
func (c *crowd) send(id quic.StreamID, initiator bool, w io.WriteCloser) {
	chance := rand.New(rand.NewPCG(uint64(id), 1))
	for rest := load(id, initiator, c.most); len(rest) > 0; {
		n := min(len(rest), 1+chance.IntN(30<<10))
		if _, err := w.Write(rest[:n]); err != nil {
			c.t.Errorf("stream %d: %v", id, err)
			return
		}
		if rest = rest[n:]; chance.IntN(3) == 0 {
			time.Sleep(time.Duration(chance.IntN(int(20 * time.Millisecond))))
		}
	}
	if err := w.Close(); err != nil {
		c.t.Errorf("stream %d: %v", id, err)
	}
}

// run has each end open so many streams, half of them in both directions, and waits until
// everything has arrived.
func (c *crowd) run(client, server *Conn, each int) {
	var wg sync.WaitGroup
	for i, conn := range []*Conn{client, server} {
		initiator, peer := i == 0, []*Conn{server, client}[i]
		wg.Go(func() {
			for range each / 2 {
				s, err := conn.OpenStreamSync(c.t.Context())
				if err != nil {
					c.t.Error(err)
					return
				}
				wg.Go(func() { c.send(s.StreamID(), initiator, s) })
				wg.Go(func() { c.unload(s.StreamID(), !initiator, s) })
			}
		})
		wg.Go(func() {
			for range each / 2 {
				s, err := conn.OpenUniStreamSync(c.t.Context())
				if err != nil {
					c.t.Error(err)
					return
				}
				wg.Go(func() { c.send(s.StreamID(), initiator, s) })
			}
		})
		wg.Go(func() {
			for range each / 2 {
				s, err := peer.AcceptStream(c.t.Context())
				if err != nil {
					c.t.Error(err)
					return
				}
				wg.Go(func() { c.unload(s.StreamID(), initiator, s) })
				wg.Go(func() { c.send(s.StreamID(), !initiator, s) })
			}
		})
		wg.Go(func() {
			for range each / 2 {
				s, err := peer.AcceptUniStream(c.t.Context())
				if err != nil {
					c.t.Error(err)
					return
				}
				wg.Go(func() { c.unload(s.StreamID(), initiator, s) })
			}
		})
	}
	wg.Wait()
	if want := int32(2 * each * 3 / 2); c.done.Swap(0) != want {
		c.t.Errorf("not all of the %d directions of streams have arrived", want)
	}
}

// keepUpdating has an end update every few milliseconds until ctx ends, and returns how often it did.
func keepUpdating(ctx context.Context, t testing.TB, c *Conn) (n int) {
	chance := rand.New(rand.NewPCG(2, 2))
	for {
		if err := c.Update(ctx); err != nil {
			if ctx.Err() == nil {
				t.Error(err)
			}
			return n
		}
		n++
		time.Sleep(time.Duration(chance.IntN(int(5 * time.Millisecond))))
	}
}

// scatter sends numbered datagrams until ctx ends, and returns how many.
func scatter(ctx context.Context, t testing.TB, c *Conn) (n int) {
	for ctx.Err() == nil {
		if err := c.SendDatagram(fmt.Appendf(nil, "datagram %d", n)); err != nil {
			t.Error(err)
			return n
		}
		n++
		time.Sleep(time.Millisecond / 2)
	}
	return n
}

// gather receives datagrams until ctx ends, and returns how many. Each may come once.
func gather(ctx context.Context, t testing.TB, c *Conn) int {
	seen := make(map[int]bool)
	for {
		b, err := c.ReceiveDatagram(ctx)
		if err != nil {
			if ctx.Err() == nil {
				t.Error(err)
			}
			return len(seen)
		}
		var n int
		if _, err := fmt.Sscanf(string(b), "datagram %d", &n); err != nil || seen[n] {
			t.Errorf("%q, seen before: %t, %v", b, seen[n], err)
		}
		seen[n] = true
	}
}

func TestManyStreamsOverARoughNetworkWhileKeysChange(t *testing.T) {
	checkGoroutines(t)
	each, most := 100, 60<<10
	if underRace {
		each, most = 30, 20<<10
	}
	ic, rc := newConfigs(t)
	via, net := network(t, 1, rough)
	client, server := connectThrough(t, ic, rc, via)
	c := &crowd{t: t, most: most}
	var updates, sent, received [2]int
	within(t, "the crowd", func() {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i, conn := range []*Conn{client, server} {
			wg.Go(func() { updates[i] = keepUpdating(ctx, t, conn) })
			wg.Go(func() { sent[i] = scatter(ctx, t, conn) })
			wg.Go(func() { received[1-i] = gather(ctx, t, conn) })
		}
		for client.ConnectionState().Epoch < 10 && !t.Failed() {
			c.run(client, server, each)
		}
		cancel()
		wg.Wait()
	})
	x, y := client.ConnectionState().Epoch, server.ConnectionState().Epoch
	s := net().Stats()
	t.Logf("%d streams, %d octets; epochs %d and %d after %v updates; datagrams sent %v, received %v; network %+v",
		2*each, c.octets.Load(), x, y, updates, sent, received, s)
	if min(updates[0], updates[1], received[0], received[1]) == 0 {
		t.Error("too little has happened to show anything")
	}
	if s.Dropped == 0 || s.Duplicated == 0 || s.Reordered == 0 {
		t.Errorf("the network was too kind: %+v", s)
	}
	update(t, client)
	update(t, server)
	a, b := openPair(t, client, server)
	exchange(t, a, b)
}
