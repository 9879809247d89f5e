package channel

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

const pure = ciphersuite.MLS_128_MLKEM768_AES256GCM_SHA384_Ed25519

// paired returns two ends after a full handshake of two groups.
func paired(t tb, edit ...func(a, b *Config)) (a, b *peer) {
	t.Helper()
	a, b = shake(t, func(x, y *Config) {
		x.APQ, y.APQ = &APQ{}, &APQ{}
		for _, e := range edit {
			e(x, y)
		}
	})
	agree(t, a, b)
	return a, b
}

func (p *peer) updateFull(t tb) {
	t.Helper()
	events, err := p.Session.UpdateFull(ctx, ReasonRequested)
	p.carryOut(t, events, err)
}

// sent returns the body of the message of a type that is on the way to p.
func (p *peer) next(t tb, want MessageType) []byte {
	t.Helper()
	if len(p.in) == 0 || p.in[0].Type != want {
		t.Fatalf("%s: no %v is on the way", p.name, want)
	}
	return p.in[0].Body
}

func pqEpochs(a, b *peer) [2]uint64 {
	return [2]uint64{a.pair.PQ().Epoch(), b.pair.PQ().Epoch()}
}

func TestASessionOfTwoGroups(t *testing.T) {
	a, b := paired(t)
	for _, p := range []*peer{a, b} {
		if n := p.Negotiated(); n.PQSuite != pure || p.Suite().ID() != suite {
			t.Errorf("%s: suites %v and %v", p.name, p.Suite(), n.PQSuite)
		}
	}
	if pqEpochs(a, b) != [2]uint64{1, 1} {
		t.Errorf("epochs %v", pqEpochs(a, b))
	}
	// The initiator has joined: its first update is a full one.
	a.update(t, ReasonAge)
	settle(t, a, b)
	agree(t, a, b)
	if pqEpochs(a, b) != [2]uint64{2, 2} || !a.updated[0].Full || !b.updated[0].Full {
		t.Errorf("epochs %v, updates %+v, %+v", pqEpochs(a, b), a.updated, b.updated)
	}
	for range 3 {
		canUpdate(t, a, b)
	}
	if pqEpochs(a, b) != [2]uint64{2, 2} || a.updated[2].Full {
		t.Errorf("epochs %v", pqEpochs(a, b))
	}
	b.updateFull(t)
	settle(t, a, b)
	agree(t, a, b)
	a.update(t, ReasonFullAge)
	settle(t, a, b)
	agree(t, a, b)
	if pqEpochs(a, b) != [2]uint64{4, 4} {
		t.Errorf("epochs %v", pqEpochs(a, b))
	}
	for range 2 {
		a, b = resume(t, a, b)
		agree(t, a, b)
		if pqEpochs(a, b) != [2]uint64{4, 4} || a.Negotiated().PQSuite != pure {
			t.Errorf("after a resumption: epochs %v", pqEpochs(a, b))
		}
		canUpdate(t, a, b)
	}
}

// An EpochKeyUpdate for a full update names both epochs, and no other does.
func TestEpochKeyUpdateNamesBothEpochs(t *testing.T) {
	a, b := paired(t)
	content := func(full bool) []byte {
		t.Helper()
		if full {
			b.updateFull(t)
		} else {
			b.update(t, ReasonAge)
		}
		a.deliver(t)
		reader := b.clone(t)
		received, err := reader.pending.group.Process(b.next(t, MessageEpochKeyUpdate))
		if err != nil {
			t.Fatal(err)
		}
		settle(t, a, b)
		agree(t, a, b)
		return received.(*mls.ReceivedApplication).Data
	}
	if got, want := content(false), epochBody(2); !bytes.Equal(got, want) {
		t.Errorf("partial: %x, want %x", got, want)
	}
	if got, want := content(true), append(epochBody(3), epochBody(2)...); !bytes.Equal(got, want) {
		t.Errorf("full: %x, want %x", got, want)
	}
	// One that names another epoch of the post-quantum group is refused.
	b.updateFull(t)
	a.deliver(t)
	acknowledge := purposeEpochKeyUpdate.authenticatedData()
	for _, wrong := range [][]byte{epochBody(4), append(epochBody(4), epochBody(4)...), append(epochBody(4), append(epochBody(3), 0)...)} {
		body := must(a.clone(t).group.Protect(wrong, acknowledge))
		if _, err := b.clone(t).Session.receive(ctx, Message{Type: MessageEpochKeyUpdate, Body: body, Protected: true}); AlertOf(err) != AlertIllegalParameter {
			t.Errorf("%x: %v", wrong, err)
		}
	}
}

