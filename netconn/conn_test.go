package netconn

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"os"
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"golang.org/x/net/nettest"

	"github.com/mendlink/mendlink/channel"
)

func TestConnIsANetConn(t *testing.T) {
	for name, newPipe := range map[string]func(testing.TB) (net.Conn, net.Conn){
		"TCP":     tcpPair,
		"Unix":    unixPair,
		"Pipe":    func(testing.TB) (net.Conn, net.Conn) { return net.Pipe() },
		"wrapped": func(t testing.TB) (net.Conn, net.Conn) { a, b := tcpPair(t); return wrapped{a}, wrapped{b} },
	} {
		t.Run(name, func(t *testing.T) { isANetConn(t, newPipe, func(*Config) {}) })
	}
	for name, change := range map[string]func(*Config){
		"coalescing":               func(c *Config) { c.CoalesceDelay = time.Millisecond },
		"coalescing for long":      func(c *Config) { c.CoalesceDelay = 50 * time.Millisecond },
		"small records":            func(c *Config) { c.MaxRecordSize = 63 },
		"pipelined":                func(c *Config) { c.PipelineWrites = true },
		"small records, pipelined": func(c *Config) { c.MaxRecordSize, c.PipelineWrites = 63, true },
		"small records, coalesced": func(c *Config) { c.MaxRecordSize, c.CoalesceDelay = 63, time.Millisecond },
	} {
		t.Run(name, func(t *testing.T) { isANetConn(t, tcpPair, change) })
	}
}

// isANetConn has nettest's word for it, of ends whose configurations are changed.
func isANetConn(t *testing.T, newPipe func(testing.TB) (net.Conn, net.Conn), change func(*Config)) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	change(ic)
	change(rc)
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		a, b := newPipe(t)
		client, server := Client(a, ic), Server(b, rc)
		done := make(chan error, 1)
		go func() { done <- server.Handshake() }()
		err := errors.Join(client.Handshake(), <-done)
		return client, server, func() { client.Close(); server.Close() }, err
	})
}

// wrapped hides that a transport is a socket.
type wrapped struct{ net.Conn }

func unixPair(t testing.TB) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = net.Dial("unix", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return a, b
}

func TestHandshakeTellsBothEndsTheSame(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	a, b := tcpPair(t)
	c := Client(a, ic)
	if s := c.ConnectionState(); !reflect.DeepEqual(s, ConnectionState{}) {
		t.Errorf("before the handshake: %+v", s)
	}
	client, server := connect(t, a, b, ic, rc)
	exchange(t, client, server)
	cs, ss := client.ConnectionState(), server.ConnectionState()
	if !cs.HandshakeComplete || cs.SessionID == (channel.SessionID{}) || cs.SessionID != ss.SessionID || cs.Epoch != 1 || ss.Epoch != 1 ||
		cs.Suite != 1 || ss.Suite != 1 || cs.Resumed || ss.Resumed || cs.Role != channel.RoleInitiator || ss.Role != channel.RoleResponder {
		t.Errorf("states differ: %+v, %+v", cs, ss)
	}
	if string(cs.Peer.Credential.Identity) != "responder" || string(ss.Peer.Credential.Identity) != "initiator" {
		t.Errorf("peers are %q and %q", cs.Peer.Credential.Identity, ss.Peer.Credential.Identity)
	}
	if client.NetConn() != a || client.LocalAddr() != a.LocalAddr() || client.RemoteAddr() != a.RemoteAddr() {
		t.Error("the transport is another one")
	}
}

func TestExportsAreEqualAndBoundToTheEpoch(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	seen := make(map[string]bool)
	for range 2 {
		for _, label := range []string{"one", "two"} {
			for _, context := range []string{"", "x"} {
				x, err := client.ExportKeyingMaterial(label, []byte(context), 32)
				if err != nil {
					t.Fatal(err)
				}
				y, err := server.ExportKeyingMaterial(label, []byte(context), 32)
				if err != nil || !bytes.Equal(x, y) {
					t.Fatalf("%x, %x, %v", x, y, err)
				}
				if seen[string(x)] {
					t.Errorf("%q, %q: comes twice", label, context)
				}
				seen[string(x)] = true
			}
		}
		echo(server)
		update(t, client)
		roundTrip(t, client) // the peer has adopted the epoch too
	}
}

