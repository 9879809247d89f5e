package channel

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

func TestReplayedClientHelloNeverCompletes(t *testing.T) {
	ha, hb := newHost(t, "alice"), newHost(t, "bob")
	a, b := initiate(t, ha, hb)
	a.start(t)
	hello := b.in[0]
	settle(t, a, b)
	agree(t, a, b)

	replay := listen(t, hb)
	replay.in = []packet{hello}
	replay.deliver(t)
	if replay.State() != StateAwaitingHandshakeDone || replay.complete != 0 || hb.store.Len() != 1 {
		t.Errorf("after a replay: %v, complete: %d, %d sessions stored", replay.State(), replay.complete, hb.store.Len())
	}
	// Nor does the initiator take a second answer.
	if _, err := a.Receive(ctx, Message{Type: MessageServerHello}); !errors.Is(err, ErrUnexpectedMessage) {
		t.Errorf("second ServerHello: %v", err)
	}
}

func TestForgedRequestLeavesStoredSessionUsable(t *testing.T) {
	a, b := established(t)
	id := a.ID()
	cut(a, b)
	a = resumer(t, a.host, id)
	a.start(t)
	genuine := a.pending.commit
	header := must(mls.ParseAPQHeader(genuine))
	before := must(b.stored())

	cutShort := genuine[:len(genuine)-1]
	damaged := bytes.Clone(genuine)
	damaged[len(damaged)-1] ^= 1
	nextEpoch := bytes.Clone(genuine)
	nextEpoch[4+1+32+7]++
	for _, test := range []struct {
		name    string
		body    []byte
		refused bool
	}{
		{"nothing", nil, false},
		{"garbage", []byte("garbage in, garbage out"), false},
		{"a request cut short", cutShort, false},
		{"a damaged request", damaged, false},
		{"a request for another epoch", nextEpoch, true},
		{"a request for no session", append(append([]byte{0, 1, 0, 2, 32}, make([]byte, 32+8)...), 3), true},
		{"a request for a short ID", append(append([]byte{0, 1, 0, 2, 2}, make([]byte, 2+8)...), 3), true},
	} {
		p := listen(t, b.host)
		events, err := p.Receive(ctx, Message{Type: MessageResumptionRequest, Body: test.body})
		if refused := err == nil && events[0].(Send).Message.Type == MessageResumptionRefused; refused != test.refused {
			t.Errorf("%s: refused: %t (%v), want %t", test.name, refused, err, test.refused)
		}
		if refused := err == nil; refused {
			if p.State() != StateAwaitingClientHello || p.ID() != (SessionID{}) || p.Resumed() {
				t.Errorf("%s leaves a session in %v, ID %v", test.name, p.State(), p.ID())
			}
		} else if AlertOf(err) == AlertInternalError {
			t.Errorf("%s: %v", test.name, err)
		}
		p.Close()
		if !bytes.Equal(before, must(b.stored())) {
			t.Errorf("%s changes the stored session", test.name)
		}
	}
	if !bytes.Equal(header.GroupID, id[:]) {
		t.Error("a request does not bear the session's ID")
	}
	b = listen(t, b.host)
	connect(a, b)
	b.in = []packet{{Message: Message{Type: MessageResumptionRequest, Body: genuine}}}
	settle(t, a, b)
	agree(t, a, b)
}

// What is in a request's clear part can be copied. It must not take a session
// over from a live connection on which an update is under way.
func TestForgedRequestDoesNotSupersedeLiveConnection(t *testing.T) {
	a, b := established(t)
	a.update(t, ReasonAge)
	forged := append([]byte{0, 1, 0, 2, 32}, a.id[:]...)
	forged = append(forged, epochBody(1)...)
	forged = append(forged, 3, 5, 4, 0xF0, 0x20, 1, 2, 1, 0, 1, 0)
	p := listen(t, a.host)
	if _, err := p.Receive(ctx, Message{Type: MessageResumptionRequest, Body: forged}); err == nil {
		t.Error("a forged request is answered")
	}
	settle(t, a, b)
	agree(t, a, b)
}

