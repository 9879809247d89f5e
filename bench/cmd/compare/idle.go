package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"time"

	"github.com/mendlink/mendlink/bench/internal/measure"
	"github.com/mendlink/mendlink/bench/internal/report"
	"github.com/mendlink/mendlink/bench/internal/rivals"
)

// measureIdle compares the memory of ends over which 64 KiB went each way, and in which
// now a Read waits.
func (c *class) measureIdle(l *lab) ([]report.Finding, error) {
	connectOurs, err := c.ours()
	if err != nil {
		return nil, err
	}
	connectTheirs, err := c.theirs()
	if err != nil {
		return nil, err
	}
	ours, err := l.idle(connectOurs)
	if err != nil {
		return nil, err
	}
	theirs, err := l.idle(connectTheirs)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("idle end, %s", c.name)
	kibibytes := func(what string, ours, theirs float64) report.Finding {
		return report.Finding{Row: report.Row{Name: name + what, Unit: "KiB", Ours: ours, Peer: theirs, PeerName: cryptoTLS, Ratio: theirs / ours}}
	}
	whole := kibibytes("", ours.heap+ours.stack, theirs.heap+theirs.stack)
	whole.Goal = &report.Goal{Text: name + ", memory", Unit: " KiB", Limit: c.limit, Measured: whole.Ours}
	return []report.Finding{
		whole,
		kibibytes(", of which heap", ours.heap, theirs.heap),
		kibibytes(", of which stack", ours.stack, theirs.stack),
		{
			Row:  report.Row{Name: name, Unit: "goroutines", Ours: ours.goroutines, Peer: theirs.goroutines, PeerName: cryptoTLS},
			Goal: &report.Goal{Text: name + ", goroutines beside the one in Read", Limit: 0.001, Measured: ours.goroutines},
		},
	}, nil
}

// An idleCost is what one end needs, the transport and the goroutine that waits in Read included.
type idleCost struct {
	heap, stack float64 // in KiB
	goroutines  float64 // beside the one in Read
}

// idle makes as many ends as the options ask for. They have a listener of their own:
// what is left of closed connections would use up the port's.
func (l *lab) idle(connect connector) (cost idleCost, err error) {
	d, err := rivals.NewDialer()
	if err != nil {
		return cost, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	links := make([]*link, 0, l.conns/2)
	ended := make(chan struct{}, l.conns)
	defer func() {
		for _, k := range links {
			k.close()
		}
		for range 2 * len(links) {
			<-ended
		}
	}()
	goroutines := runtime.NumGoroutine()
	heap, stack := measure.MemoryInUse()
	for len(links) < l.conns/2 {
		k, err := connect(d)
		if err != nil {
			return cost, err
		}
		links = append(links, k)
		received := make(chan error, 2)
		for _, end := range []net.Conn{k.client, k.server} {
			go func() {
				defer func() { ended <- struct{}{} }()
				received <- readSome(end)
				end.Read(make([]byte, 1)) // nothing comes
			}()
		}
		some := make([]byte, exchanged)
		for _, end := range []net.Conn{k.client, k.server} {
			_, err := end.Write(some)
			if err := errors.Join(err, <-received); err != nil {
				return cost, err
			}
		}
	}
	time.Sleep(100 * time.Millisecond) // until all wait
	ends := float64(2 * len(links))
	cost.goroutines = float64(runtime.NumGoroutine()-goroutines)/ends - 1
	heapAfter, stackAfter := measure.MemoryInUse()
	cost.heap, cost.stack = (heapAfter-heap)/1024/ends, (stackAfter-stack)/1024/ends
	return cost, nil
}

const exchanged = 64 << 10

func readSome(c net.Conn) error {
	_, err := io.ReadFull(c, make([]byte, exchanged))
	return err
}
