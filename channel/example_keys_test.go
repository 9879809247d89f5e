package channel_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"strings"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/mls"
)

// A session goes on after its connection has ended, from what the stores have.
func ExampleResume() {
	ctx := context.Background()
	alice, bob := configs()
	first, second := sessions(alice, bob)
	a, b := connect(first, second, start, nil)
	a.session.Close()
	b.session.Close()

	ids, err := alice.Store.FindByPeer(ctx, alice.PeerName)
	if err != nil {
		log.Fatal(err)
	}
	resumed, err := channel.Resume(ctx, alice, ids[0])
	if err != nil {
		log.Fatal(err)
	}
	responder, err := channel.NewResponder(bob)
	if err != nil {
		log.Fatal(err)
	}
	a, b = connect(resumed, responder, start, nil)
	fmt.Printf("resumed: %t and %t, epoch %d\n", a.session.Resumed(), b.session.Resumed(), a.session.Epoch())
	// Output: resumed: true and true, epoch 3
}

// Both ends mix a key that they have from elsewhere into the living connection.
func ExampleSession_InjectPSK() {
	alice, bob := configs()
	shared := func(id []byte) ([]byte, error) {
		if string(id) == "from the courier" {
			return []byte("a secret of at least 32 octets, really"), nil
		}
		return nil, mls.ErrUnknownPSK
	}
	alice.PSK, bob.PSK = shared, shared
	first, second := sessions(alice, bob)
	a, b := connect(first, second, start, nil)
	a.carryOut(a.session.InjectPSK(context.Background(), []byte("from the courier")))
	talk(a, b)
	fmt.Println("epoch", b.session.Epoch())
	_, err := a.session.InjectPSK(context.Background(), []byte("of nobody"))
	fmt.Println(errors.Is(err, mls.ErrUnknownPSK))
	// Output:
	// epoch 2
	// true
}

// A step of the sending key leaves the epoch as it is, and the peer follows.
func ExampleSession_UpdateKeys() {
	first, second := sessions(configs())
	a, b := connect(first, second, start, func(e channel.Event) {
		switch e.(type) {
		case channel.StepSend:
			fmt.Println("the next sending key")
		case channel.StepReceive:
			fmt.Println("the next receiving key")
		}
	})
	a.carryOut(a.session.UpdateKeys(false))
	talk(a, b)
	fmt.Println("epoch", a.session.Epoch())
	// Output:
	// the next sending key
	// the next receiving key
	// epoch 1
}

// Keys for another protocol: each end derives its own direction's, and the peer's.
func ExampleSession_ExportFrom() {
	first, second := sessions(configs())
	a, b := connect(first, second, start, nil)
	export := func(s *channel.Session, from channel.Role) []byte {
		key, err := s.ExportFrom(from, "EXPERIMENTAL my protocol", nil, 32)
		if err != nil {
			log.Fatal(err)
		}
		return key
	}
	sending := export(a.session, channel.RoleInitiator)
	fmt.Println(bytes.Equal(sending, export(b.session, channel.RoleInitiator)))
	fmt.Println(bytes.Equal(sending, export(b.session, channel.RoleResponder)))
	// Output:
	// true
	// false
}

// Two people read a number to each other, to find out about somebody in the middle.
func ExampleSession_ShortFingerprint() {
	first, second := sessions(configs())
	a, b := connect(first, second, start, nil)
	number := a.session.ShortFingerprint()
	fmt.Println(len(strings.Fields(number)), "groups of", len(strings.Fields(number)[0]), "digits")
	fmt.Println("the same:", number == b.session.ShortFingerprint())
	// Output:
	// 6 groups of 5 digits
	// the same: true
}

// revocations is a validator that accepts everybody but those that are revoked.
type revocations map[string]bool

func (r revocations) ValidateLeaf(leaf, _ *mls.LeafNode) error {
	if name := string(leaf.Credential.Identity); r[name] {
		return fmt.Errorf("%s is revoked", name)
	}
	return nil
}

// A revocation reaches a connection that is there already.
func ExampleSession_Revalidate() {
	alice, bob := configs()
	revoked := make(revocations)
	bob.Validator = revoked
	first, second := sessions(alice, bob)
	_, b := connect(first, second, start, nil)

	revoked["alice"] = true
	events, err := b.session.Revalidate(context.Background(), channel.RefusalWarn)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("warning:", events[0].(channel.PeerRefused).Err)
	_, err = b.session.Revalidate(context.Background(), channel.RefusalClose)
	fmt.Println(errors.Is(err, channel.ErrPeerRefused), b.session.State(), channel.AlertOf(err))
	// Output:
	// warning: channel: peer refused: alice is revoked
	// true closed bad_certificate
}

// A key log is for debugging alone: with it, a recording of the connection can be read.
func ExampleConfig_keyLogWriter() {
	alice, bob := configs()
	var keyLog bytes.Buffer
	alice.KeyLogWriter = &keyLog
	first, second := sessions(alice, bob)
	connect(first, second, start, nil)
	for line := range strings.Lines(keyLog.String()) {
		fields := strings.Fields(line) // the session's ID and the secret come out differently each time
		fmt.Println(fields[0], "of epoch", fields[2])
	}
	// Output:
	// CLIENT_TRAFFIC_SECRET of epoch 1
	// SERVER_TRAFFIC_SECRET of epoch 1
}

// The binding of a transport that is ready only after the session has begun.
func ExampleSession_BindTransport() {
	ctx := context.Background()
	alice, bob := configs()
	alice.LateBinding, bob.LateBinding = true, true
	first, second := sessions(alice, bob)
	responses, err := second.Receive(ctx, channel.Message{Type: channel.MessageClientHello})
	fmt.Println(len(responses), errors.Is(err, channel.ErrNotBound))
	for _, s := range []*channel.Session{first, second} {
		if _, err := s.BindTransport(ctx, []byte("what TLS exports, say")); err != nil {
			log.Fatal(err)
		}
	}
	a, b := connect(first, second, start, nil)
	fmt.Println(a.session.State(), b.session.State())
	// Output:
	// 0 true
	// synced synced
}

// Messages come in records of any size.
func ExampleAssembler() {
	stream := channel.Message{Type: channel.MessageKeyUpdate, Body: []byte{0}}.AppendTo(nil)
	assembler := channel.NewAssembler(1000)
	for _, record := range [][]byte{stream[:3], stream[3:]} {
		assembler.Feed(record)
		for {
			m, ok, err := assembler.Next()
			if err != nil {
				log.Fatal(err)
			}
			if !ok {
				break
			}
			fmt.Println(m.Type, m.Body)
		}
		fmt.Println("between two messages:", assembler.Empty())
	}
	// Output:
	// between two messages: false
	// KeyUpdate [0]
	// between two messages: true
}