// A request that was recorded does not make its receiver give up anything, even
// if it is the very one that was applied last.
func TestReplayedRequestIsAnsweredWithTheSameResponse(t *testing.T) {
	a, b := established(t)
	id := a.ID()
	cut(a, b)
	a, b = resumer(t, a.host, id), listen(t, b.host)
	connect(a, b)
	a.start(t)
	request := b.in[0]
	b.deliver(t)
	response := a.in[0]
	before := must(b.stored())

	replay := listen(t, b.host)
	events := must(replay.Receive(ctx, request.Message))
	if got := events[0].(Send).Message; got.Type != MessageResumptionResponse || !bytes.Equal(got.Body, response.Body) {
		t.Error("a replayed request gets another response")
	}
	if !bytes.Equal(before, must(b.stored())) {
		t.Error("a replayed request changes the stored session")
	}
	settle(t, a, b)
	agree(t, a, b)

	// After the resumption it is but an old request.
	replay = listen(t, b.host)
	events = must(replay.Receive(ctx, request.Message))
	if got := events[0].(Send).Message; got.Type != MessageResumptionRefused || !bytes.Equal(got.Body, []byte{byte(RefusedOutdated)}) {
		t.Errorf("an old request gets a %v", got.Type)
	}
	canUpdate(t, a, b)
}

// A request whose commit is applied and acknowledged is answered by the
// acknowledgement, and the end that missed it goes on from there.
func TestRequestThatIsAcknowledgedAlreadyLeadsToAFreshOne(t *testing.T) {
	for _, updating := range []int{0, 1} {
		a, b := established(t)
		p := []*peer{a, b}[updating]
		p.update(t, ReasonRequested)
		p.other.deliver(t)
		id := a.ID()
		cut(a, b)
		p, q := resumer(t, p.host, id), listen(t, p.other.host)
		connect(p, q)
		p.start(t)
		before := must(q.stored())
		q.deliver(t)
		if m := p.in[0].Message; m.Type != MessageResumptionAcknowledged || q.State() != StateAwaitingHello {
			t.Fatalf("the answer is a %v, the state %v", m.Type, q.State())
		}
		if !bytes.Equal(before, must(q.stored())) {
			t.Error("the stored session has changed")
		}
		acknowledgement := p.in[0].Message
		settle(t, p, q)
		agree(t, p, q)
		if p.Epoch() != 4 || !p.Resumed() || !q.Resumed() {
			t.Errorf("epoch %d, resumed: %t and %t", p.Epoch(), p.Resumed(), q.Resumed())
		}
		canUpdate(t, p, q)
		cut(p, q)

		// It comes once on a connection, and is worth nothing afterwards.
		p, q = resumer(t, p.host, id), listen(t, q.host)
		connect(p, q)
		p.start(t)
		if _, err := p.Receive(ctx, acknowledgement); err == nil {
			t.Error("an acknowledgement of another epoch is taken")
		}
	}
}

// The old connection saves what came over it last while the new one is about to answer.
func TestOldConnectionThatSavesMeanwhileDoesNotRefuseTheNewOne(t *testing.T) {
	for _, test := range []struct{ saves, want int }{{1, 1}, {answerAttempts - 1, 1}, {answerAttempts, 0}} {
		a, b := acceptingEarlyData(t)
		id := a.ID()
		cut(a, b)
		a, b = resumeWith(t, a.host, b.host, id, []byte("early"))
		saves := 0
		b.store.fail = func(int) (error, bool) {
			if saves++; saves <= test.saves {
				stored := must(b.store.Load(ctx, id))
				must(b.store.MemoryStore.Save(ctx, stored))
			}
			return nil, false
		}
		settle(t, a, b)
		if test.want == 0 {
			if !errors.Is(b.err, ErrSuperseded) {
				t.Errorf("after %d saves: %v", test.saves, b.err)
			}
			continue
		}
		agree(t, a, b)
		if !b.Resumed() || len(b.early) != 1 || a.fate != EarlyDataDelivered {
			t.Errorf("after %d saves: resumed: %t, early data %q", test.saves, b.Resumed(), b.early)
		}
		canUpdate(t, a, b)
	}
}

// Whatever of a session's messages an observer repeats on connections of its own,
// the connection that is alive goes on.
func TestReplaysDoNotTakeASessionOver(t *testing.T) {
	for _, way := range ways {
		a, b := established(t)
		id := a.ID()
		cut(a, b)
		switch way {
		case "initiator resumes":
			a, b = resumer(t, a.host, id), listen(t, b.host)
		case "responder resumes":
			a, b = listen(t, a.host), resumer(t, b.host, id)
		case "both resume":
			a, b = resumer(t, a.host, id), resumer(t, b.host, id)
		}
		connect(a, b)
		a.start(t)
		b.start(t)
		var seen []Message
		for len(a.in)+len(b.in) > 0 {
			for _, p := range []*peer{a, b} {
				if len(p.in) > 0 {
					seen = append(seen, p.in[0].Message)
					p.deliver(t)
				}
			}
		}
		agree(t, a, b)
		requests := 0
		for _, m := range seen {
			if m.Type != MessageResumptionRequest && m.Type != MessageResumptionResponse {
				continue
			}
			requests++
			for _, h := range []*host{a.host, b.host} {
				observer := listen(t, h)
				events, err := observer.Receive(ctx, Message{Type: MessageResumptionRequest, Body: m.Body})
				if err == nil && len(events) > 0 && events[0].(Send).Message.Type == MessageResumptionResponse {
					t.Errorf("%s: %s answers a replayed %v", way, h.name, m.Type)
				}
			}
		}
		if requests < 2 {
			t.Fatalf("only %d messages were replayed", requests)
		}
		agree(t, a, b)
		canUpdate(t, a, b)
	}
}

