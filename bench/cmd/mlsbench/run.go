package main

import (
	"fmt"
	"io"
	"log"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/mendlink/mendlink/bench/internal/floor"
	"github.com/mendlink/mendlink/bench/internal/measure"
	"github.com/mendlink/mendlink/bench/internal/ours"
	"github.com/mendlink/mendlink/bench/internal/peer"
	"github.com/mendlink/mendlink/bench/internal/report"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// run measures what the options ask for and writes tables and verdicts.
func run(w io.Writer, o *options) error {
	peers, err := startPeers(o)
	if err != nil {
		return err
	}
	defer closePeers(peers)
	header(w, o)
	for _, id := range o.suites {
		s, err := ciphersuite.Default().Lookup(id)
		if err != nil {
			return err
		}
		if err := runSuite(w, o, withSuite(peers, id), s); err != nil {
			return fmt.Errorf("suite %v: %w", s, err)
		}
	}
	return nil
}

func runSuite(w io.Writer, o *options, peers []*peer.Process, s *ciphersuite.Suite) error {
	fmt.Fprintf(w, "\nsuite %#04x, %v\n", uint16(s.ID()), s)
	provider, err := floor.New(s)
	if err != nil {
		return err
	}
	m := &measurement{options: o, suite: s, provider: provider, peers: peers, warm: make(map[int]*ours.Group)}
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
	var names []string
	for _, p := range peers {
		names = append(names, p.Name)
	}
	if err := report.WriteTable(w, m.results, names); err != nil {
		return err
	}
	fmt.Fprintf(w, "\noctets\n  %s\n\n", strings.Join(m.sizes, "\n  "))
	for _, g := range m.results.Goals(s.ID(), runtime.GOMAXPROCS(0)) {
		fmt.Fprintln(w, &g)
	}
	return nil
}

// A measurement is that of one suite.
type measurement struct {
	*options
	suite    *ciphersuite.Suite
	provider *floor.Provider
	peers    []*peer.Process
	warm     map[int]*ours.Group // by size
	results  report.Results
	sizes    []string // of messages
}

// group measures the operations in groups of a size.
func (m *measurement) group(members int) error {
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
	operations, err := operationsIn(m.suite, fresh, warm, members)
	if err != nil {
		return err
	}
	peers, err := inGroup(m.peers, m.suite.ID(), members)
	if err != nil {
		return err
	}
	for _, o := range operations {
		if err := m.measure(members, &o, peers); err != nil {
			return fmt.Errorf("%s: %w", o.name, err)
		}
	}
	if err := m.addSizes(members, ours.Fresh, fresh); err != nil || members == 2 {
		return err
	}
	return m.addSizes(members, ours.Warm, warm)
}

// addSizes notes how large the messages of a group are.
func (m *measurement) addSizes(members int, tree ours.Tree, g *ours.Group) error {
	z, err := g.Sizes()
	if err != nil {
		return err
	}
	m.sizes = append(m.sizes, fmt.Sprintf("%d members, %s: key package %d, Welcome %d, commit %d, 1 KiB protected %d, state %d",
		members, tree, z.KeyPackage, z.Welcome, z.Commit, z.Message, z.State))
	return nil
}

// measure measures an operation in turn with what it is compared to.
func (m *measurement) measure(members int, o *operation, peers []*peer.Process) error {
	contestants := []contestant{{report.Ours, o.op}}
	if o.floor != (floor.Counts{}) && !m.oursOnly {
		contestants = append(contestants, contestant{report.Floor, m.provider.Op(o.floor)})
		if o.parallel && members >= report.Medium { // else, starting goroutines is what costs
			contestants = append(contestants, contestant{report.ParallelFloor, m.provider.ParallelOp(o.floor)})
		}
	}
	return m.compare(members, o.name, append(contestants, peerContestants(peers, o.name)...))
}

// growth compares our operations in the largest group with those in a group of
// the size that the goal names.
func (m *measurement) growth() error {
	large, medium := m.warm[report.Large], m.warm[report.Medium]
	if large == nil || medium == nil {
		return nil
	}
	return m.compare(report.Large, report.CreateAndProcess, []contestant{
		{report.Ours, large.CreateAndProcess()},
		{report.Smaller, medium.CreateAndProcess()},
	})
}

// compare measures contestants in turn, unless the options leave the operation out.
func (m *measurement) compare(members int, operation string, contestants []contestant) error {
	if !m.only.MatchString(operation) {
		return nil
	}
	subjects := make([]measure.Subject, len(contestants))
	for i, c := range contestants {
		subjects[i] = c.Subject
	}
	series, err := measure.Rounds(m.rounds, m.batch, subjects)
	if err != nil {
		return err
	}
	r := &report.Result{Suite: m.suite.ID(), Members: members, Operation: operation, Series: make(map[string]measure.Series)}
	for i, c := range contestants {
		r.Series[c.who] = series[i]
	}
	m.results = append(m.results, r)
	return nil
}
