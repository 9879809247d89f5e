package main

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/mendlink/mendlink/netconn"
)

// subprotocol is what is spoken over the socket. RFC 6455, Section 1.9.
const subprotocol = "echo.mendlink.example"

// maxMessage bounds a message, in octets.
const maxMessage = 256 << 10

// updateEach is the number of messages after which the server updates its keys.
const updateEach = 16

type connKey struct{}

// newServer returns a server that sends back each message.
func newServer() *http.Server {
	return &http.Server{
		Handler:           http.HandlerFunc(serveEcho),
		ReadHeaderTimeout: 30 * time.Second,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
	}
}

func serveEcho(w http.ResponseWriter, r *http.Request) {
	link := r.Context().Value(connKey{}).(*netconn.Conn)
	socket, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{subprotocol}})
	if err != nil {
		return // Accept has answered
	}
	if socket.Subprotocol() != subprotocol {
		socket.Close(websocket.StatusPolicyViolation, "wrong subprotocol")
		return
	}
	socket.SetReadLimit(maxMessage)
	ctx := r.Context()
	var updates sync.WaitGroup
	defer updates.Wait()
	defer socket.CloseNow() // ends them
	for n := 1; ; n++ {
		kind, message, err := socket.Read(ctx)
		if err != nil {
			return // the client has closed the socket, or is gone
		}
		if n%updateEach == 0 {
			// Who reads must not wait for an update: its answer comes behind all
			// that the client has sent already. If it fails, so does the socket.
			updates.Go(func() { link.Update(ctx) })
		}
		if err := socket.Write(ctx, kind, message); err != nil {
			return
		}
	}
}
