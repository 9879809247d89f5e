package quicmls_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/mendlink/mendlink/quicmls"
)

// The peer accepts connections, and on each of them streams. Neither waits for a peer that
// stalls.
func ExampleListen() {
	ctx := context.Background()
	alice, bob := newIdentity("alice"), newIdentity("bob")
	listener, err := quicmls.Listen("127.0.0.1:0", configOf(bob, alice))
	if err != nil {
		log.Fatal(err)
	}
	echo := func(stream *quicmls.Stream) {
		defer stream.Close()
		io.Copy(stream, stream)
	}
	ended := make(chan error)
	handle := func(conn *quicmls.Conn) {
		for {
			stream, err := conn.AcceptStream(ctx) // performs the handshake first
			if err != nil {
				ended <- err // the connection has
				return
			}
			go echo(stream)
		}
	}
	go func() {
		for {
			conn, err := listener.Accept(ctx)
			if err != nil {
				return // Close was called
			}
			go handle(conn)
		}
	}()

	conn, err := quicmls.Dial(ctx, listener.Addr().String(), configOf(alice, bob))
	if err != nil {
		log.Fatal(err)
	}
	for i := range 3 {
		stream, err := conn.OpenStreamSync(ctx)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Fprintf(stream, "stream %d", i)
		stream.Close()
		answer, err := io.ReadAll(stream)
		fmt.Printf("%s, %v\n", answer, err)
	}
	conn.CloseWithError(7, "that is all")
	if closed, ok := errors.AsType[*quic.ApplicationError](<-ended); ok {
		fmt.Printf("bob: %d, %s\n", closed.ErrorCode, closed.ErrorMessage)
	}
	listener.Close()
	// Output:
	// stream 0, <nil>
	// stream 1, <nil>
	// stream 2, <nil>
	// bob: 7, that is all
}

// A stream is known to the peer once there is something on it. An end that opens one to be
// spoken to has to announce it.
func ExampleStream_Announce() {
	ctx := context.Background()
	alice, bob := pair()
	defer alice.CloseWithError(0, "")
	go func() {
		stream, err := bob.AcceptStream(ctx)
		if err != nil {
			return
		}
		io.WriteString(stream, "you called?")
		stream.Close()
	}()

	stream, err := alice.OpenStreamSync(ctx)
	if err != nil {
		log.Fatal(err)
	}
	if err := stream.Announce(); err != nil {
		log.Fatal(err)
	}
	said, err := io.ReadAll(stream)
	fmt.Printf("%s, %v\n", said, err)
	// Output:
	// you called?, <nil>
}

// A stream in one direction. Its reader knows from io.EOF that it has all of it.
func ExampleConn_OpenUniStream() {
	ctx := context.Background()
	alice, bob := pair()
	defer alice.CloseWithError(0, "")

	stream, err := alice.OpenUniStream()
	if err != nil {
		log.Fatal(err)
	}
	io.WriteString(stream, "all of it")
	if err := stream.Close(); err != nil {
		log.Fatal(err)
	}

	incoming, err := bob.AcceptUniStream(ctx)
	if err != nil {
		log.Fatal(err)
	}
	text, err := io.ReadAll(incoming)
	fmt.Printf("%s, %v\n", text, err)

	// What is given up instead ends with an error at the other end.
	if stream, err = alice.OpenUniStream(); err != nil {
		log.Fatal(err)
	}
	io.WriteString(stream, "half of")
	stream.CancelWrite(42)
	if incoming, err = bob.AcceptUniStream(ctx); err != nil {
		log.Fatal(err)
	}
	_, err = io.ReadAll(incoming)
	if cancelled, ok := errors.AsType[*quic.StreamError](err); ok {
		fmt.Println("given up with code", cancelled.ErrorCode)
	}
	// Output:
	// all of it, <nil>
	// given up with code 42
}

// Datagrams may be lost, so that who needs an answer asks again.
func ExampleConn_SendDatagram() {
	alice, bob := pair()
	defer alice.CloseWithError(0, "")
	go func() {
		for {
			question, err := bob.ReceiveDatagram(context.Background())
			if err != nil {
				return // the connection has ended
			}
			if err := bob.SendDatagram(append(question, " pong"...)); err != nil {
				return
			}
		}
	}()

	for {
		if err := alice.SendDatagram([]byte("ping")); err != nil {
			log.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		answer, err := alice.ReceiveDatagram(ctx)
		cancel()
		if err == nil {
			fmt.Printf("%s\n", answer)
			return
		}
		if ctx.Err() == nil {
			log.Fatal(err)
		}
	}
	// Output:
	// ping pong
}
