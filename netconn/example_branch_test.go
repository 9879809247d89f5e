package netconn_test

import (
	"encoding/gob"
	"fmt"
	"log"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/netconn"
)

// Alice and Bob make an MLS group of their connection, over the connection, and say something in it.
func ExampleConn_Branch() {
	alice, bob := newIdentity("alice"), newIdentity("bob")
	listener, err := netconn.Listen("tcp", "127.0.0.1:0", &netconn.Config{Identity: bob, Validator: only(alice)})
	if err != nil {
		log.Fatal(err)
	}
	defer listener.Close()
	// Who may be in the group is a matter of its own. Here nobody else may.
	options := channel.BranchOptions{Config: &mls.Config{AuthenticationService: only(alice, bob), Now: time.Now}}

	go func() {
		transport, err := listener.Accept()
		if err != nil {
			return
		}
		conn := transport.(*netconn.Conn)
		defer conn.Close()
		in, out := gob.NewDecoder(conn), gob.NewEncoder(conn)
		keyPackage, err := conn.BranchKeyPackage(options)
		if err != nil {
			log.Fatal(err)
		}
		out.Encode(keyPackage)
		var welcome, message []byte
		in.Decode(&welcome)
		group, err := conn.JoinBranch(welcome)
		if err != nil {
			log.Fatal(err)
		}
		in.Decode(&message)
		received, err := group.Process(message)
		if err != nil {
			log.Fatal(err)
		}
		out.Encode(fmt.Appendf(nil, "bob has read %q", received.(*mls.ReceivedApplication).Data))
	}()

	conn, err := netconn.Dial("tcp", listener.Addr().String(), &netconn.Config{Identity: alice, Validator: only(bob)})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	in, out := gob.NewDecoder(conn), gob.NewEncoder(conn)
	var keyPackage, answer []byte
	in.Decode(&keyPackage)
	group, welcome, err := conn.Branch(keyPackage, options)
	if err != nil {
		log.Fatal(err)
	}
	out.Encode(welcome)
	message, err := group.Protect([]byte("to the group"), nil)
	if err != nil {
		log.Fatal(err)
	}
	out.Encode(message)
	in.Decode(&answer)
	fmt.Printf("%d members; %s\n", len(group.Members()), answer)
	// Output: 2 members; bob has read "to the group"
}
