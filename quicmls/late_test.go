package quicmls

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/mendlink/mendlink/channel/record"
)

func TestIdleAndHalfClosedStreamsOverUpdates(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	idle, idlePeer := openPair(t, client, server)
	half, halfPeer := openPair(t, server, client)
	send(t, half, "all of it")
	closeAll(t, half)
	for range 20 {
		update(t, client)
		update(t, server)
	}
	exchange(t, idle, idlePeer)
	if got, err := io.ReadAll(halfPeer); err != nil || string(got) != "all of it" {
		t.Errorf("%q, %v", got, err)
	}
	for range 20 {
		update(t, server)
	}
	send(t, halfPeer, "answer")
	closeAll(t, halfPeer)
	if got, err := io.ReadAll(half); err != nil || string(got) != "answer" {
		t.Errorf("%q, %v", got, err)
	}
}

// Both ends update while hundreds of streams are open: a third has something on its way all the time, a third is idle, and a
// third is closed in one direction.
func TestUpdatesWhileHundredsOfStreamsAreBusyIdleAndHalfClosed(t *testing.T) {
	checkGoroutines(t)
	const each, updates = 100, 10
	limits := &quic.Config{MaxIncomingStreams: 2 * each}
	client, server := newQUICPair(t, limits, limits)
	open := func() (pairs [][2]*Stream) {
		for i := range each {
			from, to := client, server
			if i%2 == 1 {
				from, to = server, client
			}
			a, b := openPair(t, from, to)
			exchange(t, a, b)
			pairs = append(pairs, [2]*Stream{a, b})
		}
		return pairs
	}
	busy, idle, half := open(), open(), open()
	for i, s := range half {
		send(t, s[0], fmt.Sprint("the last of ", i))
		closeAll(t, s[0])
		if i%3 == 0 { // the others read it epochs later
			if got, err := io.ReadAll(s[1]); err != nil || string(got) != fmt.Sprint("the last of ", i) {
				t.Errorf("%q, %v", got, err)
			}
		}
	}
	within(t, "updating", func() {
		var wg sync.WaitGroup
		var rounds [each]atomic.Int32
		stop := make(chan struct{})
		for i, s := range busy {
			wg.Go(func() {
				defer s[1].Close()
				if _, err := io.Copy(s[1], s[1]); err != nil {
					t.Error(err)
				}
			})
			wg.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						closeAll(t, s[0])
						drain(t, s[0])
						return
					default:
					}
					want := fmt.Sprint(n, " on ", i)
					got := make([]byte, len(want))
					_, err := io.WriteString(s[0], want)
					if err == nil {
						_, err = io.ReadFull(s[0], got)
					}
					if err != nil || string(got) != want {
						t.Errorf("%q, %v, want %q", got, err, want)
						return
					}
					rounds[i].Add(1)
				}
			})
		}
		for range updates {
			var before [each]int32
			for i := range rounds {
				before[i] = rounds[i].Load()
			}
			for _, c := range []*Conn{client, server} {
				if err := c.Update(t.Context()); err != nil {
					t.Error(err)
				}
			}
			for i := range rounds { // each goes on in the new epoch
				for rounds[i].Load() == before[i] && !t.Failed() {
					time.Sleep(time.Millisecond)
				}
			}
		}
		close(stop)
		wg.Wait()
	})
	if t.Failed() {
		return
	}
	if s := client.ConnectionState(); s.Epoch != 1+2*updates {
		t.Errorf("epoch %d, want %d", s.Epoch, 1+2*updates)
	}
	for i, s := range idle {
		exchange(t, s[i%2], s[1-i%2])
	}
	for i, s := range half {
		if i%3 != 0 {
			if got, err := io.ReadAll(s[1]); err != nil || string(got) != fmt.Sprint("the last of ", i) {
				t.Errorf("%q, %v", got, err)
			}
		}
		send(t, s[1], "answer")
		closeAll(t, s[1])
		if got, err := io.ReadAll(s[0]); err != nil || string(got) != "answer" {
			t.Errorf("%q, %v", got, err)
		}
	}
	for _, c := range []*Conn{client, server} {
		eventually(t, "the idle ones alone are known", func() bool {
			sending, receiving := c.known()
			return sending == each && receiving == each
		})
	}
}

// Who answers for the first time many epochs after a stream was opened begins in the
// present one.
func TestFirstAnswerAfterManyEpochs(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	ic.EpochGrace, rc.EpochGrace = time.Nanosecond, time.Nanosecond
	client, server := connect(t, ic, rc)
	a, b := openPair(t, client, server)
	send(t, a, "question")
	expect(t, b, "question")
	for range 300 { // more than one octet counts
		update(t, server)
	}
	send(t, b, "late answer")
	expect(t, a, "late answer")
	exchange(t, a, b)
}

// Streams wait unseen over updates, as long as the grace lasts.
func TestUnseenStreamsWithinTheGrace(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	rc.EpochGrace = time.Hour
	client, server := connect(t, ic, rc)
	var opened []*Stream
	for range maxOldEpochs - 1 {
		a, err := client.OpenStream()
		if err == nil {
			opened = append(opened, a)
			send(t, a, "first")
		}
		update(t, client)
	}
	if len(opened) < 90 {
		t.Errorf("%d streams opened", len(opened))
	}
	for _, a := range opened {
		send(t, a, " and more")
		closeAll(t, a)
	}
	update(t, client)
	for range opened {
		if got, err := io.ReadAll(accept(t, server)); err != nil || string(got) != "first and more" {
			t.Fatalf("%q, %v", got, err)
		}
	}
}

