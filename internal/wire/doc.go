// Package wire reads and writes the TLS presentation language as MLS uses it:
// big-endian integers, optional values, and vectors whose length header is a
// variable-length integer (RFC 9420, Section 2.1).
//
// A [Writer] appends and cannot fail. A [Reader] remembers its first error, so
// that a decoder is a straight list of fields with one check at the end:
//
//	r := wire.NewReader(b)
//	version := r.Uint16()
//	groupID := r.Opaque()
//	if err := r.Finish(); err != nil { ... }
//
// A Reader hands out sub-slices of its input and never allocates for a length
// that a peer merely claims.
package wire
