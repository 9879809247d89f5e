// Quicfiles sends many files over many streams of one QUIC connection, while both ends put fresh
// keys into it. If the connection is lost, it resumes the session over another one, and each file
// goes on where it stopped. What has come is compared by its SHA-256 hash.
//
//	go run ./examples/quicfiles
//
// makes files up, runs both ends over loopback and cuts the network in the middle of the largest
// file; with -dir it sends that directory. As two programs, on two machines:
//
//	quicfiles -newkey receiver.pem     # each end makes its key, and gives the other receiver.pem.pub
//	quicfiles -newkey sender.pem
//	quicfiles -listen :4433 -key receiver.pem -peer sender.pem.pub -dir incoming
//	quicfiles -dial receiver.example:4433 -key sender.pem -peer receiver.pem.pub -dir photos
//
// The exit status is 0 only if all files have arrived as they are and, where both ends are run, all of the
// rest really happened too.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mendlink/mendlink/examples/internal/keyfile"
	"github.com/mendlink/mendlink/quicmls"
)

// What is made up, unless there is a directory to send.
const (
	madeUpFiles   = 200
	madeUpLargest = 64 << 20 // octets
)

// options are what the flags say.
type options struct {
	dir      string
	parallel int
	rekey    int64
	limit    int64
}

func main() {
	log.SetFlags(0)
	var o options
	flag.StringVar(&o.dir, "dir", "", "`directory` to send, or with -listen to receive into")
	flag.IntVar(&o.parallel, "parallel", 8, "how many files to send at a time")
	flag.Int64Var(&o.rekey, "rekey-bytes", 8<<20, "octets between two updates of each end")
	flag.Int64Var(&o.limit, "limit", 16<<30, "octets that the receiver takes in, at the most")
	newKey := flag.String("newkey", "", "make a key in this `file`, the public one beside it, and end")
	listen := flag.String("listen", "", "be the receiver alone, at this `address`")
	dial := flag.String("dial", "", "be the sender alone, to the receiver at this `address`")
	key := flag.String("key", "", "private key `file` of this end")
	peer := flag.String("peer", "", "public key `file` of the other end")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	var err error
	switch {
	case o.parallel < 1 || o.parallel > maxStreams:
		err = fmt.Errorf("-parallel has to be from 1 to %d", maxStreams)
	case o.rekey < 1 || o.limit < 0:
		err = errors.New("-rekey-bytes has to be positive, and -limit not negative")
	case *newKey != "":
		var public, fingerprint string
		if public, fingerprint, err = keyfile.Generate(*newKey); err == nil {
			log.Printf("%s is for the other end; its fingerprint is %s", public, fingerprint)
		}
	case *listen != "" || *dial != "":
		err = runOneEnd(ctx, *listen, *dial, *key, *peer, &o)
	default:
		err = runBoth(ctx, &o)
	}
	if err != nil {
		log.Printf("FAILED: %v", err)
		os.Exit(1)
	}
}

// runOneEnd runs the receiver, until ctx ends, or the sender.
func runOneEnd(ctx context.Context, listen, dial, key, peer string, o *options) error {
	if key == "" || peer == "" || o.dir == "" {
		return errors.New("-listen and -dial need -key, -peer and -dir")
	}
	self, peers, err := keyfile.Load(key, peer)
	if err != nil {
		return err
	}
	config := newConfig(self, peers)
	if dial != "" {
		s, err := newSender(config, dial, o.dir, o.parallel, o.rekey)
		if err != nil {
			return err
		}
		defer s.close()
		return s.runAndReport(ctx)
	}
	r, err := newReceiver(o.dir, o.limit)
	if err != nil {
		return err
	}
	defer r.close()
	r.done = func(h *header) { log.Printf("received %q, %d octets", h.name, h.size) }
	listener, err := quicmls.Listen(listen, receiving(config, o.rekey))
	if err != nil {
		return err
	}
	defer listener.Close()
	log.Printf("listening on %v", listener.Addr())
	r.serve(ctx, listener)
	return nil
}

