package main

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/mls/conformance"
)

// generate writes a file of vectors, all of it or nothing.
func generate(stdout io.Writer, name, suites string, count int, seed string) error {
	ids, err := parseSuites(suites)
	if err != nil {
		return fmt.Errorf("%w: -suites: %w", errUsage, err)
	}
	if count < 1 {
		return fmt.Errorf("%w: -count is %d", errUsage, count)
	}
	var b bytes.Buffer
	if err := conformance.Generate(&b, name, conformance.GenerateOptions{Suites: ids, Count: count, Seed: []byte(seed)}); err != nil {
		return err
	}
	_, err = stdout.Write(b.Bytes())
	return err
}

// parseSuites reads a list of code points and ranges of them, all suites if it
// is empty.
func parseSuites(list string) ([]ciphersuite.ID, error) {
	if list == "" {
		return ciphersuite.Default().IDs(), nil
	}
	var ids []ciphersuite.ID
	for _, entry := range strings.Split(list, ",") {
		low, high, isRange := strings.Cut(entry, "-")
		if !isRange {
			high = low
		}
		first, err := parseSuite(low)
		if err != nil {
			return nil, err
		}
		last, err := parseSuite(high)
		if err != nil {
			return nil, err
		}
		if last < first {
			return nil, fmt.Errorf("range %q is empty", entry)
		}
		for id := uint64(first); id <= uint64(last); id++ {
			ids = append(ids, ciphersuite.ID(id))
		}
	}
	return ids, nil
}

// parseSuite reads the code point of a suite, in decimal, or in hexadecimal with
// 0x before it.
func parseSuite(s string) (ciphersuite.ID, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 0, 16)
	if err != nil {
		return 0, fmt.Errorf("%q is no code point", s)
	}
	return ciphersuite.ID(n), nil
}
