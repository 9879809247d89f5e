package channel

import (
	"errors"
	"testing"
)

// acceptingEarlyData returns two ends after a full handshake, which both accept early data.
func acceptingEarlyData(t tb) (a, b *peer) {
	t.Helper()
	ha, hb := newHost(t, "alice"), newHost(t, "bob")
	ha.cfg.MaxEarlyData, hb.cfg.MaxEarlyData = 100, 200
	a, b = initiate(t, ha, hb)
	a.start(t)
	settle(t, a, b)
	agree(t, a, b)
	return a, b
}

// resumeEarly returns two ends, of which the first resumes with early data.
func resumeEarly(t tb, data []byte) (a, b *peer) {
	t.Helper()
	a, b = acceptingEarlyData(t)
	id := a.ID()
	cut(a, b)
	return resumeWith(t, a.host, b.host, id, data)
}

// resumeWith returns the two ends of a connection on which the first host resumes
// with early data.
func resumeWith(t tb, ha, hb *host, id SessionID, data []byte) (a, b *peer) {
	t.Helper()
	a, b = resumer(t, ha, id), listen(t, hb)
	connect(a, b)
	events, err := a.StartWithEarlyData(ctx, data)
	a.carryOut(t, events, err)
	return a, b
}

func TestEarlyDataIsDeliveredInTheFirstFlight(t *testing.T) {
	a, b := resumeEarly(t, []byte("early"))
	b.deliver(t)
	b.deliver(t)
	if len(b.early) != 1 || string(b.early[0]) != "early" {
		t.Fatalf("the peer has %q", b.early)
	}
	if b.complete != 0 {
		t.Error("the handshake is complete already")
	}
	settle(t, a, b)
	agree(t, a, b)
	if a.fate != EarlyDataDelivered || b.fate != 0 {
		t.Errorf("fates are %v and %v", a.fate, b.fate)
	}
	canUpdate(t, a, b)
	// The other end may do it as well, up to its peer's limit.
	id := b.ID()
	cut(a, b)
	b, a = resumeWith(t, b.host, a.host, id, make([]byte, 100))
	settle(t, a, b)
	agree(t, a, b)
	if b.fate != EarlyDataDelivered || len(a.early) != 1 {
		t.Errorf("the responder's: %v, %d", b.fate, len(a.early))
	}
}

func TestEarlyDataThatIsNotAcceptedIsRejected(t *testing.T) {
	for name, begin := range map[string]func() (a, b *peer){
		"full handshake": func() (a, b *peer) {
			a, b = initiate(t, newHost(t, "alice"), newHost(t, "bob"))
			events, err := a.StartWithEarlyData(ctx, []byte("early"))
			a.carryOut(t, events, err)
			return a, b
		},
		"nothing was negotiated": func() (a, b *peer) {
			a, b = established(t)
			id := a.ID()
			cut(a, b)
			return resumeWith(t, a.host, b.host, id, []byte("early"))
		},
		"too much": func() (a, b *peer) { return resumeEarly(t, make([]byte, 201)) },
		"accepted no more": func() (a, b *peer) {
			a, b = resumeEarly(t, []byte("early"))
			b.host.cfg.MaxEarlyData = 0
			b.Session.cfg = must(b.host.cfg.withDefaults())
			return a, b
		},
		"changed on the way": func() (a, b *peer) {
			a, b = resumeEarly(t, []byte("early"))
			b.in[0].Body[40] ^= 1
			return a, b
		},
		"lost on the way": func() (a, b *peer) {
			a, b = resumeEarly(t, []byte("early"))
			b.in = b.in[1:]
			return a, b
		},
	} {
		a, b := begin()
		settle(t, a, b)
		agree(t, a, b)
		if a.fate != EarlyDataRejected || len(b.early) != 0 {
			t.Errorf("%s: fate is %v, the peer has %q", name, a.fate, b.early)
		}
	}
}

// A ResumptionRefused is nobody's word.
func TestEarlyDataOfARefusedSessionHasAnUnknownFate(t *testing.T) {
	a, b := resumeEarly(t, []byte("early"))
	if err := b.store.Delete(ctx, b.sessions()[0]); err != nil {
		t.Fatal(err)
	}
	settle(t, a, b)
	agree(t, a, b)
	if a.fate != EarlyDataUnknown || len(b.early) != 0 || a.Resumed() {
		t.Errorf("fate is %v", a.fate)
	}
}

func TestReplayedEarlyDataIsDeliveredOnce(t *testing.T) {
	a, b := resumeEarly(t, []byte("early"))
	flight := []packet{b.in[0], b.in[1]}
	id := a.ID()
	b.deliver(t)
	b.deliver(t)
	cut(a, b) // the answer is lost
	for range 2 {
		replay := listen(t, b.host)
		connect(replay, &peer{host: a.host})
		replay.in = flight
		replay.deliver(t)
		replay.deliver(t)
		if len(replay.early) != 0 {
			t.Fatal("a replay is delivered")
		}
	}
	// The end itself learns that it has been delivered, and by which attempt.
	a, b = resumeWith(t, a.host, b.host, id, []byte("early"))
	settle(t, a, b)
	agree(t, a, b)
	if a.fate != EarlyDataDelivered || len(b.early) != 0 {
		t.Errorf("the same data again: %v, and the peer has %q", a.fate, b.early)
	}
}

