package main

import (
	"errors"
	"time"

	"github.com/mendlink/mendlink/bench/internal/measure"
	"github.com/mendlink/mendlink/bench/internal/report"
	"github.com/mendlink/mendlink/netconn"
)

// measureRekeying compares links of ours that are rekeyed all the time to such that
// are not: how much CPU time a mebibyte takes, and how long messages take at most. Each turn has a
// new link, and lasts longer than the time between two updates.
func measureRekeying(l *lab) ([]report.Finding, error) {
	rekeyed, err := hybrid.ours(func(c *netconn.Config) { c.Rekey.Every = l.every })
	if err != nil {
		return nil, err
	}
	quiet, err := hybrid.ours()
	if err != nil {
		return nil, err
	}
	connectors := []connector{rekeyed, quiet}
	var series [2]measure.Series
	var latencies [2][]latency
	for range l.rounds {
		for i, connect := range connectors {
			cost, err := l.transferFor(connect, i == 0)
			if err != nil {
				return nil, err
			}
			series[i] = append(series[i], cost)
		}
		for i, connect := range connectors {
			lat, err := l.pingFor(connect, i == 0)
			if err != nil {
				return nil, err
			}
			latencies[i] = append(latencies[i], lat)
		}
	}
	const without = "mendlink without"
	ratio := measure.Ratio(series[1], series[0], measure.CPU)
	speed := func(s measure.Series) float64 { return mebibyte / 1e6 / s.Median().CPU.Seconds() }
	p99 := func(l latency) time.Duration { return l.P99 }
	longest := func(l latency) time.Duration { return l.Longest }
	micros := func(ls []latency, of func(latency) time.Duration) float64 {
		return measure.Median(ls, of).Seconds() * 1e6
	}
	rises := make([]float64, l.rounds)
	for i := range rises {
		rises[i] = (latencies[0][i].P99 - latencies[1][i].P99).Seconds() * 1000
	}
	rise := measure.Median(rises, func(ms float64) float64 { return ms })
	return []report.Finding{
		{
			Row:  report.Row{Name: "rekeying each second, 1 MiB writes", Unit: "MB/CPU s", Ours: speed(series[0]), Peer: speed(series[1]), PeerName: without, Ratio: ratio},
			Goal: &report.Goal{Text: "rekeying each second, throughput in terms of that without", AtLeast: true, Limit: 0.98, Measured: ratio},
		},
		{
			Row: report.Row{Name: "rekeying each second, ping-pong 1 KiB, p99", Unit: "us", Ours: micros(latencies[0], p99), Peer: micros(latencies[1], p99), PeerName: without,
				Ratio: latencyRatio(latencies[1], latencies[0], p99)},
			Goal: &report.Goal{Text: "rekeying each second, rise of p99 of ping-pong 1 KiB", Unit: " ms", Limit: 1, Measured: rise},
		},
		// Of the messages of a turn a few meet an update, which no percentile shows.
		{Row: report.Row{Name: "rekeying each second, ping-pong 1 KiB, longest", Unit: "us", Ours: micros(latencies[0], longest), Peer: micros(latencies[1], longest), PeerName: without,
			Ratio: latencyRatio(latencies[1], latencies[0], longest)}},
	}, nil
}

var errNoUpdate = errors.New("no update took place")

// patience is how long an update may take on a busy machine.
const patience = 20 * time.Second

// turn calls f with a new link until the next update, and half of the time to another, have
// passed.
func (l *lab) turn(connect connector, updates bool, f func(*link) error) error {
	k, err := connect(l.dialer)
	if err != nil {
		return err
	}
	defer k.close()
	start := time.Now()
	updated := func() bool { return !updates || k.client.(*netconn.Conn).ConnectionState().Epoch > 1 }
	for since := time.Duration(0); since < l.every*3/2 || !updated() && since < patience; since = time.Since(start) {
		if err := f(k); err != nil {
			return err
		}
	}
	if !updated() {
		return errNoUpdate
	}
	return nil
}

// transferFor returns what a mebibyte cost.
func (l *lab) transferFor(connect connector, updates bool) (measure.Cost, error) {
	op := transfers[0]
	var costs measure.Series
	err := l.turn(connect, updates, func(k *link) error {
		cost, err := op.over(k).Measure(max(1, int(l.batch/time.Millisecond)))
		costs = append(costs, cost)
		return err
	})
	return mean(costs), err
}

func mean(costs measure.Series) (m measure.Cost) {
	for _, c := range costs {
		m.CPU += c.CPU / time.Duration(len(costs))
		m.Wall += c.Wall / time.Duration(len(costs))
	}
	return m
}

// pingFor returns how long a message took to go to and fro.
func (l *lab) pingFor(connect connector, updates bool) (latency, error) {
	var times []time.Duration
	message := make([]byte, 1<<10)
	var stop func() error
	err := l.turn(connect, updates, func(k *link) error {
		if stop == nil {
			stop = echo(k, len(message))
		}
		start := time.Now()
		err := trip(k, message)
		times = append(times, time.Since(start))
		return err
	})
	if err != nil {
		return latency{}, err
	}
	return latency{Latency: measure.LatencyOf(times)}, nil
}