func TestNewerConnectionSupersedesOlder(t *testing.T) {
	for _, way := range ways {
		a, b := established(t)
		a2, b2 := recoverFrom(t, way, a.host, b.host)
		for _, p := range []*peer{a, b} {
			before := must(p.stored())
			_, err := p.Session.Update(ctx, ReasonAge)
			if !errors.Is(err, ErrSuperseded) || AlertOf(err) != AlertUserCanceled || p.State() != StateClosed {
				t.Errorf("%s: %s: an update of the older connection: %v", way, p.name, err)
			}
			if !bytes.Equal(before, must(p.stored())) {
				t.Errorf("%s: %s: the older connection has touched the stored session", way, p.name)
			}
		}
		canUpdate(t, a2, b2)
	}
}

// The older connection must not delete the session either, whatever comes in on it.
func TestSupersededConnectionDoesNotDeleteSession(t *testing.T) {
	for _, end := range []string{"abort", "garbage"} {
		a, b := established(t)
		a2, b2 := recoverFrom(t, "initiator resumes", a.host, b.host)
		if end == "abort" {
			if err := a.Abort(ctx); err != nil {
				t.Error(err)
			}
		} else if _, err := a.Receive(ctx, Message{Type: MessageConnectionUpdate, Body: []byte("garbage"), Protected: true}); err == nil {
			t.Error("garbage is accepted")
		}
		if a.store.Len() != 1 {
			t.Errorf("%s on the older connection deletes the session", end)
		}
		canUpdate(t, a2, b2)
	}
}

// An old connection on which an update is under way loses against the new one
// although nothing in the stored session has to change for that.
func TestResumingTakesOverFromUpdateUnderWay(t *testing.T) {
	a, b := established(t)
	a.update(t, ReasonAge)
	b.deliver(t) // the acknowledgement is on the way
	a2 := resumer(t, a.host, a.ID())
	a2.start(t)
	a.deliver(t)
	if !errors.Is(a.err, ErrSuperseded) {
		t.Errorf("the older connection goes on: %v", a.err)
	}
	b2 := listen(t, b.host)
	b2.in = []packet{{Message: Message{Type: MessageResumptionRequest, Body: a2.pending.commit}}}
	connect(a2, b2)
	settle(t, a2, b2)
	agree(t, a2, b2)
}

