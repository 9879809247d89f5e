package main

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/mendlink/mendlink/bench/internal/measure"
	"github.com/mendlink/mendlink/bench/internal/report"
)

// measureIdle compares the memory of ends on which nothing happens after the handshake.
func (c *class) measureIdle(l *lab) ([]report.Finding, error) {
	const most = 5 // there is little that disturbs it
	var costs [2][]idleCost
	for range min(l.rounds, most) {
		for i, contestant := range l.contestants {
			cost, err := c.idle(contestant, l.options)
			if err != nil {
				return nil, err
			}
			costs[i] = append(costs[i], cost)
		}
	}
	name := fmt.Sprintf("idle end, %s", c.name)
	figure := func(what, unit string, of func(idleCost) float64) report.Finding {
		ours, theirs := measure.Median(costs[0], of), measure.Median(costs[1], of)
		return report.Finding{Row: report.Row{Name: name + what, Unit: unit, Ours: ours, Peer: theirs, PeerName: quicGo, Ratio: theirs / ours}}
	}
	whole := figure("", "KiB", func(c idleCost) float64 { return c.heap + c.stack })
	whole.Goal = &report.Goal{Text: name + ", memory in terms of quic-go's", Limit: 1.25, Measured: whole.Ours / whole.Peer}
	return []report.Finding{
		whole,
		figure(", of which heap", "KiB", func(c idleCost) float64 { return c.heap }),
		figure(", of which stack", "KiB", func(c idleCost) float64 { return c.stack }),
		figure("", "goroutines", func(c idleCost) float64 { return c.goroutines }),
	}, nil
}

// An idleCost is what one end needs.
type idleCost struct {
	heap, stack float64 // in KiB
	goroutines  float64
}

// idle makes as many connections over two sockets of their own.
func (c *class) idle(contestant func(*class) (*network, error), o *options) (cost idleCost, err error) {
	n, err := contestant(c)
	if err != nil {
		return cost, err
	}
	defer func() { err = errors.Join(err, n.close()) }()
	links := make([]*link, 0, o.conns)
	defer func() {
		for _, k := range links {
			k.close()
		}
	}()
	first, err := n.connect() // what the first one needs is there for all
	if err != nil {
		return cost, err
	}
	defer first.close()
	time.Sleep(settling)
	goroutines := runtime.NumGoroutine()
	heap, stack := measure.MemoryInUse()
	for len(links) < cap(links) {
		k, err := n.connect()
		if err != nil {
			return cost, err
		}
		links = append(links, k)
	}
	time.Sleep(2 * settling)
	ends := float64(2 * len(links))
	cost.goroutines = float64(runtime.NumGoroutine()-goroutines) / ends
	heapAfter, stackAfter := measure.MemoryInUse()
	cost.heap, cost.stack = (heapAfter-heap)/1024/ends, (stackAfter-stack)/1024/ends
	return cost, measure.WriteMemory(o.heapProfile)
}