// echo sends back what c receives, until that ends.
func echo(c *Conn) { go io.Copy(c, c) }

func roundTrip(t testing.TB, c *Conn) {
	t.Helper()
	want := []byte("there and back")
	if _, err := c.Write(want); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%q, %v", got, err)
	}
}

func update(t testing.TB, c *Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	before := c.ConnectionState().Epoch
	if err := c.Update(ctx); err != nil {
		t.Fatal(err)
	}
	if after := c.ConnectionState().Epoch; after <= before {
		t.Fatalf("epoch %d after an update, %d before", after, before)
	}
}

// stream writes size octets to one end and reads them from the other, in pieces
// of the given sizes, and compares.
func stream(t testing.TB, from io.Writer, to io.Reader, size, piece, readPiece int) {
	sent, received := sha256.New(), sha256.New()
	var wg sync.WaitGroup
	wg.Go(func() {
		p := make([]byte, piece)
		for n := 0; n < size; n += piece {
			for i := range p {
				p[i] = byte(n + i*7)
			}
			p = p[:min(piece, size-n)]
			sent.Write(p)
			if k, err := from.Write(p); k != len(p) || err != nil {
				t.Errorf("writing at %d: %d, %v", n, k, err)
				return
			}
		}
	})
	wg.Go(func() {
		if n, err := io.CopyBuffer(received, struct{ io.Reader }{io.LimitReader(to, int64(size))}, make([]byte, readPiece)); int(n) != size || err != nil {
			t.Errorf("reading: %d, %v", n, err)
		}
	})
	wg.Wait()
	if !bytes.Equal(sent.Sum(nil), received.Sum(nil)) {
		t.Error("other octets arrive than were sent")
	}
}

func TestDataOfAllSizesArrives(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	for _, piece := range []int{1, 100, 16 << 10, 16<<10 + 1, 200 << 10} {
		for _, readPiece := range []int{1 + piece/50, 16 << 10, 300 << 10} {
			stream(t, client, server, 40*piece, piece, readPiece)
			stream(t, server, client, 3*piece, piece, readPiece)
		}
	}
}

// trickle is a transport that gives one octet per read.
type trickle struct{ net.Conn }

func (c trickle) Read(p []byte) (int, error) { return iotest.OneByteReader(c.Conn).Read(p) }

func TestOneOctetPerRead(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	ic.Suites, rc.Suites = nil, nil // post-quantum: long messages
	a, b := tcpPair(t)
	client, server := connect(t, trickle{a}, trickle{b}, ic, rc)
	stream(t, client, server, 40<<10, 20<<10, 1000)
	echo(server)
	update(t, client)
	roundTrip(t, client)
}

func TestReadAndWriteDoNotAllocate(t *testing.T) {
	client, server := newConnPair(t)
	for _, size := range []int{1, 16 << 10, 60 << 10} {
		p, q := make([]byte, size), make([]byte, size)
		roundTrip := func() {
			if _, err := client.Write(p); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(server, q); err != nil {
				t.Fatal(err)
			}
		}
		roundTrip()
		if n := testing.AllocsPerRun(200, roundTrip); n >= 1 && !raceEnabled {
			t.Errorf("%d octets: %v allocations for each Write and Read, want 0", size, n)
		}
	}
}

func TestCloseIsAnAuthenticEnd(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	if _, err := client.Write([]byte("last words")); err != nil {
		t.Fatal(err)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(server)
	if string(got) != "last words" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	if _, err := server.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("and again: %v, want io.EOF", err)
	}
	for name, err := range map[string]error{
		"Read":       second(client.Read(make([]byte, 1))),
		"Write":      second(client.Write(make([]byte, 1))),
		"Close":      client.Close(),
		"CloseWrite": client.CloseWrite(),
		"Update":     client.Update(t.Context()),
		"export":     failure(client.ExportKeyingMaterial("label", nil, 32)),
		"exportFrom": failure(client.ExportFrom(channel.RoleInitiator, "label", nil, 32)),
	} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s after Close: %v, want net.ErrClosed", name, err)
		}
	}
}

func second(_ int, err error) error { return err }

func failure(_ []byte, err error) error { return err }

