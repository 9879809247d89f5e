// Package treemath is the arithmetic of the array-based full binary trees that
// MLS uses for the ratchet tree, the secret tree and tree hashes
// (RFC 9420, Appendix C).
//
// Leaves sit at even node indices, parents at odd ones. An index that is not in
// the tree at hand, as a peer may claim one, never panics, loops or wraps
// around: each function says what it returns instead.
package treemath
