package netconn_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/netconn"
)

// Any listener and any connection will do: here those of a Unix socket. Who has both ends of a transport in
// hand needs no listener at all: see [netconn.Client] and [netconn.Server].
func ExampleNewListener() {
	alice, bob := newIdentity("alice"), newIdentity("bob")
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	inner, err := net.Listen("unix", filepath.Join(dir, "socket"))
	if err != nil {
		log.Fatal(err)
	}
	listener := netconn.NewListener(inner, &netconn.Config{Identity: bob, Validator: only(alice)})
	defer listener.Close()
	go func() {
		conn, err := listener.Accept() // does not wait for the handshake
		if err != nil {
			return
		}
		io.Copy(conn, conn)
		conn.Close()
	}()

	conn, err := netconn.Dial("unix", inner.Addr().String(), &netconn.Config{Identity: alice, Validator: only(bob)})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "there and back")
	if err := conn.CloseWrite(); err != nil { // the peer reads io.EOF, and may still answer
		log.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	fmt.Printf("%s, %v\n", answer, err)
	// Output: there and back, <nil>
}

// Both ends of a transport that is there already. Nobody is accepted who does not prove that it has a key
// which the other end knows.
func ExampleClient() {
	alice, bob, mallory := newIdentity("alice"), newIdentity("bob"), newIdentity("mallory")
	for _, initiator := range []mls.Identity{alice, mallory} {
		a, b := net.Pipe()
		client := netconn.Client(a, &netconn.Config{Identity: initiator, Validator: only(bob)})
		server := netconn.Server(b, &netconn.Config{Identity: bob, Validator: only(alice)})
		go func() {
			defer client.Close()
			io.WriteString(client, "hello") // the handshake takes place by itself
		}()
		message, err := io.ReadAll(server)
		fmt.Printf("%q, %t\n", message, errors.Is(err, channel.ErrPeerRefused))
		server.Close()
	}
	// Output:
	// "hello", false
	// "", true
}

// A responder answers early data before the handshake is complete.
func ExampleConn_ReadEarlyData() {
	alice, bob := newIdentity("alice"), newIdentity("bob")
	address := serve(&netconn.Config{
		Identity:     bob,
		Validator:    only(alice),
		Store:        channel.NewMemoryStore(0),
		MaxEarlyData: 1000,
	}, func(conn *netconn.Conn) {
		defer conn.Close()
		early, err := conn.ReadEarlyData(context.Background())
		if err != nil {
			return
		}
		rest, _ := io.ReadAll(conn)
		fmt.Fprintf(conn, "%q came early and %q later", early, rest)
	})

	config := &netconn.Config{Identity: alice, Validator: only(bob), Store: channel.NewMemoryStore(0), PeerName: "bob"}
	for range 2 { // the first connection has no session to resume
		transport, err := net.Dial("tcp", address)
		if err != nil {
			log.Fatal(err)
		}
		conn := netconn.Client(transport, config)
		if err := conn.SetEarlyData([]byte("question")); err != nil {
			log.Fatal(err)
		}
		if err := conn.CloseWrite(); err != nil {
			log.Fatal(err)
		}
		answer, err := io.ReadAll(conn)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\n", answer)
		conn.Close()
	}
	// Output:
	// "" came early and "question" later
	// "question" came early and "" later
}
