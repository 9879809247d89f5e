package netconn

import (
	"io"
	"runtime"
	"testing"
	"time"
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

// The heap that a pair of idle connections needs, transports included. With buffers
// of a connection's own it would be several times as much.
func TestMemoryOfIdleConnections(t *testing.T) {
	if raceEnabled {
		t.Log("the race detector has needs of its own")
		return
	}
	const pairs, limit = 200, 16 << 10
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // the second one empties the pools
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	ic, rc := newConfigs(t)
	before := heap()
	for range pairs {
		a, b := tcpPair(t)
		client, server := connect(t, a, b, ic, rc)
		stream(t, client, server, 64<<10, 64<<10, 64<<10)
		stream(t, server, client, 64<<10, 64<<10, 64<<10)
		go client.Read(make([]byte, 1))
		go server.Read(make([]byte, 1))
	}
	each := (heap() - before) / (2 * pairs)
	t.Logf("%d octets for each end", each)
	if each > limit {
		t.Errorf("%d octets for each end, the limit is %d", each, limit)
	}
}
