// Compare measures package netconn beside crypto/tls, over TCP on loopback and with
// the same AEAD: throughput, latency, and the memory of idle connections. ../../README.md
// says how, and how to read the figures.
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
	"time"

	"github.com/mendlink/mendlink/bench/internal/report"
	"github.com/mendlink/mendlink/bench/internal/rivals"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("compare: ")
	o := defaults
	flag.IntVar(&o.rounds, "rounds", o.rounds, "number of rounds")
	flag.IntVar(&o.conns, "conns", o.conns, "number of idle ends; each takes a file descriptor")
	only := flag.String("only", "", "measure what matches `regexp`, such as '^throughput'")
	isQuick := flag.Bool("quick", false, "few rounds and few connections, where nothing else is said: to see that it works")
	jsonFile := flag.String("json", "", "write the figures to `file` as well")
	flag.Parse()

	if *isQuick {
		given := o
		o = quick
		flag.Visit(func(f *flag.Flag) {
			switch f.Name {
			case "rounds":
				o.rounds = given.rounds
			case "conns":
				o.conns = given.conns
			}
		})
	}
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		log.Fatal(err)
	}
	if o.rounds < 1 || o.conns < 2 {
		log.Fatal("there is one round, and there are two ends, at the least")
	}
	if err := run(os.Stdout, &o, *jsonFile); err != nil {
		log.Fatal(err)
	}
}

type options struct {
	only   *regexp.Regexp
	rounds int
	batch  time.Duration // of CPU time, for each in a round
	warm   int           // mebibytes that flow before allocations are counted, and again while they are
	trips  int           // of a message to and fro, for each in a round
	every  time.Duration // between two updates, where their effect is measured
	conns  int
}

var (
	defaults = options{rounds: 15, batch: 100 * time.Millisecond, warm: 100, trips: 4000, every: time.Second, conns: 9900}
	quick    = options{rounds: 2, batch: 5 * time.Millisecond, warm: 1, trips: 100, every: 20 * time.Millisecond, conns: 20}
)

// A comparison is measured in turn with nothing but what it is compared to.
type comparison struct {
	name    string
	measure func(*lab) ([]report.Finding, error)
}

// run measures what the options ask for, and writes a table, verdicts and, if it
// has a name, the file with all figures.
func run(w io.Writer, o *options, jsonFile string) (err error) {
	l, err := newLab(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.dialer.Close()) }()
	fmt.Fprintf(w, "%s, %d cores, %d rounds; medians; both ends together; ratio > 1: better than the peer\n\n",
		runtime.Version(), runtime.GOMAXPROCS(0), o.rounds)
	var found report.Findings
	for _, c := range comparisons() {
		if !o.only.MatchString(c.name) {
			continue
		}
		log.Print(c.name)
		f, err := c.measure(l)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		found = append(found, f...)
	}
	return found.Write(w, jsonFile)
}

// comparisons returns all that is measured.
func comparisons() (all []comparison) {
	for _, t := range transfers {
		all = append(all, comparison{"throughput, " + t.name, t.measure})
	}
	for _, p := range pingPongs {
		all = append(all, comparison{"ping-pong " + p.name, p.measure})
	}
	all = append(all, comparison{"rekeying", measureRekeying})
	for _, c := range classes {
		all = append(all, comparison{"idle end, " + c.name, c.measureIdle})
	}
	return all
}

// A lab is what all comparisons need.
type lab struct {
	*options
	dialer *rivals.Dialer
}

func newLab(o *options) (*lab, error) {
	d, err := rivals.NewDialer()
	if err != nil {
		return nil, err
	}
	return &lab{o, d}, nil
}
