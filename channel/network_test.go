package channel

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// suite is what tests use where the suite does not matter: the fastest.
const suite = ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519

var ctx = context.Background()

// withAPQ is for the tests of what sessions go through, rather than of one message:
//
//	go test ./channel -apq -run 'Cut|Resum|Crossing|Replay|Tie|Update|Early|Erase|Order|Supersed|Store|Rotat|Binding|Transport|Interrupt'
var withAPQ = flag.Bool("apq", false, "make sessions of two groups")

// tb is what *testing.T and *rapid.T have in common.
type tb interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// A host is a machine that takes part in sessions: what outlives connections.
type host struct {
	name  string
	cfg   Config
	store *faultyStore
	clock time.Time
	// refuses makes the validator refuse everybody.
	refuses error
	// commits are those that left the host, by session and epoch.
	commits map[string][]byte
}

func newHost(t tb, name string) *host {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	h := &host{
		name:    name,
		store:   &faultyStore{MemoryStore: NewMemoryStore(0)},
		clock:   time.Unix(1_800_000_000, 0),
		commits: make(map[string][]byte),
	}
	h.cfg = Config{
		Identity:  mls.Identity{Credential: mls.BasicCredential([]byte(name)), Signer: key},
		Validator: h,
		Now:       func() time.Time { return h.clock },
		Suites:    []ciphersuite.ID{suite},
		Store:     h.store,
		PeerName:  "peer",
	}
	if *withAPQ {
		h.cfg.APQ = &APQ{}
	}
	return h
}

func (h *host) ValidateLeaf(leaf, previous *mls.LeafNode) error { return h.refuses }

// sessions returns the IDs of the stored sessions, the newest first.
func (h *host) sessions() []SessionID {
	var ids []SessionID
	for id := range h.store.sessions {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b SessionID) int {
		return int(h.store.sessions[b].created) - int(h.store.sessions[a].created)
	})
	return ids
}

// A faultyStore is a store that fails when it is told to.
type faultyStore struct {
	*MemoryStore
	saves int // so far
	// fail is asked before each save. It returns an error to report, and
	// whether the save takes effect all the same.
	fail func(save int) (err error, effective bool)
}

var errStore = errors.New("store failure")

func (f *faultyStore) Save(ctx context.Context, s StoredSession) (uint64, error) {
	f.saves++
	if f.fail != nil {
		if err, effective := f.fail(f.saves); err != nil {
			if effective {
				if _, err := f.MemoryStore.Save(ctx, s); err != nil {
					return 0, err
				}
			}
			return 0, err
		}
	}
	return f.MemoryStore.Save(ctx, s)
}

// A peer is one end of a connection: the driver of a session, as far as a test
// needs one. Records are modelled by the secret that they are protected with.
type peer struct {
	*host
	*Session
	sendKey, receiveKey []byte
	sendEpoch           uint64
	receiveEpoch        uint64
	in                  []packet // on the way to this end
	other               *peer
	complete            int
	early               [][]byte
	fate                EarlyDataFate
	elsewhere           bool
	changes             []PeerChanged
	refusals            []PeerRefused
	updated             []Updated
	leaf                *mls.LeafNode
	err                 error // that ended the session
}

// A packet is a message with the key of the records that it travels in.
type packet struct {
	Message
	key []byte
}

// connect joins two ends by a connection.
func connect(a, b *peer) { a.other, b.other = b, a }

// initiate returns a connection that a begins with a full handshake.
func initiate(t tb, a, b *host) (*peer, *peer) {
	t.Helper()
	s, err := NewInitiator(&a.cfg)
	if err != nil {
		t.Fatal(err)
	}
	p, q := &peer{host: a, Session: s}, listen(t, b)
	connect(p, q)
	return p, q
}

