package channel_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls"
)

// end is a driver that keeps in memory what others would put on a wire.
type end struct {
	name    string
	session *channel.Session
	peer    *end
	in      []channel.Message
}

// carryOut carries out the events of a session, in order.
func (e *end) carryOut(events []channel.Event, err error) {
	if err != nil {
		log.Fatalf("%s: %v, tell the peer: %v", e.name, err, channel.AlertOf(err))
	}
	for _, event := range events {
		switch event := event.(type) {
		case channel.Send:
			fmt.Printf("%s sends %v\n", e.name, event.Message.Type)
			e.peer.in = append(e.peer.in, event.Message)
		case channel.SwitchSend:
			fmt.Printf("%s sends under keys of epoch %d\n", e.name, event.Epoch)
		case channel.SwitchReceive:
			fmt.Printf("%s receives under keys of epoch %d\n", e.name, event.Epoch)
		}
	}
}

// run delivers messages until there are none.
func run(ends ...*end) {
	for busy := true; busy; {
		busy = false
		for _, e := range ends {
			if len(e.in) == 0 {
				continue
			}
			m := e.in[0]
			e.in, busy = e.in[1:], true
			e.carryOut(e.session.Receive(context.Background(), m))
		}
	}
}

// Two ends do a handshake, and one of them heals.
func Example() {
	ctx := context.Background()
	alice, err := identity.Generate(rand.Reader, "alice")
	if err != nil {
		log.Fatal(err)
	}
	bob, err := identity.Generate(rand.Reader, "bob")
	if err != nil {
		log.Fatal(err)
	}
	config := func(own, peer mls.Identity) *channel.Config {
		pinned, err := identity.NewPinned(peer.Signer.Public())
		if err != nil {
			log.Fatal(err)
		}
		return &channel.Config{Identity: own, Validator: pinned, Now: time.Now, Store: channel.NewMemoryStore(0)}
	}
	a, b := &end{name: "alice"}, &end{name: "bob"}
	a.peer, b.peer = b, a
	if a.session, err = channel.NewInitiator(config(alice, bob)); err != nil {
		log.Fatal(err)
	}
	if b.session, err = channel.NewResponder(config(bob, alice)); err != nil {
		log.Fatal(err)
	}
	a.carryOut(a.session.Start(ctx))
	run(a, b)
	a.carryOut(a.session.Update(ctx, channel.ReasonRequested))
	run(a, b)
	fmt.Printf("epochs %d and %d\n", a.session.Epoch(), b.session.Epoch())
	// Output:
	// alice sends ClientHello
	// bob sends ServerHello
	// bob sends under keys of epoch 1
	// bob receives under keys of epoch 1
	// alice sends under keys of epoch 1
	// alice receives under keys of epoch 1
	// alice sends HandshakeDone
	// alice sends ConnectionUpdate
	// bob sends EpochKeyUpdate
	// bob sends under keys of epoch 2
	// alice receives under keys of epoch 2
	// alice sends KeySwitch
	// alice sends under keys of epoch 2
	// bob receives under keys of epoch 2
	// epochs 2 and 2
}
