package channels

import (
	"github.com/mendlink/mendlink/bench/internal/measure"
	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// NewAPQPair is [NewPair] with stores, for sessions of a traditional and a post-quantum group.
func NewAPQPair(t, pq ciphersuite.ID) (*Pair, error) {
	p, err := NewPair(t, true)
	if err != nil {
		return nil, err
	}
	for _, cfg := range []*channel.Config{&p.initiator, &p.responder} {
		cfg.APQ = &channel.APQ{Suites: []channel.APQSuites{{T: t, PQ: pq}}, Required: true}
	}
	return p, nil
}

// Hours are what one link does, hour after hour: the responder makes so many updates, of which
// every so many a full one, if that is not zero and the session has two groups.
func (p *Pair) Hours(updates, full int) (measure.Op, error) {
	a, b, err := p.settled()
	if err != nil {
		return nil, err
	}
	return measure.Repeat(func() error { return hour(a, b, updates, full) }), nil
}

// HourOnTheWire returns what goes over the wire in one such hour, records included.
func (p *Pair) HourOnTheWire(updates, full int) (octets int, err error) {
	a, b, err := p.settled()
	if err != nil {
		return 0, err
	}
	var flights []Flight
	a.flights, b.flights = &flights, &flights
	if err := hour(a, b, updates, full); err != nil {
		return 0, err
	}
	for _, f := range flights {
		octets += f.Octets
	}
	return octets, nil
}

// settled returns two ends behind the first update of each, which is not like those that follow.
func (p *Pair) settled() (a, b *end, err error) {
	if a, b, err = p.handshake(nil); err != nil {
		return nil, nil, err
	}
	if err := update(a, b); err != nil {
		return nil, nil, err
	}
	return a, b, update(b, a)
}

func hour(a, b *end, updates, full int) error {
	for i := range updates {
		step := update
		if full > 0 && i%full == full-1 {
			step = updateFull
		}
		if err := step(b, a); err != nil {
			return err
		}
	}
	return nil
}