// Ends that differ about two groups meet as their configurations allow, or say why
// they do not.
func TestTwoGroupsAreNegotiated(t *testing.T) {
	other := APQSuites{chaCha, pure}
	standard := APQSuites{suite, pure}
	for _, test := range []struct {
		name  string
		a, b  *APQ
		pq    ciphersuite.ID
		alert Alert // of either end
	}{
		{"both", &APQ{}, &APQ{}, pure, 0},
		{"both, required", &APQ{Required: true}, &APQ{Required: true}, pure, 0},
		{"only the initiator", &APQ{}, nil, 0, 0},
		{"only the responder", nil, &APQ{}, 0, 0},
		{"only the initiator, required", &APQ{Required: true}, nil, 0, AlertInsufficientSecurity},
		{"only the responder, required", nil, &APQ{Required: true}, 0, AlertInsufficientSecurity},
		{"another pair", &APQ{Suites: []APQSuites{other, standard}}, &APQ{Suites: []APQSuites{standard}}, pure, 0},
		{"no pair in common", &APQ{Suites: []APQSuites{other}}, &APQ{Suites: []APQSuites{standard}}, 0, 0},
		{"no pair in common, required", &APQ{Suites: []APQSuites{other}, Required: true}, &APQ{Suites: []APQSuites{standard}}, 0, AlertInsufficientSecurity},
		{"no pair in common, required by the responder", &APQ{Suites: []APQSuites{other}}, &APQ{Suites: []APQSuites{standard}, Required: true}, 0, AlertHandshakeFailure},
	} {
		a, b := shake(t, func(x, y *Config) { x.APQ, y.APQ = test.a, test.b })
		if test.alert != 0 {
			err := errors.Join(a.err, b.err)
			if AlertOf(err) != test.alert || !errors.Is(err, ErrNoCommonSuite) || a.complete+b.complete != 0 {
				t.Errorf("%s: %v and %v, want alert %v", test.name, a.err, b.err, test.alert)
			}
			continue
		}
		agree(t, a, b)
		if a.Negotiated().PQSuite != test.pq || b.Negotiated().PQSuite != test.pq || (a.pair != nil) != (test.pq != 0) {
			t.Errorf("%s: post-quantum suite %v", test.name, a.Negotiated().PQSuite)
		}
		canUpdate(t, a, b)
		a, b = resume(t, a, b)
		agree(t, a, b)
	}
}

// retryOf encodes a HelloRetry to a hello that asks for two groups.
func retryOf(ids []ciphersuite.ID, pairs ...APQSuites) []byte {
	var w wire.Writer
	w.Bytes(suites(ids...))
	w.Vector(func() { writePairs(&w, pairs) })
	return w.Data()
}

// Nobody leads two ends that make two groups to one, or to worse suites.
func TestTwoGroupsAreNotDowngraded(t *testing.T) {
	both := func() (a, b *peer) {
		ha, hb := newHost(t, "alice"), newHost(t, "bob")
		ha.cfg.APQ, hb.cfg.APQ = &APQ{}, &APQ{}
		return initiate(t, ha, hb)
	}
	for name, retry := range map[string][]byte{
		"to one group":    retryOf([]ciphersuite.ID{suite}),
		"to another pair": retryOf(nil, APQSuites{chaCha, pure}),
	} {
		a, b := both()
		a.start(t)
		b.in = nil
		a.in = append(a.in, packet{Message: Message{Type: MessageHelloRetry, Body: retry}})
		settle(t, a, b)
		if !errors.Is(b.err, ErrDowngrade) || AlertOf(b.err) != AlertIllegalParameter {
			t.Errorf("%s: %v", name, b.err)
		}
	}
	// An initiator that could do better and does not say so.
	a, b := both()
	a.carryOut(t, must(a.sendClientHelloOf(suite)), nil)
	b.deliver(t)
	if !errors.Is(b.err, ErrDowngrade) || AlertOf(b.err) != AlertInsufficientSecurity {
		t.Errorf("one group: %v", b.err)
	}
	a, b = both()
	a.carryOut(t, must(a.sendPairedHello(APQSuites{chaCha, pure})), nil)
	b.deliver(t)
	if !errors.Is(b.err, ErrDowngrade) || AlertOf(b.err) != AlertInsufficientSecurity {
		t.Errorf("the second pair: %v", b.err)
	}
	// The initiator takes no HelloRetry that makes no sense.
	for name, body := range map[string][]byte{
		"that was offered": retryOf(nil, APQSuites{suite, pure}), "of one list": suites(suite),
		"cut": retryOf(nil, APQSuites{chaCha, pure})[:5], "with more behind it": append(retryOf([]ciphersuite.ID{suite}), 0),
	} {
		a, _ := both()
		a.start(t)
		if _, err := a.Receive(ctx, Message{Type: MessageHelloRetry, Body: body}); err == nil || AlertOf(err) == AlertInternalError {
			t.Errorf("a HelloRetry %s: %v", name, err)
		}
	}
}

