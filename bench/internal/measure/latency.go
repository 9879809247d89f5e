package measure

import (
	"slices"
	"time"
)

// A Latency is how long many executions of an operation took, one by one.
type Latency struct{ Mean, Median, P99, Longest time.Duration }

// LatencyOf sums times up, of which there must be some. It sorts them.
func LatencyOf(times []time.Duration) Latency {
	var total time.Duration
	for _, t := range times {
		total += t
	}
	slices.Sort(times)
	n := len(times)
	return Latency{Mean: total / time.Duration(n), Median: times[n/2], P99: times[n*99/100], Longest: times[n-1]}
}
