package report

import (
	"fmt"

	"github.com/mendlink/mendlink/bench/internal/measure"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// A Goal is something to be reached, with what was measured of it.
type Goal struct {
	Text     string
	Unit     string
	Limit    float64
	AtLeast  bool // the limit is one from below
	Measured float64
	// Undecided says why there is nothing measured.
	Undecided string
}

// Met reports whether the goal is reached.
func (g *Goal) Met() bool {
	if g.AtLeast {
		return g.Undecided == "" && g.Measured >= g.Limit
	}
	return g.Undecided == "" && g.Measured <= g.Limit
}

func (g *Goal) String() string {
	verdict, measured := "MISSED", fmt.Sprintf("measured %.2f%s", g.Measured, g.Unit)
	if g.Met() {
		verdict = "met"
	}
	if g.Undecided != "" {
		verdict, measured = "open", g.Undecided
	}
	relation := "<="
	if g.AtLeast {
		relation = ">="
	}
	return fmt.Sprintf("%-6s  %s: goal %s %.2f%s, %s", verdict, g.Text, relation, g.Limit, g.Unit, measured)
}

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

// Goals returns the goals of a suite of which there are measurements, made on a
// number of cores.
func (rs Results) Goals(suite ciphersuite.ID, cores int) []Goal {
	var goals []Goal
	if goalSuites[suite] {
		for _, operation := range []string{Handshake, CreateFresh, ProcessFresh} {
			if r := rs.Find(suite, 2, operation); r.measured(Ours, Floor) {
				goals = append(goals, Goal{
					Text: operation + ", 2 members, to the floor", Limit: 1.3, Measured: r.Ratio(Ours, Floor, measure.CPU),
				})
			}
		}
	}
	if r := rs.Find(suite, Large, CreateFresh); r.measured(Ours, ParallelFloor) {
		goals = append(goals, r.elapsed("create, fresh, 1000 members, to the floor on all cores", 1.2, cores))
	}
	if r := rs.Find(suite, Large, ProcessFresh); r.measured(Ours) {
		goals = append(goals, Goal{
			Text: "process, fresh, 1000 members", Unit: " ms", Limit: 2, Measured: r.Series[Ours].Median().CPU.Seconds() * 1000,
		})
	}
	if r := rs.Find(suite, Large, JoinFresh); r.measured(Ours, ParallelFloor) {
		goals = append(goals, r.elapsed("join, fresh, 1000 members, to the floor on all cores", 1.3, cores))
	}
	if r := rs.Find(suite, Large, CreateAndProcess); r.measured(Ours, Smaller) {
		goals = append(goals, Goal{
			Text: "create + process, warm, 1000 members to 100", Limit: 2, Measured: r.Ratio(Ours, Smaller, measure.CPU),
		})
	}
	protect, unprotect := rs.Find(suite, 2, Protect), rs.Find(suite, 2, Unprotect)
	if protect.measured(Ours, Floor) && unprotect.measured(Ours, Floor) {
		ours := protect.Series[Ours].Plus(unprotect.Series[Ours])
		floor := protect.Series[Floor].Plus(unprotect.Series[Floor])
		goals = append(goals, Goal{
			Text: "protect + unprotect 1 KiB, 2 members, to the floor", Limit: 1.2, Measured: measure.Ratio(ours, floor, measure.CPU),
		})
	}
	return goals
}

// elapsed is the goal that ours takes little longer than the floor on all cores.
// It can only be seen where the floor got the cores.
func (r *Result) elapsed(text string, limit float64, cores int) Goal {
	const enough, rounds = 0.8, 3 // of the cores, in as many rounds
	var ours, floor measure.Series
	for i, c := range r.Series[ParallelFloor] {
		if c.Cores() >= enough*float64(cores) {
			ours, floor = append(ours, r.Series[Ours][i]), append(floor, c)
		}
	}
	g := Goal{Text: text, Limit: limit}
	if len(floor) < rounds {
		got := measure.Median(r.Series[ParallelFloor], measure.Cost.Cores)
		g.Undecided = fmt.Sprintf("the machine is too busy: the floor itself got %.1f of %d cores", got, cores)
		return g
	}
	g.Measured = measure.Ratio(ours, floor, measure.Wall)
	return g
}