// halves takes a pair of messages apart.
func halves(t tb, pair []byte) (first, second []byte) {
	t.Helper()
	u, err := mls.ParseAPQKeyPackage(pair)
	if err != nil {
		t.Fatal(err)
	}
	return u.T.Message(), u.PQ.Message()
}

// pairOf puts two messages together.
func pairOf(first, second []byte) []byte {
	return append(append([]byte{0, 1, 0, 7}, first[2:4]...), append(bytes.Clone(first), second...)...)
}

// The two key packages of a hello belong together: neither goes with another.
func TestTheKeyPackagesOfAHelloAreBound(t *testing.T) {
	hello := func(h *host) []byte {
		s := must(NewInitiator(&h.cfg))
		return must(s.Start(ctx))[0].(Send).Message.Body
	}
	ha, hc := newHost(t, "alice"), newHost(t, "carol")
	ha.cfg.APQ, hc.cfg.APQ = &APQ{}, &APQ{}
	t1, pq1 := halves(t, hello(ha))
	t2, pq2 := halves(t, hello(ha))
	t3, pq3 := halves(t, hello(hc))
	hb := newHost(t, "bob")
	hb.cfg.APQ = &APQ{}
	for name, body := range map[string][]byte{
		"another hello's second":    pairOf(t1, pq2),
		"another hello's first":     pairOf(t2, pq1),
		"somebody else's second":    pairOf(t1, pq3),
		"somebody else's first":     pairOf(t3, pq1),
		"one twice":                 pairOf(t1, t1),
		"in the other's place":      pairOf(pq1, t1),
		"a key package and nothing": pairOf(t1, nil),
	} {
		b := listen(t, hb)
		_, err := b.Receive(ctx, Message{Type: MessageClientHello, Body: body})
		if name == "one twice" || name == "in the other's place" {
			// These are of suites that do not go together: there is no such session.
			if b.State() != StateAwaitingHello || err != nil {
				t.Errorf("%s: %v, %v", name, b.State(), err)
			}
			continue
		}
		if err == nil || AlertOf(err) == AlertInternalError {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := listen(t, hb).Receive(ctx, Message{Type: MessageClientHello, Body: pairOf(t1, pq1)}); err != nil {
		t.Errorf("as it was: %v", err)
	}
}

// Octets of messages with two halves are changed. Either the receiver finds fault
// with it, or it passes something on that the sender finds fault with.
func TestOctetsOfPairsFlipped(t *testing.T) {
	begin := map[MessageType]func() *peer{
		MessageClientHello: func() *peer {
			ha, hb := newHost(t, "alice"), newHost(t, "bob")
			ha.cfg.APQ, hb.cfg.APQ = &APQ{Required: true}, &APQ{Required: true}
			a, b := initiate(t, ha, hb)
			a.start(t)
			return b
		},
		MessageServerHello: func() *peer {
			ha, hb := newHost(t, "alice"), newHost(t, "bob")
			ha.cfg.APQ, hb.cfg.APQ = &APQ{Required: true}, &APQ{Required: true}
			a, b := initiate(t, ha, hb)
			a.start(t)
			b.deliver(t)
			return a
		},
		MessageConnectionUpdate: func() *peer {
			a, b := paired(t)
			b.updateFull(t)
			return a
		},
	}
	for kind, start := range begin {
		p := start()
		body := p.next(t, kind)
		for i := 0; i < len(body); i += 11 {
			if kind != MessageConnectionUpdate {
				p = start() // what was used up does not come back
				body = p.next(t, kind)
			}
			q := p
			if kind == MessageConnectionUpdate {
				q = p.clone(t)
			}
			flipped := bytes.Clone(body)
			flipped[min(i, len(body)-1)] ^= 1 << (i % 8)
			_, err := q.Session.receive(ctx, Message{Type: kind, Body: flipped, Protected: kind.Protected()})
			if kind == MessageClientHello && err == nil {
				// A hello of other suites gets a HelloRetry, and the second one is told from the first.
				p.Session.state = StateAwaitingHello
				if p.retry == nil {
					t.Errorf("%v, octet %d: taken", kind, i)
				}
			} else if err == nil {
				t.Errorf("%v, octet %d: taken", kind, i)
			}
		}
	}
}

// A full commit that is not what it should be is refused, and the session is as it
// was.
func TestFullCommitsOfTheWrongKindAreRefused(t *testing.T) {
	a, b := paired(t)
	update, resume := purposeConnectionUpdate.authenticatedData(), purposeResumptionRequest.authenticatedData()
	_, signer, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	stranger := mls.Identity{Credential: mls.BasicCredential([]byte("bob")), Signer: signer}
	commit := func(edit func(*mls.APQCommitOptions)) []byte {
		t.Helper()
		o := mls.APQCommitOptions{Full: true, T: mls.CommitOptions{AuthenticatedData: update}, PQ: mls.CommitOptions{AuthenticatedData: update}}
		edit(&o)
		return must(b.pair.Commit(o)).Message()
	}
	psk := mls.PreSharedKey{PSK: mls.PreSharedKeyID{Type: mls.PSKExternal, ID: []byte("id"), Nonce: make([]byte, 48)}}
	known := func(id []byte) ([]byte, error) { return make([]byte, 32), nil }
	a.Session.psk, b.Session.psk = known, known
	for name, body := range map[string][]byte{
		"for two purposes":                         commit(func(o *mls.APQCommitOptions) { o.PQ.AuthenticatedData = resume }),
		"for another purpose":                      commit(func(o *mls.APQCommitOptions) { o.T.AuthenticatedData, o.PQ.AuthenticatedData = resume, resume }),
		"without a purpose":                        commit(func(o *mls.APQCommitOptions) { o.PQ.AuthenticatedData = noPurpose }),
		"without a path":                           commit(func(o *mls.APQCommitOptions) { o.PQ.OmitPath = true }),
		"without a path in the first":              commit(func(o *mls.APQCommitOptions) { o.T.OmitPath = true }),
		"with a key in the second":                 commit(func(o *mls.APQCommitOptions) { o.PQ.Proposals = []mls.Proposal{&psk} }),
		"with another signature key in the second": commit(func(o *mls.APQCommitOptions) { o.PQ.Leaf.Identity = &stranger }),
		"in public":                                commit(func(o *mls.APQCommitOptions) { o.T.WireFormat = mls.WireFormatPublicMessage }),
		"that removes the receiver":                commit(func(o *mls.APQCommitOptions) { o.Remove = []mls.LeafIndex{a.group.OwnLeaf()} }),
	} {
		c := a.clone(t)
		c.Session.psk = known
		events, err := c.Session.receive(ctx, Message{Type: MessageConnectionUpdate, Body: body, Protected: true})
		if alert := AlertOf(err); err == nil || len(events) > 0 || alert == AlertInternalError || alert == AlertUserCanceled {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := a.clone(t).Session.receive(ctx, Message{Type: MessageConnectionUpdate, Body: commit(func(*mls.APQCommitOptions) {}), Protected: true}); err != nil {
		t.Errorf("as it should be: %v", err)
	}
	// In a resumption there may be a commit of any of these purposes, but of one.
	mixed := commit(func(o *mls.APQCommitOptions) { o.PQ.AuthenticatedData = resume })
	if _, err := applyResumption(a.clone(t).Session.groups(), mixed); AlertOf(err) != AlertIllegalParameter {
		t.Errorf("for two purposes, in a resumption: %v", err)
	}
	if _, err := applyResumption(a.clone(t).Session.groups(), commit(func(*mls.APQCommitOptions) {})); err != nil {
		t.Errorf("as it should be, in a resumption: %v", err)
	}
}

// In the setting of harvesting: who has all of the traditional group, as if a
// quantum computer had broken it, follows partial updates and no full one.
func TestFullUpdatesLockOutWhoKnowsTheTraditionalGroup(t *testing.T) {
	a, b := paired(t)
	state := must(a.group.Marshal())
	signer := a.host.cfg.Identity.Signer
	cfg := a.Session.mls
	thief := must(mls.RestoreGroup(cfg, signer, state))
	b.update(t, ReasonAge)
	received, err := thief.Process(a.next(t, MessageConnectionUpdate))
	if err != nil {
		t.Fatalf("a partial update: %v", err)
	}
	settle(t, a, b)
	thief = received.(*mls.ReceivedCommit).Group()
	if !bytes.Equal(thief.EpochAuthenticator(), a.group.EpochAuthenticator()) {
		t.Fatal("the thief is in another epoch")
	}
	b.updateFull(t)
	pair := a.next(t, MessageConnectionUpdate)
	if _, err := thief.Process(pair[6:]); err == nil || errors.Is(err, mls.ErrWrongEpoch) {
		// The other half is behind it, which is refused as well: cut it off.
		t.Errorf("a full update: %v", err)
	}
	first := pair[6 : len(pair)-secondHalf(t, pair)]
	if _, err := thief.Process(first); !errors.Is(err, mls.ErrUnknownPSK) {
		t.Errorf("the traditional half of a full update: %v, want %v", err, mls.ErrUnknownPSK)
	}
	settle(t, a, b)
	agree(t, a, b)
}

// secondHalf returns how long the second message of a pair of PrivateMessages is.
func secondHalf(t tb, pair []byte) int {
	t.Helper()
	r := wire.NewReader(pair[6:])
	r.Uint32()
	r.Opaque() // group_id
	r.Uint64()
	r.Uint8()
	r.Opaque() // authenticated_data
	r.Opaque() // encrypted_sender_data
	r.Opaque() // ciphertext
	if r.Err() != nil {
		t.Fatal(r.Err())
	}
	return len(r.Rest())
}

// Another identity is shown in both groups.
func TestRotationIsAFullUpdate(t *testing.T) {
	a, b := paired(t)
	for range 2 {
		fresh := newHost(t, "bob").cfg.Identity
		events, err := b.Session.Rotate(ctx, fresh)
		b.carryOut(t, events, err)
		settle(t, a, b)
		agree(t, a, b)
		b.host.cfg.Identity = fresh
		key := fresh.Signer.Public().(ed25519.PublicKey)
		if !bytes.Equal(peerLeaf(a.group).SignatureKey, key) || !bytes.Equal(peerLeaf(a.pair.PQ()).SignatureKey, key) {
			t.Error("a group shows the identity of before")
		}
	}
	a, b = resume(t, a, b)
	canUpdate(t, a, b)
}

// Pre-shared keys go into the group that keys the records.
func TestPreSharedKeysInASessionOfTwoGroups(t *testing.T) {
	known := func(id []byte) ([]byte, error) {
		if string(id) == "id" {
			return []byte("a secret"), nil
		}
		return nil, mls.ErrUnknownPSK
	}
	a, b := paired(t, func(a, b *Config) {
		a.PSK, b.PSK, a.PSKIdentities, b.RequirePSK = known, known, [][]byte{[]byte("id")}, true
	})
	if len(b.Negotiated().PSKs) != 1 {
		t.Errorf("keys %q", b.Negotiated().PSKs)
	}
	events, err := a.Session.InjectPSK(ctx, []byte("id")) // the first update of the initiator: a full one
	a.carryOut(t, events, err)
	settle(t, a, b)
	events, err = b.Session.InjectPSK(ctx, []byte("id"))
	b.carryOut(t, events, err)
	settle(t, a, b)
	agree(t, a, b)
	if pqEpochs(a, b) != [2]uint64{2, 2} {
		t.Errorf("epochs %v", pqEpochs(a, b))
	}
}

// How old the post-quantum keys are outlives connections, and partial updates.
func TestTheAgeOfPostQuantumKeysIsKept(t *testing.T) {
	a, b := paired(t)
	began := b.clock
	if !b.FullSince().Equal(began) || !a.FullSince().Equal(began) {
		t.Errorf("since %v and %v, want %v", a.FullSince(), b.FullSince(), began)
	}
	b.clock = b.clock.Add(time.Hour)
	b.update(t, ReasonAge)
	settle(t, a, b)
	a, b = resume(t, a, b)
	agree(t, a, b)
	if !b.FullSince().Equal(began) {
		t.Errorf("since %v, want %v", b.FullSince(), began)
	}
	b.updateFull(t)
	settle(t, a, b)
	a, b = resume(t, a, b)
	if !b.FullSince().Equal(began.Add(time.Hour)) || !a.FullSince().Equal(began) {
		t.Errorf("since %v and %v", a.FullSince(), b.FullSince())
	}
	c, _ := established(t)
	if !c.FullSince().IsZero() {
		t.Errorf("a session of one group: since %v", c.FullSince())
	}
}

// A full update that is asked for while a partial one is under way follows it.
func TestAFullUpdateIsNotServedByAPartialOne(t *testing.T) {
	a, b := paired(t)
	b.update(t, ReasonAge)
	b.update(t, ReasonFullAge)
	settle(t, a, b)
	agree(t, a, b)
	if pqEpochs(a, b) != [2]uint64{2, 2} || b.Epoch() != 3 {
		t.Errorf("epochs %v in %d", pqEpochs(a, b), b.Epoch())
	}
	// And by a full one it is.
	b.updateFull(t)
	b.update(t, ReasonFullAge)
	settle(t, a, b)
	if pqEpochs(a, b) != [2]uint64{3, 3} || b.Epoch() != 4 {
		t.Errorf("epochs %v in %d", pqEpochs(a, b), b.Epoch())
	}
}

// Sessions of one group are stored as before there were others, and those that were
// stored as if there could be another are resumed.
func TestVersionsOfSessionsAtRest(t *testing.T) {
	a, b := established(t)
	x, _ := paired(t)
	if one, two := a.store.sessions[a.ID()].Data[0], x.store.sessions[x.ID()].Data[0]; one != 2 || two != 3 {
		t.Errorf("versions %d and %d, want 2 and 3", one, two)
	}
	for _, p := range []*peer{a, b} {
		stored := p.store.sessions[p.ID()]
		const at = 1 + 1 + 1 + 8 // version, role, prevails, created
		stored.Data = slices.Insert(stored.Data, at, 0)
		stored.Data[0] = 3
	}
	a, b = resume(t, a, b)
	agree(t, a, b)
	canUpdate(t, a, b)
	for _, version := range []byte{1, 4} {
		stored := a.store.sessions[a.ID()]
		stored.Data[0] = version
		if _, err := Resume(ctx, &a.host.cfg, a.ID()); !errors.Is(err, ErrNoSession) {
			t.Errorf("version %d: %v", version, err)
		}
	}
}

// A stored session of two groups is of no use to an end that makes none any more.
func TestAStoredSessionOfTwoGroupsTakesTheConfiguration(t *testing.T) {
	a, b := paired(t)
	id := a.ID()
	cut(a, b)
	for name, apq := range map[string]*APQ{"none": nil, "another pair": {Suites: []APQSuites{{chaCha, pure}}}} {
		cfg := a.host.cfg
		cfg.APQ = apq
		if _, err := Resume(ctx, &cfg, id); !errors.Is(err, ErrNoSession) {
			t.Errorf("%s: %v", name, err)
		}
	}
	stored := must(a.store.Load(ctx, id))
	g, err := stored.Group(&a.host.cfg)
	if err != nil || g.Suite().ID() != suite {
		t.Errorf("group of %v, %v", g, err)
	}
}

func TestUnusablePairsOfSuites(t *testing.T) {
	h := newHost(t, "alice")
	for name, pairs := range map[string][]APQSuites{
		"none":                  {},
		"hybrid":                {{suite, hybrid}},
		"hybrid first":          {{hybrid, pure}},
		"two classical ones":    {{suite, chaCha}},
		"another signature key": {{suite, ciphersuite.MLS_128_MLKEM768_AES256GCM_SHA384_P256}},
		"unknown":               {{suite, 0xFFFF}},
		"too many":              make([]APQSuites, maxNames+1),
	} {
		cfg := h.cfg
		cfg.APQ = &APQ{Suites: pairs}
		if _, err := NewInitiator(&cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// A full update that is dropped for the peer's is made again as a full one.
func TestAFullUpdateThatCrossesIsMadeAgain(t *testing.T) {
	a, b := paired(t)
	b.update(t, ReasonAge)
	settle(t, a, b)
	b.updateFull(t)
	a.update(t, ReasonAge) // a leads, so this one stands; it is full, too, as a has joined
	settle(t, a, b)
	agree(t, a, b)
	if last := b.updated[len(b.updated)-1]; !last.Own || !last.Full || pqEpochs(a, b) != [2]uint64{3, 3} {
		t.Errorf("update %+v, epochs %v", last, pqEpochs(a, b))
	}
}
