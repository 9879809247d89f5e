package quicmls_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"fmt"
	"io"
	"log"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/quicmls"
)

// Two ends that know each other's keys talk, and heal.
func Example() {
	ctx := context.Background()
	alice, bob := newIdentity("alice"), newIdentity("bob")

	listener, err := quicmls.Listen("127.0.0.1:0", configOf(bob, alice))
	if err != nil {
		log.Fatal(err)
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept(ctx)
		if err != nil {
			return
		}
		stream, err := conn.AcceptStream(ctx)
		if err != nil {
			return
		}
		io.Copy(stream, stream)
		stream.Close()
	}()

	conn, err := quicmls.Dial(ctx, listener.Addr().String(), configOf(alice, bob))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.CloseWithError(0, "")
	fmt.Printf("connected to %s\n", conn.ConnectionState().Peer.Credential.Identity)

	// It happens by itself from time to time; here it is asked for.
	if err := conn.Update(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("epoch", conn.ConnectionState().Epoch)

	stream, err := conn.OpenStreamSync(ctx)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := io.WriteString(stream, "hello"); err != nil {
		log.Fatal(err)
	}
	stream.Close() // this direction alone
	answer, err := io.ReadAll(stream)
	fmt.Printf("%s, %v\n", answer, err)
	// Output:
	// connected to bob
	// epoch 2
	// hello, <nil>
}

// configOf returns the configuration of an end that accepts these peers and nobody else.
func configOf(self mls.Identity, peers ...mls.Identity) *quicmls.Config {
	return &quicmls.Config{Config: channel.Config{Identity: self, Validator: only(peers...)}}
}

func newIdentity(name string) mls.Identity {
	id, err := identity.Generate(rand.Reader, name)
	if err != nil {
		log.Fatal(err)
	}
	return id
}

// only returns a validator that accepts these peers and nobody else.
func only(peers ...mls.Identity) *identity.Pinned {
	var keys []crypto.PublicKey
	for _, p := range peers {
		keys = append(keys, p.Signer.Public())
	}
	pinned, err := identity.NewPinned(keys...)
	if err != nil {
		log.Fatal(err)
	}
	return pinned
}

// serve handles each connection that comes to the address which it returns.
func serve(config *quicmls.Config, handle func(*quicmls.Conn)) (address string) {
	listener, err := quicmls.Listen("127.0.0.1:0", config)
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		for {
			conn, err := listener.Accept(context.Background())
			if err != nil {
				return
			}
			go handle(conn)
		}
	}()
	return listener.Addr().String()
}

// pair returns the two ends of a connection.
func pair() (alice, bob *quicmls.Conn) {
	a, b := newIdentity("alice"), newIdentity("bob")
	accepted, dialed := make(chan *quicmls.Conn), make(chan struct{})
	address := serve(configOf(b, a), func(conn *quicmls.Conn) { accepted <- conn })
	go func() {
		var err error
		if alice, err = quicmls.Dial(context.Background(), address, configOf(a, b)); err != nil {
			log.Fatal(err)
		}
		close(dialed)
	}()
	bob = <-accepted
	if err := bob.HandshakeContext(context.Background()); err != nil {
		log.Fatal(err)
	}
	<-dialed
	return alice, bob
}
