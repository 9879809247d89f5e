// Package hooks lets package conformance use parts of package mls that are not,
// and shall not be, in its API: test vectors fix values that a group never shows
// and cannot be given. Package mls sets [MLS] when it is initialised. What is
// offered are the functions that groups themselves use, in terms of octets;
// nothing in here knows formats of vectors.
package hooks
