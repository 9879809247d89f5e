package quicmls_test

import (
	"context"
	"fmt"
	"io"
	"log"

	"github.com/mendlink/mendlink/quicmls"
	"github.com/quic-go/quic-go"
)

// The session of a connection keys other QUIC connections, on which data is encrypted once. Each of them is a heal: the next one takes
// over, and the one before is closed.
func ExampleConn_DialKeyed() {
	ctx := context.Background()
	alice, bob := newIdentity("alice"), newIdentity("bob")

	config := configOf(bob, alice)
	config.Keyed = true
	listener, err := quicmls.Listen("127.0.0.1:0", config)
	if err != nil {
		log.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for { // for as long as there are keyed connections, too
			conn, err := listener.Accept(ctx)
			if err != nil {
				return
			}
			go func() {
				for {
					keyed, err := conn.AcceptKeyed(ctx)
					if err != nil {
						return
					}
					go echoStreams(ctx, keyed)
				}
			}()
		}
	}()

	conn, err := quicmls.Dial(ctx, listener.Addr().String(), configOf(alice, bob))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.CloseWithError(0, "")
	var before *quic.Conn
	for range 3 {
		keyed, err := conn.DialKeyed(ctx)
		if err != nil {
			log.Fatal(err)
		}
		if before != nil {
			before.CloseWithError(0, "moved")
		}
		before = keyed
		stream, err := keyed.OpenStreamSync(ctx)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Fprintf(stream, "by epoch %d", conn.ConnectionState().Epoch)
		stream.Close()
		answer, err := io.ReadAll(stream)
		fmt.Printf("%s, %v\n", answer, err)
	}
	// Output:
	// by epoch 2, <nil>
	// by epoch 3, <nil>
	// by epoch 4, <nil>
}

// echoStreams sends back what comes on the streams of a connection, until that ends.
func echoStreams(ctx context.Context, conn *quic.Conn) {
	for {
		stream, err := conn.AcceptStream(ctx)
		if err != nil {
			return
		}
		go func() {
			defer stream.Close()
			if _, err := io.Copy(stream, stream); err != nil {
				stream.CancelWrite(1)
			}
		}()
	}
}
