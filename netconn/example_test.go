package netconn_test

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
	"github.com/mendlink/mendlink/netconn"
)

// Two ends that know each other's keys talk, and heal.
func Example() {
	alice, bob := newIdentity("alice"), newIdentity("bob")

	listener, err := netconn.Listen("tcp", "127.0.0.1:0", &netconn.Config{
		Identity:  bob,
		Validator: only(alice),
		Store:     channel.NewMemoryStore(0), // sessions can be resumed
	})
	if err != nil {
		log.Fatal(err)
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		io.Copy(conn, conn)
	}()

	conn, err := netconn.Dial("tcp", listener.Addr().String(), &netconn.Config{
		Identity:  alice,
		Validator: only(bob),
		Store:     channel.NewMemoryStore(0),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	fmt.Printf("connected to %s\n", conn.ConnectionState().Peer.Credential.Identity)

	// It happens by itself from time to time; here it is asked for.
	if err := conn.Update(context.Background()); err != nil {
		log.Fatal(err)
	}
	fmt.Println("epoch", conn.ConnectionState().Epoch)

	if _, err := conn.Write([]byte("hello")); err != nil {
		log.Fatal(err)
	}
	conn.CloseWrite()
	answer, err := io.ReadAll(conn)
	fmt.Printf("%s, %v\n", answer, err)
	// Output:
	// connected to bob
	// epoch 2
	// hello, <nil>
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
