package quicmls_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"sync/atomic"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/quicmls"
)

// An update puts fresh keys under all streams at once, also in the middle of what they carry. Whoever
// had stolen this end's keys cannot read what is written after it.
func ExampleConn_Update() {
	ctx := context.Background()
	alice, bob := pair()
	defer alice.CloseWithError(0, "")
	stream, err := alice.OpenUniStream()
	if err != nil {
		log.Fatal(err)
	}
	io.WriteString(stream, "one, ")
	if err := alice.Update(ctx); err != nil {
		log.Fatal(err)
	}
	io.WriteString(stream, "two, ")
	if err := bob.Update(ctx); err != nil { // heals the other end
		log.Fatal(err)
	}
	io.WriteString(stream, "three")
	stream.Close()

	incoming, err := bob.AcceptUniStream(ctx)
	if err != nil {
		log.Fatal(err)
	}
	text, err := io.ReadAll(incoming)
	fmt.Printf("%s, %v, epoch %d\n", text, err, bob.ConnectionState().Epoch)
	// Output:
	// one, two, three, <nil>, epoch 3
}

// An end gets a new key while the connection lives on. Its peer knows both keys already.
func ExampleConn_Rotate() {
	ctx := context.Background()
	alice, bob, next := newIdentity("alice"), newIdentity("bob"), newIdentity("alice's next key")
	config := configOf(bob, alice, next)
	config.Trace = &channel.Trace{Event: func(_ channel.SessionID, e channel.Event) {
		if e, ok := e.(channel.PeerChanged); ok {
			fmt.Printf("bob: %s is %s now\n", e.Previous.Credential.Identity, e.Leaf.Credential.Identity)
		}
	}}
	address := serve(config, func(conn *quicmls.Conn) { conn.HandshakeContext(ctx) })

	conn, err := quicmls.Dial(ctx, address, configOf(alice, bob))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.CloseWithError(0, "")
	if err := conn.Rotate(ctx, next); err != nil {
		log.Fatal(err)
	}
	fmt.Println("alice: epoch", conn.ConnectionState().Epoch)
	// Output:
	// bob: alice is alice's next key now
	// alice: epoch 2
}

// Both ends export the same octets in one epoch, and others in the next.
func ExampleConn_ExportKeyingMaterial() {
	alice, bob := pair()
	defer alice.CloseWithError(0, "")
	export := func(conn *quicmls.Conn) []byte {
		out, err := conn.ExportKeyingMaterial("EXPORTER-example", nil, 32)
		if err != nil {
			log.Fatal(err)
		}
		return out
	}
	before := export(alice)
	fmt.Println("the same at both ends:", bytes.Equal(before, export(bob)))
	if err := alice.Update(context.Background()); err != nil {
		log.Fatal(err)
	}
	fmt.Println("the same in the next epoch:", bytes.Equal(before, export(alice)))
	// Output:
	// the same at both ends: true
	// the same in the next epoch: false
}

// A connection that is lost is dialled again, and its session is resumed: fresh keys of both ends, and no need
// to authenticate from scratch.
func ExampleConn_ConnectionState() {
	ctx := context.Background()
	alice, bob := newIdentity("alice"), newIdentity("bob")
	bobs := configOf(bob, alice)
	bobs.Store = channel.NewMemoryStore(0)
	address := serve(bobs, func(conn *quicmls.Conn) {
		if stream, err := conn.OpenUniStream(); err == nil {
			io.WriteString(stream, "welcome")
			stream.Close()
		}
	})

	config := configOf(alice, bob)
	config.Store = channel.NewMemoryStore(0)
	for range 2 {
		conn, err := quicmls.Dial(ctx, address, config)
		if err != nil {
			log.Fatal(err)
		}
		// Closing a QUIC connection throws away what is under way. Once bob has said something, it
		// is sure that he has the session as well.
		stream, err := conn.AcceptUniStream(ctx)
		if err != nil {
			log.Fatal(err)
		}
		said, err := io.ReadAll(stream)
		if err != nil {
			log.Fatal(err)
		}
		state := conn.ConnectionState()
		fmt.Printf("%s says %s: epoch %d, resumed: %t, datagrams: %t\n",
			state.Peer.Credential.Identity, said, state.Epoch, state.Resumed, state.QUIC.SupportsDatagrams.Remote)
		conn.CloseWithError(0, "")
	}
	// Output:
	// bob says welcome: epoch 1, resumed: false, datagrams: true
	// bob says welcome: epoch 3, resumed: true, datagrams: true
}

// revocable is a validator whose pins can change.
type revocable struct {
	pins atomic.Pointer[identity.Pinned]
}

func (r *revocable) ValidateLeaf(leaf, previous *mls.LeafNode) error {
	return r.pins.Load().ValidateLeaf(leaf, previous)
}

// A peer whose key is no longer permitted does not keep the connections that it has.
func ExampleConn_Revalidate() {
	ctx := context.Background()
	alice, bob := newIdentity("alice"), newIdentity("bob")
	address := serve(configOf(bob, alice), func(conn *quicmls.Conn) { conn.HandshakeContext(ctx) })

	peers := new(revocable)
	peers.pins.Store(only(bob))
	config := configOf(alice)
	config.Validator = peers
	conn, err := quicmls.Dial(ctx, address, config)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("permitted:", conn.Revalidate(channel.RefusalClose))

	peers.pins.Store(only()) // nobody
	err = conn.Revalidate(channel.RefusalClose)
	fmt.Println("refused:", errors.Is(err, channel.ErrPeerRefused))
	<-conn.Context().Done() // and so the connection has ended
	// Output:
	// permitted: <nil>
	// refused: true
}

// An end whose identity changes while it runs, here by hand, shows the new one in the connections that it
// has. [identity.Open] follows one in files instead.
func ExampleConfig_identities() {
	ctx := context.Background()
	first, second, bob := newIdentity("Monday's key"), newIdentity("Tuesday's key"), newIdentity("bob")
	bobs := configOf(bob, first, second)
	changed := make(chan string, 1)
	bobs.Trace = &channel.Trace{Event: func(_ channel.SessionID, e channel.Event) {
		if e, ok := e.(channel.PeerChanged); ok {
			changed <- string(e.Leaf.Credential.Identity)
		}
	}}
	address := serve(bobs, func(conn *quicmls.Conn) { conn.HandshakeContext(ctx) })

	var self identity.Feed
	self.SetIdentities(first)
	config := configOf(mls.Identity{}, bob)
	config.Identities = &self
	config.IdentitySpread = -1 // there is only one connection
	conn, err := quicmls.Dial(ctx, address, config)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.CloseWithError(0, "")
	self.SetIdentities(second)
	fmt.Println("bob sees", <-changed)
	// Output: bob sees Tuesday's key
}