func TestAbortDeletesSession(t *testing.T) {
	a, b := established(t)
	id := a.ID()
	if err := a.Abort(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := Resume(ctx, &a.host.cfg, id); !errors.Is(err, ErrNoSession) || a.store.Len() != 0 {
		t.Errorf("after Abort: %v, %d sessions", err, a.store.Len())
	}
	b.Close()
	if b.store.Len() != 1 {
		t.Error("Close deletes the session")
	}
}

func TestRefusedResumptionGoesOnToFullHandshake(t *testing.T) {
	for _, initiator := range []bool{true, false} {
		a, b := established(t)
		old := a.ID()
		cut(a, b)
		if !initiator {
			a, b = b, a // the responder resumes and becomes the initiator
		}
		if err := b.store.Delete(ctx, old); err != nil {
			t.Fatal(err)
		}
		a, b = resumer(t, a.host, old), listen(t, b.host)
		connect(a, b)
		a.start(t)
		b.deliver(t)
		a.deliver(t)
		if _, err := a.store.Load(ctx, old); err != nil {
			t.Errorf("the old session is deleted before the new one is there: %v", err)
		}
		settle(t, a, b)
		agree(t, a, b)
		if a.Resumed() || a.ID() == old || a.Role() != RoleInitiator {
			t.Errorf("resumed: %t, role %v", a.Resumed(), a.Role())
		}
		if ids := a.sessions(); len(ids) != 1 || ids[0] != a.ID() {
			t.Errorf("stored sessions are %v", ids)
		}
		canUpdate(t, a, b)
	}
}

func TestRefusedResumptionEndsWhereOnlyThatIsAllowed(t *testing.T) {
	a, b := established(t)
	id := a.ID()
	cut(a, b)
	a.host.cfg.ResumeOnly = true
	a = resumer(t, a.host, id)
	a.start(t)
	_, err := a.Receive(ctx, Message{Type: MessageResumptionRefused, Body: []byte{byte(RefusedUnknown)}})
	if !errors.Is(err, ErrResumptionRefused) || a.State() != StateClosed {
		t.Errorf("error is %v", err)
	}
	if a.store.Len() != 1 {
		t.Error("a refusal, which anybody can make up, deletes the session")
	}
}

func TestExpiredSessionIsNotResumed(t *testing.T) {
	a, b := established(t)
	id := a.ID()
	cut(a, b)
	a.clock = a.clock.Add(DefaultMaxSessionAge + time.Second)
	if _, err := Resume(ctx, &a.host.cfg, id); !errors.Is(err, ErrSessionExpired) || a.store.Len() != 0 {
		t.Errorf("Resume: %v, %d sessions are left", err, a.store.Len())
	}

	a, b = established(t)
	id = a.ID()
	cut(a, b)
	a.clock = a.clock.Add(DefaultMaxSessionAge)
	b.clock = a.clock.Add(time.Second)
	a, b = resumer(t, a.host, id), listen(t, b.host)
	connect(a, b)
	a.start(t)
	b.deliver(t)
	if refused := a.in[0]; refused.Type != MessageResumptionRefused || refused.Body[0] != byte(RefusedExpired) || b.store.Len() != 0 {
		t.Errorf("the responder answers %v %x and keeps %d sessions", refused.Type, refused.Body, b.store.Len())
	}
	a.clock = b.clock
	settle(t, a, b)
	agree(t, a, b)
}

// The age counts from the full handshake, however often a session is resumed.
func TestResumptionDoesNotRenewAge(t *testing.T) {
	a, b := established(t)
	for range 2 {
		a.clock = a.clock.Add(DefaultMaxSessionAge / 2)
		b.clock = a.clock
		a, b = recoverFrom(t, "initiator resumes", a.host, b.host)
	}
	a.clock = a.clock.Add(time.Second)
	if _, err := Resume(ctx, &a.host.cfg, a.ID()); !errors.Is(err, ErrSessionExpired) {
		t.Errorf("Resume: %v", err)
	}
}

func TestValidatorRunsAtEveryResumption(t *testing.T) {
	errRevoked := errors.New("revoked")
	for _, duplicate := range []string{"", "acknowledged", "answered"} {
		for _, refusing := range []int{0, 1} {
			a, b := established(t)
			id := a.ID()
			switch duplicate { // the request repeats what the responder has applied
			case "acknowledged":
				a.update(t, ReasonAge)
				b.deliver(t)
			case "answered":
				cut(a, b)
				a, b = resumer(t, a.host, id), listen(t, b.host)
				connect(a, b)
				a.start(t)
				b.deliver(t)
			}
			cut(a, b)
			a, b = resumer(t, a.host, id), listen(t, b.host)
			connect(a, b)
			refuser := []*peer{a, b}[refusing]
			refuser.refuses = errRevoked
			a.start(t)
			settle(t, a, b)
			if !errors.Is(refuser.err, ErrPeerRefused) || !errors.Is(refuser.err, errRevoked) || AlertOf(refuser.err) != AlertBadCertificate {
				t.Errorf("%s, duplicate: %q: error is %v, alert %v", refuser.name, duplicate, refuser.err, AlertOf(refuser.err))
			}
			if a.complete+b.complete != 0 {
				t.Error("a resumption is complete with a peer that is refused")
			}
		}
	}
}

// A shunner refuses one credential.
type shunner struct{ shunned mls.Credential }

var errShunned = errors.New("shunned")

func (s shunner) ValidateLeaf(leaf, _ *mls.LeafNode) error {
	if leaf.Credential.Equal(s.shunned) {
		return errShunned
	}
	return nil
}

// An end whose old identity has run out, or was revoked, while there was no connection comes back under another one. A
// commit that is pending has the old one, and is repeated as it is: then that session ends, and keeps nobody away.
func TestAnIdentityThatHasRunOutDoesNotStandInTheWay(t *testing.T) {
	for _, pending := range []string{"nothing", "an update", "a resumption"} {
		for old := range 2 { // who has another identity by now
			a, b := established(t)
			id := a.ID()
			switch pending {
			case "an update":
				[]*peer{a, b}[old].update(t, ReasonAge)
			case "a resumption":
				cut(a, b)
				a, b = resumer(t, a.host, id), listen(t, b.host)
				connect(a, b)
				a.start(t)
				b.deliver(t)
			}
			cut(a, b)
			renewed, other := []*host{a.host, b.host}[old], []*host{b.host, a.host}[old]
			other.cfg.Validator = shunner{renewed.cfg.Identity.Credential}
			renewed.name = "renewed"
			renewed.cfg.PreviousIdentities = []mls.Identity{renewed.cfg.Identity}
			renewed.cfg.Identity = newHost(t, renewed.name).cfg.Identity
			a, b = resumer(t, a.host, id), listen(t, b.host)
			connect(a, b)
			a.start(t)
			settle(t, a, b)
			refused := pending == "a resumption" && renewed == b.host
			if refused { // a learns of it when its own part is done
				if !errors.Is(a.err, ErrPeerRefused) || !errors.Is(a.err, errShunned) || AlertOf(a.err) != AlertBadCertificate || a.store.Len() != 0 {
					t.Errorf("got %v, and %d sessions are kept", a.err, a.store.Len())
				}
				a, b = initiate(t, a.host, b.host)
				a.start(t)
				settle(t, a, b)
			}
			agree(t, a, b)
			begins := refused || pending != "nothing" && renewed == a.host
			if begun := a.ID() != id; begun != begins || a.store.Len() != 1 {
				t.Errorf("%s is pending, end %d has another identity: another session is begun %v, and %d are kept", pending, old, begun, a.store.Len())
			}
		}
	}
	// Who has no other identity is refused all the same.
	a, b := established(t)
	id := a.ID()
	cut(a, b)
	b.host.cfg.Validator = shunner{a.host.cfg.Identity.Credential}
	a, b = resumer(t, a.host, id), listen(t, b.host)
	connect(a, b)
	a.start(t)
	settle(t, a, b)
	if !errors.Is(b.err, ErrPeerRefused) || AlertOf(b.err) != AlertBadCertificate || a.complete+b.complete != 0 || a.store.Len() != 1 {
		t.Errorf("got %v, %d complete, and %d sessions are kept", b.err, a.complete+b.complete, a.store.Len())
	}
}

func TestSessionFitsConfigurationNoMore(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"another key": func(c *Config) { c.Identity = newHost(t, "carol").cfg.Identity },
		"another suite": func(c *Config) {
			c.Suites = []ciphersuite.ID{ciphersuite.MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519}
		},
		"no store":      func(c *Config) { c.Store = nil },
		"another store": func(c *Config) { c.Store = NewMemoryStore(1) },
	} {
		a, b := established(t)
		id := a.ID()
		cut(a, b)
		cfg := a.host.cfg
		change(&cfg)
		if _, err := Resume(ctx, &cfg, id); !errors.Is(err, ErrNoSession) {
			t.Errorf("%s: Resume: %v", name, err)
		}
		p, _ := inState(t, StateAwaitingHello, MessageResumptionRequest)
		cfg = p.host.cfg
		change(&cfg)
		s := must(NewResponder(&cfg))
		events, err := s.Receive(ctx, p.in[0].Message)
		if err != nil || events[0].(Send).Message.Type != MessageResumptionRefused {
			t.Errorf("%s: a request gets %v (%v)", name, events, err)
		}
	}
}

