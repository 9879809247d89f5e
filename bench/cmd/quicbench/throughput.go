package main

import (
	"errors"

	"github.com/mendlink/mendlink/bench/internal/measure"
	"github.com/mendlink/mendlink/bench/internal/report"
	"github.com/mendlink/mendlink/bench/internal/traffic"
)

const mebibyte = 1 << 20

// A transfer is a way to send a mebibyte over one stream and to receive it.
type transfer struct {
	name   string
	write  int // octets at once
	copies bool
}

const readSize = 64 << 10

var transfers = []transfer{
	{name: "1 MiB writes", write: mebibyte},
	{name: "64 KiB writes", write: 64 << 10},
	{name: "io.Copy", write: 32 << 10, copies: true},
}

// measure compares the CPU time that a mebibyte takes, and counts allocations.
func (t transfer) measure(l *lab) ([]report.Finding, error) {
	links, done, err := l.links(classical)
	if err != nil {
		return nil, err
	}
	defer done()
	var subjects []measure.Subject
	for _, k := range links {
		from, to, err := k.openPair()
		if err != nil {
			return nil, err
		}
		subjects = append(subjects, t.over(from, to))
	}
	series, err := measure.Rounds(l.rounds, l.batch, subjects)
	if err != nil {
		return nil, err
	}
	speed := func(s measure.Series) float64 { return mebibyte / 1e6 / s.Median().CPU.Seconds() }
	allocs := func(s measure.Series) float64 { return s.Median().Allocs * float64(t.write) / mebibyte }
	ratio := measure.Ratio(series[1], series[0], measure.CPU)
	name := "throughput, " + t.name
	return []report.Finding{
		{
			Row:  report.Row{Name: name, Unit: "MB/CPU s", Ours: speed(series[0]), Peer: speed(series[1]), PeerName: quicGo, Ratio: ratio},
			Goal: &report.Goal{Text: name, AtLeast: true, Limit: 0.87, Measured: ratio},
		},
		{Row: report.Row{Name: name, Unit: "allocs/op", Ours: allocs(series[0]), Peer: allocs(series[1]), PeerName: quicGo}},
	}, nil
}

// openPair returns the two ends of a stream from the client.
func (l *link) openPair() (from, to stream, err error) {
	if from, err = l.client.open(); err != nil {
		return nil, nil, err
	}
	if _, err = from.Write([]byte{0}); err != nil { // else there is nothing to accept
		return nil, nil, err
	}
	if to, err = l.server.accept(); err != nil {
		return nil, nil, err
	}
	return from, to, traffic.Read(to, make([]byte, 1), 1)
}

// over returns the transfer over a stream, as an operation of one mebibyte.
func (t transfer) over(from, to stream) measure.Op {
	return func(n int) (func() error, error) {
		in, out := make([]byte, readSize), make([]byte, t.write)
		octets := int64(n) * mebibyte
		return func() error {
			sent := make(chan error, 1)
			go func() {
				if t.copies {
					sent <- traffic.Copy(from, octets)
				} else {
					sent <- traffic.Write(from, out, octets)
				}
			}()
			var err error
			if t.copies {
				err = traffic.Drain(to, octets)
			} else {
				err = traffic.Read(to, in, octets)
			}
			return errors.Join(err, <-sent)
		}, nil
	}
}
