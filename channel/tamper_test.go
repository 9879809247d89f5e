package channel

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/mendlink/mendlink/mls"
)

// clone returns an end in the same state, as a thief of the memory would have
// it, so that one state can be tried with many messages. It has no connection.
func (p *peer) clone(t tb) *peer {
	t.Helper()
	c := *p
	s := *p.Session
	c.Session, c.other, c.in = &s, nil, nil
	s.kept = false
	o := openingOf(p.Session)
	s.opening = &o
	if s.group == nil {
		return &c
	}
	data := must(p.marshal())
	if o.cfg == nil {
		o.cfg = must(p.host.cfg.withDefaults())
	}
	if err := s.unmarshal(data); err != nil {
		t.Fatal(err)
	}
	if p.opening == nil {
		s.opening = nil
	}
	s.secrets = p.secrets.clone()
	if p.pending != nil {
		s.pending.secrets = p.pending.secrets.clone()
	}
	return &c
}

func (t *trafficSecrets) clone() *trafficSecrets {
	if t == nil {
		return nil
	}
	return &trafficSecrets{t.epoch, bytes.Clone(t.send), bytes.Clone(t.receive), bytes.Clone(t.exporter), bytes.Clone(t.early)}
}

// Every byte of every message is changed, one at a time. Either the receiver
// finds fault with it, or it passes something on that the sender finds fault
// with; the two never go on with different views.
func TestEveryByteFlipped(t *testing.T) {
	messages := []struct {
		name  string
		state State
		m     MessageType
	}{
		{"ClientHello", StateAwaitingHello, MessageClientHello},
		{"HelloRetry", StateAwaitingServerHello, MessageHelloRetry},
		{"ServerHello", StateAwaitingServerHello, MessageServerHello},
		{"ConnectionUpdate", StateSynced, MessageConnectionUpdate},
		{"EpochKeyUpdate", StateUpdating, MessageEpochKeyUpdate},
		{"KeySwitch", StateAcknowledged, MessageKeySwitch},
		{"ResumptionRequest", StateAwaitingHello, MessageResumptionRequest},
		{"ResumptionResponse", StateAwaitingResumptionResponse, MessageResumptionResponse},
		{"EpochKeyUpdate of a resumption", StateAwaitingResumptionAck, MessageEpochKeyUpdate},
	}
	for _, test := range messages {
		t.Run(test.name, func(t *testing.T) {
			p, body := inState(t, test.state, test.m)
			if len(body) == 0 {
				t.Fatal("no message")
			}
			for i := range body {
				flipped := bytes.Clone(body)
				flipped[i] ^= 1 << (i % 8)
				if err := deliverTampered(t, p, Message{Type: test.m, Body: flipped, Protected: test.m.Protected()}); err != nil {
					t.Errorf("octet %d: %v", i, err)
				}
			}
			// The message itself does what it should.
			p.deliver(t)
			settle(t, p, p.other)
			if p.err != nil {
				t.Error(p.err)
			}
		})
	}
}

// deliverTampered delivers a changed message to an end like p, and what comes of
// it to an end like the other. It returns an error unless one of them fails.
func deliverTampered(t *testing.T, p *peer, m Message) error {
	t.Helper()
	q := p.clone(t)
	// A responder that knows the session has it in its store, which a message
	// in the clear must not change.
	before := must(p.stored())
	events, err := q.Session.receive(ctx, m)
	if err != nil {
		if !bytes.Equal(before, must(p.stored())) {
			return fmt.Errorf("the stored session has changed")
		}
		return nil
	}
	for _, e := range events {
		sent, ok := e.(Send)
		if !ok {
			continue
		}
		switch sent.Message.Type {
		case MessageResumptionRefused:
			return nil // the group ID or the epoch was hit
		case MessageServerHello, MessageHelloRetry, MessageClientHello:
			other := p.other.clone(t)
			if _, err := other.Session.receive(ctx, sent.Message); err == nil {
				return fmt.Errorf("the other end takes the %v", sent.Message.Type)
			}
			return nil
		}
	}
	return fmt.Errorf("accepted, with %d events", len(events))
}

// stored returns the first session in the host's store, if there is one.
func (h *host) stored() ([]byte, error) {
	for _, id := range h.sessions() {
		s, err := h.store.Load(ctx, id)
		return s.Data, err
	}
	return nil, nil
}

func TestHandshakeDoneWithBodyIsRefused(t *testing.T) {
	p, _ := inState(t, StateAwaitingHandshakeDone, 0)
	if _, err := p.Receive(ctx, Message{Type: MessageHandshakeDone, Body: []byte{0}, Protected: true}); AlertOf(err) != AlertDecodeError {
		t.Errorf("error is %v", err)
	}
}

