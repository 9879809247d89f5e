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
	header := []string{"members", "operation", "CPU", "elapsed", "allocated", "allocations", "floor", "ratio", "on all cores"}
	for _, p := range peers {
		header = append(header, p, "to ours")
	}
	fmt.Fprintln(t, strings.Join(header, "\t")+"\t")
	for _, r := range results {
		ours := r.Series[Ours].Median()
		row := []string{
			fmt.Sprint(r.Members), r.Operation, Micros(ours.CPU), Micros(ours.Wall),
			Kilobytes(ours.Bytes), fmt.Sprintf("%.0f", ours.Allocs),
		}
		row = append(row, r.cpu(Floor), r.ratio(Ours, Floor, measure.CPU), r.ratio(Ours, ParallelFloor, measure.Wall))
		for _, p := range peers {
			row = append(row, r.cpu(p), r.ratio(p, Ours, measure.CPU))
		}
		fmt.Fprintln(t, strings.Join(row, "\t")+"\t")
	}
	return t.Flush()
}

// cpu returns the CPU time that somebody took, "" if that was not measured.
func (r *Result) cpu(who string) string {
	if !r.measured(who) {
		return ""
	}
	return Micros(r.Series[who].Median().CPU)
}

// ratio returns what somebody's execution cost in terms of base's.
func (r *Result) ratio(who, base string, quantity func(measure.Cost) time.Duration) string {
	if !r.measured(who, base) {
		return ""
	}
	return fmt.Sprintf("%.2f", r.Ratio(who, base, quantity))
}

// Micros returns a time in microseconds, as tables show it.
func Micros(d time.Duration) string {
	us := float64(d) / float64(time.Microsecond)
	if us < 100 {
		return fmt.Sprintf("%.1f", us)
	}
	return grouped(us)
}

// Kilobytes returns a number of octets in thousands, as tables show it.
func Kilobytes(b float64) string { return fmt.Sprintf("%.1f", b/1000) }

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
