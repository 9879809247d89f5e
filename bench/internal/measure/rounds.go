package measure

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// A Series is what an operation cost in each round.
type Series []Cost

// Rounds measures subjects in turn, so that what disturbs the machine for a while
// disturbs all of them. In each round, each is executed for about as long as batch,
// in CPU time.
func Rounds(rounds int, batch time.Duration, subjects []Subject) ([]Series, error) {
	counts := make([]int, len(subjects))
	for i, s := range subjects {
		var err error
		if counts[i], err = executions(s, batch); err != nil {
			return nil, err
		}
	}
	series := make([]Series, len(subjects))
	for range rounds {
		for i, s := range subjects {
			c, err := s.Measure(counts[i])
			if err != nil {
				return nil, err
			}
			series[i] = append(series[i], c)
		}
	}
	return series, nil
}

// executions returns how many executions of s take about as long as batch. They
// also warm s up.
func executions(s Subject, batch time.Duration) (int, error) {
	const enough = 8 // for the clock: CPU time comes in steps on some systems
	for n := 1; ; n *= 4 {
		c, err := s.Measure(n)
		if err != nil {
			return 0, err
		}
		if c.CPU*time.Duration(n) >= batch/enough {
			return max(1, int(batch/c.CPU)), nil
		}
		if n > 1<<24 {
			return 0, fmt.Errorf("%d executions take no time", n)
		}
	}
}

// Median returns the median of each quantity.
func (s Series) Median() Cost {
	return Cost{
		CPU:    Median(s, func(c Cost) time.Duration { return c.CPU }),
		Wall:   Median(s, func(c Cost) time.Duration { return c.Wall }),
		Bytes:  Median(s, func(c Cost) float64 { return c.Bytes }),
		Allocs: Median(s, func(c Cost) float64 { return c.Allocs }),
	}
}

// Plus returns what two operations cost together in each round.
func (s Series) Plus(o Series) Series {
	both := make(Series, min(len(s), len(o)))
	for i := range both {
		both[i] = Cost{
			CPU:    s[i].CPU + o[i].CPU,
			Wall:   s[i].Wall + o[i].Wall,
			Bytes:  s[i].Bytes + o[i].Bytes,
			Allocs: s[i].Allocs + o[i].Allocs,
		}
	}
	return both
}

// CPU and Wall are the quantities of a Cost that ratios are made of.
func CPU(c Cost) time.Duration  { return c.CPU }
func Wall(c Cost) time.Duration { return c.Wall }

// Ratio returns the median of what s is to base in the same round.
func Ratio(s, base Series, quantity func(Cost) time.Duration) float64 {
	ratios := make([]float64, min(len(s), len(base)))
	for i := range ratios {
		ratios[i] = float64(quantity(s[i])) / float64(quantity(base[i]))
	}
	return Median(ratios, func(r float64) float64 { return r })
}

// Median returns the median of quantity over all elements, and zero if there
// are none. Of an even number, it is the mean of the middle two.
func Median[E any, Q interface{ ~int64 | ~float64 }](elements []E, quantity func(E) Q) Q {
	if len(elements) == 0 {
		return 0
	}
	values := make([]Q, len(elements))
	for i, e := range elements {
		values[i] = quantity(e)
	}
	slices.SortFunc(values, cmp.Compare)
	m := len(values) / 2
	if len(values)%2 == 1 {
		return values[m]
	}
	return (values[m-1] + values[m]) / 2
}
