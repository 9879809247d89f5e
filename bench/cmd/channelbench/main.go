// Channelbench measures what package channel costs, beside mutual TLS 1.3 of
// crypto/tls and beside Noise. ../../README.md says how, and how to read the
// figures.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"regexp"
	"runtime"
	"time"

	"github.com/mendlink/mendlink/bench/internal/measure"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("channelbench: ")
	var o options
	flag.IntVar(&o.rounds, "rounds", 15, "number of rounds")
	flag.DurationVar(&o.batch, "batch", 100*time.Millisecond, "how long each takes in a round")
	only := flag.String("only", "", "measure the operations that match `regexp`, such as '^hybrid update'")
	quick := flag.Bool("quick", false, "3 rounds of 5 ms, where nothing else is said: to see that it works")
	jsonFile := flag.String("json", "", "write the figures to `file` as well")
	profile := flag.String("cpuprofile", "", "write a CPU profile of our operations alone to `file`, and measure nothing else")
	flag.Parse()

	set := make(map[string]bool)
	flag.Visit(func(f *flag.Flag) { set[f.Name] = true })
	if *quick && !set["rounds"] {
		o.rounds = 3
	}
	if *quick && !set["batch"] {
		o.batch = 5 * time.Millisecond
	}
	if o.rounds < 1 {
		log.Fatal("there is one round at the least")
	}
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		log.Fatal(err)
	}
	o.oursOnly = *profile != ""
	err = measure.Profiled(*profile, func() error { return run(os.Stdout, &o, *jsonFile) })
	if err != nil {
		log.Fatal(err)
	}
}

type options struct {
	only     *regexp.Regexp
	rounds   int
	batch    time.Duration
	oursOnly bool
}

// run measures what the options ask for, and writes tables, verdicts and, if it
// has a name, the file with all figures.
func run(w io.Writer, o *options, jsonFile string) error {
	fmt.Fprintf(w, "%s, %d cores, %d rounds of %v; medians; both ends together; microseconds of CPU time, kB\n\n",
		runtime.Version(), runtime.GOMAXPROCS(0), o.rounds, o.batch)
	results, err := measureAll(o)
	if err != nil {
		return err
	}
	if err := results.writeTable(w); err != nil {
		return err
	}
	if !o.oursOnly {
		fmt.Fprintln(w, "\noctets on the wire")
		if err := writeOctets(w); err != nil {
			return err
		}
	}
	fmt.Fprintln(w)
	for _, g := range results.goals() {
		fmt.Fprintln(w, &g)
	}
	if jsonFile == "" {
		return nil
	}
	return results.writeJSON(jsonFile)
}
