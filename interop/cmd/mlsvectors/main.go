// Command mlsvectors checks Mendlink against test vectors in the formats of the
// MLS working group.
//
//	mlsvectors -kind KIND FILE...
//
// It prints a line for each case that fails and, last, "N passed, N failed". A
// FILE may be compressed by gzip; "-" is the standard input. The exit status is
// 0 if all cases passed, 1 if any failed, 2 if it was called in a wrong way or a
// file cannot be read.
package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/mendlink/mendlink/mls/conformance"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// The exit statuses.
const (
	allPassed = iota
	someFailed
	notRun
)

// errUsage means that the command was called in a wrong way.
var errUsage = errors.New("usage")

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("mlsvectors", flag.ContinueOnError)
	flags.SetOutput(stderr)
	kind := flags.String("kind", "", "the `kind` of the vectors")
	flags.Usage = func() { usage(flags) }
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return allPassed
		}
		return notRun
	}
	passed, failed, err := checkFiles(*kind, flags.Args(), stdin, stdout)
	switch {
	case errors.Is(err, errUsage), errors.Is(err, conformance.ErrUnknownKind):
		fmt.Fprintf(stderr, "mlsvectors: %v\n\n", err)
		usage(flags)
		return notRun
	case err != nil:
		fmt.Fprintf(stderr, "mlsvectors: %v\n", err)
		return notRun
	}
	fmt.Fprintf(stdout, "%d passed, %d failed\n", passed, failed)
	if failed > 0 {
		return someFailed
	}
	return allPassed
}

func usage(flags *flag.FlagSet) {
	w := flags.Output()
	fmt.Fprint(w, "usage: mlsvectors -kind KIND FILE...\n\n")
	flags.PrintDefaults()
	fmt.Fprint(w, "\nkinds:\n")
	for _, k := range conformance.Kinds() {
		fmt.Fprintf(w, "  %s\n", strings.Join(append([]string{k.Name}, k.Aliases...), ", "))
	}
}

// checkFiles checks all files. The error is that of the first that cannot be
// read.
func checkFiles(kind string, files []string, stdin io.Reader, stdout io.Writer) (passed, failed int, err error) {
	switch {
	case kind == "":
		return 0, 0, fmt.Errorf("%w: there is no -kind", errUsage)
	case len(files) == 0:
		return 0, 0, fmt.Errorf("%w: there is no FILE", errUsage)
	}
	for _, name := range files {
		results, err := checkFile(kind, name, stdin)
		if err != nil {
			return 0, 0, fmt.Errorf("%s: %w", name, err)
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
	return passed, failed, nil
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
