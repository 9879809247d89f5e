package tlspsk_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log"
	"net"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/netconn"
	"github.com/mendlink/mendlink/quicmls/tlspsk"
	"github.com/quic-go/quic-go"
)

// Two ends keep a session, and QUIC connections that its epochs key. An update heals the
// session; a new connection takes over, and then the old one is closed: make before break.
func Example() {
	ctx := context.Background()
	alice, bob := session()
	defer alice.Close()
	defer bob.Close()
	cfg := &tlspsk.Config{Protocols: []string{"example"}}
	client, err := tlspsk.NewClient(cfg)
	if err != nil {
		log.Fatal(err)
	}
	server, err := tlspsk.NewServer(cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	listener, err := quic.ListenAddr("127.0.0.1:0", server.Config(), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer listener.Close()
	addr := listener.Addr().String()

	// connect makes a connection that is keyed by the epoch of the moment.
	connect := func() *quic.Conn {
		expected, err := tlspsk.Export(bob, channel.RoleInitiator, 0)
		if err != nil {
			log.Fatal(err)
		}
		if err := server.Expect(expected); err != nil {
			log.Fatal(err)
		}
		key, err := tlspsk.Export(alice, channel.RoleInitiator, 0)
		if err != nil {
			log.Fatal(err)
		}
		config, err := client.Config(key)
		if err != nil {
			log.Fatal(err)
		}
		conn, err := quic.DialAddr(ctx, addr, config, nil)
		if err != nil {
			log.Fatal(err)
		}
		accepted, err := listener.Accept(ctx)
		if err != nil {
			log.Fatal(err)
		}
		id, err := server.Identify(accepted.ConnectionState().TLS)
		fmt.Printf("epoch %d: keyed by the group: %t, and by the key that was expected: %t, %v\n", alice.ConnectionState().Epoch,
			conn.ConnectionState().TLS.DidResume, id == expected.ID(), err)
		go echo(ctx, accepted)
		return conn
	}

	old := connect()
	fmt.Println(ask(ctx, old, "before"))
	if err := alice.Update(ctx); err != nil {
		log.Fatal(err)
	}
	fresh := connect()
	fmt.Println(ask(ctx, old, "meanwhile"))
	old.CloseWithError(0, "moved")
	fmt.Println(ask(ctx, fresh, "after"))
	fresh.CloseWithError(0, "done")
	// Output:
	// epoch 1: keyed by the group: true, and by the key that was expected: true, <nil>
	// before
	// epoch 2: keyed by the group: true, and by the key that was expected: true, <nil>
	// meanwhile
	// after
}

// ask sends a text on a stream of its own and returns what comes back.
func ask(ctx context.Context, conn *quic.Conn, text string) string {
	stream, err := conn.OpenStreamSync(ctx)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := io.WriteString(stream, text); err != nil {
		log.Fatal(err)
	}
	stream.Close()
	answer, err := io.ReadAll(stream)
	if err != nil {
		log.Fatal(err)
	}
	return string(answer)
}

// echo serves the streams of a connection until it ends.
func echo(ctx context.Context, conn *quic.Conn) {
	for {
		stream, err := conn.AcceptStream(ctx)
		if err != nil {
			return
		}
		io.Copy(stream, stream)
		stream.Close()
	}
}

// session returns both ends of a session, here over a pipe in memory. Each reads, so that
// updates are confirmed.
func session() (alice, bob *netconn.Conn) {
	a, b := newIdentity("alice"), newIdentity("bob")
	x, y := net.Pipe()
	alice = netconn.Client(x, &netconn.Config{Identity: a, Validator: only(b)})
	bob = netconn.Server(y, &netconn.Config{Identity: b, Validator: only(a)})
	for _, end := range []*netconn.Conn{alice, bob} {
		go io.Copy(io.Discard, end)
	}
	return alice, bob
}

func newIdentity(name string) mls.Identity {
	id, err := identity.Generate(rand.Reader, name)
	if err != nil {
		log.Fatal(err)
	}
	return id
}

func only(peer mls.Identity) mls.AuthenticationService {
	pinned, err := identity.NewPinned(peer.Signer.Public())
	if err != nil {
		log.Fatal(err)
	}
	return pinned
}
