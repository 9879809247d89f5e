package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mendlink/mendlink/bench/internal/measure"
)

// WriteTable writes results, one operation a line, with the columns of those of
// peers that were measured.
func WriteTable(w io.Writer, results Results, peers []string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	header := []string{"members", "operation", "CPU", "elapsed", "allocated", "allocations", "floor", "ratio", "elapsed to floor on all cores"}
	for _, p := range peers {
		header = append(header, p, "ratio")
	}
	fmt.Fprintln(t, strings.Join(header, "\t")+"\t")
	for _, r := range results {
		ours := r.Series[Ours].Median()
		row := []string{
			fmt.Sprint(r.Members), r.Operation, micros(ours.CPU), micros(ours.Wall),
			kilobytes(ours.Bytes), fmt.Sprintf("%.0f", ours.Allocs),
		}
		row = append(row, r.comparison(Floor, measure.CPU)...)
		row = append(row, r.comparison(ParallelFloor, measure.Wall)[1])
		for _, p := range peers {
			row = append(row, r.comparison(p, measure.CPU)...)
		}
		fmt.Fprintln(t, strings.Join(row, "\t")+"\t")
	}
	return t.Flush()
}

// comparison returns what an operation cost base, and what ours did in terms of
// that.
func (r *Result) comparison(base string, quantity func(measure.Cost) time.Duration) []string {
	if !r.measured(Ours, base) {
		return []string{"", ""}
	}
	return []string{micros(quantity(r.Series[base].Median())), fmt.Sprintf("%.2f", r.Ratio(Ours, base, quantity))}
}

func micros(d time.Duration) string {
	us := float64(d) / float64(time.Microsecond)
	if us < 100 {
		return fmt.Sprintf("%.1f", us)
	}
	return grouped(us)
}

func kilobytes(b float64) string { return fmt.Sprintf("%.1f", b/1000) }

// grouped returns a number with a comma between groups of three digits.
func grouped(v float64) string {
	digits := fmt.Sprintf("%.0f", v)
	var groups []string
	for len(digits) > 3 {
		groups = append(groups, digits[len(digits)-3:])
		digits = digits[:len(digits)-3]
	}
	groups = append(groups, digits)
	slices.Reverse(groups)
	return strings.Join(groups, ",")
}
