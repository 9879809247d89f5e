package report

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/mendlink/mendlink/bench/internal/measure"
)

const us = time.Microsecond

// series is one of rounds that all cost the same.
func series(cpu, wall time.Duration) measure.Series {
	c := measure.Cost{CPU: cpu, Wall: wall, Bytes: 2500, Allocs: 12}
	return measure.Series{c, c, c}
}

func result(members int, operation string, all map[string]measure.Series) *Result {
	return &Result{Suite: 1, Members: members, Operation: operation, Series: all}
}

func lines(goals []Goal) string {
	var b strings.Builder
	for _, g := range goals {
		b.WriteString(g.String() + "\n")
	}
	return b.String()
}

func TestGoals(t *testing.T) {
	busy := measure.Series{{CPU: 100, Wall: 100}, {CPU: 100, Wall: 100}, {CPU: 100, Wall: 50}}
	results := Results{
		result(2, Handshake, map[string]measure.Series{Ours: series(130*us, us), Floor: series(100*us, us)}),
		result(2, CreateFresh, map[string]measure.Series{Ours: series(131*us, us), Floor: series(100*us, us)}),
		result(2, ProcessFresh, map[string]measure.Series{Ours: series(131*us, us)}),
		result(1000, CreateFresh, map[string]measure.Series{Ours: series(200*us, 110*us), ParallelFloor: series(200*us, 100*us)}),
		result(1000, ProcessFresh, map[string]measure.Series{Ours: series(2100*us, us), Floor: series(us, us)}),
		result(1000, JoinFresh, map[string]measure.Series{Ours: series(us, us), ParallelFloor: busy}),
		result(1000, CreateAndProcess, map[string]measure.Series{Ours: series(199*us, us), Smaller: series(100*us, us)}),
		result(2, Protect, map[string]measure.Series{Ours: series(50*us, us), Floor: series(40*us, us)}),
		result(2, Unprotect, map[string]measure.Series{Ours: series(70*us, us), Floor: series(60*us, us)}),
	}
	want := `met     handshake, 2 members, to the floor: goal <= 1.30, measured 1.30
MISSED  create, fresh, 2 members, to the floor: goal <= 1.30, measured 1.31
met     create, fresh, 1000 members, to the floor on all cores: goal <= 1.20, measured 1.10
MISSED  process, fresh, 1000 members: goal <= 2.00 ms, measured 2.10 ms
open    join, fresh, 1000 members, to the floor on all cores: goal <= 1.30, the machine is too busy: the floor itself got 1.0 of 2 cores
met     create + process, warm, 1000 members to 100: goal <= 2.00, measured 1.99
met     protect + unprotect 1 KiB, 2 members, to the floor: goal <= 1.20, measured 1.20
`
	if got := lines(results.Goals(1, 2)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := results.Goals(2, 2); got != nil {
		t.Errorf("goals of a suite that was not measured: %v", got)
	}
	// The goals to the floor for two members are not for all suites.
	other := result(2, Handshake, results[0].Series)
	other.Suite = 4
	if got := (Results{other}).Goals(4, 2); got != nil {
		t.Errorf("goals of suite 4: %v", got)
	}
}

// Rounds in which the machine was busy do not count.
func TestElapsedTimeCountsWhereTheFloorHasTheCores(t *testing.T) {
	r := result(1000, JoinFresh, map[string]measure.Series{
		Ours: {{Wall: 900}, {Wall: 120}, {Wall: 130}, {Wall: 140}, {Wall: 900}},
		ParallelFloor: {
			{CPU: 100, Wall: 100}, {CPU: 200, Wall: 100}, {CPU: 170, Wall: 100}, {CPU: 200, Wall: 100}, {CPU: 120, Wall: 100},
		},
	})
	if g := r.elapsed("", 1.3, 2); g.Undecided != "" || g.Measured != 1.3 {
		t.Errorf("got %+v, want 1.3", g)
	}
}

func TestTable(t *testing.T) {
	results := Results{
		result(2, Handshake, map[string]measure.Series{
			Ours: series(1234567*us, 9*us), Floor: series(617283500*time.Nanosecond, us), "peer": series(2*1234567*us, us),
		}),
		result(100, Marshal, map[string]measure.Series{Ours: series(5*us, 6*us)}),
		result(100, JoinFresh, map[string]measure.Series{Ours: series(99*us, 30*us), ParallelFloor: series(us, 20*us)}),
	}
	var b bytes.Buffer
	if err := WriteTable(&b, results, []string{"peer"}); err != nil {
		t.Fatal(err)
	}
	var rows [][]string
	for line := range strings.Lines(b.String()) {
		rows = append(rows, strings.Fields(line))
	}
	for i, want := range []string{
		"2 handshake 1,234,567 9.0 2.5 12 617,284 2.00 2,469,134 2.00",
		"100 marshal 5.0 6.0 2.5 12",
		"100 join, fresh 99.0 30.0 2.5 12 1.50",
	} {
		if got := strings.Join(rows[i+1], " "); got != want {
			t.Errorf("row %d: got %q, want %q", i, got, want)
		}
	}
}
