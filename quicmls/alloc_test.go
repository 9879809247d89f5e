package quicmls

import (
	"fmt"
	"testing"
)

// Reading and writing allocate nothing in this package, once the stream's key is there.
func TestSteadyStateAllocatesNothing(t *testing.T) {
	for _, size := range []int{1, 100, 1 << 10, 16 << 10, 100_000, 1 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			checkGoroutines(t)
			client, _ := newConnPair(t)
			f := newFakeStream(t, client)
			p, got := make([]byte, size), make([]byte, size)
			f.quic.octets = make([]byte, 0, 2*size+4096)
			room := f.quic.octets
			once := func() {
				f.quic.octets = room
				if n, err := f.send.Write(p); n != size || err != nil {
					t.Fatalf("%d, %v", n, err)
				}
				for n := 0; n < size; {
					k, err := f.receive.Read(got[n:])
					if n += k; err != nil {
						t.Fatal(err)
					}
				}
			}
			once()
			var allocs float64
			for range 20 { // QUIC's goroutines allocate now and then
				if allocs = testing.AllocsPerRun(10, once); allocs == 0 {
					return
				}
			}
			if !raceEnabled {
				t.Errorf("%v allocations", allocs)
			}
		})
	}
}

// A large Write is given to the QUIC stream in few pieces, and what was written together is read
// together.
func TestFewQUICWrites(t *testing.T) {
	checkGoroutines(t)
	client, _ := newConnPair(t)
	f := newFakeStream(t, client)
	for _, c := range []struct{ size, writes int }{{1, 1}, {2000, 1}, {16 << 10, 1}, {64 << 10, 1}, {128 << 10, 2}, {1 << 20, 9}} {
		f.quic.writes = 0
		if _, err := f.send.Write(make([]byte, c.size)); err != nil {
			t.Fatal(err)
		}
		if f.quic.writes > c.writes {
			t.Errorf("%d octets in %d writes, at most %d wanted", c.size, f.quic.writes, c.writes)
		}
		f.quic.octets = nil
	}
}
