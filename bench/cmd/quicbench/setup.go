package main

import (
	"errors"
	"time"

	"github.com/mendlink/mendlink/bench/internal/measure"
	"github.com/mendlink/mendlink/bench/internal/report"
)

// measureSetUp compares what it takes until both ends know each other and can send.
func (c *class) measureSetUp(l *lab) (found []report.Finding, err error) {
	ours, theirs, err := l.networks(c)
	if err != nil {
		return nil, err
	}
	a, b := &setUp{network: ours}, &setUp{network: theirs}
	defer func() {
		a.closeAll()
		b.closeAll()
		err = errors.Join(err, ours.close(), theirs.close())
	}()
	series, err := measure.Rounds(l.rounds, l.batch, []measure.Subject{a.op(), b.op()})
	if err != nil {
		return nil, err
	}
	time.Sleep(settling)
	name := "set-up, " + c.name
	found = compareCosts(name, 1.1, series)
	row := func(unit string, of func(*link) float64) report.Finding {
		return report.Finding{Row: report.Row{Name: name, Unit: unit, Ours: measure.Median(a.links, of), Peer: measure.Median(b.links, of), PeerName: quicGo}}
	}
	return append(found, row("octets", (*link).octets), row("packets", (*link).packets)), nil
}

// settling is how long it may take until all acknowledgements are sent.
const settling = 200 * time.Millisecond

// A setUp makes connections. Closing them is not measured.
type setUp struct {
	network *network
	links   []*link
}

func (s *setUp) op() measure.Op {
	return func(n int) (func() error, error) {
		s.closeAll()
		return func() error {
			for range n {
				k, err := s.network.connect()
				if err != nil {
					return err
				}
				s.links = append(s.links, k)
			}
			return nil
		}, nil
	}
}

func (s *setUp) closeAll() {
	for _, k := range s.links {
		k.close()
	}
	s.links = nil
	time.Sleep(settling / 10) // until nothing is on the way any more
}
