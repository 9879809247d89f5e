package channels

import (
	"testing"

	"github.com/mendlink/mendlink/bench/internal/measure"
	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

var suites = []ciphersuite.ID{
	ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519,
	ciphersuite.MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519,
}

// All operations can be executed again and again.
func TestOperations(t *testing.T) {
	for _, id := range suites {
		p, err := NewPair(id, true)
		if err != nil {
			t.Fatal(err)
		}
		update, err := p.Update()
		if err != nil {
			t.Fatal(err)
		}
		resumption, err := p.Resumption()
		if err != nil {
			t.Fatal(err)
		}
		bare, err := NewPair(id, false)
		if err != nil {
			t.Fatal(err)
		}
		for name, op := range map[string]measure.Op{
			"handshake": p.Handshake(), "update": update, "resumption": resumption, "keys": p.NewKeys(), "refused": p.Refused(), "bare": bare.Handshake(),
		} {
			for range 2 {
				run, err := op(2)
				if err == nil {
					err = run()
				}
				if err != nil {
					t.Errorf("%v: %s: %v", id, name, err)
				}
			}
		}
	}
}

// What is measured is what the protocol says: these messages, in this order.
func TestFlights(t *testing.T) {
	p, err := NewPair(suites[0], true)
	if err != nil {
		t.Fatal(err)
	}
	handshake, updated, resumption, err := p.Flights()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		got  []Flight
		want []channel.MessageType
	}{
		{"handshake", handshake, []channel.MessageType{channel.MessageClientHello, channel.MessageServerHello, channel.MessageHandshakeDone}},
		{"update", updated, []channel.MessageType{channel.MessageConnectionUpdate, channel.MessageEpochKeyUpdate, channel.MessageKeySwitch}},
		{"resumption", resumption, []channel.MessageType{channel.MessageResumptionRequest, channel.MessageResumptionResponse, channel.MessageEpochKeyUpdate}},
	} {
		if len(c.got) != len(c.want) {
			t.Errorf("%s: got %v, want %v", c.name, c.got, c.want)
			continue
		}
		for i, f := range c.got {
			if f.Type != c.want[i] || f.Octets == 0 {
				t.Errorf("%s: message %d is %v, want %v", c.name, i, f, c.want[i])
			}
		}
	}
}

// A handshake leaves nothing in the stores that would make the next one dearer.
func TestHandshakesLeaveNothing(t *testing.T) {
	p, err := NewPair(suites[0], true)
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range []measure.Op{p.Handshake(), p.Refused()} {
		if _, err := op.Measure(3); err != nil {
			t.Fatal(err)
		}
	}
	for _, cfg := range []channel.Config{p.initiator, p.responder} {
		if n := cfg.Store.(*channel.MemoryStore).Len(); n != 0 {
			t.Errorf("%d sessions are left", n)
		}
	}
}

// Each end does a part of everything.
func TestShares(t *testing.T) {
	p, err := NewPair(suites[0], true)
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.Shares(5)
	if err != nil {
		t.Fatal(err)
	}
	for name, share := range map[string]float64{"handshake": s.Handshake, "resumption": s.Resumption, "refused": s.Refused, "update": s.Update} {
		if share <= 0 || share >= 1 {
			t.Errorf("%s: one end does %v of it", name, share)
		}
	}
}
