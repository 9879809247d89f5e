package netconn

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mendlink/mendlink/channel"
)

// coalescing returns a pair whose client keeps small writes back for so long.
func coalescing(t *testing.T, delay time.Duration) (client, server *Conn, writes *atomic.Int64) {
	ic, rc := newConfigs(t)
	ic.CoalesceDelay = delay
	a, b := tcpPair(t)
	counted := &countingConn{Conn: a}
	client, server = connect(t, counted, b, ic, rc)
	counted.writes.Store(0)
	return client, server, &counted.writes
}

// A countingConn counts calls of Write.
type countingConn struct {
	net.Conn
	writes atomic.Int64
}

func (c *countingConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

const never = time.Hour

func writeAll(t *testing.T, w io.Writer, p []byte, size int) {
	t.Helper()
	for len(p) > 0 {
		k := min(size, len(p))
		if n, err := w.Write(p[:k]); n != k || err != nil {
			t.Fatal(n, err)
		}
		p = p[k:]
	}
}

// The peer reads the exact stream, however it was cut, and it takes few system calls.
func TestCoalescedWritesAreOneStream(t *testing.T) {
	checkGoroutines(t)
	for _, size := range []int{1, 1000, 1 << 10, 16<<10 + 1, copySize - 1, copySize, copySize + 1, 300 << 10} {
		client, server, writes := coalescing(t, never)
		total := min(1<<20, 100_000*size)
		data := pattern(total)
		got := make(chan []byte)
		go func() {
			b, err := io.ReadAll(server)
			if err != nil {
				t.Error(err)
			}
			got <- b
		}()
		writeAll(t, client, data, size)
		if err := client.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(<-got, data) {
			t.Errorf("writes of %d: another stream", size)
		}
		if n, limit := writes.Load(), int64(total/copySize*2+3); n > limit {
			t.Errorf("writes of %d: %d system calls, want %d at most", size, n, limit)
		}
	}
}

func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return p
}

func TestWhatEndsTheWaitOfCoalescedData(t *testing.T) {
	for _, c := range []struct {
		name  string
		delay time.Duration
		do    func(*Conn)
	}{
		{"the delay", time.Millisecond, func(*Conn) {}},
		{"Flush", never, func(c *Conn) { c.Flush() }},
		{"Read", never, func(c *Conn) { go c.Read(make([]byte, 1)) }},
		{"WriteTo", never, func(c *Conn) { go c.WriteTo(io.Discard) }},
		{"CloseWrite", never, func(c *Conn) { c.CloseWrite() }},
		{"Close", never, func(c *Conn) { c.Close() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			checkGoroutines(t)
			client, server, writes := coalescing(t, c.delay)
			want := []byte("all of this")
			writeAll(t, client, want, 3)
			if c.delay == never && writes.Load() != 0 {
				t.Error("data is not kept back")
			}
			c.do(client)
			got := make([]byte, len(want))
			within(t, c.name, func() {
				if _, err := io.ReadFull(server, got); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%q, %v", got, err)
				}
			})
		})
	}
}

// After a deadline nothing is lost and nothing is sent twice.
func TestCoalescedDataOutlivesADeadline(t *testing.T) {
	checkGoroutines(t)
	client, server, _ := coalescing(t, never)
	data := pattern(16 << 20)
	sent := 0
	for stuck := false; !stuck; { // on a slow machine a deadline passes before the transport is full
		client.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
		var err error
		for err == nil && sent < len(data) {
			var n int
			n, err = client.Write(data[sent:min(sent+10_000, len(data))])
			sent += n
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("%d octets, %v", sent, err)
		}
		err = client.Flush()
		if stuck = errors.Is(err, os.ErrDeadlineExceeded); !stuck && err != nil {
			t.Fatalf("Flush: %v", err)
		}
	}
	got := make(chan []byte)
	go func() {
		b, err := io.ReadAll(server)
		if err != nil {
			t.Error(err)
		}
		got <- b
	}()
	client.SetWriteDeadline(time.Time{})
	writeAll(t, client, data[sent:], 10_000)
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	if !bytes.Equal(<-got, data) {
		t.Error("the peer reads another stream")
	}
}