func TestTruncationIsNotAnEnd(t *testing.T) {
	for _, tail := range []int{0, 3, 20} { // between records, in a header, in a record
		checkGoroutines(t)
		ic, rc := newConfigs(t)
		a, b := net.Pipe()
		limited := &cutAfter{Conn: a, left: -1}
		client, server := connect(t, limited, b, ic, rc)
		go func() {
			client.Write([]byte("first"))
			limited.left = tail
			client.Write([]byte("second"))
			a.Close()
		}()
		got, err := io.ReadAll(server)
		if string(got) != "first" || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut after %d octets: %q, %v; want io.ErrUnexpectedEOF", tail, got, err)
		}
	}
}

// cutAfter drops all that is written after so many octets. Negative: nothing.
type cutAfter struct {
	net.Conn
	left int
}

func (c *cutAfter) Write(p []byte) (int, error) {
	if c.left < 0 {
		return c.Conn.Write(p)
	}
	k := min(c.left, len(p))
	c.left -= k
	if k > 0 {
		if _, err := c.Conn.Write(p[:k]); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func TestCloseWriteLeavesTheOtherDirectionAndUpdates(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	if _, err := client.Write([]byte("question")); err != nil {
		t.Fatal(err)
	}
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(server); string(got) != "question" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	if _, err := client.Write([]byte("more")); !errors.Is(err, ErrWriteClosed) {
		t.Errorf("Write after CloseWrite: %v", err)
	}
	// Both ends can still heal: each has somebody who reads.
	var read sync.WaitGroup
	var answer []byte
	read.Go(func() { answer, _ = io.ReadAll(client) })
	update(t, server)
	if _, err := server.Write([]byte("answer")); err != nil {
		t.Fatal(err)
	}
	// Read says io.EOF at once on this end, so it takes its own updates to read on, as many
	// as it needs until one is under way when the peer's comes.
	updated := make(chan struct{})
	go func() {
		defer close(updated)
		update(t, client)
	}()
	for done := false; !done; {
		update(t, server)
		select {
		case <-updated:
			done = true
		default:
		}
	}
	if err := server.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	read.Wait()
	if string(answer) != "answer" {
		t.Errorf("the answer is %q", answer)
	}
}

func TestCloseInterruptsABlockedWrite(t *testing.T) {
	for name, pipeline := range map[string]bool{"in turn": false, "pipelined": true} {
		t.Run(name, func(t *testing.T) { testCloseOfABlockedWrite(t, pipeline) })
	}
}

func testCloseOfABlockedWrite(t *testing.T, pipeline bool) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	ic.PipelineWrites = pipeline
	for name, newPipe := range map[string]func(testing.TB) (net.Conn, net.Conn){"TCP": tcpPair, "Pipe": func(testing.TB) (net.Conn, net.Conn) { return net.Pipe() }} {
		a, b := newPipe(t)
		client, _ := connect(t, a, b, ic, rc)
		done := make(chan error)
		go func() {
			_, err := client.Write(make([]byte, 64<<20)) // nobody reads
			done <- err
		}()
		for client.calls.Load() == 0 {
			runtime.Gosched()
		}
		within(t, name+": Close", func() {
			if err := client.Close(); err != nil {
				t.Error(err)
			}
			if err := <-done; !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s: Write ends with %v, want net.ErrClosed", name, err)
			}
		})
	}
}

func TestCloseInterruptsABlockedRead(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	for name, newPipe := range map[string]func(testing.TB) (net.Conn, net.Conn){"TCP": tcpPair, "Pipe": func(testing.TB) (net.Conn, net.Conn) { return net.Pipe() }} {
		a, b := newPipe(t)
		client, server := connect(t, a, b, ic, rc)
		done := make(chan error)
		go func() {
			_, err := client.Read(make([]byte, 1))
			done <- err
		}()
		go server.Read(make([]byte, 1))
		within(t, name+": Close", func() {
			if err := client.Close(); err != nil {
				t.Error(err)
			}
			if err := <-done; !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s: Read ends with %v, want net.ErrClosed", name, err)
			}
		})
	}
}

