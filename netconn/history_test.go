package netconn

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/internal/netsim"
	"github.com/mendlink/mendlink/mls"
)

// dice make a history a random one, that comes again with the same seed.
type dice struct{ *rand.Rand }

func newDice(seed, stream uint64) dice { return dice{rand.New(rand.NewPCG(seed, stream))} }

// upTo returns 1 to n, small and large numbers being equally likely by their binary digits.
func (d dice) upTo(n int) int {
	digits := 0
	for 1<<digits < n {
		digits++
	}
	return 1 + d.IntN(min(n, 1<<d.IntN(digits+1)))
}

func (d dice) data(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(d.Uint32())
	}
	return p
}

// A history is that of a session, over two connections: the first begins with a full handshake, the
// second with a resumption, and both with early data. Data flows both ways while both ends renew their
// keys and one its identity.
type history struct {
	seed   uint64
	ic, rc *Config
	next   mls.Identity // of the initiator, after a rotation
	size   int          // of the data, at most
	bound  time.Duration
}

func newHistory(t *testing.T, seed uint64, size int, bound time.Duration) *history {
	t.Helper()
	ic, rc := newConfigs(t)
	d := newDice(seed, 0)
	l := &history{seed: seed, ic: ic, rc: rc, next: newIdentity(t, "next"), size: size, bound: bound}
	rc.Validator = pin(t, ic.Identity, l.next)
	for _, c := range []*Config{ic, rc} {
		c.Store, c.MaxEarlyData, c.HandshakeTimeout = newStore(), 4000, bound
		c.MaxRecordSize = 63 + d.upTo(16<<10-63)
		if d.IntN(2) == 0 {
			c.CoalesceDelay = time.Millisecond
		}
		if d.IntN(2) == 0 {
			c.Rekey.Bytes = int64(size/4 + d.upTo(size))
		}
	}
	ic.PeerName = "peer"
	return l
}

// A side is one end of one of the connections.
type side struct {
	c       *Conn
	dice    dice
	bound   time.Duration
	early   []byte
	data    []byte
	rotate  *mls.Identity // none: nil
	got     []byte
	readErr error // nil if the stream came to its end
	err     error // the first of all, nil if all went well
	sent    int64 // what it has put into the network
}

// live does all that the side has to do. At the first error it cuts the connection: Close would
// tell the peer that there is no more.
func (s *side) live() {
	var once sync.Once
	failed := func(err error) {
		once.Do(func() {
			s.err = err
			s.c.NetConn().Close()
		})
	}
	if err := s.c.Handshake(); err != nil {
		s.readErr = err
		failed(err)
		return
	}
	s.c.SetDeadline(time.Now().Add(s.bound))
	writer, reader := dice{rand.New(rand.NewPCG(s.dice.Uint64(), 1))}, dice{rand.New(rand.NewPCG(s.dice.Uint64(), 2))}
	var both sync.WaitGroup
	both.Go(func() {
		if err := s.write(writer); err != nil {
			failed(err)
		}
	})
	both.Go(func() {
		if s.readErr = s.read(reader); s.readErr != nil {
			failed(s.readErr)
		}
	})
	both.Wait()
}

func (s *side) write(d dice) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.bound)
	defer cancel()
	piece := d.upTo(len(s.data))
	for rest := s.data; len(rest) > 0; {
		k := min(len(rest), d.upTo(piece))
		if n, err := s.c.Write(rest[:k]); n != k || err != nil {
			return fmt.Errorf("Write: %d of %d: %w", n, k, err)
		}
		rest = rest[k:]
		if d.IntN(1+len(s.data)/(4*piece)) > 0 {
			continue
		}
		if err := s.renew(ctx, d.IntN(6)); err != nil {
			return err
		}
	}
	if err := s.renew(ctx, 0); err != nil {
		return err
	}
	return s.c.CloseWrite()
}

// renew does one of the things that change keys, or nothing.
func (s *side) renew(ctx context.Context, which int) error {
	switch which {
	case 0:
		return s.c.Update(ctx)
	case 1, 2:
		return s.c.UpdateKeys(which == 1)
	case 3:
		return s.c.Flush()
	case 4:
		if s.rotate != nil {
			identity := *s.rotate
			s.rotate = nil
			return s.c.Rotate(ctx, identity)
		}
	}
	return nil
}