// What goes wrong behind the application's back it hears of in the next call.
func TestErrorsOfCoalescedWritesShowInTheNextCall(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	ic.CoalesceDelay = time.Millisecond
	a, b := tcpPair(t)
	failing := &failingConn{Conn: a}
	client, _ := connect(t, failing, b, ic, rc)
	failing.fail.Store(true)
	if n, err := client.Write([]byte("x")); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	within(t, "the error", func() {
		for client.sender.kept.some.Load() {
			time.Sleep(time.Millisecond)
		}
	})
	if n, err := client.Write([]byte("y")); n != 0 || !errors.Is(err, errFailing) {
		t.Errorf("Write: %d, %v", n, err)
	}
	if err := client.Flush(); !errors.Is(err, errFailing) {
		t.Errorf("Flush: %v", err)
	}
}

var errFailing = errors.New("cannot be sent")

type failingConn struct {
	net.Conn
	fail atomic.Bool
}

func (c *failingConn) Write(p []byte) (int, error) {
	if c.fail.Load() {
		return 0, errFailing
	}
	return c.Conn.Write(p)
}

// Close does not wait for ever for a peer that does not read, and says what it has left behind.
func TestCloseOfCoalescedDataIsBounded(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	ic.CoalesceDelay = never
	a, b := net.Pipe()
	client, _ := connect(t, a, b, ic, rc)
	if _, err := client.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	client.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
	within(t, "Close", func() {
		if err := client.Close(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
	if err := client.Flush(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Flush after Close: %v", err)
	}
}

// New keys may come between data that is kept back and its sending.
func TestCoalescedDataGoesUnderTheKeysOfItsTime(t *testing.T) {
	checkGoroutines(t)
	client, server, _ := coalescing(t, never)
	if _, err := client.Write([]byte("before, ")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 16)
	done := make(chan error, 1)
	go func() {
		_, err := io.ReadFull(server, got)
		done <- err
	}()
	update(t, client)
	if _, err := client.Write([]byte("and then")); err != nil {
		t.Fatal(err)
	}
	if err := client.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil || string(got) != "before, and then" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestCoalescedWritesDoNotAllocate(t *testing.T) {
	client, server, _ := coalescing(t, never)
	go io.Copy(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{server})
	p := make([]byte, 1000)
	if n := testing.AllocsPerRun(5000, func() {
		if _, err := client.Write(p); err != nil {
			t.Fatal(err)
		}
	}); n != 0 && !raceEnabled {
		t.Errorf("%v allocations", n)
	}
	if client.Flush(); client.sender.kept.buf != nil {
		t.Error("a buffer is held while nothing is kept back")
	}
}

// An actingConn does something before each Write.
type actingConn struct {
	net.Conn
	act func()
}

func (c *actingConn) Write(p []byte) (int, error) {
	c.act()
	return c.Conn.Write(p)
}

// CloseWrite may put the end into the queue at any moment of another call. That finds it there, and
// must neither seal anything behind it nor send twice what the end has taken along.
func TestNothingFollowsAnEndThatComesMeanwhile(t *testing.T) {
	end := outItem{end: &outEnd{alert: channel.AlertCloseNotify}}
	for name, delay := range map[string]time.Duration{"Write": 0, "pipelined Write": 0, "coalesced": never} {
		for _, when := range []string{"before", "with the first batch"} {
			t.Run(name+", "+when, func(t *testing.T) {
				checkGoroutines(t)
				ic, rc := newConfigs(t)
				ic.CoalesceDelay, ic.PipelineWrites = delay, name == "pipelined Write"
				a, b := tcpPair(t)
				acting := &actingConn{Conn: a, act: func() {}}
				client, server := connect(t, acting, b, ic, rc)
				push := func() {
					client.sender.queue.push(end)
					acting.act = func() {}
				}
				got := make(chan []byte)
				go func() {
					b, err := io.ReadAll(server)
					if err != nil {
						t.Error(err)
					}
					got <- b
				}()
				data := pattern(3 * batchSize)
				if delay > 0 {
					data = data[:100_000]
					if n, err := client.Write(data); n != len(data) || err != nil {
						t.Fatal(n, err)
					}
				}
				if when == "before" {
					push()
				} else {
					acting.act = push
				}
				n, err := len(data), error(nil)
				if delay > 0 {
					err = client.Flush()
				} else {
					n, err = client.Write(data)
				}
				if delay > 0 && err != nil || delay == 0 && !errors.Is(err, ErrWriteClosed) {
					t.Errorf("%d, %v", n, err)
				}
				if got := <-got; !bytes.Equal(got, data[:n]) {
					t.Errorf("%d octets arrive, %d were sent, or others", len(got), n)
				}
				// The peer has nothing to complain of, behind the end as well.
				go client.Read(make([]byte, 1))
				update(t, server)
			})
		}
	}
}
