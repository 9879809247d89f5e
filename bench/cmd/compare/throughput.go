package main

import (
	"errors"
	"net"
	"time"

	"github.com/mendlink/mendlink/bench/internal/measure"
	"github.com/mendlink/mendlink/bench/internal/report"
	"github.com/mendlink/mendlink/bench/internal/traffic"
	"github.com/mendlink/mendlink/netconn"
)

const mebibyte = 1 << 20

// A transfer is a way to send and to receive a mebibyte, in one direction or in both.
type transfer struct {
	name    string
	write   int // octets at once
	read    int // at most, at once
	copies  bool
	duplex  bool
	goal    float64 // 0: none
	options []func(*netconn.Config)
}

const readSize = 64 << 10

var transfers = []transfer{
	{name: "1 MiB writes", write: mebibyte, read: readSize, goal: 1.4},
	{name: "io.Copy", write: 32 << 10, read: 32 << 10, copies: true, goal: 1.4},
	{name: "16 KiB writes", write: 16 << 10, read: readSize, goal: 1.3},
	{name: "1 KiB writes", write: 1 << 10, read: readSize, goal: 1.1},
	{name: "1 KiB writes, coalesced", write: 1 << 10, read: readSize, goal: 5, options: coalesced},
	{name: "1 MiB writes, pipelined", write: mebibyte, read: readSize, options: pipelined},
	{name: "full duplex, 1 MiB writes", write: mebibyte, read: readSize, duplex: true, goal: 1.2},
}

// coalesced lets writes wait for others. The transfer flushes at its end.
var coalesced = []func(*netconn.Config){func(c *netconn.Config) { c.CoalesceDelay = 5 * time.Millisecond }}

// pipelined lets one batch be sealed while the one before is sent.
var pipelined = []func(*netconn.Config){func(c *netconn.Config) { c.PipelineWrites = true }}

// measure compares the CPU time and the time that a mebibyte takes, and counts allocations.
func (t transfer) measure(l *lab) ([]report.Finding, error) {
	ours, theirs, err := l.links(t.options...)
	if err != nil {
		return nil, err
	}
	defer ours.close()
	defer theirs.close()
	bare, err := bareLink(l.dialer)
	if err != nil {
		return nil, err
	}
	defer bare.close()
	series, err := measure.Rounds(l.rounds, l.batch, []measure.Subject{t.over(ours), t.over(theirs), t.over(bare)})
	if err != nil {
		return nil, err
	}
	var allocs [2]float64
	for i, k := range []*link{ours, theirs} {
		if allocs[i], err = t.allocations(k, l.warm); err != nil {
			return nil, err
		}
	}
	octets := float64(mebibyte)
	if t.duplex {
		octets *= 2
	}
	speed := func(s measure.Series) float64 { return octets / 1e6 / s.Median().CPU.Seconds() }
	pace := func(s measure.Series) float64 { return octets / 1e6 / s.Median().Wall.Seconds() }
	ratio := measure.Ratio(series[1], series[0], measure.CPU)
	name := "throughput, " + t.name
	findings := []report.Finding{
		{
			Row:  report.Row{Name: name, Unit: "MB/CPU s", Ours: speed(series[0]), Peer: speed(series[1]), PeerName: cryptoTLS, Ratio: ratio},
			Goal: &report.Goal{Text: name, AtLeast: true, Limit: t.goal, Measured: ratio},
		},
		// Without a goal: on a machine that does other things as well, whoever keeps more threads
		// busy gets more of it.
		{Row: report.Row{Name: name + ", wall clock", Unit: "MB/s", Ours: pace(series[0]), Peer: pace(series[1]), PeerName: cryptoTLS, Ratio: measure.Ratio(series[1], series[0], measure.Wall)}},
		{
			Row:  report.Row{Name: name, Unit: "allocs/op", Ours: allocs[0], Peer: allocs[1], PeerName: cryptoTLS},
			Goal: noAllocations(name, allocs[0]),
		},
	}
	if t.goal == 0 {
		for i := range findings {
			findings[i].Goal = nil
		}
	}
	if t.options == nil { // what is coalesced does with fewer system calls than there are Writes
		findings = append(findings, report.Finding{
			Row: report.Row{Name: name + besideBare, Unit: "MB/CPU s", Ours: speed(series[0]), Peer: speed(series[2]), PeerName: bareName, Ratio: measure.Ratio(series[2], series[0], measure.CPU)},
		})
	}
	return findings, nil
}

// allocations returns how often a link allocates for each Write, and for the Reads that belong to it, while n
// mebibytes flow over it. As many have before: what a garbage collection takes, buffers in pools and
// expanded keys, is there again then.
func (t transfer) allocations(k *link, n int) (each float64, err error) {
	run, err := t.over(k)(n)
	if err != nil {
		return 0, err
	}
	if err := run(); err != nil {
		return 0, err
	}
	before := measure.Mallocs()
	err = run()
	calls := n * mebibyte / t.write
	if t.duplex {
		calls *= 2
	}
	return float64(measure.Mallocs()-before) / float64(calls), err
}

// noAllocations is the goal that an operation does not allocate. A few may be counted, as
// goroutines begin.
func noAllocations(name string, each float64) *report.Goal {
	return &report.Goal{Text: name + ", allocations per operation", Limit: 0.5, Measured: each}
}

// over returns the transfer over a link, as an operation of one mebibyte.
func (t transfer) over(l *link) measure.Op {
	return func(n int) (func() error, error) {
		in, out := t.buffers(t.read), t.buffers(t.write)
		return func() error {
			octets := int64(n) * mebibyte
			ends := [][2]net.Conn{{l.client, l.server}}
			if t.duplex {
				ends = append(ends, [2]net.Conn{l.server, l.client})
			}
			done := make(chan error)
			for i, e := range ends {
				go func() { done <- t.send(e[0], out[i], octets) }()
				go func() { done <- t.receive(e[1], in[i], octets) }()
			}
			var errs []error
			for range 2 * len(ends) {
				errs = append(errs, <-done)
			}
			return errors.Join(errs...)
		}, nil
	}
}

// buffers returns what the application needs, which is not what is measured.
func (t transfer) buffers(size int) (b [2][]byte) {
	for i := range b {
		b[i] = make([]byte, size)
	}
	return b
}

func (t transfer) send(to net.Conn, p []byte, octets int64) error {
	if t.copies {
		return traffic.Copy(to, octets)
	}
	if err := traffic.Write(to, p, octets); err != nil {
		return err
	}
	return flush(to)
}

func (t transfer) receive(from net.Conn, p []byte, octets int64) error {
	if t.copies {
		return traffic.Drain(from, octets)
	}
	return traffic.Read(from, p, octets)
}

// flush sends what a connection that coalesces writes has kept.
func flush(c net.Conn) error {
	if f, ok := c.(interface{ Flush() error }); ok {
		return f.Flush()
	}
	return nil
}
