package channel_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls"
)

// anybody is a validator that accepts every peer, and says when one changes.
type anybody struct{}

func (anybody) ValidateLeaf(leaf, previous *mls.LeafNode) error {
	if previous != nil && string(previous.Credential.Identity) != string(leaf.Credential.Identity) {
		fmt.Printf("%s becomes %s\n", previous.Credential.Identity, leaf.Credential.Identity)
	}
	return nil
}

func generate(name string) mls.Identity {
	id, err := identity.Generate(rand.Reader, name)
	if err != nil {
		log.Fatal(err)
	}
	return id
}

// configs returns the configurations of two ends that accept everybody.
func configs() (alice, bob *channel.Config) {
	alice = &channel.Config{Identity: generate("alice"), Validator: anybody{}, Now: time.Now, Store: channel.NewMemoryStore(0), PeerName: "bob"}
	bob = &channel.Config{Identity: generate("bob"), Validator: anybody{}, Now: time.Now, Store: channel.NewMemoryStore(0)}
	return alice, bob
}

// quiet is a driver without words.
type quiet struct {
	session *channel.Session
	peer    *quiet
	in      []channel.Message
	told    func(channel.Event)
}

func (q *quiet) carryOut(events []channel.Event, err error) {
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range events {
		if s, ok := e.(channel.Send); ok {
			q.peer.in = append(q.peer.in, s.Message)
		} else if q.told != nil {
			q.told(e)
		}
	}
}

// connect lets two sessions talk until they have nothing more to say.
func connect(first, second *channel.Session, start func(*channel.Session) ([]channel.Event, error), told func(channel.Event)) (a, b *quiet) {
	a, b = &quiet{session: first, told: told}, &quiet{session: second, told: told}
	a.peer, b.peer = b, a
	a.carryOut(start(first))
	talk(a, b)
	return a, b
}

func talk(a, b *quiet) {
	for len(a.in)+len(b.in) > 0 {
		for _, q := range []*quiet{a, b} {
			for len(q.in) > 0 {
				m := q.in[0]
				q.in = q.in[1:]
				q.carryOut(q.session.Receive(context.Background(), m))
			}
		}
	}
}

func start(s *channel.Session) ([]channel.Event, error) { return s.Start(context.Background()) }

func sessions(alice, bob *channel.Config) (a, b *channel.Session) {
	a, err := channel.NewInitiator(alice)
	b, err2 := channel.NewResponder(bob)
	if err := errors.Join(err, err2); err != nil {
		log.Fatal(err)
	}
	return a, b
}

// An end gets another credential and key in the middle of a connection.
func ExampleSession_Rotate() {
	first, second := sessions(configs())
	a, b := connect(first, second, start, nil)
	a.carryOut(a.session.Rotate(context.Background(), generate("alice of next year")))
	talk(a, b)
	fmt.Printf("the peer is %s\n", b.session.Peer().Credential.Identity)
	// Output:
	// alice becomes alice of next year
	// the peer is alice of next year
}

// A resumption carries data in its first flight.
func ExampleSession_StartWithEarlyData() {
	alice, bob := configs()
	bob.MaxEarlyData = 1000
	first, second := sessions(alice, bob)
	a, b := connect(first, second, start, nil)
	id := a.session.ID()
	a.session.Close()
	b.session.Close()

	ctx := context.Background()
	resumed, err := channel.Resume(ctx, alice, id)
	if err != nil {
		log.Fatal(err)
	}
	responder, err := channel.NewResponder(bob)
	if err != nil {
		log.Fatal(err)
	}
	connect(resumed, responder, func(s *channel.Session) ([]channel.Event, error) {
		return s.StartWithEarlyData(ctx, []byte("GET /"))
	}, func(e channel.Event) {
		switch e := e.(type) {
		case channel.EarlyData:
			fmt.Printf("bob reads %q before the connection is complete\n", e.Data)
		case channel.EarlyDataResult:
			fmt.Printf("alice learns that it was %v\n", e.Fate)
		}
	})
	// Output:
	// bob reads "GET /" before the connection is complete
	// alice learns that it was delivered
}

// What the ends agree on is the same for both.
func ExampleSession_Negotiated() {
	alice, bob := configs()
	alice.Protocols, alice.ServerName = []string{"h2", "http/1.1"}, "bob.example"
	bob.Protocols = []string{"http/1.1"}
	first, second := sessions(alice, bob)
	_, b := connect(first, second, start, nil)
	n := b.session.Negotiated()
	fmt.Println(n.Protocol, n.ServerName)
	// Output: http/1.1 bob.example
}

// A schedule says when an update is due; its driver makes it.
func ExampleSchedule() {
	now := time.Date(2027, 1, 1, 12, 0, 0, 0, time.UTC)
	policy := channel.UpdatePolicy{Every: time.Minute, Jitter: -1, Bytes: 1 << 20}
	s, err := channel.NewSchedule(policy, channel.RoleInitiator, now, rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("ask again in", s.Next().Sub(now))
	if s.Count(70, 1<<20) {
		fmt.Println("due already:", s.Due(now))
	}
	if err := s.Updated(now, true); err != nil {
		log.Fatal(err)
	}
	fmt.Println("after a minute:", s.Due(now.Add(time.Minute)))
	// Output:
	// ask again in 1m0s
	// due already: bytes
	// after a minute: age
}

// A trace follows a session without seeing its secrets.
func ExampleTrace() {
	alice, bob := configs()
	bob.Trace = &channel.Trace{
		Transition: func(_ channel.SessionID, from, to channel.State) { fmt.Printf("%v -> %v\n", from, to) },
		Epoch:      func(_ channel.SessionID, epoch uint64, own bool) { fmt.Printf("epoch %d\n", epoch) },
	}
	first, second := sessions(alice, bob)
	a, b := connect(first, second, start, nil)
	a.carryOut(a.session.Update(context.Background(), channel.ReasonRequested))
	talk(a, b)
	// Output:
	// epoch 1
	// awaiting a hello -> awaiting HandshakeDone
	// awaiting HandshakeDone -> synced
	// epoch 2
	// synced -> awaiting KeySwitch
	// awaiting KeySwitch -> synced
}

// Both ends agree beforehand, by their configuration, on a hello that is smaller.
func ExampleConfig_oneSignature() {
	alice, bob := configs()
	alice.OneSignature, bob.OneSignature = true, true
	first, second := sessions(alice, bob)
	a, b := connect(first, second, start, nil)
	fmt.Println(a.session.State(), b.session.State())
	// Output: synced synced
}
