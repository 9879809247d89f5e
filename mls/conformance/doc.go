// Package conformance checks this MLS implementation against test vectors in the
// formats of the MLS working group, and makes vectors in the same formats, so
// that others can check theirs. Applications have no use for it.
//
// It is a package of its own, beside package mls, so that the tests of this
// module and the command mlsvectors of the nested module interop run the very
// same code: a nested module cannot import what is internal to mls. What the
// vectors fix and a group never shows, such as the secrets of an epoch, is
// reached through internal/hooks, so that package mls has neither functions for
// vectors in its API nor formats of vectors in its code.
//
// Vectors come from strangers. A case that is malformed fails like one whose
// values are wrong.
//
// docs/vectors.md describes the files, and the formats that are our own.
package conformance
