// Package live holds tests in which Mendlink's MLS and implementations by other
// people form groups together. It has no code but tests; ../README.md says what
// they need and how the other implementations are driven.
package live
