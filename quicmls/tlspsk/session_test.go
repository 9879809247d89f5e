package tlspsk

import (
	"bytes"
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// A member is one end of a session, whose messages reach the other in memory.
type member struct {
	*channel.Session
	peer *member
	in   []channel.Message
}

// newSession returns both ends of a session: its initiator and its responder.
func newSession(t testing.TB) (a, b *member) {
	t.Helper()
	own, err := identity.Generate(rand.Reader, "a")
	if err != nil {
		t.Fatal(err)
	}
	other, err := identity.Generate(rand.Reader, "b")
	if err != nil {
		t.Fatal(err)
	}
	config := func(self, peer mls.Identity) *channel.Config {
		pinned, err := identity.NewPinned(peer.Signer.Public())
		if err != nil {
			t.Fatal(err)
		}
		return &channel.Config{Identity: self, Validator: pinned, Now: time.Now,
			Suites: []ciphersuite.ID{ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519}}
	}
	a, b = &member{}, &member{}
	a.peer, b.peer = b, a
	if a.Session, err = channel.NewInitiator(config(own, other)); err != nil {
		t.Fatal(err)
	}
	if b.Session, err = channel.NewResponder(config(other, own)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	t.Cleanup(b.Close)
	a.carryOut(t)(a.Start(context.Background()))
	settle(t, a, b)
	return a, b
}

func (m *member) carryOut(t testing.TB) func([]channel.Event, error) {
	return func(events []channel.Event, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if send, ok := e.(channel.Send); ok {
				m.peer.in = append(m.peer.in, send.Message)
			}
		}
	}
}

// settle delivers messages until there are none.
func settle(t testing.TB, members ...*member) {
	t.Helper()
	for busy := true; busy; {
		busy = false
		for _, m := range members {
			for len(m.in) > 0 {
				next := m.in[0]
				m.in, busy = m.in[1:], true
				m.carryOut(t)(m.Receive(context.Background(), next))
			}
		}
	}
}

// update gives m's end fresh keys, and the session a new epoch.
func (m *member) update(t testing.TB) {
	t.Helper()
	before := m.Epoch()
	m.carryOut(t)(m.Update(context.Background(), channel.ReasonRequested))
	settle(t, m, m.peer)
	if m.Epoch() != before+1 || m.peer.Epoch() != before+1 {
		t.Fatalf("epochs %d and %d after an update in epoch %d", m.Epoch(), m.peer.Epoch(), before)
	}
}

func export(t testing.TB, m *member, dialer channel.Role, number uint32) *Key {
	t.Helper()
	key, err := Export(m, dialer, number)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sameKey(a, b *Key) bool { return a.id == b.id && bytes.Equal(a.secret, b.secret) }

// clone is a thief's copy of a key.
func (k *Key) clone() *Key { return &Key{id: k.id, secret: bytes.Clone(k.secret)} }
