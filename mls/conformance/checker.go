package conformance

import (
	"bytes"
	"fmt"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// A checker collects what is wrong with a case.
type checker struct {
	suite       *ciphersuite.Suite // of the case, nil if the kind has none
	comparisons int
	errs        []error
}

// maxErrors bounds what is collected of one case.
const maxErrors = 10

func (c *checker) failf(format string, args ...any) {
	if len(c.errs) < maxErrors {
		c.errs = append(c.errs, fmt.Errorf(format, args...))
	}
}

// equal compares octets.
func (c *checker) equal(what string, got, want []byte) {
	c.comparisons++
	if !bytes.Equal(got, want) {
		c.failf("%s is %s, want %s", what, abbreviate(got), abbreviate(want))
	}
}

// ok takes note of an operation that has to succeed and tells whether it did.
func (c *checker) ok(what string, err error) bool {
	c.comparisons++
	if err != nil {
		c.failf("%s: %w", what, err)
	}
	return err == nil
}

// that takes note of a condition that has to hold and tells whether it does.
func (c *checker) that(holds bool, format string, args ...any) bool {
	c.comparisons++
	if !holds {
		c.failf(format, args...)
	}
	return holds
}

// length tells whether n octets can be derived with a label in one go.
func (c *checker) length(what string, n int) bool {
	limit := min(255*c.suite.HashSize(), 1<<16-1)
	return c.that(n >= 0 && n <= limit, "%s of %d octets, at most %d can be derived", what, n, limit)
}

// abbreviate returns octets in hexadecimal, of long ones the beginning.
func abbreviate(b []byte) string {
	const most = 64
	if len(b) <= most {
		return fmt.Sprintf("%x", b)
	}
	return fmt.Sprintf("%x... (%d octets)", b[:most], len(b))
}