func TestCloseKeepsToTheWriteDeadline(t *testing.T) {
	for given, want := range map[time.Duration]time.Duration{
		20 * time.Millisecond: closeGrace, // which is what it takes to say goodbye
		2 * time.Second:       2 * time.Second,
		time.Minute:           closeTimeout,
	} {
		synctest.Test(t, func(t *testing.T) {
			ic, rc := newConfigs(t)
			a, b := net.Pipe() // nobody reads: close_notify cannot leave
			client, _ := connect(t, a, b, ic, rc)
			start := time.Now()
			if err := client.SetWriteDeadline(start.Add(given)); err != nil {
				t.Fatal(err)
			}
			if err := client.Close(); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Close with a deadline in %v: %v, want os.ErrDeadlineExceeded", given, err)
			}
			if took := time.Since(start); took != want {
				t.Errorf("Close with a deadline in %v took %v, want %v", given, took, want)
			}
		})
	}
}

// What a Write has counted arrives once, in order, whatever the deadlines did to it.
func TestWriteDeadlineLosesAndRepeatsNothing(t *testing.T) {
	for name, pipeline := range map[string]bool{"in turn": false, "pipelined": true} {
		t.Run(name, func(t *testing.T) { testWriteDeadlines(t, pipeline) })
	}
}

func testWriteDeadlines(t *testing.T, pipeline bool) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	ic.PipelineWrites = pipeline
	ic.Rekey.Bytes, rc.Rekey.Bytes = 100<<10, 100<<10 // messages time out as well
	a, b := tcpPair(t)
	client, server := connect(t, a, b, ic, rc)
	const size = 8 << 20
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i>>16 ^ i>>8 ^ i)
	}
	var timeouts atomic.Int32
	go func() {
		for rest := data; len(rest) > 0; {
			client.SetWriteDeadline(time.Now().Add(time.Millisecond))
			n, err := client.Write(rest[:min(len(rest), 500<<10)])
			rest = rest[n:]
			if errors.Is(err, os.ErrDeadlineExceeded) {
				timeouts.Add(1)
			} else if err != nil {
				t.Error(err)
				break
			}
		}
		client.SetWriteDeadline(time.Time{}) // what was left behind follows by itself
		client.CloseWrite()
	}()
	var got []byte
	p := make([]byte, 100<<10)
	for {
		n, err := server.Read(p)
		got = append(got, p[:n]...)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(got)%(1<<20) < 200<<10 {
			time.Sleep(3 * time.Millisecond) // let the socket fill up
		}
	}
	if !bytes.Equal(got, data) {
		t.Errorf("%d octets arrive, %d were sent, or they differ", len(got), len(data))
	}
	within(t, "an update", func() { // which is due since the first 100 KiB
		for client.ConnectionState().Epoch == 1 {
			time.Sleep(time.Millisecond)
		}
	})
	t.Logf("%d timeouts", timeouts.Load())
}

func TestWhatADeadlineLeftBehindFollowsByItself(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	a, b := net.Pipe()
	late := &actingConn{Conn: a, act: func() {}}
	client, server := connect(t, late, b, ic, rc)
	leaveBehind(t, client, late, "late")
	if n, err := client.Write([]byte("later")); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("Write after the deadline: %d, %v; want 0 and os.ErrDeadlineExceeded", n, err)
	}
	if err := client.SetWriteDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 4)
	if _, err := io.ReadFull(server, got); err != nil || string(got) != "late" {
		t.Fatalf("%q, %v", got, err)
	}
}

func TestReadDeadlineInTheMiddleOfARecordLosesNothing(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	a, b := net.Pipe()
	client, server := connect(t, a, b, ic, rc)
	client.sender.mu.Lock()
	client.sender.room(1)
	if err := client.sender.seal(23, []byte("in two pieces")); err != nil {
		t.Fatal(err)
	}
	rec := bytes.Clone(client.sender.out)
	client.sender.rest()
	client.sender.mu.Unlock()
	for _, cut := range []int{3, 20} {
		written := make(chan struct{})
		go func() {
			defer close(written)
			a.Write(rec[:cut])
		}()
		for there := false; !there; {
			server.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
			if n, err := server.Read(make([]byte, 100)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("%d, %v", n, err)
			}
			select {
			case <-written:
				there = true
			default: // a deadline came first
			}
		}
		rec = rec[cut:]
	}
	server.SetReadDeadline(time.Time{})
	go a.Write(rec)
	got := make([]byte, 100)
	if n, err := server.Read(got); string(got[:n]) != "in two pieces" || err != nil {
		t.Fatalf("%q, %v", got[:n], err)
	}
}
