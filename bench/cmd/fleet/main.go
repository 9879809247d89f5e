// Fleet estimates what a fleet of servers needs for very many links. It measures on this machine what each operation
// takes a server, and then simulates the links: no connection is made for them, and time passes as fast as
// its events can be counted. ../../README.md says how, and how to read the figures.
//
//	go run ./cmd/fleet                                # a million links, suites 1 and 0xF001: some minutes
//	go run ./cmd/fleet -json prices.json              # what was measured and what came out, to a file
//	go run ./cmd/fleet -prices prices.json -every 1m  # without measuring again
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("fleet: ")
	o := defaults()
	f := &o.fleet
	flag.IntVar(&f.Links, "links", f.Links, "links, on average")
	flag.IntVar(&f.Servers, "servers", f.Servers, "servers, which the links are spread over")
	flag.Float64Var(&f.Cores, "cores", f.Cores, "cores of each server")
	flag.DurationVar(&f.Duration, "for", f.Duration, "how long is simulated")
	flag.Uint64Var(&f.Seed, "seed", f.Seed, "what chance depends on")
	flag.IntVar(&f.Sample, "sample", f.Sample, "connections whose updates are found out by channel.Schedule")
	flag.DurationVar(&f.Life, "life", f.Life, "how long a link lives, on average; 0: for ever")
	flag.DurationVar(&f.Cut, "cut", f.Cut, "time between two cuts of a link, on average; 0: never")
	flag.Float64Var(&f.Refused, "refused", f.Refused, "fraction of resumptions that the server refuses")
	flag.DurationVar(&f.Renewal, "renewal", f.Renewal, "time between two renewals of an end's credential; 0: never")
	flag.DurationVar(&f.Spread, "spread", f.Spread, "how long a server takes to show its renewed credential on all links; 0: at once, as netconn's Config.Renew has it")
	flag.DurationVar(&f.Message, "message", f.Message, "time between two messages of a link, on average; 0: none")
	flag.IntVar(&f.Size, "size", f.Size, "octets of a message, for the policy")
	flag.DurationVar(&f.Restart, "restart", f.Restart, "when the first server restarts; negative: never")
	flag.DurationVar(&f.Down, "down", f.Down, "how long it is away then")
	flag.DurationVar(&f.Backoff, "backoff", f.Backoff, "most that clients wait before the first attempt to come back; it doubles")
	flag.DurationVar(&f.Longest, "longest", f.Longest, "most that they wait before any")
	flag.DurationVar(&f.Patience, "patience", f.Patience, "how long they wait for an attempt: netconn's HandshakeTimeout")
	flag.StringVar(&f.Store, "store", f.Store, "where servers keep sessions: memory, bolt, or bolt-nosync")
	flag.Float64Var(&f.Saves, "saves", f.Saves, "how many saves a second a server's store makes; 0: as measured; negative: no bound")
	flag.DurationVar(&f.Policy.Every, "every", f.Policy.Every, "as UpdatePolicy.Every, of both ends; so are the next four")
	flag.Float64Var(&f.Policy.Jitter, "jitter", f.Policy.Jitter, "negative: none")
	flag.Int64Var(&f.Policy.Bytes, "bytes", f.Policy.Bytes, "negative: never")
	flag.DurationVar(&f.Policy.Idle, "idle", f.Policy.Idle, "0: never")
	initiative := flag.String("initiative", "each", "each, turns, client or server")
	suites := flag.String("suites", "1,0xF001", "cipher suites")
	cores := flag.String("herd", "1,2,4,8,16", "cores of servers that a herd comes back to; empty: none")
	prices := flag.String("prices", "", "take the prices from `file`, which -json has written, and measure nothing")
	flag.IntVar(&o.effort.rounds, "rounds", o.effort.rounds, "rounds in which is measured")
	flag.DurationVar(&o.effort.batch, "batch", o.effort.batch, "CPU time that each operation is executed for in a round")
	flag.IntVar(&o.effort.conns, "conns", o.effort.conns, "idle ends; each takes a file descriptor")
	flag.IntVar(&o.effort.savers, "savers", o.effort.savers, "connections that save sessions at once")
	flag.IntVar(&o.effort.sessions, "sessions", o.effort.sessions, "sessions in the stores meanwhile")
	flag.StringVar(&o.effort.dir, "dir", o.effort.dir, "where the bolt store's file is made, to be measured; default: that for temporary files")
	isQuick := flag.Bool("quick", false, "measure little and simulate 10,000 links for ten minutes, where nothing else is said: to see that it works")
	jsonFile := flag.String("json", "", "write the figures to `file` as well")
	flag.Parse()

	if *isQuick {
		set := make(map[string]bool)
		flag.Visit(func(f *flag.Flag) { set[f.Name] = true })
		o.hurry(set)
	}
	var err error
	if f.Policy.Initiative, err = parseInitiative(*initiative); err != nil {
		log.Fatal(err)
	}
	if o.suites, err = parseList(*suites, func(s string) (ciphersuite.ID, error) {
		n, err := strconv.ParseUint(s, 0, 16)
		return ciphersuite.ID(n), err
	}); err != nil {
		log.Fatal(err)
	}
	if o.herd, err = parseList(*cores, func(s string) (float64, error) { return strconv.ParseFloat(s, 64) }); err != nil {
		log.Fatal(err)
	}
	if err := f.verify(); err != nil {
		log.Fatal(err)
	}
	if e := &o.effort; e.rounds < 1 || e.conns < 2 || e.savers < 1 || e.sessions < e.savers {
		log.Fatal("there have to be a round, two idle ends, one that saves, and as many sessions as save at once")
	}
	if *prices != "" {
		if o.prices, err = loadPrices(*prices); err != nil {
			log.Fatal(err)
		}
	}
	if err := run(os.Stdout, &o, *jsonFile); err != nil {
		log.Fatal(err)
	}
}

