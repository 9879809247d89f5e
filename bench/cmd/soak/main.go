// Soak shows that links last. It puts very many updates on one connection under load, and
// has thousands of connections do handshakes, traffic, updates, cuts and resumptions at once.
// All of it is over TCP on loopback, in this process. The exit status is 0 only if every octet
// was accounted for and neither memory nor goroutines grew.
//
//	go run ./cmd/soak                              # 100,000 updates, then 5,000 connections for a minute
//	go run ./cmd/soak -updates 1000 -conns 0
package main

import (
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/netconn"
)

type options struct {
	updates int
	conns   int
	lasting time.Duration
}

func main() {
	log.SetFlags(log.Ltime)
	var o options
	flag.IntVar(&o.updates, "updates", 100_000, "updates on one connection; 0: none")
	flag.IntVar(&o.conns, "conns", 5000, "connections at once; 0: none")
	flag.DurationVar(&o.lasting, "for", time.Minute, "how long these go on")
	flag.Parse()
	if err := run(os.Stdout, o); err != nil {
		log.Fatal(err)
	}
}

func run(w io.Writer, o options) error {
	if o.updates > 0 {
		if err := manyUpdates(w, o.updates); err != nil {
			return fmt.Errorf("updates: %w", err)
		}
	}
	if o.conns > 0 {
		if err := manyLinks(w, o.conns, o.lasting); err != nil {
			return fmt.Errorf("connections: %w", err)
		}
	}
	return nil
}

// configs returns the configurations of two ends that accept each other, remember
// sessions, and make no updates by themselves.
func configs(sessions int) (client, server *netconn.Config, err error) {
	a, err := identity.Generate(rand.Reader, "client")
	if err != nil {
		return nil, nil, err
	}
	b, err := identity.Generate(rand.Reader, "server")
	if err != nil {
		return nil, nil, err
	}
	config := func(own, peer mls.Identity) (*netconn.Config, error) {
		pinned, err := identity.NewPinned(peer.Signer.Public())
		return &netconn.Config{
			Identity: own, Validator: pinned, Store: channel.NewMemoryStore(sessions),
			Suites:           []ciphersuite.ID{ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519},
			Rekey:            netconn.RekeyPolicy{Every: -1, Bytes: -1, Records: -1},
			HandshakeTimeout: 2 * time.Minute, // thousands of them share the processors
		}, err
	}
	client, err = config(a, b)
	if err != nil {
		return nil, nil, err
	}
	server, err = config(b, a)
	return client, server, err
}

// listen returns a listener on loopback and its address.
func listen(config *netconn.Config) (*netconn.Listener, string, error) {
	l, err := netconn.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		return nil, "", err
	}
	return l, l.Addr().String(), nil
}

// harmless reports whether an error is what a connection ends with that was closed or cut.
func harmless(err error) bool {
	var op *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || errors.As(err, &op) && !isProtocolError(err)
}

// isProtocolError reports whether the ends have misunderstood each other.
func isProtocolError(err error) bool {
	var protocol *channel.Error
	var alert *netconn.AlertError
	return errors.As(err, &protocol) || errors.As(err, &alert)
}
