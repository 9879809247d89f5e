package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/mendlink/mendlink/netconn"
)

// maxGrowth is by how much the heap may be larger at the end than after the first tenth.
const maxGrowth = 4 << 20

// manyUpdates has both ends of one connection update in turn while both stream.
func manyUpdates(w io.Writer, total int) error {
	client, server, err := connectPair()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	defer client.Close()
	defer server.Close()
	var streams sync.WaitGroup
	var sent [2]pattern
	var received [2]pattern
	ends := []*netconn.Conn{client, server}
	for i, c := range ends {
		streams.Go(func() { cancel(fmt.Errorf("end %d writes: %w", i, stream(ctx, c, &sent[i]))) })
		streams.Go(func() { cancel(fmt.Errorf("end %d reads: %w", i, verify(c, &received[i]))) })
	}
	var early, late usage
	start := time.Now()
	for n := range total {
		if err := ends[n%2].Update(ctx); err != nil {
			return errors.Join(err, context.Cause(ctx))
		}
		switch n + 1 {
		case max(1, total/10):
			early = usageNow()
		case total:
			late = usageNow()
		}
	}
	elapsed := time.Since(start)
	epoch := client.ConnectionState().Epoch
	// The writers stop, say so, and what they have written arrives.
	cancel(errDone)
	streams.Wait()
	if err := context.Cause(ctx); !errors.Is(err, errDone) {
		return err
	}
	fmt.Fprintf(w, "%d updates in %v on one connection, epoch %d; %d and %d MiB streamed meanwhile\n",
		total, elapsed.Round(time.Second), epoch, sent[0].at>>20, sent[1].at>>20)
	fmt.Fprintf(w, "heap %d KiB after a tenth, %d KiB at the end; goroutines %d and %d\n", early.heap>>10, late.heap>>10, early.goroutines, late.goroutines)
	switch {
	case sent[0].at != received[1].at || sent[1].at != received[0].at:
		return fmt.Errorf("%d and %d octets were sent, %d and %d received", sent[0].at, sent[1].at, received[1].at, received[0].at)
	case epoch != uint64(total)+1:
		return fmt.Errorf("epoch %d after %d updates", epoch, total)
	case late.heap > early.heap+maxGrowth || late.goroutines > early.goroutines+2:
		return errors.New("memory or goroutines have grown")
	}
	return nil
}

var errDone = errors.New("done")

// stream writes until ctx ends, and then says that no more comes.
func stream(ctx context.Context, c *netconn.Conn, p *pattern) error {
	chunk := make([]byte, 4<<10)
	for ctx.Err() == nil {
		p.fill(chunk)
		if _, err := c.Write(chunk); err != nil {
			return err
		}
	}
	if err := c.CloseWrite(); err != nil {
		return err
	}
	return errDone
}

// verify reads to the end of the stream.
func verify(c *netconn.Conn, p *pattern) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := c.Read(buf)
		if wrong := p.check(buf[:n]); wrong != nil {
			return wrong
		}
		if err == io.EOF {
			return errDone
		}
		if err != nil {
			return err
		}
	}
}

// connectPair returns the two ends of a connection.
func connectPair() (client, server *netconn.Conn, err error) {
	cc, sc, err := configs(0)
	if err != nil {
		return nil, nil, err
	}
	l, address, err := listen(sc)
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	accepted := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			server = c.(*netconn.Conn)
			err = server.Handshake()
		}
		accepted <- err
	}()
	client, err = netconn.Dial("tcp", address, cc)
	if err := errors.Join(err, <-accepted); err != nil {
		return nil, nil, err
	}
	// An update waits behind the data that is on its way: let that be little, so that there
	// are many of them.
	for _, c := range []*netconn.Conn{client, server} {
		tcp := c.NetConn().(*net.TCPConn)
		if err := errors.Join(tcp.SetReadBuffer(socketBuffer), tcp.SetWriteBuffer(socketBuffer)); err != nil {
			return nil, nil, err
		}
	}
	return client, server, nil
}

const socketBuffer = 32 << 10

// usage is what the process holds.
type usage struct {
	heap       uint64
	goroutines int
}

// usageNow returns the least of some looks: what a Read or an update has that is under way comes and goes.
func usageNow() usage {
	least := usage{math.MaxUint64, math.MaxInt}
	for range 10 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		least = usage{min(least.heap, m.HeapAlloc), min(least.goroutines, runtime.NumGoroutine())}
		time.Sleep(10 * time.Millisecond)
	}
	return least
}