// Nothing that is made for one purpose or session serves for another.
func TestMessagesServeOnlyTheirPurpose(t *testing.T) {
	a, b := established(t)
	group := b.group
	commit := func(o mls.CommitOptions) []byte {
		t.Helper()
		c, err := group.Commit(o)
		if err != nil {
			t.Fatal(err)
		}
		return c.Message()
	}
	update := purposeConnectionUpdate.authenticatedData()
	twoItems := must(mls.SafeAAD{{ID: 0xF000, Data: []byte{1}}, {ID: componentTwoParty, Data: []byte{1}}}.Marshal())
	otherHost := newHost(t, "carol")
	other := must(mls.NewKeyPackage(otherHost.cfg.mls(), mls.KeyPackageOptions{
		Suite: suite, Identity: otherHost.cfg.Identity,
		Leaf: must(newSession(&otherHost.cfg)).leafOptions(nil),
	}))
	_, stranger := handshake(t)
	foreign := must(stranger.Session.Update(ctx, ReasonAge))[0].(Send).Message.Body
	for _, test := range []struct {
		name string
		body []byte
	}{
		{"made to resume", commit(mls.CommitOptions{AuthenticatedData: purposeResumptionRequest.authenticatedData()})},
		{"made to acknowledge", commit(mls.CommitOptions{AuthenticatedData: purposeEpochKeyUpdate.authenticatedData()})},
		{"without a purpose", commit(mls.CommitOptions{AuthenticatedData: noPurpose})},
		{"of another component too", commit(mls.CommitOptions{AuthenticatedData: twoItems})},
		{"in a PublicMessage", commit(mls.CommitOptions{AuthenticatedData: update, WireFormat: mls.WireFormatPublicMessage})},
		{"with an Add", commit(mls.CommitOptions{AuthenticatedData: update, Proposals: []mls.Proposal{&mls.Add{KeyPackage: other.KeyPackage()}}})},
		{"with an Add and no path", commit(mls.CommitOptions{AuthenticatedData: update, OmitPath: true, Proposals: []mls.Proposal{&mls.Add{KeyPackage: other.KeyPackage()}}})},
		{"with a Remove", commit(mls.CommitOptions{AuthenticatedData: update, Proposals: []mls.Proposal{&mls.Remove{Removed: a.group.OwnLeaf()}}})},
		{"that drops the components", commit(mls.CommitOptions{AuthenticatedData: update, Proposals: []mls.Proposal{&mls.GroupContextExtensions{}}})},
		{"of another session", foreign},
		{"that is an application message", must(group.Protect(nil, update))},
		{"that is a key package", other.Message()},
		{"that is nothing", nil},
	} {
		events, err := a.clone(t).Session.receive(ctx, Message{Type: MessageConnectionUpdate, Body: test.body, Protected: true})
		if err == nil || len(events) > 0 {
			t.Errorf("an update %s is accepted", test.name)
		} else if alert := AlertOf(err); alert == AlertInternalError || alert == AlertUserCanceled {
			t.Errorf("an update %s is no fault of the peer: %v", test.name, err)
		}
	}
	good := commit(mls.CommitOptions{AuthenticatedData: update})
	if _, err := a.clone(t).Session.receive(ctx, Message{Type: MessageConnectionUpdate, Body: good, Protected: true}); err != nil {
		t.Errorf("a good update: %v", err)
	}

	a.update(t, ReasonAge)
	b.deliver(t)
	epoch := a.Epoch() + 1
	acknowledge := purposeEpochKeyUpdate.authenticatedData()
	for _, test := range []struct {
		name string
		body []byte
	}{
		{"of another epoch number", must(b.group.Protect(epochBody(epoch+1), acknowledge))},
		{"without a number", must(b.group.Protect(nil, acknowledge))},
		{"of another purpose", must(b.group.Protect(epochBody(epoch), update))},
		{"that is a commit", must(b.group.Commit(mls.CommitOptions{AuthenticatedData: acknowledge})).Message()},
		{"that is bare", epochBody(epoch)},
		{"of its own sender", must(a.pending.group.Protect(epochBody(epoch), acknowledge))},
	} {
		if _, err := a.clone(t).Session.receive(ctx, Message{Type: MessageEpochKeyUpdate, Body: test.body, Protected: true}); err == nil {
			t.Errorf("an acknowledgement %s is accepted", test.name)
		}
	}
	settle(t, a, b)
	agree(t, a, b)
}