func (s *side) read(d dice) error {
	p := make([]byte, d.upTo(300<<10))
	for {
		n, err := s.c.Read(p[:d.upTo(len(p))])
		s.got = append(s.got, p[:n]...)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// connection lives one of the two connections, over such a network, and checks that each end
// reads a beginning of what the other one has sent, or all of it where that is said.
func (l *history) connection(t *testing.T, number int, ends func(there, back []netsim.StreamFault) (a, b net.Conn, s *netsim.Stream), faults [2][]netsim.StreamFault) (client, server *side) {
	t.Helper()
	d := newDice(l.seed, uint64(number))
	a, b, network := ends(faults[0], faults[1])
	defer network.Close()
	client = &side{c: Client(a, l.ic), early: d.data(d.upTo(l.rc.MaxEarlyData))}
	server = &side{c: Server(b, l.rc)}
	if err := client.c.SetEarlyData(client.early); err != nil {
		t.Fatal(err)
	}
	var both sync.WaitGroup
	for i, s := range []*side{client, server} {
		s.dice, s.bound, s.data = newDice(l.seed, uint64(10*number+i+10)), l.bound, d.data(d.upTo(l.size))
		if s == client && number == 1 {
			s.rotate = &l.next
		}
		both.Go(s.live)
	}
	within(t, fmt.Sprintf("seed %d, connection %d", l.seed, number), both.Wait)
	client.sent, server.sent = network.Carried()
	defer client.c.Close()
	defer server.c.Close()
	toServer := append(bytes.Clone(client.early), client.data...)
	if client.c.ConnectionState().EarlyData == channel.EarlyDataUnknown {
		toServer = client.data
	}
	for _, end := range []struct {
		name string
		s    *side
		want []byte
	}{{"client", client, server.data}, {"server", server, toServer}} {
		what := fmt.Sprintf("seed %d, connection %d, %s", l.seed, number, end.name)
		if !bytes.HasPrefix(end.want, end.s.got) {
			t.Errorf("%s: %d octets that it reads are not those that were sent", what, len(end.s.got))
		}
		if end.s.readErr == io.EOF {
			t.Errorf("%s: io.EOF for an error", what)
		}
		if end.s.readErr == nil && len(end.s.got) != len(end.want) {
			t.Errorf("%s: the stream ends after %d octets, want %d; client: %v, server: %v", what, len(end.s.got), len(end.want), client.err, server.err)
		}
	}
	return client, server
}

// both lives both connections. What the session is after the first depends on how that went.
func (l *history) both(t *testing.T, ends func(there, back []netsim.StreamFault) (a, b net.Conn, s *netsim.Stream), faults func(number int) [2][]netsim.StreamFault) (sides []*side) {
	t.Helper()
	client, server := l.connection(t, 1, ends, faults(1))
	l.ic.PreviousIdentities = []mls.Identity{l.ic.Identity}
	l.ic.Identity = l.next
	again, serverAgain := l.connection(t, 2, ends, faults(2))
	return []*side{client, server, again, serverAgain}
}

// overTCP is netsim.NewStreamPipe over loopback.
func overTCP(t *testing.T) func(there, back []netsim.StreamFault) (a, b net.Conn, s *netsim.Stream) {
	return func(there, back []netsim.StreamFault) (a, b net.Conn, s *netsim.Stream) {
		a, near := tcpPair(t)
		far, b := tcpPair(t)
		return a, b, netsim.NewStream(near, far, there, back)
	}
}

// A network may cut a stream into other pieces and take its time: everything works, and
// all data arrives.
func TestALifeOverAHarmlessNetwork(t *testing.T) {
	checkGoroutines(t)
	for name, c := range map[string]struct {
		size   int
		faults func(d dice) []netsim.StreamFault
	}{
		"none":          {1 << 20, func(dice) []netsim.StreamFault { return nil }},
		"single octets": {20 << 10, func(dice) []netsim.StreamFault { return []netsim.StreamFault{netsim.Split(1)} }},
		"other pieces": {300 << 10, func(d dice) []netsim.StreamFault {
			return []netsim.StreamFault{netsim.Rechunk(d.Rand, 50_000)}
		}},
		"delays": {100 << 10, func(d dice) []netsim.StreamFault {
			return []netsim.StreamFault{netsim.DelayOctets(time.Millisecond), netsim.Rechunk(d.Rand, 5000)}
		}},
		"stalls": {100 << 10, func(d dice) []netsim.StreamFault {
			var all []netsim.StreamFault
			for range 5 {
				all = append(all, netsim.StallAt(int64(d.upTo(100<<10)), 5*time.Millisecond))
			}
			return append(all, netsim.Rechunk(d.Rand, 20_000))
		}},
	} {
		for seed := range uint64(4) {
			l := newHistory(t, seed, c.size, time.Minute)
			ends := netsim.NewStreamPipe
			if seed%2 == 1 {
				ends = overTCP(t)
			}
			if seed == 3 {
				l.ic.Suites, l.rc.Suites = nil, nil // post-quantum: long messages
			}
			sides := l.both(t, ends, func(number int) [2][]netsim.StreamFault {
				d := newDice(seed, uint64(100+number))
				return [2][]netsim.StreamFault{c.faults(d), c.faults(dice{rand.New(rand.NewPCG(d.Uint64(), 0))})}
			})
			for i, s := range sides {
				state := s.c.ConnectionState()
				if s.err != nil {
					t.Errorf("%s, seed %d, side %d: %v", name, seed, i, s.err)
				} else if resumed := i >= 2; state.Resumed != resumed || state.Epoch < 3 {
					t.Errorf("%s, seed %d, side %d: %+v", name, seed, i, state)
				}
			}
			if s := sides[2].c.ConnectionState(); s.EarlyData != channel.EarlyDataDelivered {
				t.Errorf("%s, seed %d: the fate of the early data is %v", name, seed, s.EarlyData)
			}
		}
	}
}

// A network may do what it wants at any place of any conversation: what is read is right, and
// what is not all ends with an error.
func TestALifeOverAHostileNetwork(t *testing.T) {
	checkGoroutines(t)
	lives := uint64(150)
	if raceEnabled {
		lives = 40
	}
	first := rand.Uint64() >> 20 // each run tries others; a failure says which
	t.Logf("seeds from %d on", first)
	var whole, broken atomic.Int32
	room := make(chan struct{}, 50) // many of them wait for a deadline most of the time
	var all sync.WaitGroup
	for seed := first; seed < first+lives; seed++ {
		room <- struct{}{}
		all.Go(func() {
			defer func() { <-room }()
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				for number, c := range hostileLife(t, seed) {
					for _, s := range c.sides {
						if s.readErr == nil {
							whole.Add(1)
						} else {
							broken.Add(1)
						}
						// Whatever became of the first connection, the second one works.
						if s.err != nil && !c.attacked && !c.slow() {
							t.Errorf("connection %d, on which nothing is done: %v", number+1, s.err)
						}
					}
				}
			})
		})
	}
	all.Wait()
	if t.Logf("%d streams arrive as a whole, %d do not", whole.Load(), broken.Load()); whole.Load() == 0 || broken.Load() == 0 {
		t.Error("the network is not as hostile as it should be, or more")
	}
}

