package main

import (
	"cmp"
	"slices"
	"time"
)

// figures are all that a run has found.
type figures struct {
	Go        string      `json:"go"`
	Fleet     *fleet      `json:"fleet"`
	Estimates []*estimate `json:"estimates"`
}

// An estimate is what a fleet needs, by the prices of one cipher suite.
type estimate struct {
	Prices *Prices    `json:"prices"`
	Counts counts     `json:"counts"`
	Links  load       `json:"links"` // of the fleet
	Server loads      `json:"server"`
	Whole  loads      `json:"whole_fleet"`
	Herds  []comeback `json:"herds"`
}

// loads are what servers need, second by second.
type loads struct {
	CPU    load `json:"cores"`       // that are at work
	Asked  load `json:"cores_asked"` // that would have done everything in the second in which it came
	Saves  load `json:"saves_per_s"`
	Octets load `json:"control_octets_per_s"` // of handshakes, resumptions and updates, both directions
	Heap   load `json:"heap_B"`               // that is in use
	Stack  load `json:"stack_B"`
	// Process is what Go's garbage collector lets both grow to, with GOGC=100.
	Process load `json:"process_B"`
}

// A load is what the seconds of a simulation were like. That of a server is over the seconds of all servers.
type load struct {
	Mean float64 `json:"mean"`
	P99  float64 `json:"p99"`
	Peak float64 `json:"peak"`
}

func loadOf(seconds []float64) (l load) {
	if len(seconds) == 0 {
		return l
	}
	sorted := slices.Sorted(slices.Values(seconds))
	for _, s := range sorted {
		l.Mean += s / float64(len(sorted))
	}
	l.P99, l.Peak = sorted[len(sorted)*99/100], sorted[len(sorted)-1]
	return l
}

// A comeback is how a herd came back to a server with so many cores.
type comeback struct {
	Cores     float64 `json:"cores"`
	Size      int     `json:"size"`
	Back      int     `json:"back"`
	Abandoned int     `json:"abandoned"` // attempts whose client lost patience
	Median    float64 `json:"median_s"`  // after the server was there again
	P99       float64 `json:"p99_s"`
	Last      float64 `json:"last_s"`
	Asked     float64 `json:"peak_asked"` // the most cores that would have been used in a second
}

// estimateFor lets a fleet live, and then has one server's links come back to servers with more or fewer cores.
func estimateFor(f *fleet, p *Prices, cores []float64) (*estimate, error) {
	s, err := newSimulation(f, p, f.Links)
	if err != nil {
		return nil, err
	}
	s.run()
	e := s.estimate()
	for _, c := range cores {
		h, err := comebackTo(f, p, c)
		if err != nil {
			return nil, err
		}
		e.Herds = append(e.Herds, h)
	}
	return e, nil
}

// comebackTo restarts a server that has its part of the links, and nothing else happens to them but messages and
// updates.
func comebackTo(f *fleet, p *Prices, cores float64) (c comeback, err error) {
	const early, long = 10 * time.Second, 30 * time.Minute
	one := *f
	one.Links, one.Servers, one.Cores = f.Links/f.Servers, 1, cores
	one.Life, one.Cut, one.Renewal = 0, 0, 0
	one.Restart, one.Duration = early, early+f.Down+long
	s, err := newSimulation(&one, p, one.Links)
	if err != nil {
		return c, err
	}
	s.runUntil(func() bool { return s.herd.size > 0 && len(s.herd.returned) == s.herd.size })
	return s.comeback(), nil
}

func (s *simulation) comeback() comeback {
	c := comeback{Cores: s.Cores, Size: s.herd.size, Back: len(s.herd.returned), Abandoned: s.counts.Abandoned}
	back := slices.SortedFunc(slices.Values(s.herd.returned), cmp.Compare[time.Duration])
	if n := len(back); n > 0 {
		c.Median, c.P99, c.Last = back[n/2].Seconds(), back[n*99/100].Seconds(), back[n-1].Seconds()
	}
	c.Asked = loadOf(s.servers[0].asked).Peak
	return c
}

// estimate sums up what the servers did.
func (s *simulation) estimate() *estimate {
	e := &estimate{Prices: s.prices, Counts: s.counts}
	perLink := 0.0 // cores for messages
	if s.Message > 0 {
		const half = 0.5
		perLink = half * s.prices.Exchange.CPU / s.Message.Seconds()
	}
	heap := s.prices.IdleHeap
	if s.Store == inMemory {
		heap += s.prices.State
	}
	quantities := []struct {
		of            func(srv *server, second int) float64
		server, whole *load
	}{
		{func(srv *server, i int) float64 { return srv.used[i] + perLink*srv.lived[i] }, &e.Server.CPU, &e.Whole.CPU},
		{func(srv *server, i int) float64 { return srv.asked[i] + perLink*srv.lived[i] }, &e.Server.Asked, &e.Whole.Asked},
		{func(srv *server, i int) float64 { return srv.saves[i] }, &e.Server.Saves, &e.Whole.Saves},
		{func(srv *server, i int) float64 { return srv.octets[i] }, &e.Server.Octets, &e.Whole.Octets},
		{func(srv *server, i int) float64 { return heap * srv.lived[i] }, &e.Server.Heap, &e.Whole.Heap},
		{func(srv *server, i int) float64 { return s.prices.IdleStack * srv.lived[i] }, &e.Server.Stack, &e.Whole.Stack},
		{func(srv *server, i int) float64 { return 2 * (heap + s.prices.IdleStack) * srv.lived[i] }, &e.Server.Process, &e.Whole.Process},
		{func(srv *server, i int) float64 { return srv.lived[i] }, new(load), &e.Links},
	}
	for _, q := range quantities {
		seconds := len(s.servers[0].used)
		whole := make([]float64, seconds)
		var each []float64
		for _, srv := range s.servers {
			for i := range whole {
				v := q.of(srv, i)
				whole[i] += v
				each = append(each, v)
			}
		}
		*q.server, *q.whole = loadOf(each), loadOf(whole)
	}
	return e
}
