// Pgtunnel runs pgbench against a PostgreSQL of its own: directly, through stunnel, and through mlstunnel over
// TCP and over QUIC, both ends of which replace their keys each second. Then it cuts mlstunnel's links while
// pgbench writes, and checks that nothing is lost or done twice. ../../README.md says how to read the figures.
//
//	go run ./cmd/pgtunnel            # some five minutes
//	go run ./cmd/pgtunnel -quick     # to see that it works
//
// It needs PostgreSQL with pgbench and stunnel (Debian: postgresql postgresql-contrib stunnel4). As root it runs
// PostgreSQL as the user postgres.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"time"
)

// options say how much is done.
type options struct {
	rounds  int
	round   time.Duration // of each way in each round
	cutting time.Duration // of each transport; zero: no cuts
	cuts    int           // in that time
	clients int
	scale   int // of pgbench's tables: 100,000 accounts each
}

var (
	defaults = options{rounds: 5, round: 5 * time.Second, cutting: time.Minute, cuts: 5, clients: 8, scale: 5}
	quick    = options{rounds: 1, round: time.Second, cutting: 12 * time.Second, cuts: 1, clients: 2, scale: 1}
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("pgtunnel: ")
	o := defaults
	flag.IntVar(&o.rounds, "rounds", o.rounds, "number of rounds")
	flag.DurationVar(&o.round, "round", o.round, "time for each way in each round, for reading and for writing")
	flag.DurationVar(&o.cutting, "cutting", o.cutting, "time in which links are cut, for each transport; 0: none are")
	flag.IntVar(&o.cuts, "cuts", o.cuts, "cuts in that time")
	flag.IntVar(&o.clients, "clients", o.clients, "connections to the database")
	isQuick := flag.Bool("quick", false, "little of everything")
	jsonFile := flag.String("json", "", "write the figures to `file` as well")
	flag.Parse()
	if *isQuick {
		o = quick
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, &o, *jsonFile); err != nil {
		stop()
		log.Fatal(err)
	}
}

func run(ctx context.Context, w io.Writer, o *options, jsonFile string) (err error) {
	b, err := newBed(ctx, o)
	if err != nil {
		return err
	}
	defer func() {
		if e := b.close(); err == nil {
			err = e
		}
	}()
	findings, err := compare(ctx, b, o)
	if err != nil {
		return err
	}
	if err := findings.Write(w, jsonFile); err != nil {
		return err
	}
	if o.cutting <= 0 {
		return nil
	}
	for _, transport := range []string{"tcp", "quic"} {
		result, err := cutLinks(ctx, b, o, transport)
		if err != nil {
			return fmt.Errorf("cutting links over %s: %w", transport, err)
		}
		fmt.Fprintln(w, result)
	}
	return nil
}
