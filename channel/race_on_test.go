//go:build race

package channel

// raceEnabled says that the race detector makes everything slower.
const raceEnabled = true
