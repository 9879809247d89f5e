package netconn_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/netconn"
)

// Both ends of a connection take keys for something else out of it, and people can compare what they
// see. Somebody in the middle would have other keys and another fingerprint with either end.
func ExampleConn_ExportKeyingMaterial() {
	alice, bob := newIdentity("alice"), newIdentity("bob")
	type view struct {
		key         []byte
		fingerprint string
	}
	look := func(conn *netconn.Conn) view {
		key, err := conn.ExportKeyingMaterial("files.example cache", nil, 32)
		if err != nil {
			log.Fatal(err)
		}
		return view{key, conn.ShortFingerprint()}
	}
	bobs := make(chan view, 1)
	address := serve(&netconn.Config{Identity: bob, Validator: only(alice)}, func(conn *netconn.Conn) { bobs <- look(conn) })

	conn, err := netconn.Dial("tcp", address, &netconn.Config{Identity: alice, Validator: only(bob)})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	a, b := look(conn), <-bobs
	fmt.Println("keys are the same:", bytes.Equal(a.key, b.key))
	fmt.Println("fingerprints are the same:", a.fingerprint == b.fingerprint, len(a.fingerprint))
	// Output:
	// keys are the same: true
	// fingerprints are the same: true 35
}

// A secret that both ends have from elsewhere, a QKD link for instance, goes into the keys of a living connection.
func ExampleConn_InjectPSK() {
	alice, bob := newIdentity("alice"), newIdentity("bob")
	secrets := func(identity []byte) ([]byte, error) {
		if string(identity) == "of tuesday" {
			return []byte("sixteen octets or more, nobody else knows"), nil
		}
		return nil, mls.ErrUnknownPSK
	}
	address := serve(&netconn.Config{Identity: bob, Validator: only(alice), PSK: secrets}, func(conn *netconn.Conn) { io.Copy(conn, conn) })

	conn, err := netconn.Dial("tcp", address, &netconn.Config{Identity: alice, Validator: only(bob), PSK: secrets})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	if err := conn.InjectPSK(context.Background(), []byte("of tuesday")); err != nil {
		log.Fatal(err)
	}
	fmt.Println("epoch", conn.ConnectionState().Epoch)
	// The next key of the same epoch costs next to nothing, and does not heal.
	if err := conn.UpdateKeys(true); err != nil {
		log.Fatal(err)
	}
	fmt.Println("epoch", conn.ConnectionState().Epoch)
	// Output:
	// epoch 2
	// epoch 2
}

// A peer that was accepted is not any more. The living connection is asked about it once again.
func ExampleConn_Revalidate() {
	alice, bob := newIdentity("alice"), newIdentity("bob")
	address := serve(&netconn.Config{Identity: bob, Validator: only(alice)}, func(conn *netconn.Conn) { io.Copy(conn, conn) })

	peers := &revocable{AuthenticationService: only(bob)}
	conn, err := netconn.Dial("tcp", address, &netconn.Config{Identity: alice, Validator: peers})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	fmt.Println("accepted:", conn.Revalidate(channel.RefusalClose) == nil)
	peers.revoked = true
	fmt.Println("accepted:", conn.Revalidate(channel.RefusalClose) == nil)
	_, err = conn.Write([]byte("secret"))
	fmt.Println("anything sent:", err == nil)
	// Output:
	// accepted: true
	// accepted: false
	// anything sent: false
}

// A revocable accepts whom another does until all are revoked. It serves one goroutine.
type revocable struct {
	mls.AuthenticationService
	revoked bool
}

func (r *revocable) ValidateLeaf(leaf, previous *mls.LeafNode) error {
	if r.revoked {
		return fmt.Errorf("the key of %s is revoked", leaf.Credential.Identity)
	}
	return r.AuthenticationService.ValidateLeaf(leaf, previous)
}
