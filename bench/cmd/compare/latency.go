package main

import (
	"errors"
	"io"
	"time"

	"github.com/mendlink/mendlink/bench/internal/measure"
	"github.com/mendlink/mendlink/bench/internal/report"
)

// A pingPong is a message that goes to and fro.
type pingPong struct {
	name string
	size int
}

var pingPongs = []pingPong{{"1 B", 1}, {"1 KiB", 1 << 10}}

// slice is how many messages go to and fro over one link before it is another's
// turn: few, so that what disturbs the machine disturbs all, but so many that the first one,
// which finds nothing in the processor's caches, is not among the slowest hundredth.
const slice = 500

// A latency is how long messages took to go to and fro in a round.
type latency struct {
	measure.Latency
	allocs float64 // of a Write and of a Read
}

// measure compares how long a message takes to go to and fro.
func (p pingPong) measure(l *lab) ([]report.Finding, error) {
	ours, theirs, err := l.links()
	if err != nil {
		return nil, err
	}
	bare, err := bareLink(l.dialer)
	if err != nil {
		return nil, err
	}
	links := []*link{ours, theirs, bare}
	rounds := make([][]latency, len(links))
	stop := make([]func() error, len(links))
	for i := range links {
		stop[i] = echo(links[i], p.size)
	}
	for range l.rounds {
		round, err := p.round(links, l.trips)
		if err != nil {
			return nil, err
		}
		for i := range links {
			rounds[i] = append(rounds[i], round[i])
		}
	}
	if err := errors.Join(stop[0](), stop[1](), stop[2]()); err != nil {
		return nil, err
	}
	name := "ping-pong " + p.name
	mean := func(l latency) time.Duration { return l.Mean }
	micros := func(ls []latency, of func(latency) time.Duration) float64 {
		return measure.Median(ls, of).Seconds() * 1e6
	}
	compare := func(quantity string, limit float64, of func(latency) time.Duration) report.Finding {
		f := report.Finding{Row: report.Row{Name: name + ", " + quantity, Unit: "us", Ours: micros(rounds[0], of), Peer: micros(rounds[1], of), PeerName: cryptoTLS}}
		var inverse float64
		f.Ratio, inverse = latencyRatio(rounds[1], rounds[0], of), latencyRatio(rounds[0], rounds[1], of)
		f.Goal = &report.Goal{Text: name + ", " + quantity + ", in terms of crypto/tls's", Limit: limit, Measured: inverse}
		return f
	}
	allocs := func(ls []latency) float64 { return measure.Median(ls, func(l latency) float64 { return l.allocs }) }
	return []report.Finding{
		compare("mean", 0.95, mean),
		compare("p99", 1, func(l latency) time.Duration { return l.P99 }),
		{
			Row:  report.Row{Name: name, Unit: "allocs/op", Ours: allocs(rounds[0]), Peer: allocs(rounds[1]), PeerName: cryptoTLS},
			Goal: noAllocations(name, allocs(rounds[0])),
		},
		{Row: report.Row{Name: name + ", mean" + besideBare, Unit: "us", Ours: micros(rounds[0], mean), Peer: micros(rounds[2], mean), PeerName: bareName, Ratio: latencyRatio(rounds[2], rounds[0], mean)}},
	}, nil
}

// latencyRatio returns the median of what a is to b in the same round.
func latencyRatio(a, b []latency, of func(latency) time.Duration) float64 {
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = float64(of(a[i])) / float64(of(b[i]))
	}
	return measure.Median(ratios, func(r float64) float64 { return r })
}

// echo sends back what comes to the server of a link, until stop closes the link.
func echo(l *link, size int) (stop func() error) {
	done := make(chan error, 1)
	go func() {
		p := make([]byte, size)
		for {
			if _, err := io.ReadFull(l.server, p); err != nil {
				done <- err
				return
			}
			if _, err := l.server.Write(p); err != nil {
				done <- err
				return
			}
		}
	}()
	return func() error {
		l.client.Close()
		err := <-done
		l.server.Close()
		if err == io.EOF {
			return nil
		}
		return err
	}
}

// round lets so many messages go to and fro over each link, in turns.
func (p pingPong) round(links []*link, trips int) ([]latency, error) {
	times := make([][]time.Duration, len(links))
	mallocs := make([]uint64, len(links))
	for i := range times {
		times[i] = make([]time.Duration, 0, trips+slice)
	}
	message := make([]byte, p.size)
	for len(times[0]) < trips {
		for i, l := range links {
			before := measure.Mallocs()
			for range slice {
				start := time.Now()
				if err := trip(l, message); err != nil {
					return nil, err
				}
				times[i] = append(times[i], time.Since(start))
			}
			mallocs[i] += measure.Mallocs() - before
		}
	}
	round := make([]latency, len(links))
	for i, t := range times {
		const calls = 4 // of a trip: Write and Read at both ends
		round[i] = latency{measure.LatencyOf(t), float64(mallocs[i]) / float64(calls*len(t))}
	}
	return round, nil
}

func trip(l *link, message []byte) error {
	if _, err := l.client.Write(message); err != nil {
		return err
	}
	_, err := io.ReadFull(l.client, message)
	return err
}