func listen(t tb, h *host) *peer {
	t.Helper()
	s, err := NewResponder(&h.cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &peer{host: h, Session: s}
}

// resumer returns an end that resumes a session.
func resumer(t tb, h *host, id SessionID) *peer {
	t.Helper()
	s, err := Resume(ctx, &h.cfg, id)
	if err != nil {
		t.Fatalf("%s: Resume: %v", h.name, err)
	}
	return &peer{host: h, Session: s}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func (p *peer) start(t tb) {
	t.Helper()
	events, err := p.Session.Start(ctx)
	p.carryOut(t, events, err)
}

func (p *peer) update(t tb, reason UpdateReason) {
	t.Helper()
	events, err := p.Session.Update(ctx, reason)
	p.carryOut(t, events, err)
}

// deliver hands the next packet that is on the way to p to its session.
func (p *peer) deliver(t tb) {
	t.Helper()
	next := p.in[0]
	p.in = p.in[1:]
	if p.State() == StateClosed {
		return
	}
	if !bytes.Equal(next.key, p.receiveKey) {
		t.Fatalf("%s (%v): %v comes under other keys than those of epoch %d", p.name, p.State(), next.Type, p.receiveEpoch)
	}
	next.Protected = next.key != nil
	events, err := p.Receive(ctx, next.Message)
	p.carryOut(t, events, err)
}

// carryOut does what a driver does.
func (p *peer) carryOut(t tb, events []Event, err error) {
	t.Helper()
	if err != nil {
		if len(events) != 0 {
			t.Fatalf("%s: %d events beside the error %v", p.name, len(events), err)
		}
		// What was to follow something that has failed is not worth a note.
		if !errors.Is(err, ErrClosed) && !errors.Is(err, ErrNotReady) {
			p.err = err
		}
		return
	}
	for _, e := range events {
		switch e := e.(type) {
		case Send:
			if e.Message.Protected != (p.sendKey != nil) {
				t.Fatalf("%s: %v is to be sent, protected: %t, while protection is on: %t", p.name, e.Message.Type, e.Message.Protected, p.sendKey != nil)
			}
			p.noteCommit(t, e.Message)
			if p.other != nil {
				p.other.in = append(p.other.in, packet{e.Message, p.sendKey})
			}
		case SwitchSend:
			p.sendKey, p.sendEpoch = verifySecret(t, e.Secret, e.Suite), e.Epoch
		case SwitchReceive:
			p.receiveKey, p.receiveEpoch = verifySecret(t, e.Secret, e.Suite), e.Epoch
		case StepSend:
			p.sendKey = nextKey(p.sendKey)
		case StepReceive:
			p.receiveKey = nextKey(p.receiveKey)
		case EarlyData:
			p.early = append(p.early, e.Data)
		case EarlyDataResult:
			p.fate, p.elsewhere = e.Fate, e.Elsewhere
		case PeerChanged:
			p.changes = append(p.changes, e)
		case PeerRefused:
			p.refusals = append(p.refusals, e)
		case PeerAuthenticated:
			p.leaf = e.Leaf
		case HandshakeComplete:
			if p.leaf == nil {
				t.Fatalf("%s: handshake complete before the peer is authenticated", p.name)
			}
			p.complete++
		case Updated:
			p.updated = append(p.updated, e)
		}
	}
}

// nextKey stands for the KDF step inside an epoch.
func nextKey(secret []byte) []byte {
	sum := sha256.Sum256(secret)
	return sum[:]
}

func verifySecret(t tb, secret []byte, s *ciphersuite.Suite) []byte {
	t.Helper()
	if len(secret) != s.HashSize() {
		t.Fatalf("traffic secret has %d octets, want %d", len(secret), s.HashSize())
	}
	return secret
}

// noteCommit checks that no host ever shows two commits for one epoch.
func (p *peer) noteCommit(t tb, m Message) {
	t.Helper()
	switch m.Type {
	case MessageConnectionUpdate, MessageResumptionRequest, MessageResumptionResponse:
	default:
		return
	}
	header, err := mls.ParseAPQHeader(m.Body)
	if err != nil {
		t.Fatal(err)
	}
	key := fmt.Sprintf("%x/%d", header.GroupID, header.Epoch)
	if old, ok := p.commits[key]; ok && !bytes.Equal(old, m.Body) {
		t.Fatalf("%s sends two commits for epoch %d", p.name, header.Epoch)
	}
	p.commits[key] = m.Body
}

// settle delivers until nothing is on the way.
func settle(t tb, a, b *peer) {
	t.Helper()
	for steps := 0; len(a.in)+len(b.in) > 0; steps++ {
		if steps > 1000 {
			t.Fatal("the ends never come to rest")
		}
		if len(a.in) > 0 {
			a.deliver(t)
		}
		if len(b.in) > 0 {
			b.deliver(t)
		}
	}
}

// agree checks that both ends are complete and at rest, and share everything.
func agree(t tb, a, b *peer) {
	t.Helper()
	for _, p := range []*peer{a, b} {
		if p.err != nil {
			t.Fatalf("%s: %v", p.name, p.err)
		}
		if p.State() != StateSynced || p.complete != 1 {
			t.Fatalf("%s is %v after %d handshakes, want %v after 1", p.name, p.State(), p.complete, StateSynced)
		}
		if p.sendEpoch != p.Epoch() || p.receiveEpoch != p.Epoch() {
			t.Fatalf("%s is in epoch %d but sends in %d and receives in %d", p.name, p.Epoch(), p.sendEpoch, p.receiveEpoch)
		}
	}
	if a.Epoch() != b.Epoch() || a.ID() != b.ID() || a.ID() == (SessionID{}) {
		t.Fatalf("the ends are in epochs %d and %d of %v and %v", a.Epoch(), b.Epoch(), a.ID(), b.ID())
	}
	if !bytes.Equal(a.sendKey, b.receiveKey) || !bytes.Equal(b.sendKey, a.receiveKey) || bytes.Equal(a.sendKey, b.sendKey) {
		t.Fatal("the ends have other traffic secrets")
	}
	x := must(a.ExportKeyingMaterial("label", []byte("context"), 48))
	y := must(b.ExportKeyingMaterial("label", []byte("context"), 48))
	if !bytes.Equal(x, y) || len(x) != 48 {
		t.Fatal("the ends export other keying material")
	}
	if a.Role() == b.Role() || a.Resumed() != b.Resumed() || a.Suite().ID() != b.Suite().ID() {
		t.Fatalf("roles %v and %v, resumed: %t and %t", a.Role(), b.Role(), a.Resumed(), b.Resumed())
	}
	if string(a.Peer().Credential.Identity) != b.name || string(b.Peer().Credential.Identity) != a.name {
		t.Fatal("an end takes the peer for somebody else")
	}
}

// canUpdate checks that updates work from both ends.
func canUpdate(t tb, a, b *peer) {
	t.Helper()
	for _, p := range []*peer{a, b} {
		before := p.Epoch()
		p.update(t, ReasonRequested)
		settle(t, a, b)
		agree(t, a, b)
		if p.Epoch() != before+1 {
			t.Fatalf("%s: an update leads from epoch %d to %d", p.name, before, p.Epoch())
		}
	}
}

// handshake returns two ends after a full handshake.
func handshake(t tb) (a, b *peer) {
	t.Helper()
	a, b = initiate(t, newHost(t, "alice"), newHost(t, "bob"))
	a.start(t)
	settle(t, a, b)
	agree(t, a, b)
	return a, b
}

var template struct {
	once sync.Once
	a, b *peer
}

// established returns two ends after a full handshake. They are copies of two
// that did one, as many tests begin like this.
func established(t tb) (a, b *peer) {
	t.Helper()
	template.once.Do(func() { template.a, template.b = handshake(t) })
	a, b = template.a.copied(t), template.b.copied(t)
	connect(a, b)
	return a, b
}

// copied returns an end in the same state on a host of its own.
func (p *peer) copied(t tb) *peer {
	t.Helper()
	h := &host{name: p.name, clock: p.clock, cfg: p.host.cfg, commits: make(map[string][]byte)}
	store := NewMemoryStore(0)
	stored, err := p.store.Load(ctx, p.ID())
	if err != nil {
		t.Fatal(err)
	}
	store.clock = p.store.clock
	store.put(&storedInMemory{StoredSession: stored, created: p.store.sessions[stored.ID].created})
	h.store = &faultyStore{MemoryStore: store}
	h.cfg.Store, h.cfg.Validator, h.cfg.Now = h.store, h, func() time.Time { return h.clock }

	c := *p
	c.host, c.Session, c.in = h, must(newSession(&h.cfg)), nil
	c.sendKey, c.receiveKey = bytes.Clone(p.sendKey), bytes.Clone(p.receiveKey)
	if err := c.load(ctx, p.ID()); err != nil {
		t.Fatal(err)
	}
	c.state, c.leads, c.resumed, c.secrets = p.Session.state, p.leads, p.resumed, p.secrets.clone()
	return &c
}

// cut ends a connection: what is on the way is lost.
func cut(a, b *peer) {
	a.in, b.in = nil, nil
	a.Close()
	b.Close()
}

// recoverFrom resumes a session in the given way and checks that all is well.
func recoverFrom(t tb, way string, ha, hb *host) (a, b *peer) {
	t.Helper()
	return recoverSession(t, way, ha.sessions()[0], ha, hb)
}

func recoverSession(t tb, way string, id SessionID, ha, hb *host) (a, b *peer) {
	t.Helper()
	switch way {
	case "initiator resumes":
		a, b = resumer(t, ha, id), listen(t, hb)
	case "responder resumes":
		a, b = listen(t, ha), resumer(t, hb, id)
	case "both resume":
		a, b = resumer(t, ha, id), resumer(t, hb, id)
	}
	connect(a, b)
	a.start(t)
	b.start(t)
	settle(t, a, b)
	agree(t, a, b)
	if !a.Resumed() || a.ID() != id {
		t.Fatal("the session was not resumed")
	}
	canUpdate(t, a, b)
	return a, b
}

var ways = []string{"initiator resumes", "responder resumes", "both resume"}
