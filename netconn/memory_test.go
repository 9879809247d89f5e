package netconn

import (
	"errors"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// An idle connection with a parked Read holds no buffer, even after bulk traffic.
func TestAnIdleConnectionHoldsNoBuffer(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	stream(t, client, server, 1<<20, 100<<10, 100<<10)
	go io.Copy(io.Discard, server)
	update(t, client)
	// The receiver's lock is held by the parked Read, which is what we want to look at.
	within(t, "coming to rest", func() {
		for server.receiver.readers.Load() == 0 {
			time.Sleep(time.Millisecond)
		}
	})
	for _, c := range []*Conn{client, server} {
		c.sender.mu.Lock()
		if c.sender.buf != nil || c.sender.out != nil {
			t.Error("the sender holds a buffer")
		}
		c.sender.mu.Unlock()
	}
	client.receiver.mu.Lock()
	if client.receiver.source.buf != nil || client.receiver.ahead.data != nil {
		t.Error("the receiver holds a buffer")
	}
	client.receiver.mu.Unlock()
}

// The heap that an idle end needs, the TCP connection and the goroutine in Read included: after
// 64 KiB each way, and after an update of each end. With buffers of its own, or with messages that
// it keeps because keys lie in them, it would be several times as much. The stack is 2 KiB for
// a goroutine that has only called Read, and 4 KiB for one that has met an update.
func TestMemoryOfIdleConnections(t *testing.T) {
	if raceEnabled {
		t.Log("the race detector has needs of its own")
		return
	}
	for _, c := range []struct {
		suite        ciphersuite.ID
		idle, healed int // limits, in octets
	}{
		{ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519, 7680, 8704},
		{ciphersuite.MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519, 9728, 12288},
	} {
		t.Run(c.suite.String(), func(t *testing.T) {
			const pairs = 200
			ic, rc := newConfigs(t)
			ic.Suites = []ciphersuite.ID{c.suite}
			rc.Suites = ic.Suites
			heapBefore, stackBefore := memoryInUse()
			ends := make([]*Conn, 0, 2*pairs)
			for range pairs {
				a, b := tcpPair(t)
				client, server := connect(t, a, b, ic, rc)
				received := make(chan error)
				for _, end := range []*Conn{client, server} {
					go func() {
						_, err := io.ReadFull(end, make([]byte, 64<<10))
						received <- err
						end.Read(make([]byte, 1))
					}()
				}
				for _, end := range []*Conn{client, server} {
					_, err := end.Write(make([]byte, 64<<10))
					if err := errors.Join(err, <-received); err != nil {
						t.Fatal(err)
					}
				}
				ends = append(ends, client, server)
			}
			check := func(when string, limit int) {
				t.Helper()
				heap, stack := memoryInUse()
				each := (heap - heapBefore) / len(ends)
				t.Logf("%d octets of heap for each end %s, %d of stack", each, when, (stack-stackBefore)/len(ends))
				if each > limit {
					t.Errorf("%d octets of heap for each end %s, the limit is %d", each, when, limit)
				}
			}
			check("after 64 KiB each way", c.idle)
			for _, end := range ends {
				update(t, end)
			}
			check("after an update of each end", c.healed)
		})
	}
}

// memoryInUse returns how much is on the heap and on stacks, in octets, once stacks have
// shrunk and pools are empty.
func memoryInUse() (heap, stack int) {
	const collections = 6 // each halves stacks that are too large
	for range collections {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc), int(m.StackInuse)
}
