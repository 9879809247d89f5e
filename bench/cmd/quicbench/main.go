// Quicbench measures package quicmls beside bare quic-go with mutual TLS, over UDP on loopback:
// throughput, latency, streams, datagrams, set-up, and the memory of idle connections.
// ../../README.md says how, and how to read the figures.
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
	"github.com/mendlink/mendlink/bench/internal/report"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("quicbench: ")
	os.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true") // what the kernel allows, it allows both
	o := defaults
	flag.IntVar(&o.rounds, "rounds", o.rounds, "number of rounds")
	flag.IntVar(&o.conns, "conns", o.conns, "number of idle connections")
	only := flag.String("only", "", "measure what matches `regexp`, such as '^throughput'")
	flag.StringVar(&o.both, "both", "", "let `who`, ours or quic-go, be both contestants: for profiles, and to see how far ratios stray")
	isQuick := flag.Bool("quick", false, "few rounds and few connections, where nothing else is said: to see that it works")
	cpuProfile := flag.String("cpuprofile", "", "write a CPU profile to `file`")
	memProfile := flag.String("memprofile", "", "write a profile of allocations to `file`")
	flag.StringVar(&o.heapProfile, "heapprofile", "", "write what is in use while there are idle ends to `file`; see -both")
	jsonFile := flag.String("json", "", "write the figures to `file` as well")
	flag.Parse()

	set := make(map[string]bool)
	flag.Visit(func(f *flag.Flag) { set[f.Name] = true })
	if *isQuick {
		o.batch, o.trips = quick.batch, quick.trips
		if !set["rounds"] {
			o.rounds = quick.rounds
		}
		if !set["conns"] {
			o.conns = quick.conns
		}
	}
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		log.Fatal(err)
	}
	if o.rounds < 1 || o.conns < 1 {
		log.Fatal("there is one round, and there is one connection, at the least")
	}
	err = measure.Profiled(*cpuProfile, func() error { return run(os.Stdout, &o, *jsonFile) })
	if err == nil {
		err = measure.WriteMemory(*memProfile)
	}
	if err != nil {
		log.Fatal(err)
	}
}

type options struct {
	only   *regexp.Regexp
	both   string
	rounds int
	batch  time.Duration // of CPU time, for each in a round
	trips  int           // of a message to and fro, for each in a round
	conns  int

	heapProfile string
}

var (
	defaults = options{rounds: 15, batch: 150 * time.Millisecond, trips: 2000, conns: 500}
	quick    = options{rounds: 2, batch: 5 * time.Millisecond, trips: 100, conns: 20}
)

// A comparison is measured in turn with nothing but what it is compared to.
type comparison struct {
	name    string
	measure func(*lab) ([]report.Finding, error)
}

// run measures what the options ask for, and writes a table, verdicts and, if it
// has a name, the file with all figures.
func run(w io.Writer, o *options, jsonFile string) error {
	l, err := newLab(o)
	if err != nil {
		return err
	}
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
	all = append(all,
		comparison{"request and response", measurePingPong},
		comparison{"stream", measureStreams},
		comparison{"datagram", measureDatagrams},
	)
	for _, c := range classes {
		all = append(all, comparison{"set-up, " + c.name, c.measureSetUp})
	}
	for _, c := range classes {
		all = append(all, comparison{"idle end, " + c.name, c.measureIdle})
	}
	return all
}
