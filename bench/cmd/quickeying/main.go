// Quickeying measures QUIC connections that an epoch of a session keys (package tlspsk)
// beside those with certificates, and beside a layer of records inside a stream. It is
// what docs/quic-keying.md has its figures from.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"regexp"
	"runtime"
	"text/tabwriter"
	"time"

	"github.com/mendlink/mendlink/bench/internal/measure"
)

type options struct {
	rounds int
	batch  time.Duration // of CPU time, for each in a round
	only   *regexp.Regexp
}

var (
	defaults = options{rounds: 21, batch: 200 * time.Millisecond}
	quick    = options{rounds: 2, batch: 10 * time.Millisecond}
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("quickeying: ")
	o := defaults
	flag.IntVar(&o.rounds, "rounds", o.rounds, "number of rounds")
	only := flag.String("only", "", "measure what matches `regexp`, such as '^set-up'")
	isQuick := flag.Bool("quick", false, "few short rounds: to see that it works")
	flag.Parse()
	if *isQuick {
		o = quick
	}
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		log.Fatal(err)
	}
	if o.rounds < 1 {
		log.Fatal("there is one round at the least")
	}
	if err := run(os.Stdout, &o); err != nil {
		log.Fatal(err)
	}
}

// A contestant is an operation with a name.
type contestant struct {
	name string
	op   measure.Subject
}

// A comparison is measured in turns. All others are compared to the first.
type comparison struct {
	name string
	// begin readies the contestants, and what closes them.
	begin func() ([]contestant, func() error, error)
	// octets are what an operation carries, if that is what it is about.
	octets int
}

func comparisons() (all []comparison) {
	for _, curve := range curves {
		all = append(all, comparison{name: "set-up, " + curve.name, begin: curve.setUps})
	}
	for _, curve := range curves {
		all = append(all, comparison{name: "healing, " + curve.name, begin: curve.healings})
	}
	for _, write := range []int{mebibyte, 16 << 10} {
		all = append(all, comparison{
			name:   fmt.Sprintf("bulk, writes of %d KiB", write>>10),
			begin:  func() ([]contestant, func() error, error) { return transfers(write) },
			octets: mebibyte,
		})
	}
	return all
}

func run(w io.Writer, o *options) error {
	fmt.Fprintf(w, "%s, %d cores, %d rounds; CPU time of both ends together, medians; ratio: median of the CPU times of a round, to the first's\n\n",
		runtime.Version(), runtime.GOMAXPROCS(0), o.rounds)
	for _, c := range comparisons() {
		if !o.only.MatchString(c.name) {
			continue
		}
		if err := c.measure(w, o); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

func (c comparison) measure(w io.Writer, o *options) (err error) {
	contestants, end, err := c.begin()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	subjects := make([]measure.Subject, len(contestants))
	for i, s := range contestants {
		subjects[i] = s.op
	}
	series, err := measure.Rounds(o.rounds, o.batch, subjects)
	if err != nil {
		return err
	}
	fmt.Fprintln(w, c.name)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for i, s := range contestants {
		cost := series[i].Median()
		fmt.Fprintf(t, "%s\t%.3f ms\t%.0f allocs\t%.2f\t", s.name, cost.CPU.Seconds()*1e3, cost.Allocs, measure.Ratio(series[i], series[0], measure.CPU))
		if c.octets != 0 {
			fmt.Fprintf(t, "%.0f MB/CPU s\t", float64(c.octets)/1e6/cost.CPU.Seconds())
		}
		fmt.Fprintln(t)
	}
	fmt.Fprintln(t)
	return t.Flush()
}
