package main

import (
	"fmt"
	"io"
	"log"
	"slices"
	"time"

	"github.com/mendlink/mendlink/bench/internal/floor"
	"github.com/mendlink/mendlink/bench/internal/measure"
	"github.com/mendlink/mendlink/bench/internal/ours"
	"github.com/mendlink/mendlink/bench/internal/report"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// run measures what the options ask for and writes tables and verdicts.
func run(w io.Writer, o *options) error {
	header(w, o)
	for _, id := range o.suites {
		s, err := ciphersuite.Default().Lookup(id)
		if err != nil {
			return err
		}
		if err := runSuite(w, o, s); err != nil {
			return fmt.Errorf("suite %v: %w", s, err)
		}
	}
	return nil
}

func runSuite(w io.Writer, o *options, s *ciphersuite.Suite) error {
	fmt.Fprintf(w, "\nsuite %#04x, %v\n", uint16(s.ID()), s)
	provider, err := floor.New(s)
	if err != nil {
		return err
	}
	m := &measurement{options: o, suite: s, provider: provider, warm: make(map[int]*ours.Group)}
	slices.Sort(o.sizes)
	for _, members := range o.sizes {
		log.Printf("suite %#04x, %d members", uint16(s.ID()), members)
		if err := m.group(members); err != nil {
			return fmt.Errorf("%d members: %w", members, err)
		}
	}
	if err := m.growth(); err != nil {
		return err
	}
	if err := report.WriteTable(w, m.results, nil); err != nil {
		return err
	}
	fmt.Fprintln(w)
	report.WriteGoals(w, m.results.Goals(s.ID()))
	return nil
}

// A measurement is that of one suite.
type measurement struct {
	*options
	suite    *ciphersuite.Suite
	provider *floor.Provider
	warm     map[int]*ours.Group // by size
	results  report.Results
}

// An operation is one of ours, and what it cannot avoid.
type operation struct {
	name     string
	op       measure.Op
	floor    floor.Counts
	parallel bool // may use all cores
}

// group measures the operations in groups of a size.
func (m *measurement) group(members int) error {
	var operations []operation
	if members == 2 {
		handshake, err := ours.Handshake(m.suite)
		if err != nil {
			return err
		}
		operations = append(operations, operation{name: report.Handshake, op: handshake, floor: floor.Handshake()})
	}
	fresh, err := ours.NewGroup(m.suite, ours.Fresh, members)
	if err != nil {
		return err
	}
	started := time.Now()
	warm, err := ours.NewGroup(m.suite, ours.Warm, members)
	if err != nil {
		return err
	}
	if took := time.Since(started); took > time.Second {
		log.Printf("made a warm group of %d in %v", members, took.Round(time.Second))
	}
	m.warm[members] = warm
	for _, tree := range []struct {
		*ours.Group
		create, process, add, join string
		createFloor                floor.Counts
	}{
		{fresh, report.CreateFresh, report.ProcessFresh, report.AddFresh, report.JoinFresh, floor.CreateFresh(members)},
		{warm, report.CreateWarm, report.ProcessWarm, report.AddWarm, report.JoinWarm, floor.CreateWarm(members)},
	} {
		process, err := tree.Process()
		if err != nil {
			return err
		}
		add, err := tree.Add()
		if err != nil {
			return err
		}
		operations = append(operations,
			operation{tree.create, tree.Create(), tree.createFloor, true},
			operation{tree.process, process, floor.Process(), false},
			operation{tree.add, add, floor.AddMember(), false},
			operation{tree.join, tree.Join(), floor.Join(members), true},
		)
		if members == 2 { // is both
			break
		}
	}
	unprotect, err := fresh.Unprotect()
	if err != nil {
		return err
	}
	restore, err := fresh.Restore()
	if err != nil {
		return err
	}
	operations = append(operations,
		operation{name: report.Protect, op: fresh.Protect(), floor: floor.Protect()},
		operation{name: report.Unprotect, op: unprotect, floor: floor.Unprotect()},
		operation{name: report.Marshal, op: fresh.Marshal()},
		operation{name: report.Restore, op: restore},
	)
	for _, op := range operations {
		if err := m.measure(members, &op); err != nil {
			return fmt.Errorf("%s: %w", op.name, err)
		}
	}
	return nil
}

// measure measures an operation in turn with what it is compared to.
func (m *measurement) measure(members int, o *operation) error {
	against := map[string]measure.Subject{report.Ours: o.op}
	if o.floor != (floor.Counts{}) && !m.oursOnly {
		against[report.Floor] = m.provider.Op(o.floor)
		if o.parallel && members >= report.Medium { // else, starting goroutines is what costs
			against[report.ParallelFloor] = m.provider.ParallelOp(o.floor)
		}
	}
	return m.compare(members, o.name, against)
}

// growth compares our operations in the largest group with those in a group of
// the size that the goal names.
func (m *measurement) growth() error {
	large, medium := m.warm[report.Large], m.warm[report.Medium]
	if large == nil || medium == nil {
		return nil
	}
	return m.compare(report.Large, report.CreateAndProcess, map[string]measure.Subject{
		report.Ours:    large.CreateAndProcess(),
		report.Smaller: medium.CreateAndProcess(),
	})
}

// compare measures subjects in turn, unless the options leave the operation out.
func (m *measurement) compare(members int, name string, against map[string]measure.Subject) error {
	if !m.only.MatchString(name) {
		return nil
	}
	var subjects []measure.Subject
	var who []string
	for _, name := range []string{report.Ours, report.Floor, report.ParallelFloor, report.Smaller} {
		if s, ok := against[name]; ok {
			who, subjects = append(who, name), append(subjects, s)
		}
	}
	series, err := measure.Rounds(m.rounds, m.batch, subjects)
	if err != nil {
		return err
	}
	r := &report.Result{Suite: m.suite.ID(), Members: members, Operation: name, Series: make(map[string]measure.Series)}
	for i, name := range who {
		r.Series[name] = series[i]
	}
	m.results = append(m.results, r)
	return nil
}
