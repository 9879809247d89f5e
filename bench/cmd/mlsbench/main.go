// Mlsbench measures what package mls costs, beside the public-key operations
// that the protocol cannot avoid and beside other implementations.
// ../../README.md says how, and how to read the figures.
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
	"strconv"
	"strings"
	"time"

	"github.com/mendlink/mendlink/bench/internal/measure"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("mlsbench: ")
	var o options
	var profile string
	flag.Func("suites", "`list` of cipher suites (default 1,2,0xf001,0xf002)", func(s string) (err error) {
		o.suites, err = parseList(s, func(s string) (ciphersuite.ID, error) {
			id, err := strconv.ParseUint(s, 0, 16)
			return ciphersuite.ID(id), err
		})
		return err
	})
	flag.Func("sizes", "`list` of numbers of members (default 2,10,100,1000)", func(s string) (err error) {
		o.sizes, err = parseList(s, func(s string) (int, error) {
			n, err := strconv.Atoi(s)
			if err == nil && n < 2 {
				err = errors.New("a group has 2 members at the least")
			}
			return n, err
		})
		return err
	})
	only := flag.String("only", "", "measure the operations that match `regexp`")
	flag.IntVar(&o.rounds, "rounds", 9, "number of rounds")
	flag.DurationVar(&o.batch, "batch", 100*time.Millisecond, "how long each takes in a round")
	flag.StringVar(&o.peers, "peers", "auto", "other implementations: \"auto\" (those whose tools are there), \"none\" or a `list` of "+peerNames())
	flag.StringVar(&o.peerDir, "peerdir", "peers", "`folder` with the programs of the other implementations")
	quick := flag.Bool("quick", false, "suite 1, groups of 2 and 100, 5 short rounds, no peers, where nothing else is said")
	flag.StringVar(&profile, "cpuprofile", "", "write a CPU profile of our operations alone to `file`, and measure nothing else")
	flag.Parse()

	set := make(map[string]bool)
	flag.Visit(func(f *flag.Flag) { set[f.Name] = true })
	o.setDefaults(*quick, set)
	if o.rounds < 1 {
		log.Fatal("there is one round at the least")
	}
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		log.Fatal(err)
	}
	if profile != "" {
		o.oursOnly, o.peers = true, "none"
	}
	err = measure.Profiled(profile, func() error { return run(os.Stdout, &o) })
	if err != nil {
		log.Fatal(err)
	}
}

type options struct {
	suites   []ciphersuite.ID
	sizes    []int
	only     *regexp.Regexp
	rounds   int
	batch    time.Duration
	peers    string
	peerDir  string
	oursOnly bool
}

// setDefaults fills in what the flags that are set leave open.
func (o *options) setDefaults(quick bool, set map[string]bool) {
	suites := []ciphersuite.ID{
		ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519,
		ciphersuite.MLS_128_DHKEMP256_AES128GCM_SHA256_P256,
		ciphersuite.MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519,
		ciphersuite.MLS_128_MLKEM768X25519_AES256GCM_SHA384_Ed25519,
	}
	sizes := []int{2, 10, 100, 1000}
	if quick {
		suites, sizes = suites[:1], []int{2, 100}
		if !set["rounds"] {
			o.rounds = 5
		}
		if !set["batch"] {
			o.batch = 50 * time.Millisecond
		}
		if !set["peers"] {
			o.peers = "none"
		}
	}
	if !set["suites"] {
		o.suites = suites
	}
	if !set["sizes"] {
		o.sizes = sizes
	}
}

func parseList[T any](s string, parse func(string) (T, error)) ([]T, error) {
	var list []T
	for field := range strings.SplitSeq(s, ",") {
		v, err := parse(field)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

func header(w io.Writer, o *options) {
	fmt.Fprintf(w, "%s, %d cores, %d rounds of %v; medians; microseconds, kB\n", runtime.Version(), runtime.GOMAXPROCS(0), o.rounds, o.batch)
}
