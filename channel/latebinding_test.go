package channel

import (
	"bytes"
	"errors"
	"testing"
)

// resumeLate returns a connection that resumes a session of two hosts which do not know
// their transport yet.
func resumeLate(t *testing.T, a, b *peer) (*peer, *peer) {
	t.Helper()
	id := a.ID()
	cut(a, b)
	for _, h := range []*host{a.host, b.host} {
		h.cfg.LateBinding, h.cfg.TransportBinding = true, nil
	}
	a, b = resumer(t, a.host, id), listen(t, b.host)
	connect(a, b)
	return a, b
}

func (p *peer) bind(t tb, binding string) {
	t.Helper()
	events, err := p.BindTransport(ctx, []byte(binding))
	p.carryOut(t, events, err)
	if err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
}

func TestResumptionBeforeTheTransportIsBound(t *testing.T) {
	for name, order := range map[string]func(a, b *peer){
		"both bind after the response": func(a, b *peer) {
			b.deliver(t)
			if b.receiveKey != nil {
				t.Error("there are keys before the binding")
			}
			a.bind(t, "transport")
			b.bind(t, "transport")
		},
		"the requester binds first": func(a, b *peer) {
			a.bind(t, "transport")
			b.deliver(t)
			b.bind(t, "transport")
		},
		"both bind before the request arrives": func(a, b *peer) {
			a.bind(t, "transport")
			b.bind(t, "transport")
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := shake(t, func(a, b *Config) { a.TransportBinding, b.TransportBinding = []byte("first"), []byte("first") })
			a, b = resumeLate(t, a, b)
			a.start(t)
			order(a, b)
			settle(t, a, b)
			agree(t, a, b)
			canUpdate(t, a, b)
		})
	}
}

func TestPendingUpdateIsRepeatedBeforeTheTransportIsBound(t *testing.T) {
	a, b := shake(t, func(a, b *Config) {})
	b.update(t, ReasonRequested)
	a, b = resumeLate(t, a, b) // the update is lost
	a.start(t)
	b.deliver(t)
	a.bind(t, "transport")
	b.bind(t, "transport")
	settle(t, a, b)
	agree(t, a, b)
}

func TestTransportsThatAreBoundLateHaveOtherKeys(t *testing.T) {
	a, b := shake(t, func(a, b *Config) {})
	a, b = resumeLate(t, a, b)
	a.start(t)
	b.deliver(t)
	a.bind(t, "to the one in the middle")
	b.bind(t, "from the one in the middle")
	a.deliver(t)
	if a.sendKey == nil || b.receiveKey == nil || bytes.Equal(a.sendKey, b.receiveKey) {
		t.Error("the ends have the same keys on different transports")
	}
}

func TestSessionWithoutItsTransportDoesNothingElse(t *testing.T) {
	a, b := newHost(t, "alice"), newHost(t, "bob")
	a.cfg.LateBinding, b.cfg.LateBinding = true, true
	p, q := initiate(t, a, b)
	if _, err := p.Start(ctx); !errors.Is(err, ErrNotBound) || p.State() != StateIdle {
		t.Errorf("a full handshake begins: %v", err)
	}
	for _, m := range []MessageType{MessageClientHello, MessageEarlyData, MessageKeyUpdate} {
		if _, err := q.Receive(ctx, Message{Type: m}); !errors.Is(err, ErrNotBound) || q.State() != StateAwaitingHello {
			t.Errorf("%v is taken: %v", m, err)
		}
	}
	p.bind(t, "transport")
	q.bind(t, "transport")
	if _, err := p.BindTransport(ctx, nil); !errors.Is(err, ErrStarted) {
		t.Errorf("bound twice: %v", err)
	}
	p.start(t)
	settle(t, p, q)
	agree(t, p, q)
	if p.Session.binding == nil || !bytes.Equal(p.Session.binding, q.Session.binding) {
		t.Error("the binding is not part of the handshake")
	}
	p.Close()
	if _, err := p.BindTransport(ctx, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("bound after the end: %v", err)
	}
}

func TestRefusalBeforeTheTransportIsBound(t *testing.T) {
	a, b := shake(t, func(a, b *Config) {})
	old := a.ID()
	b.store.MemoryStore = NewMemoryStore(0)
	a, b = resumeLate(t, a, b)
	a.start(t)
	b.deliver(t)
	a.bind(t, "transport")
	b.bind(t, "transport")
	settle(t, a, b)
	agree(t, a, b)
	if a.Resumed() || a.ID() == old {
		t.Error("a session is resumed that the peer does not have")
	}
}

func TestEarlyDataStaysBehindWithoutTheTransport(t *testing.T) {
	a, b := shake(t, func(a, b *Config) { a.MaxEarlyData, b.MaxEarlyData = 100, 100 })
	a, b = resumeLate(t, a, b)
	events, err := a.StartWithEarlyData(ctx, []byte("early"))
	a.carryOut(t, events, err)
	b.deliver(t)
	a.bind(t, "transport")
	b.bind(t, "transport")
	settle(t, a, b)
	agree(t, a, b)
	if a.fate != EarlyDataRejected || len(b.early) != 0 {
		t.Errorf("fate %v, delivered %q", a.fate, b.early)
	}
}
