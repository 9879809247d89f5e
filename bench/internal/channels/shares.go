package channels

import (
	"time"

	"github.com/mendlink/mendlink/bench/internal/measure"
)

// Shares says which part of an operation one end does.
type Shares struct {
	Handshake, Resumption, Refused float64 // the responder's
	Update                         float64 // that of who makes it
}

// Shares measures them, as medians of n executions. It goes by the clock on the wall, because that
// of the processor is too coarse for one end of one execution; what interrupts it does so rarely. Refused needs stores.
func (p *Pair) Shares(n int) (s Shares, err error) {
	if s.Handshake, err = median(n, func() (part, whole time.Duration, err error) {
		start := time.Now()
		a, b, err := p.handshake(nil)
		if err != nil {
			return 0, 0, err
		}
		whole = time.Since(start)
		hangUp(a, b)
		return b.spent, whole, p.forget(a.session.ID())
	}); err != nil {
		return s, err
	}
	a, b, err := p.handshake(nil)
	if err != nil {
		return s, err
	}
	if s.Update, err = median(n, func() (part, whole time.Duration, err error) {
		before, start := a.spent, time.Now()
		err = update(a, b)
		return a.spent - before, time.Since(start), err
	}); err != nil {
		return s, err
	}
	id := a.session.ID()
	hangUp(a, b)
	if s.Resumption, err = median(n, func() (part, whole time.Duration, err error) {
		start := time.Now()
		a, b, err := p.resumption(id, nil)
		if err != nil {
			return 0, 0, err
		}
		whole = time.Since(start)
		hangUp(a, b)
		return b.spent, whole, nil
	}); err != nil {
		return s, err
	}
	s.Refused, err = median(n, func() (part, whole time.Duration, err error) {
		lost, err := p.lose()
		if err != nil {
			return 0, 0, err
		}
		start := time.Now()
		a, b, err := p.refused(lost)
		if err != nil {
			return 0, 0, err
		}
		whole = time.Since(start)
		hangUp(a, b)
		return b.spent, whole, p.forget(lost, a.session.ID())
	})
	return s, err
}

// median returns the median of the part that f takes of the whole, over n calls.
func median(n int, f func() (part, whole time.Duration, err error)) (float64, error) {
	shares := make([]float64, n)
	for i := range shares {
		part, whole, err := f()
		if err != nil {
			return 0, err
		}
		shares[i] = float64(part) / float64(whole)
	}
	return measure.Median(shares, func(s float64) float64 { return s }), nil
}
