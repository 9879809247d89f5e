package channel

import (
	"errors"
	"fmt"
	"testing"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// after says which messages each state takes and where they lead. It is written
// down apart from the code's own table.
var after = map[State]map[MessageType]State{
	StateIdle: {},
	StateAwaitingHello: {
		MessageClientHello:       StateAwaitingHandshakeDone,
		MessageResumptionRequest: StateAwaitingResumptionAck,
		MessageEarlyData:         StateAwaitingHello,
	},
	StateAwaitingClientHello: {MessageClientHello: StateAwaitingHandshakeDone},
	StateAwaitingServerHello: {
		MessageServerHello: StateSynced,
		MessageHelloRetry:  StateAwaitingServerHello,
	},
	StateAwaitingHandshakeDone: {MessageHandshakeDone: StateSynced},
	StateSynced: {
		MessageConnectionUpdate: StateAcknowledged,
		MessageKeyUpdate:        StateSynced,
	},
	StateAcknowledged: {
		MessageKeySwitch: StateSynced,
		MessageKeyUpdate: StateAcknowledged,
	},
	StateUpdating: {
		MessageEpochKeyUpdate:   StateSynced,
		MessageConnectionUpdate: StateUpdating, // ignored, as this end leads
		MessageKeyUpdate:        StateUpdating,
	},
	StateAcknowledgedUpdating: {
		MessageKeySwitch: StateUpdating,
		MessageKeyUpdate: StateAcknowledgedUpdating,
	},
	StateAwaitingResumptionResponse: {
		MessageResumptionResponse: StateSynced,
		MessageResumptionRequest:  StateAwaitingResumptionResponse, // ignored by the initial initiator
		MessageResumptionRefused:  StateAwaitingServerHello,
		MessageEarlyData:          StateAwaitingResumptionResponse,

		MessageResumptionAcknowledged: StateAwaitingResumptionResponse,
	},
	StateAwaitingResumptionAck:   {MessageEpochKeyUpdate: StateSynced},
	StateAwaitingEarlyDataStatus: {MessageEarlyDataStatus: StateSynced},
}

// inState returns a session in the given state with a valid message of type m,
// or without one if the state takes none of that type.
func inState(t tb, state State, m MessageType) (p *peer, body []byte) {
	t.Helper()
	next := func() { // the message that is on the way to p
		t.Helper()
		for _, packet := range p.in {
			if packet.Type == m {
				body = packet.Body
			}
		}
	}
	if m == MessageKeyUpdate {
		defer func() { body = []byte{0} }()
	}
	switch state {
	case StateIdle:
		p, _ = initiate(t, newHost(t, "alice"), newHost(t, "bob"))
		return p, nil
	case StateAwaitingHello:
		if m == MessageEarlyData {
			return listen(t, newHost(t, "bob")), []byte("whatever")
		}
		if m == MessageResumptionRequest {
			a, b := established(t)
			id := a.ID()
			cut(a, b)
			a, p = resumer(t, a.host, id), listen(t, b.host)
			connect(a, p)
			a.start(t)
			next()
			return p, body
		}
		var a *peer
		a, p = initiate(t, newHost(t, "alice"), newHost(t, "bob"))
		a.start(t)
		next()
	case StateAwaitingClientHello:
		p, _ = inState(t, StateAwaitingHello, MessageResumptionRequest)
		id := p.sessions()[0]
		if err := p.store.Delete(ctx, id); err != nil {
			t.Fatal(err)
		}
		p.deliver(t)
		p.other.deliver(t) // goes on to a full handshake
		next()
	case StateAwaitingServerHello:
		var b *peer
		ha, hb := newHost(t, "alice"), newHost(t, "bob")
		if m == MessageHelloRetry {
			ha.cfg.Suites = []ciphersuite.ID{ciphersuite.MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519, suite}
		}
		p, b = initiate(t, ha, hb)
		p.start(t)
		b.deliver(t)
		next()
	case StateAwaitingHandshakeDone:
		var a *peer
		a, p = initiate(t, newHost(t, "alice"), newHost(t, "bob"))
		a.start(t)
		p.deliver(t)
		a.deliver(t)
		next()
	case StateSynced:
		var b *peer
		p, b = established(t)
		b.update(t, ReasonAge)
		next()
	case StateAcknowledged:
		p, _ = inState(t, StateSynced, m)
		p.deliver(t)
		p.other.deliver(t)
		next()
	case StateUpdating:
		var b *peer
		p, b = established(t)
		p.update(t, ReasonAge)
		if m == MessageConnectionUpdate {
			b.update(t, ReasonAge)
		} else {
			b.deliver(t)
		}
		next()
	case StateAcknowledgedUpdating:
		p, body = inState(t, StateAcknowledged, m)
		p.update(t, ReasonAge)
	case StateAwaitingResumptionResponse:
		a, b := established(t)
		if m == MessageResumptionAcknowledged {
			a.update(t, ReasonAge)
			b.deliver(t)
		}
		id := a.ID()
		cut(a, b)
		p, b = resumer(t, a.host, id), listen(t, b.host)
		if m == MessageResumptionRequest {
			b = resumer(t, b.host, id)
		}
		connect(p, b)
		p.start(t)
		b.start(t)
		switch m {
		case MessageResumptionRequest:
			next()
		case MessageEarlyData:
			body = []byte("whatever")
		case MessageResumptionRefused:
			body = []byte{byte(RefusedUnknown)}
		default:
			b.deliver(t)
			next()
		}
	case StateAwaitingResumptionAck:
		p, _ = inState(t, StateAwaitingHello, MessageResumptionRequest)
		p.deliver(t)
		p.other.deliver(t)
		next()
	case StateAwaitingEarlyDataStatus:
		var b *peer
		p, b = resumeEarly(t, []byte("early"))
		b.deliver(t)
		b.deliver(t)
		p.deliver(t)
		b.deliver(t)
		next()
	case StateClosed:
		p, _ = established(t)
		p.Close()
	default:
		t.Fatalf("no way to %v", state)
	}
	if p.State() != state {
		t.Fatalf("state is %v, want %v", p.State(), state)
	}
	return p, body
}

func TestEveryMessageInEveryState(t *testing.T) {
	t.Parallel()
	types := []MessageType{0, MessageClientHello - 1, MessageResumptionAcknowledged + 1}
	for m := range messageNames {
		types = append(types, m)
	}
	pairs, legal := 0, 0
	for state := StateIdle; state < StateClosed; state++ {
		allowed, ok := after[state]
		if !ok {
			t.Fatalf("the table lacks %v", state)
		}
		if len(allowed) != len(transitions[state]) {
			t.Errorf("%v takes %d types, want %d", state, len(transitions[state]), len(allowed))
		}
		for _, m := range types {
			want, takes := allowed[m]
			for _, protected := range []bool{false, true} {
				pairs++
				name := fmt.Sprintf("%v/%v/%t", state, m, protected)
				p, body := inState(t, state, m)
				authenticated, stored := state.receivesProtected(), p.store.Len()
				events, err := p.Receive(ctx, Message{Type: m, Body: body, Protected: protected})
				if takes && protected == m.Protected() {
					legal++
					if err != nil || p.State() != want {
						t.Errorf("%s: state is %v (%v), want %v", name, p.State(), err, want)
					}
					continue
				}
				if !errors.Is(err, ErrUnexpectedMessage) || AlertOf(err) != AlertUnexpectedMessage {
					t.Errorf("%s: error is %v, alert %v", name, err, AlertOf(err))
				}
				if e := new(Error); !errors.As(err, &e) || e.State != state || e.Type != m {
					t.Errorf("%s: error is %#v", name, err)
				}
				if len(events) != 0 || p.State() != StateClosed {
					t.Errorf("%s: %d events, state %v", name, len(events), p.State())
				}
				// Only what came through an authenticated channel counts
				// against the stored session.
				if protected && authenticated {
					stored--
				}
				if p.store.Len() != stored {
					t.Errorf("%s: %d sessions are stored, want %d", name, p.store.Len(), stored)
				}
			}
		}
	}
	if want := int(StateClosed-StateIdle) * 17 * 2; pairs != want || legal != 23 {
		t.Errorf("%d cases of which %d are legal, want %d and 23", pairs, legal, want)
	}
}

func TestEveryMethodInEveryState(t *testing.T) {
	for state := StateIdle; state <= StateClosed; state++ {
		update, start := ErrNotReady, ErrStarted
		switch {
		case state == StateClosed:
			update, start = ErrClosed, ErrClosed
		case state.complete():
			update = nil
		case state == StateIdle || state == StateAwaitingHello:
			start = nil
		}
		p, _ := inState(t, state, 0)
		if _, err := p.ExportKeyingMaterial("label", nil, 32); !errors.Is(err, update) {
			t.Errorf("%v: ExportKeyingMaterial: %v, want %v", state, err, update)
		}
		if leaf := p.Peer(); (leaf != nil) != state.complete() {
			t.Errorf("%v: Peer is %v", state, leaf)
		}
		if _, err := p.Session.Update(ctx, ReasonAge); !errors.Is(err, update) {
			t.Errorf("%v: Update: %v, want %v", state, err, update)
		}
		if p, _ = inState(t, state, 0); true {
			if _, err := p.Session.Start(ctx); !errors.Is(err, start) {
				t.Errorf("%v: Start: %v, want %v", state, err, start)
			}
		}
		p.Close()
		p.Close()
		if _, err := p.Receive(ctx, Message{Type: MessageClientHello}); !errors.Is(err, ErrClosed) || p.State() != StateClosed {
			t.Errorf("%v: Receive after Close: %v", state, err)
		}
		if state.String() == "" || state.String() == fmt.Sprintf("State(%d)", state) {
			t.Errorf("state %d has no name", state)
		}
	}
}