// The number of epochs that are kept is bounded, however long the grace is.
func TestOldEpochsAreBounded(t *testing.T) {
	checkGoroutines(t)
	client, _ := newConnPair(t)
	client.receiving.grace = time.Hour
	f := newFakeStream(t, client)
	send(t, f.send, "x")
	for range maxOldEpochs + 1 {
		f.endEpoch()
	}
	if n := len(client.receiving.old); n != maxOldEpochs {
		t.Errorf("%d old epochs are kept, want %d", n, maxOldEpochs)
	}
	if _, err := f.receive.Read(make([]byte, 1)); !errors.Is(err, ErrEpochGone) {
		t.Errorf("Read: %v", err)
	}
}

// Behind the grace, a stream that was never read is reset, and the connection lives on.
func TestUnseenStreamsBehindTheGrace(t *testing.T) {
	for _, accepted := range []bool{false, true} {
		checkGoroutines(t)
		ic, rc := newConfigs(t)
		rc.EpochGrace = time.Millisecond
		client, server := connect(t, ic, rc)
		a, err := client.OpenStream()
		if err != nil {
			t.Fatal(err)
		}
		send(t, a, "too late")
		var b *Stream
		if accepted { // but not read
			b = accept(t, server)
		}
		update(t, client)
		eventually(t, "the old epoch is forgotten", func() bool {
			server.receiving.mu.Lock()
			defer server.receiving.mu.Unlock()
			return server.receiving.secret.Epoch() == 2 && len(server.receiving.old) == 0
		})
		if !accepted {
			b = accept(t, server)
		}
		for range 2 {
			if _, err := b.Read(make([]byte, 10)); !errors.Is(err, ErrEpochGone) {
				t.Fatalf("Read: %v", err)
			}
		}
		cancelled(t, "Write", writeError(a), ErrorCodeEpochGone, true)
		send(t, b, "the other direction lives")
		expect(t, a, "the other direction lives")
		exchangeOnAnother(t, client, server)
	}
}

// One octet does not say which epoch a stream began in if that is long ago. The record is then
// tried with a key that is not its own, and no more follows from that than that it is too late.
func TestUnseenStreamsThatLookLikeRecentOnes(t *testing.T) {
	for _, c := range []struct {
		name   string
		epochs int
	}{
		{"of a kept epoch", 270},
		{"of the present epoch", 256},
		{"of the next epoch", 255},
		{"of the one behind the next", 254},
	} {
		t.Run(c.name, func(t *testing.T) {
			checkGoroutines(t)
			client, _ := newConnPair(t)
			client.receiving.grace = time.Hour
			f := newFakeStream(t, client)
			send(t, f.send, "x")
			for range c.epochs {
				f.endEpoch()
			}
			within(t, "Read", func() {
				for range 2 {
					if _, err := f.receive.Read(make([]byte, 1)); !errors.Is(err, ErrEpochGone) {
						t.Errorf("Read: %v", err)
					}
				}
			})
			if err := client.Context().Err(); err != nil {
				t.Errorf("the connection has ended: %v", client.closedBy())
			}
			if sending, receiving := client.known(); sending != 1 || receiving > 0 {
				t.Errorf("%d and %d streams are known", sending, receiving)
			}
		})
	}
}

// A stream may overtake the message that announces its epoch, or two of them. Read waits for that.
func TestStreamThatOvertakesItsEpoch(t *testing.T) {
	for _, c := range []struct {
		begun  bool
		epochs int
	}{{false, 1}, {true, 1}, {false, 2}, {true, 2}} {
		checkGoroutines(t)
		client, server := newConnPair(t)
		var raw *rawStream
		if c.begun {
			raw = openRaw(t, client)
			raw.data("before, ")
			expect(t, accepted(t, server, raw), "before, ")
		}
		next, release := holdBack(t, client, server, c.epochs)
		if !c.begun {
			raw = openRaw(t, client)
			next = next[c.epochs-1:]
		}
		for _, secret := range next {
			if c.begun {
				raw.send(raw.seal(record.ContentEpochEnd, ""))
			}
			var err error
			if raw.protection, err = secret.Stream(secret.Epoch(), secret.StreamKey(uint64(raw.StreamID()))); err != nil {
				t.Fatal(err)
			}
		}
		raw.data("after")
		b := accepted(t, server, raw)
		got := make(chan string)
		go func() {
			p := make([]byte, 5)
			n, err := io.ReadFull(b, p)
			if err != nil {
				t.Error(err)
			}
			got <- string(p[:n])
		}()
		eventually(t, "Read waits for an epoch", func() bool {
			return server.receiving.awaited() || b.receive.failed()
		})
		release()
		if got := <-got; got != "after" {
			t.Errorf("%q, %+v", got, c)
		}
	}
}

// failed reports that a Read has found an error that is final.
func (s *ReceiveStream) failed() bool {
	if !s.readMu.TryLock() {
		return false
	}
	defer s.readMu.Unlock()
	return s.err != nil
}

// accepted returns the peer's end of a stream: the one that it has returned before.
func accepted(t *testing.T, c *Conn, raw *rawStream) *Stream {
	t.Helper()
	if raw.peer == nil {
		raw.peer = accept(t, c)
	}
	return raw.peer
}
