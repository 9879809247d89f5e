package netconn

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/channel/record"
)

// tinyPair is tcpPair with socket buffers that fill up at once.
func tinyPair(t testing.TB) (a, b net.Conn) {
	t.Helper()
	a, b = tcpPair(t)
	for _, c := range []net.Conn{a, b} {
		if err := errors.Join(c.(*net.TCPConn).SetReadBuffer(4<<10), c.(*net.TCPConn).SetWriteBuffer(4<<10)); err != nil {
			t.Fatal(err)
		}
	}
	return a, b
}

// epochs fails the test unless both ends have gone through at least so many. The
// one that is behind may be by the update under way.
func epochs(t testing.TB, client, server *Conn, atLeast uint64) {
	t.Helper()
	a, b := client.ConnectionState().Epoch, server.ConnectionState().Epoch
	if min(a, b) < atLeast {
		t.Errorf("epochs %d and %d, want %d", a, b, atLeast)
	}
	t.Logf("epochs %d and %d", a, b)
}

func TestDataFlowsBothWaysWhileKeysChangeAllTheTime(t *testing.T) {
	for _, c := range []struct {
		name                      string
		pair                      func(testing.TB) (net.Conn, net.Conn)
		size, piece, read, period int
	}{
		{"TCP", tcpPair, 16 << 20, 100 << 10, 64 << 10, 200 << 10},
		{"TCP with tiny buffers", tinyPair, 50 << 10, 10 << 10, 64 << 10, 8 << 10},
		{"Pipe", func(testing.TB) (net.Conn, net.Conn) { return net.Pipe() }, 4 << 20, 5 << 10, 3 << 10, 20 << 10},
		{"one octet per read", func(t testing.TB) (net.Conn, net.Conn) { a, b := tcpPair(t); return trickle{a}, trickle{b} }, 20 << 10, 2000, 1000, 4 << 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			checkGoroutines(t)
			ic, rc := newConfigs(t)
			ic.Rekey.Bytes, rc.Rekey.Bytes = int64(c.period), int64(c.period)
			a, b := c.pair(t)
			client, server := connect(t, a, b, ic, rc)
			within(t, "the exchange", func() {
				for min(client.ConnectionState().Epoch, server.ConnectionState().Epoch) < 4 && !t.Failed() {
					var wg sync.WaitGroup
					wg.Go(func() { stream(t, client, server, c.size, c.piece, c.read) })
					wg.Go(func() { stream(t, server, client, c.size, c.piece, c.read) })
					wg.Wait()
				}
			})
		})
	}
}

// Neither end reads before both have written everything.
func TestBothEndsOnlyWrite(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	ic.Rekey.Bytes, rc.Rekey.Bytes = 4<<10, 4<<10
	a, b := tcpPair(t)
	client, server := connect(t, a, b, ic, rc)
	want := bytes.Repeat([]byte("0123456789abcdef"), 12<<10) // as much as is read ahead, less a bit
	ends := []*Conn{client, server}
	within(t, "writing", func() {
		var wg sync.WaitGroup
		for _, c := range ends {
			wg.Go(func() {
				for p := want; len(p) > 0; p = p[1<<10:] {
					if _, err := c.Write(p[:1<<10]); err != nil {
						t.Error(err)
						return
					}
					runtime.Gosched()
				}
			})
		}
		wg.Wait()
	})
	within(t, "reading", func() {
		for _, c := range ends {
			got := make([]byte, len(want))
			if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
				t.Errorf("other octets arrive, or %v", err)
			}
			go c.Read(make([]byte, 1))
		}
		for min(client.ConnectionState().Epoch, server.ConnectionState().Epoch) < 2 {
			time.Sleep(time.Millisecond)
		}
	})
}

// An end that only writes heals if the other one only reads.
func TestAnEndThatOnlyWritesHeals(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	go io.Copy(io.Discard, server)
	for range 20 {
		if _, err := client.Write(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		update(t, client)
	}
	epochs(t, client, server, 20)
}

// What the pump reads ahead is bounded, and the update waits for the application.
func TestReadingAheadIsBounded(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	a, b := tcpPair(t)
	client, server := connect(t, a, b, ic, rc)
	const size = 32 << 20 // more than all the buffers on the way hold
	sum := make(chan error, 1)
	go func() {
		_, err := server.Write(make([]byte, size)) // blocks when the room is full
		if err == nil {
			_, err = io.Copy(io.Discard, server)
		}
		sum <- err
	}()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- client.Update(ctx) }()
	ahead := func() int {
		client.receiver.ahead.mu.Lock()
		defer client.receiver.ahead.mu.Unlock()
		return len(client.receiver.ahead.data)
	}
	within(t, "the pump", func() {
		for client.receiver.pumping.Load() || ahead() == 0 {
			time.Sleep(time.Millisecond)
		}
	})
	if n := ahead(); n > maxReadAhead+2*16<<10 {
		t.Errorf("%d octets are read ahead, the bound is %d", n, maxReadAhead)
	}
	select {
	case err := <-done:
		t.Fatalf("the update is done, with the peer blocked: %v", err)
	default:
	}
	// Writing goes on all the while, if the peer were to read; and reading lets the update through.
	within(t, "reading", func() {
		if n, err := io.CopyN(io.Discard, client, size); n != size || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	client.Close()
	if err := <-sum; err != nil {
		t.Error(err)
	}
}

func TestUpdatesFromBothEndsAtOnce(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	for _, c := range []*Conn{client, server} {
		go io.Copy(io.Discard, c)
	}
	within(t, "updating", func() {
		for range 25 {
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() { update(t, client) })
				wg.Go(func() { update(t, server) })
			}
			wg.Wait()
		}
	})
	epochs(t, client, server, 50)
}

