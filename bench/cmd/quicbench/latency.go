package main

import (
	"io"
	"time"

	"github.com/mendlink/mendlink/bench/internal/measure"
	"github.com/mendlink/mendlink/bench/internal/report"
)

const (
	messageSize = 1 << 10
	// slice is how many messages go to and fro over one stream before it is another's turn:
	// few, so that what disturbs the machine disturbs all, but so many that the first one, which finds
	// nothing in the processor's caches, is not among the slowest hundredth.
	slice = 250
)

// A latency is how long messages took to go to and fro in a round, and what else each took.
type latency struct {
	measure.Latency
	allocs float64
	octets float64 // on the wire
}

// measurePingPong compares how long a message takes to go to and fro on one stream.
func measurePingPong(l *lab) ([]report.Finding, error) {
	links, done, err := l.links(classical)
	if err != nil {
		return nil, err
	}
	defer done()
	var streams [2]stream
	for i, k := range links {
		from, to, err := k.openPair()
		if err != nil {
			return nil, err
		}
		streams[i] = from
		go echo(to) // until done closes it
	}
	var rounds [2][]latency
	for range l.rounds {
		round, err := pingPong(links, streams, l.trips)
		if err != nil {
			return nil, err
		}
		for i := range rounds {
			rounds[i] = append(rounds[i], round[i])
		}
	}
	const name = "request and response of 1 KiB"
	times := func(quantity string, of func(latency) time.Duration) report.Finding {
		micros := func(ls []latency) float64 { return measure.Median(ls, of).Seconds() * 1e6 }
		ratios, inverse := make([]float64, l.rounds), make([]float64, l.rounds)
		for i := range ratios {
			inverse[i] = float64(of(rounds[0][i])) / float64(of(rounds[1][i]))
			ratios[i] = 1 / inverse[i]
		}
		itself := func(r float64) float64 { return r }
		return report.Finding{
			Row: report.Row{Name: name + ", " + quantity, Unit: "us", Ours: micros(rounds[0]), Peer: micros(rounds[1]),
				PeerName: quicGo, Ratio: measure.Median(ratios, itself)},
			Goal: &report.Goal{Text: name + ", " + quantity + ", in terms of quic-go's", Limit: 1.06, Measured: measure.Median(inverse, itself)},
		}
	}
	counts := func(unit string, of func(latency) float64) report.Finding {
		return report.Finding{Row: report.Row{Name: name, Unit: unit, Ours: measure.Median(rounds[0], of), Peer: measure.Median(rounds[1], of), PeerName: quicGo}}
	}
	return []report.Finding{
		times("mean", func(l latency) time.Duration { return l.Mean }),
		times("median", func(l latency) time.Duration { return l.Median }),
		times("p99", func(l latency) time.Duration { return l.P99 }),
		counts("allocs/trip", func(l latency) float64 { return l.allocs }),
		counts("octets/trip", func(l latency) float64 { return l.octets }),
	}, nil
}

// echo sends back what comes, until the stream ends.
func echo(s stream) {
	p := make([]byte, messageSize)
	for {
		if _, err := io.ReadFull(s, p); err != nil {
			return
		}
		if _, err := s.Write(p); err != nil {
			return
		}
	}
}

// pingPong lets so many messages go to and fro on each stream, in turns.
func pingPong(links [2]*link, streams [2]stream, trips int) (round [2]latency, err error) {
	var times [2][]time.Duration
	message := make([]byte, messageSize)
	for i := range times {
		times[i] = make([]time.Duration, 0, trips+slice)
	}
	for len(times[0]) < trips {
		for i, s := range streams {
			mallocs, octets := measure.Mallocs(), links[i].octets()
			for range slice {
				start := time.Now()
				if _, err := s.Write(message); err != nil {
					return round, err
				}
				if _, err := io.ReadFull(s, message); err != nil {
					return round, err
				}
				times[i] = append(times[i], time.Since(start))
			}
			round[i].allocs += float64(measure.Mallocs() - mallocs)
			round[i].octets += links[i].octets() - octets
		}
	}
	for i, t := range times {
		n := float64(len(t))
		round[i] = latency{measure.LatencyOf(t), round[i].allocs / n, round[i].octets / n}
	}
	return round, nil
}
