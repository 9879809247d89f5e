package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mendlink/mendlink/bench/internal/report"
)

// kinds are what pgbench is made to do: its own mix of one read and four writes, or to read only.
var kinds = []struct {
	name string
	args []string
}{
	{"reading", []string{"-S"}},
	{"writing", nil},
}

// sample is what one way has done in one round.
type sample struct{ perSecond, cpu float64 } // cpu: of the tunnel, in us a transaction

// compare runs pgbench through all ways in turn, and sets mlstunnel beside the others.
func compare(ctx context.Context, b *bed, o *options) (findings report.Findings, err error) {
	ways, err := b.ways(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, w := range ways {
			err = errors.Join(err, w.close())
		}
	}()
	for _, kind := range kinds {
		samples := make([][]sample, len(ways))
		for range o.rounds {
			for i, w := range ways {
				s, err := measure(ctx, b.database, w, o, kind.args)
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", kind.name, w.name, err)
				}
				samples[i] = append(samples[i], s)
			}
		}
		findings = append(findings, compared(kind.name, ways, samples)...)
	}
	for _, w := range ways[2:] {
		_, _, updates, err := w.status(ctx, b)
		if err != nil {
			return nil, err
		}
		if updates == 0 {
			return nil, fmt.Errorf("%s has made no update", w.name)
		}
	}
	return findings, nil
}

func measure(ctx context.Context, d *database, w *way, o *options, args []string) (sample, error) {
	before, err := w.cpu()
	if err != nil {
		return sample{}, err
	}
	s, err := d.pgbench(ctx, w.address, o.clients, o.round, args...)
	if err != nil {
		return sample{}, err
	}
	after, err := w.cpu()
	if err != nil {
		return sample{}, err
	}
	if s.failed > 0 || s.aborted || s.transactions == 0 {
		return sample{}, fmt.Errorf("of %d transactions %d failed; connections lost: %v", s.transactions, s.failed, s.aborted)
	}
	return sample{s.perSecond, float64(after-before) / float64(time.Microsecond) / float64(s.transactions)}, nil
}

// compared returns the findings of one kind: the medians, and the medians of the ratios in each round.
func compared(kind string, ways []*way, samples [][]sample) (findings report.Findings) {
	rate := func(s sample) float64 { return s.perSecond }
	cost := func(s sample) float64 { return s.cpu }
	for i, w := range ways {
		for j, other := range ways[:min(i, 2)] {
			findings = append(findings, report.Finding{Row: report.Row{
				Name: kind + ", " + w.name, Unit: "tx/s", PeerName: other.name,
				Ours: median(samples[i], rate), Peer: median(samples[j], rate), Ratio: medianRatio(samples[i], samples[j], rate),
			}})
		}
		if i > 1 {
			findings = append(findings, report.Finding{Row: report.Row{
				Name: kind + ", " + w.name + ", CPU", Unit: "us/tx", PeerName: ways[1].name,
				Ours: median(samples[i], cost), Peer: median(samples[1], cost), Ratio: medianRatio(samples[1], samples[i], cost),
			}})
		}
	}
	return findings
}

func median(samples []sample, of func(sample) float64) float64 {
	figures := make([]float64, len(samples))
	for i, s := range samples {
		figures[i] = of(s)
	}
	slices.Sort(figures)
	return figures[len(figures)/2]
}

func medianRatio(a, b []sample, of func(sample) float64) float64 {
	ratios := make([]sample, len(a))
	for i := range a {
		ratios[i] = sample{perSecond: of(a[i]) / of(b[i])}
	}
	return median(ratios, func(s sample) float64 { return s.perSecond })
}
