// Websocket runs WebSockets over Mendlink: a library that has never heard of it dials
// through an http.Client, and upgrades a connection of an http.Server.
//
// Messages of all sizes go to the server and come back, several under way at once, while both
// ends put fresh keys into the connection beneath.
//
// The exit status is 0 only if all of it really happened.
package main

import (
	"context"
	"errors"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/mendlink/mendlink/netconn"
)

func main() {
	log.SetFlags(0)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := run(ctx); err != nil {
		log.Printf("FAILED: %v", err)
		os.Exit(1)
	}
	log.Print("all of it happened: upgraded, echoed, rekeyed from both ends, closed")
}

// messages are how many of them are sent to begin with.
const messages = 64

func run(ctx context.Context) error {
	clientConfig, serverConfig, err := newConfigs()
	if err != nil {
		return err
	}
	listener, err := netconn.Listen("tcp", "127.0.0.1:0", serverConfig)
	if err != nil {
		return err
	}
	server := newServer()
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	err = show(ctx, clientConfig, listener.Addr().String())
	server.Close()
	if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}

func show(ctx context.Context, config *netconn.Config, addr string) error {
	c, err := dial(ctx, config, addr)
	if err != nil {
		return err
	}
	defer c.socket.CloseNow()
	log.Printf("upgraded to subprotocol %q; the server is %q", c.socket.Subprotocol(), c.link.ConnectionState().Peer.Credential.Identity)
	if err := c.echo(ctx, messages); err != nil {
		return err
	}
	// The epoch of the handshake is 1. If there are more than the client's own updates, there
	// are some of the server, which does not wait for them before it answers.
	own := uint64(messages / updateInterval)
	for c.link.ConnectionState().Epoch <= 1+own {
		if err := c.echo(ctx, 1); err != nil {
			return err
		}
	}
	log.Printf("%d messages of up to 256 KiB came back, epoch %d", messages, c.link.ConnectionState().Epoch)
	return c.close()
}
