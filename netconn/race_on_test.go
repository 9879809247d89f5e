//go:build race

package netconn

// raceEnabled says that the race detector adds allocations of its own, as it makes sync.Pool drop things.
const raceEnabled = true
