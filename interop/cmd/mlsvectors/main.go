// Command mlsvectors checks Mendlink against test vectors in the formats of the
// MLS working group and in its own, and makes such vectors.
//
//	mlsvectors -kind KIND FILE...
//
// prints a line for each case that fails and, last, "N passed, N failed". A FILE
// may be compressed by gzip; "-" is the standard input.
//
//	mlsvectors -generate NAME [-suites 1-7,0xF001] [-count N] [-seed SEED] >FILE
//
// writes vectors to the standard output. The same seed gives the same file.
//
// The exit status is 0 if all cases passed or all vectors were written, 1 if any
// case failed, 2 if the command was called in a wrong way or a file cannot be
// read or written. docs/vectors.md describes the formats.
package main

import (
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

var errNothingToDo = fmt.Errorf("%w: there is neither -kind nor -generate", errUsage)

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("mlsvectors", flag.ContinueOnError)
	flags.SetOutput(stderr)
	kind := flags.String("kind", "", "check vectors of this `kind`")
	name := flags.String("generate", "", "make vectors of this `name`")
	suites := flags.String("suites", "", "with -generate: the cipher suites, a `list` of code points and ranges; all if empty")
	count := flags.Int("count", 1, "with -generate: the number of cases, for each suite")
	seed := flags.String("seed", "mendlink", "with -generate: what all that is random is made of")
	flags.Usage = func() { usage(flags) }
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return allPassed
		}
		return notRun
	}
	failed, err := 0, errNothingToDo
	switch {
	case *name != "" && (*kind != "" || flags.NArg() > 0):
		err = fmt.Errorf("%w: -generate takes neither -kind nor files", errUsage)
	case *name != "":
		err = generate(stdout, *name, *suites, *count, *seed)
	case *kind != "":
		failed, err = check(*kind, flags.Args(), stdin, stdout)
	}
	switch {
	case errors.Is(err, errUsage), errors.Is(err, conformance.ErrUnknownKind):
		fmt.Fprintf(stderr, "mlsvectors: %v\n\n", err)
		usage(flags)
		return notRun
	case err != nil:
		fmt.Fprintf(stderr, "mlsvectors: %v\n", err)
		return notRun
	case failed > 0:
		return someFailed
	}
	return allPassed
}

func usage(flags *flag.FlagSet) {
	w := flags.Output()
	fmt.Fprint(w, "usage: mlsvectors -kind KIND FILE...\n       mlsvectors -generate NAME [-suites LIST] [-count N] [-seed SEED] >FILE\n\n")
	flags.PrintDefaults()
	fmt.Fprint(w, "\nkinds to check:\n")
	for _, k := range conformance.Kinds() {
		fmt.Fprintf(w, "  %s\n", strings.Join(append([]string{k.Name}, k.Aliases...), ", "))
	}
	fmt.Fprintf(w, "\nnames to generate:\n  %s\n", strings.Join(conformance.Generators(), "\n  "))
}
