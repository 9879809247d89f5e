package conformance

// A generator makes vectors.
type generator struct{}
