// Apq measures what an hour of frequent updates costs a link: of sessions of two groups, which
// replace their post-quantum keys now and then, beside those of a classical suite and of a hybrid
// one, which does so each time. ../../README.md says how, and how to read the figures.
//
//	go run ./cmd/apq                                 # updates every 10 s, full ones every 10 min: two minutes
//	go run ./cmd/apq -every 1m -full-every 1h
//	go run ./cmd/apq -quick                          # to see that it works
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"runtime"
	"time"

	"github.com/mendlink/mendlink/bench/internal/measure"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("apq: ")
	var o options
	flag.DurationVar(&o.every, "every", 10*time.Second, "time between two updates")
	flag.DurationVar(&o.fullEvery, "full-every", 10*time.Minute, "time between two full updates")
	flag.IntVar(&o.rounds, "rounds", 15, "number of rounds")
	flag.DurationVar(&o.batch, "batch", time.Second, "how long each takes in a round")
	quick := flag.Bool("quick", false, "3 rounds of one hour with few updates, where nothing else is said: to see that it works")
	jsonFile := flag.String("json", "", "write the figures to `file` as well")
	profile := flag.String("cpuprofile", "", "write a CPU profile of sessions of two groups alone to `file`, and measure nothing else")
	flag.Parse()

	set := make(map[string]bool)
	flag.Visit(func(f *flag.Flag) { set[f.Name] = true })
	for name, short := range map[string]func(){
		"rounds": func() { o.rounds = 3 }, "batch": func() { o.batch = time.Millisecond },
		"every": func() { o.every = 5 * time.Minute }, "full-every": func() { o.fullEvery = 30 * time.Minute },
	} {
		if *quick && !set[name] {
			short()
		}
	}
	o.alone = *profile != ""
	if err := measure.Profiled(*profile, func() error { return run(os.Stdout, &o, *jsonFile) }); err != nil {
		log.Fatal(err)
	}
}

type options struct {
	every, fullEvery time.Duration
	rounds           int
	batch            time.Duration
	alone            bool // only sessions of two groups
}

// verify returns an error if there is nothing to measure.
func (o *options) verify() error {
	switch {
	case o.rounds < 1:
		return errors.New("there is one round at the least")
	case o.every <= 0 || o.every > time.Hour:
		return fmt.Errorf("updates every %v are none in an hour", o.every)
	case o.fullEvery < o.every:
		return fmt.Errorf("full updates every %v are more than updates every %v", o.fullEvery, o.every)
	}
	return nil
}

// updates returns how many there are in an hour, and the how many-th of them is full.
func (o *options) updates() (n, full int) {
	return int(time.Hour / o.every), int(o.fullEvery / o.every)
}

// run measures what the options ask for, and writes a table, verdicts and, if it has a name, the
// file with all figures.
func run(w io.Writer, o *options, jsonFile string) error {
	if err := o.verify(); err != nil {
		return err
	}
	n, full := o.updates()
	fmt.Fprintf(w, "%s, %d cores, %d rounds of %v; medians; both ends together; an hour of one end's updates: %d, of which %d are full\n\n",
		runtime.Version(), runtime.GOMAXPROCS(0), o.rounds, o.batch, n, n/full)
	findings, err := o.measure()
	if err != nil {
		return err
	}
	return findings.Write(w, jsonFile)
}
