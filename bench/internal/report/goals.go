package report

import (
	"fmt"
	"io"
	"time"

	"github.com/mendlink/mendlink/bench/internal/measure"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// A Goal is something to be reached, with what was measured of it.
type Goal struct {
	Suite    ciphersuite.ID
	Text     string
	Limit    float64
	Measured float64
	Format   string // of the two numbers
}

// Met reports whether the goal is reached.
func (g *Goal) Met() bool { return g.Measured <= g.Limit }

// Large and Medium are the sizes of the groups that goals speak of, beside two.
const (
	Medium = 100
	Large  = 1000
)

// goalSuites are those that the goals for two members hold for; for X-Wing, the
// suites of its KEM that sign with an elliptic curve.
var goalSuites = map[ciphersuite.ID]bool{
	ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519:           true,
	ciphersuite.MLS_128_DHKEMP256_AES128GCM_SHA256_P256:                true,
	ciphersuite.MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519:        true,
	ciphersuite.MLS_128_MLKEM768X25519_AES256GCM_SHA384_Ed25519:        true,
	ciphersuite.MLS_128_MLKEM768X25519_CHACHA20POLY1305_SHA384_MLDSA44: true,
}

// Goals returns the goals of a suite of which there are measurements.
func (rs Results) Goals(suite ciphersuite.ID) []Goal {
	var goals []Goal
	add := func(text string, limit float64, format string, measured float64, ok bool) {
		if ok {
			goals = append(goals, Goal{suite, text, limit, measured, format})
		}
	}
	ratio := func(members int, operation, base string, quantity func(measure.Cost) time.Duration) (float64, bool) {
		r := rs.Find(suite, members, operation)
		if r == nil {
			return 0, false
		}
		return r.Ratio(Ours, base, quantity)
	}
	const times = "%.2f x"

	if goalSuites[suite] {
		for _, operation := range []string{Handshake, CreateFresh, ProcessFresh} {
			measured, ok := ratio(2, operation, Floor, measure.CPU)
			add(operation+", 2 members, to the floor", 1.3, times, measured, ok)
		}
	}
	measured, ok := ratio(Large, CreateFresh, ParallelFloor, measure.Wall)
	add("create, 1,000 members, fresh, to the floor on all cores, elapsed", 1.2, times, measured, ok)
	if r := rs.Find(suite, Large, ProcessFresh); r != nil {
		add("process, 1,000 members, fresh, milliseconds", 2, "%.2f", r.Series[Ours].Median().CPU.Seconds()*1000, true)
	}
	measured, ok = ratio(Large, JoinFresh, ParallelFloor, measure.Wall)
	add("join, 1,000 members, to the floor on all cores, elapsed", 1.3, times, measured, ok)
	if r := rs.Find(suite, Large, CreateAndProcess); r != nil {
		measured, ok := r.Ratio(Ours, Smaller, measure.CPU)
		add("create + process, warm, 1,000 members to 100", 2, times, measured, ok)
	}
	protect, unprotect := rs.Find(suite, 2, Protect), rs.Find(suite, 2, Unprotect)
	if protect != nil && unprotect != nil {
		ours := sum(protect.Series[Ours], unprotect.Series[Ours])
		floor := sum(protect.Series[Floor], unprotect.Series[Floor])
		add("protect + unprotect 1 KiB, 2 members, to sign + verify + AEAD", 1.2, times, measure.Ratio(ours, floor, measure.CPU), true)
	}
	return goals
}

// sum returns what two operations cost together.
func sum(a, b measure.Series) measure.Series {
	s := make(measure.Series, min(len(a), len(b)))
	for i := range s {
		s[i] = measure.Cost{CPU: a[i].CPU + b[i].CPU, Wall: a[i].Wall + b[i].Wall, Bytes: a[i].Bytes + b[i].Bytes, Allocs: a[i].Allocs + b[i].Allocs}
	}
	return s
}

// WriteGoals writes which goals are met.
func WriteGoals(w io.Writer, goals []Goal) {
	for _, g := range goals {
		verdict := "MISSED"
		if g.Met() {
			verdict = "met"
		}
		fmt.Fprintf(w, "%-6s  %s: goal <= "+g.Format+", measured "+g.Format+"\n", verdict, g.Text, g.Limit, g.Measured)
	}
}
