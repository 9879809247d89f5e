// Selfheal shows what Mendlink is for, in one program over real TCP.
//
// A responder and an initiator stream data both ways and put fresh keys into
// the connection all the while. In the middle the network is cut; they resume
// over a new connection and carry on. At the end both check the hash of what
// they have received. Then an attacker copies all secrets of one end, reads
// along, and is locked out again by one update.
//
// The exit status is 0 only if all of it really happened.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// minBytes is what each end sends at the least.
const minBytes = 64 << 20

func main() {
	log.SetFlags(0)
	duration := flag.Duration("duration", 10*time.Second, "how long to stream")
	rekeyEvery := flag.Duration("rekey-every", 250*time.Millisecond, "time between two updates of each end")
	suite := flag.String("suite", ciphersuite.MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519.String(), "cipher suite: a name, or a number as 0x0001")
	flag.Parse()
	id, err := parseSuite(*suite)
	if err != nil {
		log.Fatal(err)
	}
	if *rekeyEvery <= 0 || *duration <= 0 {
		log.Fatal("-duration and -rekey-every have to be positive")
	}
	ctx, cancel := context.WithTimeout(context.Background(), *duration+2*time.Minute)
	defer cancel()
	if err := run(ctx, id, *duration, *rekeyEvery); err != nil {
		log.Printf("FAILED: %v", err)
		os.Exit(1)
	}
	log.Print("all of it happened: streamed, updated, cut, resumed, healed")
}

func run(ctx context.Context, suite ciphersuite.ID, duration, rekeyEvery time.Duration) error {
	ends, err := newEnds(suite, rekeyEvery)
	if err != nil {
		return err
	}
	defer ends.close()
	log.Printf("suite %v; streaming both ways for %v, each end updates its keys every %v", suite, duration, rekeyEvery)
	if err := stream(ctx, ends, duration, rekeyEvery); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return showHealing(ctx, ends)
}

// stream sends data both ways, over as many connections as it takes, cuts the
// network in the middle, and checks the result.
func stream(ctx context.Context, ends *ends, duration, rekeyEvery time.Duration) error {
	until := time.Now().Add(duration)
	initiator := newTransfer('i', minBytes, until)
	responder := newTransfer('r', minBytes, until)
	watch := startProgress(ends, initiator, responder)
	defer watch.stop()
	cutter := time.AfterFunc(duration/2, func() {
		ends.stats.cuts.Add(1)
		log.Print("the network is cut")
		ends.link.cut()
	})
	defer cutter.Stop()

	const maxConnections = 10
	for connection := 1; ; connection++ {
		err := ends.transferOnce(ctx, initiator, responder, rekeyEvery)
		if err == nil {
			break
		}
		if connection == maxConnections || ctx.Err() != nil {
			return err
		}
		log.Printf("connection %d ended: %v", connection, firstLine(err))
	}
	watch.stop()
	return report(ends, initiator, responder)
}

// report prints the figures, and returns an error unless everything that should
// have happened did.
func report(ends *ends, initiator, responder *transfer) error {
	s := &ends.stats
	log.Printf("epochs: %d; handshake %v; resumptions %d, the slowest %v", s.epoch.Load(), s.fullHandshake, s.resumptions, s.slowestResumption)
	log.Printf("updates: %d by the initiator (median %v, slowest %v from commit to confirmation, with both directions busy), %d by the responder",
		s.updates.len(), s.updates.median(), s.updates.max(), s.peerUpdates.Load())

	var problems []error
	for _, d := range []struct {
		name     string
		from, to *transfer
	}{{"initiator to responder", initiator, responder}, {"responder to initiator", responder, initiator}} {
		want, got := d.from.source.hash(d.to.received.n), d.to.received.sum()
		verdict := "hash is right"
		if want != got || d.to.received.n != d.from.sentBytes.Load() {
			verdict = "HASH OR LENGTH IS WRONG"
			problems = append(problems, fmt.Errorf("%s: received %d of %d bytes with hash %x, want %x", d.name, d.to.received.n, d.from.sentBytes.Load(), got, want))
		}
		log.Printf("%s: %.1f MiB, SHA-256 %x, %s", d.name, mib(d.to.received.n), got[:8], verdict)
		if d.to.received.n < minBytes {
			problems = append(problems, fmt.Errorf("%s: only %d bytes", d.name, d.to.received.n))
		}
	}
	if s.cuts.Load() == 0 || s.resumptions == 0 {
		problems = append(problems, fmt.Errorf("%d cuts and %d resumptions, want one of each at the least", s.cuts.Load(), s.resumptions))
	}
	if s.updates.len() < 2 || s.peerUpdates.Load() < 2 {
		problems = append(problems, fmt.Errorf("%d and %d updates while streaming, want 2 of each end at the least", s.updates.len(), s.peerUpdates.Load()))
	}
	return errors.Join(problems...)
}

// parseSuite finds a built-in suite by its name or its number.
func parseSuite(name string) (ciphersuite.ID, error) {
	n, numberErr := strconv.ParseUint(name, 0, 16)
	var names []string
	for _, id := range ciphersuite.Default().IDs() {
		if strings.EqualFold(id.String(), name) || numberErr == nil && uint64(id) == n {
			return id, nil
		}
		names = append(names, fmt.Sprintf("%#04x %v", uint16(id), id))
	}
	return 0, fmt.Errorf("unknown suite %q; there are:\n%s", name, strings.Join(names, "\n"))
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

// firstLine shortens joined errors.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
