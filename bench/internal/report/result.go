// Package report turns measurements into tables, and says which goals they meet.
package report

import (
	"slices"
	"time"

	"github.com/mendlink/mendlink/bench/internal/measure"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// Who is measured.
const (
	Ours          = "mendlink"
	Floor         = "floor"
	ParallelFloor = "floor on all cores"
	Smaller       = "mendlink in a smaller group"
)

// What is measured. The same operation on a fresh and on a warm tree are two.
const (
	Handshake        = "handshake"
	CreateFresh      = "create, fresh"
	ProcessFresh     = "process, fresh"
	AddFresh         = "add, fresh"
	JoinFresh        = "join, fresh"
	CreateWarm       = "create, warm"
	ProcessWarm      = "process, warm"
	AddWarm          = "add, warm"
	JoinWarm         = "join, warm"
	Protect          = "protect 1 KiB"
	Unprotect        = "unprotect 1 KiB"
	Marshal          = "marshal"
	Restore          = "restore"
	CreateAndProcess = "create + process, warm"
)

// A Result is what one operation cost all who were measured in turn.
type Result struct {
	Suite     ciphersuite.ID
	Members   int
	Operation string
	Series    map[string]measure.Series // by who it was
}

// measured reports whether there is a result that has a series of each of who.
func (r *Result) measured(who ...string) bool {
	return r != nil && !slices.ContainsFunc(who, func(w string) bool { return len(r.Series[w]) == 0 })
}

// Ratio returns the median of what who's execution cost in each round, in terms
// of base's.
func (r *Result) Ratio(who, base string, quantity func(measure.Cost) time.Duration) float64 {
	return measure.Ratio(r.Series[who], r.Series[base], quantity)
}

// Results are all that was measured.
type Results []*Result

// Find returns the result of an operation, nil if it was not measured.
func (rs Results) Find(suite ciphersuite.ID, members int, operation string) *Result {
	for _, r := range rs {
		if r.Suite == suite && r.Members == members && r.Operation == operation {
			return r
		}
	}
	return nil
}
