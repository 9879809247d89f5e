package main

import (
	"io"
	"math/rand/v2"
)

// newData returns octets without end, the same each time, that cannot be compressed.
func newData() io.Reader { return rand.NewChaCha8([32]byte{'d', 'a', 't', 'a'}) }
