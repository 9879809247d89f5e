//go:build !race

package quicmls

const underRace = false