// runAndReport sends all files and prints the figures.
func (s *sender) runAndReport(ctx context.Context) error {
	start := time.Now()
	if err := s.run(ctx); err != nil {
		return err
	}
	took, st := time.Since(start), &s.stats
	log.Printf("%d files, %.1f MiB in %v (%.1f MiB/s), each with the right SHA-256", st.done.Load(), mib(st.octets), took.Round(time.Millisecond), mib(st.sent.Load())/took.Seconds())
	log.Printf("epoch %d: %d updates of the sender, %d of the receiver", st.epoch.Load(), st.own.Load(), st.peer.Load())
	log.Printf("%d full handshakes, %d resumptions; %d files went on where they had stopped, %.1f MiB were there already", st.handshakes, st.resumptions, st.continued.Load(), mib(st.spared.Load()))
	return nil
}

// runBoth makes files up if it has to, and sends them to a receiver of its own.
func runBoth(ctx context.Context, o *options) error {
	temporary, err := os.MkdirTemp("", "quicfiles-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary)
	from := o.dir
	if from == "" {
		from = filepath.Join(temporary, "made up")
		if err := makeUp(from, madeUpFiles, madeUpLargest); err != nil {
			return err
		}
	}
	return run(ctx, from, filepath.Join(temporary, "received"), o)
}

// run sends one directory into another, cuts the network in the middle of the largest file, and returns an
// error unless everything that should have happened did.
func run(ctx context.Context, from, to string, o *options) error {
	sending, receivingConfig, err := newConfigs()
	if err != nil {
		return err
	}
	listener, err := quicmls.Listen("127.0.0.1:0", receiving(receivingConfig, o.rekey))
	if err != nil {
		return err
	}
	defer listener.Close()
	link, err := newLink(listener.Addr())
	if err != nil {
		return err
	}
	defer link.close()
	s, err := newSender(sending, link.addr(), from, o.parallel, o.rekey)
	if err != nil {
		return err
	}
	defer s.close()
	r, err := newReceiver(to, o.limit)
	if err != nil {
		return err
	}
	defer r.close()
	var cuts atomic.Int64
	if largest := s.largest(); largest != nil {
		r.watch = func(h *header, n int64) {
			if h.name == largest.name && n >= h.size/2 && cuts.CompareAndSwap(0, 1) {
				log.Printf("the network is cut, %.1f MiB into %q", mib(n), h.name)
				link.cut()
			}
		}
	}

	serving, stop := context.WithCancel(ctx)
	defer stop()
	var served sync.WaitGroup
	served.Go(func() { r.serve(serving, listener) })
	err = s.runAndReport(ctx)
	stop()
	served.Wait()
	if err != nil {
		return err
	}
	if err := verdict(s, r, cuts.Load()); err != nil {
		return err
	}
	log.Print("all of it happened: sent, updated, cut, resumed, continued, and all hashes are right")
	return nil
}

// largest returns the largest file, nil if there is none that has octets.
func (s *sender) largest() (largest *file) {
	for _, f := range s.files {
		if f.size > 0 && (largest == nil || f.size > largest.size) {
			largest = f
		}
	}
	return largest
}

// verdict returns what has not happened as it should.
func verdict(s *sender, r *receiver, cuts int64) error {
	arrived, err := scan(r.root)
	if err != nil {
		return err
	}
	problems := []error{sameFiles(s.files, arrived)}
	st := &s.stats
	expect := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	expect(r.received.Load() == st.octets, "%d octets were received for %d: some came twice", r.received.Load(), st.octets)
	expect(cuts == 1 && st.handshakes == 1 && st.resumptions >= 1, "%d cuts, %d full handshakes and %d resumptions, want 1, 1 and 1 or more", cuts, st.handshakes, st.resumptions)
	expect(st.continued.Load() > 0, "no file was continued")
	if wanted := st.octets / s.rekey; wanted > 0 {
		expect(st.own.Load() > 0, "no updates of the sender")
		expect(st.peer.Load() > 0, "no updates of the receiver")
	}
	return errors.Join(problems...)
}

// sameFiles returns in what two directories differ.
func sameFiles(want, got []*file) error {
	sums := make(map[string]*file)
	for _, f := range got {
		sums[f.name] = f
	}
	var problems []error
	for _, f := range want {
		g := sums[f.name]
		if g == nil || g.size != f.size || g.sum != f.sum {
			problems = append(problems, fmt.Errorf("%q has not arrived as it is", f.name))
		}
		delete(sums, f.name)
	}
	for name := range sums {
		problems = append(problems, fmt.Errorf("%q was not sent", name))
	}
	return errors.Join(problems...)
}
