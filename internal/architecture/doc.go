// Package architecture holds the test that keeps the house in order: which
// package may import which, and which packages stay free of sockets, files and
// clocks.
package architecture
