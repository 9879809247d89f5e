package netconn_test

import (
	"context"
	"fmt"
	"io"
	"log"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/netconn"
)

// An end gets a new key while the connection lives on. Its peer knows both keys already.
func ExampleConn_Rotate() {
	alice, bob, next := newIdentity("alice"), newIdentity("bob"), newIdentity("alice's next key")
	address := serve(&netconn.Config{
		Identity:  bob,
		Validator: only(alice, next),
		Trace: &channel.Trace{Event: func(_ channel.SessionID, e channel.Event) {
			if e, ok := e.(channel.PeerChanged); ok {
				fmt.Printf("bob: %s is %s now\n", e.Previous.Credential.Identity, e.Leaf.Credential.Identity)
			}
		}},
	}, func(conn *netconn.Conn) { io.Copy(conn, conn) })

	conn, err := netconn.Dial("tcp", address, &netconn.Config{Identity: alice, Validator: only(bob)})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Rotate(context.Background(), next); err != nil {
		log.Fatal(err)
	}
	fmt.Println("alice: epoch", conn.ConnectionState().Epoch)
	// Output:
	// bob: alice is alice's next key now
	// alice: epoch 2
}

// A request travels with the first flight of a connection that resumes a session. The
// responder reads the same stream, whether it accepts that or not.
func ExampleDialer_earlyData() {
	alice, bob := newIdentity("alice"), newIdentity("bob")
	address := serve(&netconn.Config{
		Identity:     bob,
		Validator:    only(alice),
		Store:        channel.NewMemoryStore(0),
		MaxEarlyData: 1000,
	}, func(conn *netconn.Conn) {
		request, _ := io.ReadAll(conn)
		fmt.Fprintf(conn, "you said %q", request)
		conn.Close()
	})

	dialer := netconn.Dialer{
		Config: &netconn.Config{
			Identity:  alice,
			Validator: only(bob),
			Store:     channel.NewMemoryStore(0),
		},
		EarlyData: []byte("GET "),
	}
	for _, file := range []string{"one", "two"} {
		dialed, err := dialer.DialContext(context.Background(), "tcp", address)
		if err != nil {
			log.Fatal(err)
		}
		conn := dialed.(*netconn.Conn)
		io.WriteString(conn, file)
		conn.CloseWrite()
		answer, err := io.ReadAll(conn)
		if err != nil {
			log.Fatal(err)
		}
		conn.Close()
		fmt.Printf("early data was %v: %s\n", conn.ConnectionState().EarlyData, answer)
	}
	// Output:
	// early data was rejected: you said "GET one"
	// early data was delivered: you said "GET two"
}

// Two services behind one address, each under its name and with its own key.
func ExampleConfig_negotiation() {
	alice, mail, news := newIdentity("alice"), newIdentity("mail"), newIdentity("news")
	service := func(self mls.Identity, protocols ...string) *netconn.Config {
		return &netconn.Config{Identity: self, Validator: only(alice), Protocols: protocols}
	}
	services := map[string]*netconn.Config{
		"mail.example": service(mail, "mail/2", "mail/1"),
		"news.example": service(news, "news/1"),
	}
	front := service(mail)
	front.Select = func(hello channel.ClientHello) (*netconn.Config, error) {
		if config, ok := services[hello.ServerName]; ok {
			return config, nil
		}
		return nil, channel.ErrUnknownName
	}
	address := serve(front, func(conn *netconn.Conn) { conn.Handshake() })

	for _, name := range []string{"mail.example", "news.example", "blog.example"} {
		conn, err := netconn.Dial("tcp", address, &netconn.Config{
			Identity:   alice,
			Validator:  only(mail, news),
			ServerName: name,
			Protocols:  []string{"news/1", "mail/1", "mail/2"},
		})
		if err != nil {
			fmt.Println(name, "is not there")
			continue
		}
		state := conn.ConnectionState()
		fmt.Printf("%s: %s speaks %s\n", name, state.Peer.Credential.Identity, state.Negotiated.Protocol)
		conn.Close()
	}
	// Output:
	// mail.example: mail speaks mail/2
	// news.example: news speaks news/1
	// blog.example is not there
}

// serve handles each connection that comes to the address which it returns.
func serve(config *netconn.Config, handle func(*netconn.Conn)) (address string) {
	listener, err := netconn.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go handle(conn.(*netconn.Conn))
		}
	}()
	return listener.Addr().String()
}