func TestUpdateEndsWithItsContextAndWithTheConnection(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t) // nobody reads at the server's end
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := client.Update(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want context.DeadlineExceeded", err)
	}
	for name, end := range map[string]func(){"own": func() { client.Close() }, "peer's": func() { server.Close() }} {
		client, server = newConnPair(t)
		done := make(chan error, 1)
		go func() { done <- client.Update(t.Context()) }()
		for client.ConnectionState().Epoch == 1 && !client.driver.Pending() {
			runtime.Gosched()
		}
		within(t, "Update", func() {
			end()
			if err := <-done; err == nil {
				t.Errorf("%s Close: the update is said to be done", name)
			}
		})
	}
}

func TestRekeyingByAge(t *testing.T) {
	checkGoroutines(t)
	for name, every := range map[string][2]time.Duration{
		"initiator": {5 * time.Millisecond, -1},
		"responder": {-1, 5 * time.Millisecond},
		"both":      {5 * time.Millisecond, 5 * time.Millisecond},
	} {
		ic, rc := newConfigs(t)
		ic.Rekey.Every, rc.Rekey.Every = every[0], every[1]
		a, b := tcpPair(t)
		client, server := connect(t, a, b, ic, rc)
		// Idle but for a parked Read at each end, as it is with a connection that waits.
		for _, c := range []*Conn{client, server} {
			go c.Read(make([]byte, 1))
		}
		within(t, name, func() {
			for min(client.ConnectionState().Epoch, server.ConnectionState().Epoch) < 10 {
				time.Sleep(time.Millisecond)
			}
		})
		if err := errors.Join(client.ConnectionState().LastUpdateError, server.ConnectionState().LastUpdateError); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWornKeysAskForAnUpdate(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	for _, c := range []*Conn{client, server} {
		go c.Read(make([]byte, 1))
	}
	client.driver.Count(1<<20, 1<<30, false)
	if client.driver.Schedule().Due(time.Now()) != 0 || client.driver.Pending() {
		t.Error("there is an update without a reason")
	}
	client.driver.Count(0, 0, true)
	within(t, "updating", func() {
		for client.ConnectionState().Epoch == 1 {
			time.Sleep(time.Millisecond)
		}
	})
}

// failingStore fails to save on demand.
type failingStore struct {
	channel.Store
	fail     atomic.Bool
	failures atomic.Int32
}

var errDisk = errors.New("disk full")

func (s *failingStore) Save(ctx context.Context, session channel.StoredSession) (uint64, error) {
	if s.fail.Load() {
		s.failures.Add(1)
		return 0, errDisk
	}
	return s.Store.Save(ctx, session)
}

func TestAnUpdateThatCannotBeSavedLeavesTheConnectionAsItWas(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	store := &failingStore{Store: newStore()}
	ic.Store, ic.PeerName = store, "peer"
	a, b := tcpPair(t)
	client, server := connect(t, a, b, ic, rc)
	echo(server)
	store.fail.Store(true)
	if err := client.Update(t.Context()); !errors.Is(err, errDisk) {
		t.Errorf("%v, want the store's error", err)
	}
	roundTrip(t, client)
	store.fail.Store(false)
	update(t, client)
	roundTrip(t, client)
}

// An end whose application has read all that there is, and neither reads nor writes any more, still
// takes in the peer's updates.
func TestAHalfClosedConnectionHeals(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	within(t, "healing", func() {
		if _, err := server.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("%v, want io.EOF", err)
		}
		for range 3 {
			update(t, client)
		}
		if _, err := server.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("%v, want io.EOF", err)
		}
		// Data still flows the other way.
		want := []byte("the answer")
		if _, err := server.Write(want); err != nil {
			t.Error(err)
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%q, %v", got, err)
		}
	})
	epochs(t, client, server, 3)
}