// An ended connection is what became of it.
type ended struct {
	sides    []*side
	attacked bool // the stream has come to the place of the attack
}

// slow reports that somebody's time was over, on a busy machine.
func (e *ended) slow() bool {
	return slices.ContainsFunc(e.sides, func(s *side) bool {
		return errors.Is(s.err, os.ErrDeadlineExceeded) || errors.Is(s.err, context.DeadlineExceeded)
	})
}

// hostileLife lives a random history, on each of whose connections there is an attack.
func hostileLife(t *testing.T, seed uint64) (connections [2]ended) {
	l := newHistory(t, seed, 100<<10, 2*time.Second)
	ends := netsim.NewStreamPipe
	if seed%2 == 1 {
		ends = overTCP(t)
	}
	var directions [2]int
	var offsets [2]int64
	sides := l.both(t, ends, func(number int) [2][]netsim.StreamFault {
		d := newDice(seed, uint64(100+number))
		all := attacks(d.upTo(20_000))
		attack := all[d.IntN(len(all))]
		direction, offset := d.IntN(2), int64(d.upTo(200<<10)-1)
		directions[number-1], offsets[number-1] = direction, offset
		faults := in(direction, attack.at(offset))
		for i := range faults {
			faults[i] = append(faults[i], netsim.Rechunk(rand.New(rand.NewPCG(d.Uint64(), 0)), 20_000))
		}
		return faults
	})
	for i := range connections {
		c := &connections[i]
		c.sides = sides[2*i : 2*i+2]
		c.attacked = c.sides[directions[i]].sent > offsets[i]
	}
	return connections
}
