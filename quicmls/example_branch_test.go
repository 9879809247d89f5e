package quicmls_test

import (
	"context"
	"encoding/gob"
	"fmt"
	"log"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/quicmls"
)

// Alice and Bob make an MLS group of their connection, over a stream of it.
func ExampleConn_Branch() {
	ctx := context.Background()
	alice, bob := newIdentity("alice"), newIdentity("bob")
	// Who may be in the group is a matter of its own. Here nobody else may.
	options := channel.BranchOptions{Config: &mls.Config{AuthenticationService: only(alice, bob), Now: time.Now}}
	address := serve(configOf(bob, alice), func(conn *quicmls.Conn) {
		stream, err := conn.AcceptStream(ctx)
		if err != nil {
			return
		}
		var keyPackage []byte
		gob.NewDecoder(stream).Decode(&keyPackage)
		group, welcome, err := conn.Branch(keyPackage, options)
		if err != nil {
			log.Fatal(err)
		}
		group.Erase() // a service would go on with it
		gob.NewEncoder(stream).Encode(welcome)
	})

	conn, err := quicmls.Dial(ctx, address, configOf(alice, bob))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.CloseWithError(0, "")
	stream, err := conn.OpenStreamSync(ctx)
	if err != nil {
		log.Fatal(err)
	}
	keyPackage, err := conn.BranchKeyPackage(options)
	if err != nil {
		log.Fatal(err)
	}
	gob.NewEncoder(stream).Encode(keyPackage)
	var welcome []byte
	gob.NewDecoder(stream).Decode(&welcome)
	group, err := conn.JoinBranch(welcome)
	if err != nil {
		log.Fatal(err)
	}
	for _, m := range group.Members() {
		fmt.Printf("%s\n", m.Leaf.Credential.Identity)
	}
	// Output:
	// bob
	// alice
}
