package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"

	"github.com/coder/websocket"
	"github.com/mendlink/mendlink/netconn"
)

// A client is a socket, and the secure channel beneath.
type client struct {
	socket *websocket.Conn
	link   *netconn.Conn
}

// dial opens a socket to the server at addr. The URL's scheme is ws and not wss, which would
// ask for TLS; what encrypts is the dialer.
func dial(ctx context.Context, config *netconn.Config, addr string) (*client, error) {
	c := new(client)
	dialer := &netconn.Dialer{Config: config}
	transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, addr)
		if err == nil {
			c.link = conn.(*netconn.Conn) // there is one
		}
		return conn, err
	}}
	socket, _, err := websocket.Dial(ctx, "ws://"+addr, &websocket.DialOptions{
		HTTPClient:   &http.Client{Transport: transport},
		Subprotocols: []string{subprotocol},
	})
	if err != nil {
		return nil, err
	}
	socket.SetReadLimit(maxMessage)
	c.socket = socket
	return c, nil
}

// close says goodbye and waits for the server's.
func (c *client) close() error {
	return c.socket.Close(websocket.StatusNormalClosure, "")
}

// updateInterval is the number of messages after which the client updates its keys.
const updateInterval = 20

// echo sends n messages of all sizes, and sees that they come back as they were and in
// order. It does not wait for one before it sends the next, and updates its keys now and then.
func (c *client) echo(ctx context.Context, n int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	sent := make(chan error, 1)
	go func() {
		err := c.send(ctx, n)
		if err != nil {
			cancel() // ends the receiving
		}
		sent <- err
	}()
	err := c.receive(ctx, n)
	if err != nil {
		cancel() // ends the sending
	}
	return errors.Join(err, <-sent)
}

func (c *client) send(ctx context.Context, n int) error {
	for i := range n {
		if err := c.socket.Write(ctx, websocket.MessageBinary, message(i)); err != nil {
			return fmt.Errorf("sending message %d: %w", i, err)
		}
		if i%updateInterval == updateInterval-1 {
			if err := c.link.Update(ctx); err != nil {
				return fmt.Errorf("updating after message %d: %w", i, err)
			}
		}
	}
	return nil
}

func (c *client) receive(ctx context.Context, n int) error {
	for i := range n {
		kind, got, err := c.socket.Read(ctx)
		if err != nil {
			return fmt.Errorf("receiving message %d: %w", i, err)
		}
		if kind != websocket.MessageBinary || !bytes.Equal(got, message(i)) {
			return fmt.Errorf("message %d came back as %v of %d octets", i, kind, len(got))
		}
	}
	return nil
}

// message returns the message with this number. Its size is from none to the largest.
func message(number int) []byte {
	seed := [32]byte{byte(number), byte(number >> 8)}
	b := make([]byte, maxMessage>>(number%20))
	if number%20 == 19 {
		b = nil
	}
	rand.NewChaCha8(seed).Read(b)
	return b
}