func TestOtherEarlyDataWithARepeatedRequestIsRejected(t *testing.T) {
	a, b := resumeEarly(t, []byte("early"))
	id := a.ID()
	first := b.in[0].Body
	b.deliver(t)
	b.deliver(t)
	cut(a, b)
	a, b = resumeWith(t, a.host, b.host, id, []byte("other"))
	if string(first[:32]) == string(b.in[0].Body[:32]) {
		t.Error("two attempts have one nonce")
	}
	settle(t, a, b)
	agree(t, a, b)
	if a.fate != EarlyDataRejected || len(b.early) != 0 {
		t.Errorf("fate is %v, the peer has %q", a.fate, b.early)
	}
}

// Both resume with early data: that of the end that yields is nobody's.
func TestEarlyDataOfCrossingRequests(t *testing.T) {
	a, b := acceptingEarlyData(t)
	id := a.ID()
	cut(a, b)
	a, b = resumer(t, a.host, id), resumer(t, b.host, id)
	connect(a, b)
	for _, p := range []*peer{a, b} {
		events, err := p.StartWithEarlyData(ctx, []byte(p.name))
		p.carryOut(t, events, err)
	}
	settle(t, a, b)
	agree(t, a, b)
	if a.fate != EarlyDataDelivered || b.fate != EarlyDataUnknown || len(a.early) != 0 || len(b.early) != 1 {
		t.Errorf("fates are %v and %v; delivered are %q and %q", a.fate, b.fate, a.early, b.early)
	}
}

func TestEarlyDataIsSavedBeforeItIsDelivered(t *testing.T) {
	a, b := resumeEarly(t, []byte("early"))
	b.store.fail = func(int) (error, bool) { return errStore, true } // saved, and the end dies
	b.deliver(t)
	b.deliver(t)
	if len(b.early) != 0 || b.err == nil {
		t.Fatal("early data is delivered though the save failed")
	}
	b.store.fail = nil
	id := a.ID()
	cut(a, b)
	a, b = resumeWith(t, a.host, b.host, id, []byte("early"))
	settle(t, a, b)
	agree(t, a, b)
	if len(b.early) != 0 {
		t.Error("early data is delivered after a crash that may have come behind its delivery")
	}
}

func TestSecondEarlyDataIsAnError(t *testing.T) {
	_, b := resumeEarly(t, []byte("early"))
	early := b.in[0].Message
	b.deliver(t)
	if _, err := b.Receive(ctx, early); !errors.Is(err, ErrUnexpectedMessage) {
		t.Errorf("error is %v", err)
	}
	_, b = resumeEarly(t, []byte("early"))
	b.deliver(t)
	_, hello := inState(t, StateAwaitingHello, MessageClientHello)
	if _, err := b.Receive(ctx, Message{Type: MessageClientHello, Body: hello}); !errors.Is(err, ErrUnexpectedMessage) {
		t.Errorf("a hello behind it: %v", err)
	}
}

// The request had been acknowledged, and its sender has not seen that: the early data
// of its next attempt goes with a request that is not answered.
func TestEarlyDataWithARequestThatIsAcknowledgedAlready(t *testing.T) {
	a, b := acceptingEarlyData(t)
	a.update(t, ReasonRequested)
	b.deliver(t)
	id := a.ID()
	cut(a, b)
	a, b = resumeWith(t, a.host, b.host, id, []byte("early"))
	settle(t, a, b)
	agree(t, a, b)
	if a.fate != EarlyDataRejected || !a.Resumed() || len(b.early) != 0 {
		t.Errorf("fate is %v, resumed: %t, the peer has %q", a.fate, a.Resumed(), b.early)
	}
}

// And it stays rejected if the next request is refused, which says nothing about the first.
func TestEarlyDataThatIsRejectedIsSoWhateverBecomesOfTheNextRequest(t *testing.T) {
	a, b := acceptingEarlyData(t)
	a.update(t, ReasonRequested)
	b.deliver(t)
	id := a.ID()
	cut(a, b)
	a, b = resumeWith(t, a.host, b.host, id, []byte("early"))
	b.deliver(t) // EarlyData
	b.deliver(t) // ResumptionRequest
	if m := a.in[0].Message; m.Type != MessageResumptionAcknowledged {
		t.Fatalf("the answer is a %v", m.Type)
	}
	if err := b.store.Delete(ctx, id); err != nil {
		t.Fatal(err)
	}
	settle(t, a, b)
	agree(t, a, b)
	if a.fate != EarlyDataRejected || a.Resumed() || len(b.early) != 0 {
		t.Errorf("fate is %v, resumed: %t, the peer has %q", a.fate, a.Resumed(), b.early)
	}
}
