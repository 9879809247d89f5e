package netsim

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// sent is what goes through the networks of these tests.
var sent = func() []byte {
	p := make([]byte, 3000)
	for i := range p {
		p[i] = byte(i ^ i>>8*31)
	}
	return p
}()

// tcpPair returns the two ends of a TCP connection over loopback.
func tcpPair(t *testing.T) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return a, b
}

// newTCP is NewStreamPipe over loopback.
func newTCP(t *testing.T, there, back []StreamFault) (a, b net.Conn, s *Stream) {
	t.Helper()
	a, near := tcpPair(t)
	far, b := tcpPair(t)
	t.Cleanup(func() {
		a.Close()
		b.Close()
	})
	return a, b, NewStream(near, far, there, back)
}

func seeded() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// ranges joins parts of what is sent.
func ranges(bounds ...int) (p []byte) {
	for i := 0; i < len(bounds); i += 2 {
		p = append(p, sent[bounds[i]:bounds[i+1]]...)
	}
	return p
}

func flipped(offset int, mask byte) []byte {
	p := bytes.Clone(sent)
	p[offset] ^= mask
	return p
}

// What each fault makes of a stream, whatever the size of the pieces in which it is written.
func TestFaults(t *testing.T) {
	for name, c := range map[string]struct {
		faults func() []StreamFault
		want   []byte
	}{
		"none":                {func() []StreamFault { return nil }, sent},
		"split":               {func() []StreamFault { return []StreamFault{Split(1)} }, sent},
		"rechunk":             {func() []StreamFault { return []StreamFault{Rechunk(seeded(), 500)} }, sent},
		"delay":               {func() []StreamFault { return []StreamFault{DelayOctets(time.Millisecond)} }, sent},
		"stall":               {func() []StreamFault { return []StreamFault{StallAt(1700, time.Hour)} }, sent},
		"flip":                {func() []StreamFault { return []StreamFault{FlipAt(1234, 0x81)} }, flipped(1234, 0x81)},
		"flip the first":      {func() []StreamFault { return []StreamFault{FlipAt(0, 1)} }, flipped(0, 1)},
		"flip the last":       {func() []StreamFault { return []StreamFault{FlipAt(2999, 1)} }, flipped(2999, 1)},
		"flip what is not":    {func() []StreamFault { return []StreamFault{FlipAt(3000, 1)} }, sent},
		"drop":                {func() []StreamFault { return []StreamFault{DropOctets(100, 1000)} }, ranges(0, 100, 1100, 3000)},
		"drop the end":        {func() []StreamFault { return []StreamFault{DropOctets(2900, 100)} }, ranges(0, 2900)},
		"duplicate":           {func() []StreamFault { return []StreamFault{DuplicateOctets(100, 1000)} }, ranges(0, 1100, 100, 3000)},
		"duplicate all":       {func() []StreamFault { return []StreamFault{DuplicateOctets(0, 3000)} }, ranges(0, 3000, 0, 3000)},
		"duplicate, too late": {func() []StreamFault { return []StreamFault{DuplicateOctets(2900, 200)} }, sent},
		"swap":                {func() []StreamFault { return []StreamFault{SwapOctets(10, 400)} }, ranges(0, 10, 410, 810, 10, 410, 810, 3000)},
		"half-closed":         {func() []StreamFault { return []StreamFault{CutAt(1001, CutHalfClosed)} }, ranges(0, 1001)},
		"half-closed at once": {func() []StreamFault { return []StreamFault{CutAt(0, CutHalfClosed)} }, nil},
		"several": {func() []StreamFault {
			return []StreamFault{DropOctets(0, 1000), Rechunk(seeded(), 100), FlipAt(500, 1), Split(7), FlipAt(500, 1), CutAt(1000, CutHalfClosed)}
		}, ranges(1000, 2000)},
	} {
		for _, size := range []int{1, 100, len(sent)} {
			synctest.Test(t, func(t *testing.T) {
				a, b, s := NewStreamPipe(c.faults(), nil)
				go func() {
					for p := sent; len(p) > 0; p = p[size:] {
						a.Write(p[:size])
					}
					a.Close()
				}()
				if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, c.want) {
					t.Errorf("%s, written by %d: %d octets arrive, want %d, or others; %v", name, size, len(got), len(c.want), err)
				}
				b.Close()
				s.Close()
			})
		}
	}
}

// pieces is what single calls of Read return.
func pieces(c net.Conn) (sizes []int) {
	p := make([]byte, 10_000)
	for {
		n, err := c.Read(p)
		if err != nil {
			return sizes
		}
		sizes = append(sizes, n)
	}
}

