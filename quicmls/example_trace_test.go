package quicmls_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"log"
	"sync"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/qlog"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/quicmls"
)

// knowing returns configurations of two ends that accept each other and nobody else.
func knowing() (initiator, responder *quicmls.Config) {
	var ids [2]mls.Identity
	var pins [2]*identity.Pinned
	for i, name := range []string{"initiator", "responder"} {
		var err error
		if ids[i], err = identity.Generate(rand.Reader, name); err != nil {
			log.Fatal(err)
		}
		if pins[i], err = identity.NewPinned(ids[i].Signer.Public()); err != nil {
			log.Fatal(err)
		}
	}
	return &quicmls.Config{Config: channel.Config{Identity: ids[0], Validator: pins[1]}},
		&quicmls.Config{Config: channel.Config{Identity: ids[1], Validator: pins[0]}}
}

// serving accepts one connection.
func serving(config *quicmls.Config) (address string, accepted <-chan *quicmls.Conn, stop func() error) {
	l, err := quicmls.Listen("127.0.0.1:0", config)
	if err != nil {
		log.Fatal(err)
	}
	conns := make(chan *quicmls.Conn, 1)
	go func() {
		c, err := l.Accept(context.Background())
		if err == nil {
			err = c.HandshakeContext(context.Background())
		}
		if err != nil {
			log.Print(err)
		}
		conns <- c
	}()
	return l.Addr().String(), conns, l.Close
}

// Each end's log names the connection as its qlog does, and as the other end does.
func ExampleConfig_traceFor() {
	initiator, responder := knowing()
	var mu sync.Mutex
	var ids []quic.ConnectionID
	for _, c := range []*quicmls.Config{initiator, responder} {
		// Writes a file <ID>_client.sqlog or <ID>_server.sqlog, if the variable QLOGDIR is set.
		c.QUIC = &quic.Config{Tracer: qlog.DefaultConnectionTracer}
		c.TraceFor = func(id quic.ConnectionID) *channel.Trace {
			mu.Lock()
			defer mu.Unlock()
			ids = append(ids, id)
			return &channel.Trace{Epoch: func(_ channel.SessionID, epoch uint64, own bool) {
				log.Printf("connection %v: epoch %d, own: %t", id, epoch, own)
			}}
		}
	}
	address, accepted, stop := serving(responder)
	defer stop()
	client, err := quicmls.Dial(context.Background(), address, initiator)
	if err != nil {
		log.Fatal(err)
	}
	defer client.CloseWithError(0, "")
	defer (<-accepted).CloseWithError(0, "")
	fmt.Println(ids[0] == ids[1], ids[0].Valid())
	// Output: true true
}

// A QUIC connection that was made elsewhere knows its ID in the qlog by WithTraceID.
func ExampleWithTraceID() {
	initiator, responder := knowing()
	address, accepted, stop := serving(responder)
	defer stop()
	q, err := quic.DialAddr(context.Background(), address,
		&tls.Config{InsecureSkipVerify: true, NextProtos: []string{quicmls.NextProto}}, // the session proves who it is
		quicmls.WithTraceID(&quic.Config{Tracer: qlog.DefaultConnectionTracer}))
	if err != nil {
		log.Fatal(err)
	}
	initiator.TraceFor = func(id quic.ConnectionID) *channel.Trace {
		fmt.Println(id.Valid())
		return nil
	}
	client := quicmls.Client(q, initiator)
	defer client.CloseWithError(0, "")
	if err := client.HandshakeContext(context.Background()); err != nil {
		log.Fatal(err)
	}
	defer (<-accepted).CloseWithError(0, "")
	// Output: true
}
