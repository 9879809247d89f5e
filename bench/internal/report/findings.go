package report

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"text/tabwriter"
)

// A Row is one line of the table and of the file with all figures. Ratio is more than one
// where ours is better.
type Row struct {
	Name     string  `json:"name"`
	Unit     string  `json:"unit"`
	Ours     float64 `json:"ours"`
	Peer     float64 `json:"peer"`
	PeerName string  `json:"peer_name"`
	Ratio    float64 `json:"ratio,omitempty"`
}

// A Finding is a figure, and what it says about a goal, if it says anything.
type Finding struct {
	Row
	Goal *Goal
}

// Findings are what one run of a program has found.
type Findings []Finding

// Write writes a table and verdicts and, if it has a name, the file with all figures.
func (fs Findings) Write(w io.Writer, jsonFile string) error {
	if err := fs.writeTable(w); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for _, f := range fs {
		if f.Goal != nil {
			fmt.Fprintln(w, f.Goal)
		}
	}
	if jsonFile == "" {
		return nil
	}
	return fs.writeJSON(jsonFile)
}

func (fs Findings) writeTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tours\tpeer\tratio\tpeer is\t")
	for _, f := range fs {
		ratio := ""
		if f.Ratio != 0 {
			ratio = fmt.Sprintf("%.2f", f.Ratio)
		}
		fmt.Fprintf(t, "%s, %s\t%.2f\t%.2f\t%s\t%s\t\n", f.Name, f.Unit, f.Ours, f.Peer, ratio, f.PeerName)
	}
	return t.Flush()
}

func (fs Findings) writeJSON(file string) error {
	rows := make([]Row, len(fs))
	for i, f := range fs {
		rows[i] = f.Row
		for _, figure := range []*float64{&rows[i].Ours, &rows[i].Peer, &rows[i].Ratio} {
			if math.IsInf(*figure, 0) || math.IsNaN(*figure) {
				*figure = 0 // less was measured than the clock of the processor can tell
			}
		}
	}
	b, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o666)
}
