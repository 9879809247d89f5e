// Quicecho sends messages over many streams of one QUIC connection, and datagrams, all of which come
// back, while both ends put fresh keys into the connection.
//
//	go run ./examples/quicecho
//
// runs both ends over loopback. As two programs, on two machines:
//
//	quicecho -newkey server.pem        # each end makes its key, and gives the other server.pem.pub
//	quicecho -newkey client.pem
//	quicecho -listen :4433 -key server.pem -peer client.pem.pub
//	quicecho -dial server.example:4433 -key client.pem -peer server.pem.pub
//
// The exit status is 0 only if all of it came back, and both ends have updated their keys.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/examples/internal/keyfile"
	"github.com/mendlink/mendlink/quicmls"
)

func main() {
	log.SetFlags(0)
	streams := flag.Int("streams", 16, "how many streams talk at a time")
	newKey := flag.String("newkey", "", "make a key in this `file`, the public one beside it, and end")
	listen := flag.String("listen", "", "be the server alone, at this `address`")
	dial := flag.String("dial", "", "be the client alone, of the server at this `address`")
	key := flag.String("key", "", "private key `file` of this end")
	peer := flag.String("peer", "", "public key `file` of the other end")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	var err error
	switch {
	case *streams < 1 || *streams > maxStreams:
		err = fmt.Errorf("-streams has to be from 1 to %d", maxStreams)
	case *newKey != "":
		var public, fingerprint string
		if public, fingerprint, err = keyfile.Generate(*newKey); err == nil {
			log.Printf("%s is for the other end; its fingerprint is %s", public, fingerprint)
		}
	case *listen != "":
		err = withKeys(*key, *peer, func(config *quicmls.Config) error { return runServer(ctx, *listen, config) })
	case *dial != "":
		err = withKeys(*key, *peer, func(config *quicmls.Config) error { return runClient(ctx, *dial, config, *streams) })
	default:
		err = run(ctx, *streams)
	}
	if err != nil {
		log.Printf("FAILED: %v", err)
		os.Exit(1)
	}
}

// withKeys runs an end with the keys of these files.
func withKeys(key, peer string, end func(*quicmls.Config) error) error {
	if key == "" || peer == "" {
		return errors.New("-listen and -dial need -key and -peer")
	}
	self, peers, err := keyfile.Load(key, peer)
	if err != nil {
		return err
	}
	return end(&quicmls.Config{Config: channel.Config{Identity: self, Validator: peers}})
}

// run runs both ends.
func run(ctx context.Context, streams int) error {
	client, server, err := newConfigs()
	if err != nil {
		return err
	}
	listener, err := quicmls.Listen("127.0.0.1:0", withServer(server))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	var served sync.WaitGroup
	served.Go(func() { serve(ctx, listener) })
	err = runClient(ctx, listener.Addr().String(), client, streams)
	err = errors.Join(err, listener.Close())
	cancel()
	served.Wait()
	return err
}

// runServer runs the server until ctx ends.
func runServer(ctx context.Context, address string, config *quicmls.Config) error {
	listener, err := quicmls.Listen(address, withServer(config))
	if err != nil {
		return err
	}
	defer listener.Close()
	log.Printf("listening on %v", listener.Addr())
	serve(ctx, listener)
	return nil
}

// runClient runs the client, which says whether all went well.
func runClient(ctx context.Context, address string, config *quicmls.Config, streams int) error {
	c, err := dial(ctx, address, config)
	if err != nil {
		return err
	}
	defer c.close()
	if err := c.show(ctx, streams); err != nil {
		return err
	}
	log.Print("all of it happened: streams and datagrams came back, and both ends updated their keys")
	return nil
}