// savingStore calls saved after each save.
type savingStore struct {
	channel.Store
	saved func()
}

func (s *savingStore) Save(ctx context.Context, session channel.StoredSession) (uint64, error) {
	version, err := s.Store.Save(ctx, session)
	s.saved()
	return version, err
}

// Update must not return before the change of keys is where every later Write finds it:
// else what is written then could still leave under keys that a thief has.
func TestUpdateReturnsAfterTheKeysHaveChanged(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	store := &savingStore{Store: newStore(), saved: func() {}}
	ic.Store, ic.PeerName = store, "peer"
	a, b := tcpPair(t)
	client, server := connect(t, a, b, ic, rc)
	echo(server)
	saves, confirmed := 0, make(chan struct{})
	queue := &client.sender.queue
	store.saved = func() {
		// The first save is that of the commit, the second one that of the new epoch,
		// right before the events that lead into it.
		if saves++; saves == 2 {
			queue.mu.Lock()
			close(confirmed)
		}
	}
	updated := make(chan error, 1)
	go func() { updated <- client.Update(t.Context()) }()
	<-confirmed
	select {
	case err := <-updated:
		t.Errorf("Update returned, with %v, before the keys were changed", err)
		updated <- err
	case <-time.After(50 * time.Millisecond): // for a mistake to show; nothing that is right depends on it
	}
	queue.mu.Unlock()
	if err := <-updated; err != nil {
		t.Error(err)
	}
	roundTrip(t, client)
}

// An update that waits for a peer who does not read takes nothing away from a Read.
func TestReadGoesOnWhileAnUpdateWaits(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	done := make(chan error, 1)
	go func() { done <- client.Update(t.Context()) }()
	within(t, "reading", func() {
		for !client.receiver.pumping.Load() {
			runtime.Gosched()
		}
		want := []byte("data")
		for range 100 {
			if _, err := server.Write(want); err != nil {
				t.Error(err)
				return
			}
			got := make([]byte, len(want))
			if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%q, %v", got, err)
				return
			}
		}
		// The end of the data shows at once as well.
		if err := server.CloseWrite(); err != nil {
			t.Error(err)
		}
		if _, err := client.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("%v, want io.EOF", err)
		}
		go server.Read(make([]byte, 1))
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestCloseWaitsForTheConnsOwnGoroutines(t *testing.T) {
	checkGoroutines(t)
	for range 20 {
		client, _ := newConnPair(t)
		done := make(chan error, 1)
		go func() { done <- client.Update(t.Context()) }()
		for !client.receiver.pumping.Load() {
			runtime.Gosched()
		}
		client.Close()
		if client.receiver.pumping.Load() {
			t.Fatal("the pump is still at work")
		}
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Update: %v, want net.ErrClosed", err)
		}
	}
}

func TestOldKeysAreErased(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	keys := func() (all []*record.Protection) {
		for _, c := range []*Conn{client, server} {
			c.receiver.mu.Lock()
			c.sender.mu.Lock()
			all = append(all, c.receiver.protection, c.sender.protection)
			c.sender.mu.Unlock()
			c.receiver.mu.Unlock()
		}
		return all
	}
	check := func(when string, protections []*record.Protection) {
		t.Helper()
		for i, p := range protections {
			if err := p.Update(); !errors.Is(err, record.ErrErased) {
				t.Errorf("%s the keys %d are still there: %v", when, i, err)
			}
		}
	}
	old := keys()
	read := make(chan struct{})
	go func() {
		defer close(read)
		server.Read(make([]byte, 1))
	}()
	update(t, client)
	if _, err := client.Write([]byte{1}); err != nil { // behind the KeySwitch
		t.Fatal(err)
	}
	<-read
	check("after an update", old)
	now := keys()
	client.Close()
	server.Close()
	check("after Close", now)
}

// Rekeying may go on for ever: neither memory nor goroutines grow with it.
func TestManyUpdatesLeaveNothingBehind(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	for _, c := range []*Conn{client, server} {
		go io.Copy(io.Discard, c)
	}
	heap := func() (least uint64) { // pooled buffers, and what a Read under way has, come and go
		for i := range 10 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			if i == 0 || m.HeapAlloc < least {
				least = m.HeapAlloc
			}
		}
		return least
	}
	rounds := 300
	if raceEnabled {
		rounds = 50
	}
	var before uint64
	for i := range 2 * rounds {
		if i == rounds {
			before = heap()
		}
		if _, err := client.Write([]byte("data")); err != nil {
			t.Fatal(err)
		}
		update(t, client)
		update(t, server)
	}
	if after := heap(); after > before+512<<10 {
		t.Errorf("%d octets of heap after %d updates, %d after half of them", after, 4*rounds, before)
	}
}