func TestPiecesAreOtherOnes(t *testing.T) {
	read := func(f StreamFault, size int) (sizes []int) {
		synctest.Test(t, func(t *testing.T) {
			a, b, s := NewStreamPipe([]StreamFault{DelayOctets(time.Second), f}, nil)
			go func() {
				for p := sent; len(p) > 0; p = p[size:] {
					a.Write(p[:size])
				}
				a.Close()
			}()
			sizes = pieces(b)
			s.Close()
		})
		return sizes
	}
	if n := len(read(Split(1), 100)); n != len(sent) {
		t.Errorf("%d pieces of one octet", n)
	}
	together, smaller := false, false
	for _, n := range read(Rechunk(seeded(), 500), 10) {
		together = together || n > 10
		smaller = smaller || n < 10
		if n > 500 {
			t.Errorf("a piece of %d octets, want 500 at most", n)
		}
	}
	if !together || !smaller {
		t.Errorf("pieces are larger than what was written: %t, smaller: %t; want both", together, smaller)
	}
	first, second := read(Rechunk(seeded(), 500), len(sent)), read(Rechunk(seeded(), 500), len(sent))
	if len(first) != len(second) || first[3] != second[3] {
		t.Errorf("with the same seed %v and %v", first, second)
	}
}

func TestTimePasses(t *testing.T) {
	for name, f := range map[string]StreamFault{"delay": DelayOctets(time.Hour), "stall": StallAt(0, time.Hour)} {
		synctest.Test(t, func(t *testing.T) {
			a, b, s := NewStreamPipe([]StreamFault{f}, nil)
			defer s.Close()
			start := time.Now()
			a.Write([]byte("x"))
			if _, err := b.Read(make([]byte, 1)); err != nil || time.Since(start) != time.Hour {
				t.Errorf("%s: after %v, %v", name, time.Since(start), err)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		a, b, s := NewStreamPipe([]StreamFault{StallAt(3, Forever)}, nil)
		a.Write(sent)
		got := make([]byte, 10)
		n, _ := io.ReadAtLeast(b, got, 3)
		b.SetReadDeadline(time.Now().Add(1000 * time.Hour))
		if _, err := b.Read(got); n != 3 || err == nil {
			t.Errorf("%d octets come through, and then %v", n, err)
		}
		s.Close() // ends the wait
		if there, back := s.Carried(); there != int64(len(sent)) || back != 0 {
			t.Errorf("carried %d and %d octets", there, back)
		}
	})
}

// An end can write a lot that nobody reads, and not without bound.
func TestRoomIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _, s := NewStreamPipe(nil, nil)
		n := 0
		for {
			a.SetWriteDeadline(time.Now().Add(time.Hour))
			k, err := a.Write(sent)
			if n += k; err != nil {
				break
			}
		}
		if n < streamRoom || n > 3*streamRoom {
			t.Errorf("%d octets fit in", n)
		}
		s.Close()
	})
}

func TestHowANetworkEnds(t *testing.T) {
	before := runtime.NumGoroutine()
	for _, c := range []struct {
		how  Cut
		want error
	}{{CutClosed, io.EOF}, {CutReset, syscall.ECONNRESET}, {CutHalfClosed, io.EOF}} {
		a, b, s := newTCP(t, []StreamFault{CutAt(5, c.how)}, nil)
		if _, err := a.Write([]byte("hello, world")); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 10)
		n := 0
		var err error
		for err == nil {
			var k int
			k, err = b.Read(got[n:])
			n += k
		}
		if n > 5 || c.how != CutReset && n != 5 || !errors.Is(err, c.want) {
			t.Errorf("%v: %d octets, %v; want %v", c.how, n, err, c.want)
		}
		if c.how == CutHalfClosed {
			if _, err := b.Write([]byte("back")); err != nil {
				t.Error(err)
			}
			if _, err := io.ReadFull(a, got[:4]); err != nil || string(got[:4]) != "back" {
				t.Errorf("the way back: %q, %v", got[:4], err)
			}
		} else if _, err := io.ReadFull(a, got[:4]); err == nil {
			t.Errorf("%v: the way back goes on", c.how)
		}
		a.Close()
		b.Close()
		s.Wait()
	}
	for range 3000 { // half a minute
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}

// Both directions are carried at once, each through its own faults, and end one by one.
func TestBothDirections(t *testing.T) {
	a, b, s := newTCP(t, []StreamFault{FlipAt(0, 1)}, []StreamFault{FlipAt(1, 1)})
	for _, c := range []net.Conn{a, b} {
		go func() {
			c.Write(sent)
			c.(*net.TCPConn).CloseWrite()
		}()
	}
	if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, flipped(0, 1)) {
		t.Errorf("there: other octets, or %v", err)
	}
	if got, err := io.ReadAll(a); err != nil || !bytes.Equal(got, flipped(1, 1)) {
		t.Errorf("back: other octets, or %v", err)
	}
	s.Wait()
}
