package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/mendlink/mendlink/bench/internal/channels"
	"github.com/mendlink/mendlink/bench/internal/measure"
	"github.com/mendlink/mendlink/bench/internal/report"
	"github.com/mendlink/mendlink/bench/internal/rivals"
)

// A result is what one operation cost all who were measured in turn: ours first.
type result struct {
	operation string
	who       []string
	series    []measure.Series
}

type results []*result

func (rs results) find(operation string) *result {
	for _, r := range rs {
		if r.operation == operation {
			return r
		}
	}
	return nil
}

// of returns what an operation cost somebody, nil if that was not measured.
func (r *result) of(who string) measure.Series {
	if i := slices.Index(r.who, who); i >= 0 {
		return r.series[i]
	}
	return nil
}

// writeTable writes a line for each who took part in an operation.
func (rs results) writeTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "operation\twho\tCPU\tallocated\tallocations\tours to it\t")
	for _, r := range rs {
		for i, who := range r.who {
			c := r.series[i].Median()
			row := []string{r.operation, who, report.Micros(c.CPU), report.Kilobytes(c.Bytes), fmt.Sprintf("%.0f", c.Allocs), ""}
			if i > 0 {
				row[0] = ""
				row[5] = fmt.Sprintf("%.2f", measure.Ratio(r.series[0], r.series[i], measure.CPU))
			}
			fmt.Fprintln(t, strings.Join(row, "\t")+"\t")
		}
	}
	return t.Flush()
}

// bounds are the goals: what ours may cost in terms of somebody else's.
var bounds = []struct {
	operation, who, text string
	limit                float64
}{
	{"classical " + handshake, mutualTLS, "handshake to mutual TLS, classical", 1.05},
	{"hybrid " + handshake, mutualTLS, "handshake to mutual TLS, hybrid", 0.9},
	{"classical " + bare, mutualTLS, "handshake without a store to mutual TLS, classical", 1.05},
	{"hybrid " + bare, mutualTLS, "handshake without a store to mutual TLS, hybrid", 0.9},
	{"classical " + update, reconnect, "update to a mutual TLS reconnect, classical", 0.65},
	{"hybrid " + update, reconnect, "update to a mutual TLS reconnect, hybrid", 0.6},
	{"classical " + resumption, mutualTLS, "resumption to a full mutual TLS handshake, classical", 1},
	{"hybrid " + resumption, mutualTLS, "resumption to a full mutual TLS handshake, hybrid", 1},
}

// goals returns the goals of which there are measurements.
func (rs results) goals() (goals []report.Goal) {
	for _, b := range bounds {
		r := rs.find(b.operation)
		if r == nil {
			continue
		}
		base, floor := r.of(b.who), r.of(floorOnly)
		if base == nil || floor == nil {
			continue
		}
		goals = append(goals, report.Goal{
			Text:     fmt.Sprintf("%s (the floor: %.2f)", b.text, measure.Ratio(floor, base, measure.CPU)),
			Limit:    b.limit,
			Measured: measure.Ratio(r.series[0], base, measure.CPU),
		})
	}
	for _, c := range classes {
		if r := rs.find(c.name + " " + newKeys); r != nil {
			cpu := r.series[0].Median().CPU
			goals = append(goals, report.Goal{Text: "new record keys, " + c.name, Unit: " us", Limit: 20, Measured: float64(cpu.Nanoseconds()) / 1000})
		}
	}
	return goals
}

// A row is one line of the file with all figures.
type row struct {
	Name     string  `json:"name"`
	Unit     string  `json:"unit"`
	Ours     float64 `json:"ours"`
	Peer     float64 `json:"peer,omitempty"`
	PeerName string  `json:"peer_name,omitempty"`
	Ratio    float64 `json:"ratio,omitempty"`
}

// rows returns the figures: of CPU time with the median of the rounds' ratios,
// of memory with the ratio of the medians.
func (rs results) rows() (rows []row) {
	for _, r := range rs {
		ours := r.series[0].Median()
		quantities := []struct {
			unit string
			of   func(measure.Cost) float64
		}{
			{"us", func(c measure.Cost) float64 { return float64(c.CPU.Nanoseconds()) / 1000 }},
			{"B", func(c measure.Cost) float64 { return c.Bytes }},
			{"allocs", func(c measure.Cost) float64 { return c.Allocs }},
		}
		for _, q := range quantities {
			if len(r.who) == 1 {
				rows = append(rows, row{Name: r.operation, Unit: q.unit, Ours: q.of(ours)})
			}
			for i, who := range r.who[1:] {
				theirs := r.series[i+1]
				w := row{Name: r.operation, Unit: q.unit, Ours: q.of(ours), Peer: q.of(theirs.Median()), PeerName: who}
				if w.Ratio = w.Ours / w.Peer; q.unit == "us" {
					w.Ratio = measure.Ratio(r.series[0], theirs, measure.CPU)
				}
				rows = append(rows, w)
			}
		}
	}
	return rows
}

func (rs results) writeJSON(file string) error {
	b, err := json.MarshalIndent(rs.rows(), "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o666)
}

// writeOctets writes how much goes over the wire.
func writeOctets(w io.Writer) error {
	for _, c := range classes {
		p, err := channels.NewPair(c.suite, true)
		if err != nil {
			return err
		}
		full, updated, resumed, err := p.Flights()
		if err != nil {
			return err
		}
		for _, op := range []struct {
			name    string
			flights []channels.Flight
		}{{handshake, full}, {update, updated}, {resumption, resumed}} {
			total := 0
			var list []string
			for _, f := range op.flights {
				total += f.Octets
				list = append(list, fmt.Sprintf("%v %d", f.Type, f.Octets))
			}
			fmt.Fprintf(w, "  %s %s: %s, together %d\n", c.name, op.name, strings.Join(list, ", "), total)
		}
		t, err := rivals.NewTLS(c.curve, rivals.Issued)
		if err != nil {
			return err
		}
		client, server, err := t.Octets()
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "  %s TLS: client %d, server %d, together %d\n", c.name, client, server, client+server)
	}
	n, err := rivals.NewNoise()
	if err != nil {
		return err
	}
	octets, err := n.Octets()
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "  Noise XX: %v\n", octets)
	return nil
}