type options struct {
	fleet  fleet
	effort effort
	suites []ciphersuite.ID
	herd   []float64
	prices []*Prices // nil: measure them
}

func defaults() options {
	return options{
		fleet: fleet{
			Links: 1_000_000, Servers: 10, Cores: 4, Duration: time.Hour, Seed: 1, Sample: 1000,
			Life: 24 * time.Hour, Cut: time.Hour, Refused: 0.01, Renewal: time.Hour,
			Message: time.Minute, Size: messageSize, Restart: 30 * time.Minute, Down: 5 * time.Second,
			Backoff: time.Second, Longest: time.Minute, Patience: 10 * time.Second, Store: onDisk,
			Policy: channel.UpdatePolicy{
				Every: channel.DefaultUpdateEvery, Jitter: channel.DefaultUpdateJitter, Bytes: channel.DefaultUpdateBytes,
			},
		},
		effort: effort{rounds: 9, batch: 100 * time.Millisecond, shares: 301, conns: 4000, savers: 64, sessions: 20_000},
		suites: []ciphersuite.ID{
			ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519,
			ciphersuite.MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519,
		},
		herd: []float64{1, 2, 4, 8, 16},
	}
}

// hurry makes little of all that was not set.
func (o *options) hurry(set map[string]bool) {
	little(set["links"], &o.fleet.Links, 10_000)
	little(set["for"], &o.fleet.Duration, 10*time.Minute)
	little(set["restart"], &o.fleet.Restart, 5*time.Minute)
	little(set["renewal"], &o.fleet.Renewal, 10*time.Minute)
	little(set["sample"], &o.fleet.Sample, 100)
	little(set["rounds"], &o.effort.rounds, 2)
	little(set["batch"], &o.effort.batch, 4*time.Millisecond)
	little(set["conns"], &o.effort.conns, 20)
	little(set["savers"], &o.effort.savers, 16)
	little(set["sessions"], &o.effort.sessions, 100)
	o.effort.shares = 3
}

func little[T any](set bool, v *T, quick T) {
	if !set {
		*v = quick
	}
}

func parseInitiative(s string) (channel.Initiative, error) {
	names := map[string]channel.Initiative{"each": channel.EachEnd, "turns": channel.InTurns, "client": channel.OnlyInitiator, "server": channel.OnlyResponder}
	i, ok := names[s]
	if !ok {
		return 0, fmt.Errorf("the initiative is each, turns, client or server, not %q", s)
	}
	return i, nil
}

func parseList[T any](list string, parse func(string) (T, error)) (values []T, err error) {
	for s := range strings.SplitSeq(list, ",") {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		v, err := parse(s)
		if err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return values, nil
}

// verify returns an error if a fleet cannot be simulated.
func (f *fleet) verify() error {
	switch {
	case f.Links < 1 || f.Servers < 1 || f.Cores <= 0 || f.Sample < 1 || f.Duration < time.Second:
		return fmt.Errorf("there have to be a link, a server, a part of a core, a connection in the sample and a second")
	case f.Refused < 0 || f.Refused > 1:
		return fmt.Errorf("refused is a fraction, not %v", f.Refused)
	case f.Size < 1 || f.Down < 0 || f.Spread < 0 || f.Backoff <= 0 || f.Longest < f.Backoff || f.Patience <= 0:
		return fmt.Errorf("size, backoff and patience are more than 0, and longest is at least backoff")
	case f.Store != inMemory && f.Store != onDisk && f.Store != notSynced:
		return fmt.Errorf("the store is %s, %s or %s, not %q", inMemory, onDisk, notSynced, f.Store)
	}
	return f.Policy.Verify()
}

// run measures and simulates what the options ask for, and writes tables and, if it has a name, the file with
// all figures.
func run(w io.Writer, o *options, jsonFile string) error {
	prices := o.prices
	if prices == nil {
		for _, id := range o.suites {
			p, err := measurePrices(id, o.effort)
			if err != nil {
				return fmt.Errorf("%v: %w", id, err)
			}
			prices = append(prices, p)
		}
	}
	all := figures{Go: runtime.Version(), Fleet: &o.fleet}
	fmt.Fprintf(w, "%s, %d cores, %d rounds of %v\n", runtime.Version(), runtime.GOMAXPROCS(0), o.effort.rounds, o.effort.batch)
	for _, p := range prices {
		if _, ok := p.Stores[o.fleet.Store]; !ok {
			return fmt.Errorf("%s: nothing is known of the store %s", p.Suite, o.fleet.Store)
		}
		log.Printf("%s: simulation", p.Suite)
		e, err := estimateFor(&o.fleet, p, o.herd)
		if err != nil {
			return err
		}
		fmt.Fprintln(w)
		if err := e.write(w, &o.fleet); err != nil {
			return err
		}
		all.Estimates = append(all.Estimates, e)
	}
	if jsonFile == "" {
		return nil
	}
	b, err := json.MarshalIndent(&all, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(jsonFile, append(b, '\n'), 0o666)
}
