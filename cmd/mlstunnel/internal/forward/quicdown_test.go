package forward

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/qlog"
	"github.com/quic-go/quic-go/qlogwriter"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/quicmls"
)

// A holdup is a qlog that has QUIC wait in the middle of closing a connection, when its streams are down.
type holdup struct{ closing, goOn chan struct{} }

func (h *holdup) SupportsSchemas(string) bool      { return true }
func (h *holdup) AddProducer() qlogwriter.Recorder { return h }
func (h *holdup) Close() error                     { return nil }

func (h *holdup) RecordEvent(e qlogwriter.Event) {
	if _, ok := e.(qlog.ConnectionClosed); ok {
		close(h.closing)
		<-h.goOn
	}
}

// A link that goes down fails to open streams before its context ends. Who wants one waits for the next link.
func TestALinkThatGoesDownIsWaitedFor(t *testing.T) {
	var ids [2]mls.Identity
	for i := range ids {
		var err error
		if ids[i], err = identity.Generate(rand.Reader, "end"); err != nil {
			t.Fatal(err)
		}
	}
	config := func(own, peer mls.Identity) *quicmls.Config {
		pinned, err := identity.NewPinned(peer.Signer.Public())
		if err != nil {
			t.Fatal(err)
		}
		return &quicmls.Config{Config: channel.Config{Identity: own, Validator: pinned}}
	}
	l, err := quicmls.Listen("127.0.0.1:0", config(ids[1], ids[0]))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var serving sync.WaitGroup
	defer serving.Wait()
	defer cancel()
	serving.Go(func() {
		server, err := l.Accept(ctx)
		if err == nil {
			_, err = server.AcceptStream(ctx) // after the handshake
		}
		if err == nil {
			server.Update(ctx) // which the client does not answer
		}
	})

	// Of what ends the link's context, one waits in the closing of the streams, and one in a message.
	h := &holdup{make(chan struct{}), make(chan struct{})}
	received := make(chan struct{})
	own := config(ids[0], ids[1])
	own.QUIC = &quic.Config{Tracer: func(context.Context, bool, quic.ConnectionID) qlogwriter.Trace { return h }}
	own.Trace = &channel.Trace{Received: func(_ channel.SessionID, m channel.MessageType, _ int) {
		if m == channel.MessageConnectionUpdate {
			close(received)
			<-h.goOn
		}
	}}
	conn, err := quicmls.Dial(t.Context(), l.Addr().String(), own)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseWithError(0, "")
	first, err := conn.OpenStream()
	if err == nil {
		err = first.Announce()
	}
	if err != nil {
		t.Fatal(err)
	}
	<-received
	var closing sync.WaitGroup
	defer closing.Wait()
	defer close(h.goOn)
	closing.Go(func() { conn.QUIC().CloseWithError(0, "") })
	<-h.closing
	if conn.Context().Err() != nil {
		t.Fatal("the context has ended already")
	}

	c := idleClient(t, time.Minute)
	c.publish(&quicLink{conn: conn, streams: &tally{done: func() {}}}, nil)
	waiting, leave := context.WithCancel(t.Context())
	defer leave()
	done := make(chan error, 1)
	go func() {
		_, _, err := c.open(waiting)
		done <- err
	}()
	select {
	case err := <-done:
		t.Fatalf("it does not wait: %v", err)
	case <-c.wanted:
	}
	leave()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
}
