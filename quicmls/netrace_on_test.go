//go:build race

package quicmls

// underRace says that the race detector makes everything slow: less of it then.
const underRace = true
