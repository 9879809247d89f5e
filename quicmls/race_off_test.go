//go:build !race

package quicmls

const raceEnabled = false
