package main

import (
	"fmt"

	"github.com/mendlink/mendlink/bench/internal/channels"
	"github.com/mendlink/mendlink/bench/internal/measure"
	"github.com/mendlink/mendlink/bench/internal/report"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// The suites of sessions of two groups, and of those that they are compared to.
const (
	classical = ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519
	pure      = ciphersuite.MLS_128_MLKEM768_AES256GCM_SHA384_Ed25519
	hybrid    = ciphersuite.MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519
)

// allowed is the goal: what an hour may cost in terms of a classical one.
const allowed = 1.3

// A contestant is a kind of sessions, of which an hour is measured.
type contestant struct {
	name string
	pair *channels.Pair
	full int // which of the updates are full; 0: none is anything else
}

// contestants returns ours first.
func (o *options) contestants() ([]contestant, error) {
	_, full := o.updates()
	two, err := channels.NewAPQPair(classical, pure)
	if err != nil {
		return nil, err
	}
	list := []contestant{{"two groups", two, full}}
	if o.alone {
		return list, nil
	}
	for _, c := range []struct {
		name  string
		suite ciphersuite.ID
	}{{"classical", classical}, {"hybrid", hybrid}} {
		pair, err := channels.NewPair(c.suite, true)
		if err != nil {
			return nil, err
		}
		list = append(list, contestant{c.name, pair, 0})
	}
	return list, nil
}

// measure measures all contestants in turn.
func (o *options) measure() (report.Findings, error) {
	list, err := o.contestants()
	if err != nil {
		return nil, err
	}
	n, _ := o.updates()
	subjects := make([]measure.Subject, len(list))
	octets := make([]float64, len(list))
	for i, c := range list {
		op, err := c.pair.Hours(n, c.full)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		subjects[i] = op
		wire, err := c.pair.HourOnTheWire(n, c.full)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		octets[i] = float64(wire)
	}
	series, err := measure.Rounds(o.rounds, o.batch, subjects)
	if err != nil {
		return nil, err
	}
	return findings(list, series, octets), nil
}

// findings compares the first contestant to the others. A ratio of more than one says that the first
// is better.
func findings(list []contestant, series []measure.Series, octets []float64) (fs report.Findings) {
	millis := func(s measure.Series) float64 { return float64(s.Median().CPU.Microseconds()) / 1000 }
	for i, c := range list[1:] {
		other := i + 1
		cpu := measure.Ratio(series[0], series[other], measure.CPU)
		wire := octets[0] / octets[other]
		rows := []report.Finding{
			{Row: report.Row{Name: "an hour", Unit: "ms of CPU time", Ours: millis(series[0]), Peer: millis(series[other]), PeerName: c.name, Ratio: 1 / cpu}},
			{Row: report.Row{Name: "an hour", Unit: "kB on the wire", Ours: octets[0] / 1000, Peer: octets[other] / 1000, PeerName: c.name, Ratio: 1 / wire}},
			{Row: report.Row{Name: "an hour", Unit: "kB allocated", Ours: series[0].Median().Bytes / 1000, Peer: series[other].Median().Bytes / 1000, PeerName: c.name,
				Ratio: series[other].Median().Bytes / series[0].Median().Bytes}},
		}
		if c.name == "classical" {
			rows[0].Goal = &report.Goal{Text: "CPU time of an hour, to a classical suite", Limit: allowed, Measured: cpu}
			rows[1].Goal = &report.Goal{Text: "octets of an hour, to a classical suite", Limit: allowed, Measured: wire}
		}
		fs = append(fs, rows...)
	}
	return fs
}
