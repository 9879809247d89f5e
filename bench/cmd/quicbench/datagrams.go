package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/mendlink/mendlink/bench/internal/measure"
	"github.com/mendlink/mendlink/bench/internal/report"
	"github.com/mendlink/mendlink/channel/record"
)

const datagramSize = 1100

// measureDatagrams compares how many datagrams arrive for each second of CPU time.
func measureDatagrams(l *lab) ([]report.Finding, error) {
	links, done, err := l.links(classical)
	if err != nil {
		return nil, err
	}
	defer done()
	ours, theirs := newDatagrams(links[0]), newDatagrams(links[1])
	series, err := measure.Rounds(l.rounds, l.batch, []measure.Subject{ours, theirs})
	if err != nil {
		return nil, err
	}
	rate := func(s measure.Series) float64 { return 1 / s.Median().CPU.Seconds() }
	allocs := func(s measure.Series) float64 { return s.Median().Allocs }
	ratio := measure.Ratio(series[1], series[0], measure.CPU)
	const name = "datagrams of 1100 B"
	return []report.Finding{
		{
			Row:  report.Row{Name: name, Unit: "received/CPU s", Ours: rate(series[0]), Peer: rate(series[1]), PeerName: quicGo, Ratio: ratio},
			Goal: &report.Goal{Text: name, AtLeast: true, Limit: 0.9, Measured: ratio},
		},
		{Row: report.Row{Name: name, Unit: "allocs/op", Ours: allocs(series[0]), Peer: allocs(series[1]), PeerName: quicGo}},
		{Row: report.Row{Name: name, Unit: "percent lost", Ours: ours.lost(), Peer: theirs.lost(), PeerName: quicGo}},
		{Row: report.Row{Name: "overhead of a datagram", Unit: "octets", Ours: record.DatagramOverhead, PeerName: quicGo}},
		{Row: report.Row{Name: "overhead of a record", Unit: "octets", Ours: record.StreamOverhead, PeerName: quicGo}},
	}, nil
}

// datagrams is the subject that sends datagrams over a link, as fast as it takes them. What
// is lost costs and does not count.
type datagrams struct {
	from           end
	sent, received atomic.Int64
}

func newDatagrams(l *link) *datagrams {
	d := &datagrams{from: l.client}
	go func() { // until the link is closed
		for {
			if _, err := l.server.ReceiveDatagram(context.Background()); err != nil {
				return
			}
			d.received.Add(1)
		}
	}()
	return d
}

// lost returns how much was lost so far, in percent.
func (d *datagrams) lost() float64 {
	return 100 * (1 - float64(d.received.Load())/float64(d.sent.Load()))
}

// Measure implements [measure.Subject].
func (d *datagrams) Measure(n int) (measure.Cost, error) {
	before := d.received.Load()
	send := measure.Op(func(n int) (func() error, error) {
		message := make([]byte, datagramSize)
		return func() error {
			for range n {
				if err := d.from.SendDatagram(message); err != nil {
					return err
				}
			}
			d.sent.Add(int64(n))
			d.settle(before + int64(n))
			return nil
		}, nil
	})
	cost, err := send.Measure(n)
	if err != nil {
		return cost, err
	}
	received := d.received.Load() - before
	if received == 0 {
		return cost, fmt.Errorf("nothing came of %d datagrams", n)
	}
	each := float64(n) / float64(received)
	return measure.Cost{
		CPU:    time.Duration(float64(cost.CPU) * each),
		Wall:   time.Duration(float64(cost.Wall) * each),
		Bytes:  cost.Bytes * each,
		Allocs: cost.Allocs * each,
	}, nil
}

// settle waits until so many were received, or no more come.
func (d *datagrams) settle(want int64) {
	const quiet = 20 * time.Millisecond
	for last := int64(-1); ; {
		now := d.received.Load()
		if now == want || now == last {
			return
		}
		last = now
		time.Sleep(quiet)
	}
}
