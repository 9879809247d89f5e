//go:build race

package quicmls

// raceEnabled says that the race detector adds allocations of its own, as it makes sync.Pool drop things.
const raceEnabled = true