func TestDamagedStateIsNotTaken(t *testing.T) {
	a, b := established(t)
	a.update(t, ReasonAge)
	id := a.ID()
	cut(a, b)
	stored := must(a.store.Load(ctx, id))
	for n := range stored.Data {
		// A prefix never does.
		damaged := must(newSession(&a.host.cfg))
		damaged.id = id
		if err := damaged.unmarshal(stored.Data[:n]); err == nil {
			t.Fatalf("a state of %d octets of %d is taken", n, len(stored.Data))
		}
	}
	for n := range 10 {
		data := bytes.Clone(stored.Data)
		data[n] ^= 0x80
		whole := must(newSession(&a.host.cfg))
		whole.id = id
		if err := whole.unmarshal(data); err == nil && n < 2 {
			t.Errorf("a state with octet %d changed is taken", n)
		}
	}
	other := must(newSession(&a.host.cfg))
	if err := other.unmarshal(stored.Data); err == nil {
		t.Error("the state of another session is taken")
	}
}

func FuzzStoredState(f *testing.F) {
	a, b := established(f)
	f.Add(must(a.marshal()))
	b.update(f, ReasonAge)
	f.Add(must(b.marshal()))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := must(newSession(&a.host.cfg))
		s.entry = a.entry
		if err := s.unmarshal(data); err == nil {
			must(s.marshal())
		}
	})
}
