package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/mendlink/mendlink/mls/conformance"
)

// check checks all files and prints what comes of it. The error is that of the
// first that cannot be read.
func check(kind string, files []string, stdin io.Reader, stdout io.Writer) (failed int, err error) {
	if len(files) == 0 {
		return 0, fmt.Errorf("%w: there is no FILE", errUsage)
	}
	passed := 0
	for _, name := range files {
		results, err := checkFile(kind, name, stdin)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
		for i, r := range results {
			if r.Err == nil {
				passed++
				continue
			}
			failed++
			fmt.Fprintf(stdout, "%s: case %d%s: %s\n", name, i, ofSuite(r), oneLine(r.Err))
		}
	}
	_, err = fmt.Fprintf(stdout, "%d passed, %d failed\n", passed, failed)
	return failed, err
}

func checkFile(kind, name string, stdin io.Reader) ([]conformance.Result, error) {
	file := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		file = f
	}
	r := bufio.NewReader(file)
	if magic, _ := r.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, err
		}
		return conformance.Check(kind, z)
	}
	return conformance.Check(kind, r)
}

func ofSuite(r conformance.Result) string {
	if r.Suite == 0 {
		return ""
	}
	return fmt.Sprintf(" (suite %#04x)", uint16(r.Suite))
}

// oneLine returns an error in one line.
func oneLine(err error) string {
	return strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; ")
}
