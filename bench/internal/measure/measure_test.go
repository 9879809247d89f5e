package measure

import (
	"errors"
	"slices"
	"testing"
	"time"
)

func TestMedians(t *testing.T) {
	itself := func(d time.Duration) time.Duration { return d }
	for _, c := range []struct {
		values []time.Duration
		want   time.Duration
	}{
		{nil, 0}, {[]time.Duration{7}, 7}, {[]time.Duration{9, 1, 2}, 2}, {[]time.Duration{9, 1, 2, 4}, 3},
	} {
		if got := Median(c.values, itself); got != c.want {
			t.Errorf("%v: got %v, want %v", c.values, got, c.want)
		}
	}
	values := []time.Duration{3, 1, 2}
	Median(values, itself)
	if !slices.Equal(values, []time.Duration{3, 1, 2}) {
		t.Error("Median changed the order of what it was given")
	}
}

// The median of ratios, not the ratio of medians: what disturbs a round disturbs
// both sides of its ratio.
func TestRatiosAreOfOneRound(t *testing.T) {
	ours := Series{{CPU: 20}, {CPU: 2000}, {CPU: 22}}
	base := Series{{CPU: 10}, {CPU: 1000}, {CPU: 10}}
	if got := Ratio(ours, base, CPU); got != 2 {
		t.Errorf("got %v, want 2", got)
	}
}

// scripted is a subject that notes when it is measured.
type scripted struct {
	name string
	cost time.Duration
	log  *[]string
	err  error
}

func (s scripted) Measure(n int) (Cost, error) {
	*s.log = append(*s.log, s.name)
	return Cost{CPU: s.cost, Wall: s.cost}, s.err
}

func TestRoundsTakeTurns(t *testing.T) {
	var log []string
	subjects := []Subject{scripted{name: "a", cost: time.Second, log: &log}, scripted{name: "b", cost: time.Minute, log: &log}}
	series, err := Rounds(3, time.Millisecond, subjects)
	if err != nil {
		t.Fatal(err)
	}
	warmUp, rounds := []string{"a", "b"}, []string{"a", "b", "a", "b", "a", "b"}
	if want := slices.Concat(warmUp, rounds); !slices.Equal(log, want) {
		t.Errorf("got %v, want %v", log, want)
	}
	if len(series) != 2 || len(series[0]) != 3 || series[1].Median().CPU != time.Minute {
		t.Errorf("got %v", series)
	}
	failure := errors.New("failed")
	if _, err := Rounds(1, time.Millisecond, []Subject{scripted{log: &log, err: failure}}); !errors.Is(err, failure) {
		t.Errorf("got %v, want %v", err, failure)
	}
}

// counting is a subject each of whose executions takes a microsecond.
type counting struct{ last *int }

func (c counting) Measure(n int) (Cost, error) {
	*c.last = n
	return Cost{CPU: time.Microsecond, Wall: time.Microsecond}, nil
}

func TestBatchesLastAsLongAsTheyShall(t *testing.T) {
	var n int
	if _, err := Rounds(1, 5*time.Millisecond, []Subject{counting{&n}}); err != nil {
		t.Fatal(err)
	}
	if n != 5000 {
		t.Errorf("%d executions, want 5000", n)
	}
	if _, err := Rounds(1, time.Second, []Subject{scripted{log: new([]string)}}); err == nil {
		t.Error("an operation that takes no time can be measured")
	}
}

func TestAnOpIsChargedForWhatItExecutesOnly(t *testing.T) {
	prepared, executed := 0, 0
	var sink [][]byte
	op := Op(func(n int) (func() error, error) {
		prepared += n
		for range 1000 {
			sink = append(sink, make([]byte, 1<<10)) // is not the operation's
		}
		return func() error {
			for range n {
				executed++
				sink = append(sink, make([]byte, 1<<16))
			}
			return nil
		}, nil
	})
	c, err := op.Measure(8)
	if err != nil {
		t.Fatal(err)
	}
	if prepared != 8 || executed != 8 {
		t.Errorf("prepared %d, executed %d, want 8", prepared, executed)
	}
	if c.Bytes < 1<<16 || c.Bytes > 1<<17 {
		t.Errorf("%.0f octets allocated by each execution, want a little more than %d", c.Bytes, 1<<16)
	}
	failure := errors.New("failed")
	if _, err := Repeat(func() error { return failure }).Measure(1); !errors.Is(err, failure) {
		t.Errorf("got %v, want %v", err, failure)
	}
}

func TestSeriesAddUp(t *testing.T) {
	a := Series{{CPU: 1, Wall: 2, Bytes: 3, Allocs: 4}}
	b := Series{{CPU: 10, Wall: 20, Bytes: 30, Allocs: 40}, {}}
	if got, want := a.Plus(b), (Series{{CPU: 11, Wall: 22, Bytes: 33, Allocs: 44}}); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestLatencyOf(t *testing.T) {
	var times []time.Duration
	for n := range 1000 {
		times = append(times, time.Duration(1000-n))
	}
	if got, want := LatencyOf(times), (Latency{Mean: 500, Median: 501, P99: 991, Longest: 1000}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
