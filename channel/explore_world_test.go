package channel

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls"
)

// A joint is the joint state of two machines, the connections between them and
// what is on the way. The explorer forks it and applies an action to the fork.
type joint struct {
	*setting
	machines [2]*machine
	links    []*link      // the oldest first, at most maxLinks
	captured []wireRecord // what an attacker has seen in the clear
	left     budget
	original SessionID     // of the session that both have from the beginning
	refused  bool          // the attacker has refused a resumption
	violated *violation    // the first rule that was broken
	tap      *[]wireRecord // where all messages are noted, if not nil
}

// A setting is what all joint states of one exploration have in common.
type setting struct {
	// transitions take the place of the package's. Nil: the package's.
	transitions map[State]map[MessageType]handler
	// commitsOnce and keepsSession switch on two of the rules.
	commitsOnce, keepsSession bool
	// fatal deletes a session on any failure.
	fatal    bool
	reasons  []UpdateReason
	maxLinks int
	// resumeOnly ends a connection on which a resumption is refused. Else
	// a full handshake follows.
	resumeOnly bool
	// crossing lets both ends dial at the same time, each its own connection.
	crossing bool
	// overlapping lets an end dial while it still has another connection.
	overlapping bool
	// rotating lets ends change their identities.
	rotating bool
	// early has early data sent with each resumption.
	early bool
	// repeating has the same early data sent again when its request is repeated.
	repeating bool
	// paired makes it a session of two groups.
	paired bool
	// oneSignature makes full handshakes, after the first, begin with hellos that have
	// one signature less.
	oneSignature bool
	// byKey has the responder of the full handshake prevail, as its key is the greater one.
	byKey bool
}

// A budget is how much may still happen. What is unlimited does not decrease.
type budget struct {
	commits       int // that leave a machine, to update and to resume
	interruptions int // cuts seen by both ends or one, and crashes
	faults        int // of stores
	forgeries     int // messages that an attacker repeats or makes up
	steps         int // of keys within an epoch
}

const unlimited = 1 << 30

func (b *budget) spend(what *int) {
	if *what != unlimited {
		*what--
	}
}

// covers reports whether b allows all that c does.
func (b budget) covers(c budget) bool {
	return b.commits >= c.commits && b.interruptions >= c.interruptions && b.faults >= c.faults && b.forgeries >= c.forgeries && b.steps >= c.steps
}

func (b budget) overdrawn() bool { return !b.covers(budget{}) }

// A machine is what outlives the connections of one end.
type machine struct {
	name  string
	cfg   Config
	store *faultyStore
	fault fault // of the store, at the next save
	// identities are the two between which the machine changes, and current is
	// the one that it wants to show.
	identities [2]mls.Identity
	current    int
	// taken are the protected messages that came last, of each type.
	taken map[MessageType]Message
	// summaries describe what is in the store, by session.
	summaries map[SessionID]summary
	history   history
}

type fault uint8

const (
	noFault         fault = iota
	faultBefore           // the save has no effect
	faultAfterwards       // it has
)

// A link is a connection. An end that has given it up is nil.
type link struct {
	ports  [2]*port
	queues [2][]wireRecord // on the way to each end
	forged bool            // an attacker has put something in: it may end with any error
}

// A port is one end of a connection: what a driver has.
type port struct {
	session                *Session
	send, receive          *trafficKey
	sendNumber, recvNumber uint64 // of the next record under these keys
	sentData, receivedData int    // records of application data
	authenticated          bool
	complete               int
	own                    int    // updates of this end that were confirmed
	early                  string // data that this end has sent with its request
}

// A trafficKey is a traffic secret and where it comes from.
type trafficKey struct {
	secret string
	epoch  epochID
	number uint64 // of the epoch
	step   int    // within the epoch
}

// A wireRecord travels under a key, or in the clear if that is nil. It holds one
// message, or application data.
type wireRecord struct {
	key     *trafficKey
	number  uint64
	message Message
	about   epochID // that a commit leads to or early data goes with, or an EpochKeyUpdate acknowledges
	nonce   string  // of early data, in an EpochKeyUpdate
	data    int     // its place in the stream, 0 for a message
}

// An epochID names an epoch by the hash of the commit that led to it, or by the
// session if none did.
type epochID [sha256.Size]byte

func epochAfter(id SessionID, commitHash []byte) epochID {
	if len(commitHash) == 0 {
		return epochID(id)
	}
	return epochID(commitHash)
}

// epoch returns the name of the current epoch. Without a group there is none.
func (s *Session) epoch() epochID {
	if s.group == nil {
		return epochID{}
	}
	return epochAfter(s.id, s.lastCommit)
}

func (p *pendingUpdate) epoch() epochID {
	if p == nil {
		return epochID{}
	}
	return sha256.Sum256(p.commit)
}

// purposeOf returns what a commit was made for.
func purposeOf(body []byte) purpose {
	if mls.IsAPQMessagePair(body) {
		body = body[6:] // behind the header of the pair
	}
	r := wire.NewReader(body)
	r.Uint32() // version and wire format
	r.Opaque() // group ID
	r.Uint64() // epoch
	r.Uint8()  // content type
	aad := r.Opaque()
	if r.Err() != nil || len(aad) == 0 {
		return 0
	}
	return purpose(aad[len(aad)-1])
}

func (t MessageType) isCommit() bool {
	return t == MessageConnectionUpdate || t == MessageResumptionRequest || t == MessageResumptionResponse
}

// templates are for sessions of one group and of two, and for both rules about who prevails.
var templates [4]struct {
	once sync.Once
	a, b *peer
}

// established returns the ends that machines are made of. Both accept early data.
func (s *setting) established() (a, b *peer) {
	n := 0
	if s.paired {
		n = 1
	}
	if s.byKey {
		n += 2
	}
	t := &templates[n]
	t.once.Do(func() {
		x, y := newHost(panics{}, "alice"), newHost(panics{}, "bob")
		x.cfg.MaxEarlyData, y.cfg.MaxEarlyData = 64, 64
		if s.byKey {
			x.cfg.Features, y.cfg.Features = FeatureTieBreakByKey, FeatureTieBreakByKey
			if bytes.Compare(publicKey(x), publicKey(y)) > 0 {
				x.cfg.Identity.Signer, y.cfg.Identity.Signer = y.cfg.Identity.Signer, x.cfg.Identity.Signer
			}
		}
		if s.paired {
			x.cfg.APQ, y.cfg.APQ = &APQ{}, &APQ{}
		}
		t.a, t.b = initiate(panics{}, x, y)
		t.a.start(panics{})
		settle(panics{}, t.a, t.b)
	})
	return t.a, t.b
}

func publicKey(h *host) []byte { return h.cfg.Identity.Signer.Public().(ed25519.PublicKey) }

// newJoint returns two machines after a full handshake.
func newJoint(s *setting, left budget) *joint {
	a, b := s.established()
	j := &joint{setting: s, left: left, original: a.ID()}
	for i, p := range []*peer{a, b} {
		m := &machine{name: p.name, cfg: p.host.cfg, store: p.store, history: newHistory()}
		m.cfg.Validator = anybody{}
		m.cfg.Now = func() time.Time { return time.Unix(1_800_000_000, 0) }
		m.cfg.ResumeOnly, m.cfg.OneSignature = s.resumeOnly, s.oneSignature
		m.summaries, m.taken = make(map[SessionID]summary), make(map[MessageType]Message)
		m.identities = [2]mls.Identity{m.cfg.Identity, newHost(panics{}, p.name).cfg.Identity}
		m.cfg.PreviousIdentities = m.identities[:]
		j.machines[i] = m
	}
	j.machines[0], j.machines[1] = j.machines[0].fork(), j.machines[1].fork()
	l := &link{}
	for i, p := range []*peer{a, b} {
		key := func(secret []byte) *trafficKey {
			return &trafficKey{secret: string(secret), epoch: p.epoch(), number: p.Epoch()}
		}
		l.ports[i] = &port{
			session: cloneSession(p.Session, j.machines[i]), authenticated: true, complete: 1,
			send: key(p.sendKey), receive: key(p.receiveKey),
		}
		j.prepare(l.ports[i].session)
	}
	j.links = []*link{l}
	return j
}

// tolerates reports whether an error of a session is no violation: what the
// explorer has done to it explains it.
func (j *joint) tolerates(err error) bool {
	return errors.Is(err, errStore) || errors.Is(err, ErrSuperseded) || j.resumeOnly && errors.Is(err, ErrResumptionRefused)
}

// prepare gives a session the transitions of the setting.
func (j *joint) prepare(s *Session) *Session {
	if j.setting.transitions != nil {
		s.transitions = j.setting.transitions
	}
	return s
}

// anybody is a validator that has no state.
type anybody struct{}

func (anybody) ValidateLeaf(leaf, previous *mls.LeafNode) error { return nil }

// panics is a tb for code that cannot fail.
type panics struct{}

func (panics) Helper()                   {}
func (panics) Fatal(a ...any)            { panic(fmt.Sprint(a...)) }
func (panics) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

// fork returns a copy that the sessions of the given machines can be changed in.
// The other machine's are shared with j.
func (j *joint) fork(acting ...int) *joint {
	f := *j
	f.captured = slices.Clip(j.captured)
	for _, i := range acting {
		f.machines[i] = j.machines[i].fork()
	}
	f.links = make([]*link, len(j.links))
	for n, l := range j.links {
		c := &link{forged: l.forged}
		for i, p := range l.ports {
			c.queues[i] = slices.Clone(l.queues[i])
			if p == nil {
				continue
			}
			q := *p
			c.ports[i] = &q
			if slices.Contains(acting, i) {
				q.session = cloneSession(p.session, f.machines[i])
			}
		}
		f.links[n] = c
	}
	return &f
}

func (m *machine) fork() *machine {
	f := *m
	store := NewMemoryStore(0)
	store.clock = m.store.clock
	for _, s := range m.store.sessions {
		c := *s
		c.Data = slices.Clone(s.Data)
		store.put(&c)
	}
	f.store = &faultyStore{MemoryStore: store}
	f.store.fail = f.fail
	f.cfg.Store = f.store
	f.summaries, f.taken = maps.Clone(m.summaries), maps.Clone(m.taken)
	f.history = m.history.fork()
	return &f
}

// wanted returns which of its identities a machine's session is to have.
func (m *machine) wanted(s *Session) int {
	if s.identity == nil {
		return m.as(ownKey(s.group))
	}
	return m.as(s.identity.Signer.Public().(ed25519.PublicKey))
}

// as returns which of its identities a machine has by a signature key.
func (m *machine) as(signatureKey []byte) int {
	for i, id := range m.identities {
		if bytes.Equal(signatureKey, id.Signer.Public().(ed25519.PublicKey)) {
			return i
		}
	}
	return -1
}

// fail is asked by the store before each save.
func (m *machine) fail(int) (error, bool) {
	if m.fault == noFault {
		return nil, false
	}
	effective := m.fault == faultAfterwards
	m.fault = noFault
	m.history.savedInVain = m.history.savedInVain || effective
	return errStore, effective
}

// sessions returns those in the store, the newest first, without those that were
// about to be deleted when the store failed.
func (m *machine) sessions() []SessionID {
	return slices.DeleteFunc((&host{store: m.store}).sessions(), func(id SessionID) bool { return len(m.store.sessions[id].Data) == 0 })
}

// cloneSession returns a session in the same state on another machine like its own.
func cloneSession(s *Session, m *machine) *Session {
	c, o := *s, openingOf(s)
	c.opening = &o
	cfg := *must(m.cfg.withDefaults())
	if o.cfg != nil {
		cfg = *o.cfg
		cfg.Store, cfg.Validator, cfg.Now, cfg.ResumeOnly = m.store, m.cfg.Validator, m.cfg.Now, m.cfg.ResumeOnly
		cfg.PreviousIdentities = m.cfg.PreviousIdentities
	}
	if err := c.configure(&cfg); err != nil {
		panic(err)
	}
	c.identity = s.identity
	clone := func(g groups, before, cloned *mls.APQGroup) (*mls.Group, *mls.APQGroup) {
		if g.Group == nil {
			return nil, nil
		}
		restored := must(c.restoreGroups(g.pair != nil, cloned, ownKey(g.Group), must(g.marshal(before))))
		return restored.Group, restored.pair
	}
	c.group, c.pair = clone(s.groups(), nil, nil)
	c.secrets = s.secrets.clone()
	if p := s.pending; p != nil {
		c.pending = &pendingUpdate{wish: p.wish, commit: p.commit, secrets: p.secrets.clone()}
		c.pending.group, c.pending.pair = clone(p.groups(), s.pair, c.pair)
	}
	if o.pairs != nil {
		c.pairs = &mls.APQKeyPackageBundle{
			T:  must(mls.RestoreKeyPackage(c.mls, s.identity.Signer, must(o.pairs.T.Marshal()))),
			PQ: must(mls.RestoreKeyPackage(c.mls, s.identity.Signer, must(o.pairs.PQ.Marshal()))),
		}
	}
	if o.bundle != nil {
		c.bundle = must(mls.RestoreKeyPackage(c.mls, s.identity.Signer, must(o.bundle.Marshal())))
	}
	c.early.data = slices.Clone(o.early.data) // the rest is not changed in place
	if s.opening == nil {
		c.opening = nil
	}
	return &c
}

// openingOf returns what a session still has of its opening.
func openingOf(s *Session) opening {
	if s.opening == nil {
		return opening{}
	}
	return *s.opening
}

// call has a session do something and carries out what comes of it, as a driver
// does. After that it sends application data, so that data is on the way between
// any two messages and meets the changes of keys at every place.
func (j *joint) call(l *link, i int, f func(*Session) ([]Event, error)) {
	p, m := l.ports[i], j.machines[i]
	before := heldBy(p.session)
	events, err := f(p.session)
	j.checkErased(m, before, p.session)
	if err != nil {
		if len(events) != 0 {
			j.violate("events", "%s: %d events beside the error %v", m.name, len(events), err)
		}
		if !errors.As(err, new(*Error)) {
			j.violate("alert", "%s: the error %v has no alert", m.name, err)
		}
		if !j.tolerates(err) {
			j.fail(l, i, "error", "%s: %v", m.name, err)
		}
		if p.session.State() == StateClosed {
			l.ports[i], l.queues[i] = nil, nil
		}
		return
	}
	j.checkSaved(m, p.session)
	for _, e := range events {
		j.carryOut(l, i, e)
	}
	if p.complete > 0 && len(events) > 0 {
		j.sendData(l, i)
	}
}

// fail deals with a failure of a connection that its ends alone have brought
// about.
func (j *joint) fail(l *link, i int, rule, format string, a ...any) {
	switch {
	case l.forged:
	case j.fatal:
		s := l.ports[i].session
		s.Close()
		if err := s.discard(ctx, &s.entry); err != nil {
			panic(err)
		}
	default:
		j.violate(rule, format, a...)
	}
}

func (j *joint) carryOut(l *link, i int, e Event) {
	p, m := l.ports[i], j.machines[i]
	switch e := e.(type) {
	case Send:
		if e.Message.Protected != (p.send != nil) {
			j.violate("protection", "%s is to send %v, protected: %t, while protection is on: %t", m.name, e.Message.Type, e.Message.Protected, p.send != nil)
		}
		r := wireRecord{message: e.Message}
		switch {
		case e.Message.Type.isCommit():
			r.about = sha256.Sum256(e.Message.Body)
			j.noteCommit(m, p.session, &r)
		case e.Message.Type == MessageEpochKeyUpdate:
			r.about, r.nonce = p.session.epoch(), string(openingOf(p.session).early.nonce)
			j.noteAcknowledgement(m, &r)
		case e.Message.Type == MessageResumptionAcknowledged:
			j.noteRepeatedAcknowledgement(m, &r)
		case e.Message.Type == MessageEarlyData:
			r.about, r.nonce = p.session.pending.epoch(), string(openingOf(p.session).early.nonce)
		}
		j.send(l, i, r)
	case SwitchSend:
		p.send, p.sendNumber = j.install(m, p.session, e.Epoch, e.Secret), 0
		j.noteSendingKey(m, p.send)
	case SwitchReceive:
		p.receive, p.recvNumber = j.install(m, p.session, e.Epoch, e.Secret), 0
	case EarlyData:
		j.noteEarlyData(m, string(e.Data))
	case EarlyDataResult:
		j.noteEarlyDataResult(m, j.machines[1-i], p.early, e)
	case StepSend:
		p.send, p.sendNumber = p.send.next(), 0
	case StepReceive:
		p.receive, p.recvNumber = p.receive.next(), 0
	case PeerAuthenticated:
		p.authenticated = true
	case HandshakeComplete:
		if !p.authenticated {
			j.violate("authentication", "%s: handshake complete before the peer is authenticated", m.name)
		}
		p.complete++
	case Updated:
		if e.Own {
			p.own++
		}
	}
}

// install returns the key of a secret that a session hands over, which is that
// of its current epoch or of the one that its commit leads to.
func (j *joint) install(m *machine, s *Session, epoch uint64, secret []byte) *trafficKey {
	k := &trafficKey{secret: string(secret), number: epoch}
	switch {
	case len(secret) != s.Suite().HashSize():
		j.violate("secrets", "%s: traffic secret of epoch %d has %d octets", m.name, epoch, len(secret))
	case epoch == s.Epoch():
		k.epoch = s.epoch()
	case s.pending != nil && epoch == s.Epoch()+1:
		k.epoch = s.pending.epoch()
	default:
		j.violate("secrets", "%s: keys of epoch %d in epoch %d", m.name, epoch, s.Epoch())
	}
	return k
}

// send puts a record on its way to the other end.
func (j *joint) send(l *link, i int, r wireRecord) {
	p := l.ports[i]
	r.key, r.number = p.send, p.sendNumber
	p.sendNumber++
	j.noteRecord(j.machines[i], r)
	if r.key == nil {
		j.capture(r)
	}
	if j.tap != nil && r.data == 0 {
		*j.tap = append(*j.tap, r)
	}
	if l.ports[1-i] != nil {
		l.queues[1-i] = append(l.queues[1-i], r)
	}
}

func (j *joint) sendData(l *link, i int) {
	l.ports[i].sentData++
	j.send(l, i, wireRecord{data: l.ports[i].sentData})
}

// capture keeps what an attacker can see, as long as there are attacks to come.
func (j *joint) capture(r wireRecord) {
	same := func(c wireRecord) bool {
		return c.message.Type == r.message.Type && string(c.message.Body) == string(r.message.Body)
	}
	if j.left.forgeries > 0 && !slices.ContainsFunc(j.captured, same) {
		j.captured = append(j.captured, wireRecord{message: r.message, about: r.about, nonce: r.nonce})
	}
}

// open takes the protection off the next record that has reached an end, which
// drops the connection if that fails.
func (j *joint) open(l *link, i int) (r wireRecord, ok bool) {
	p, r := l.ports[i], l.queues[i][0]
	l.queues[i] = l.queues[i][1:]
	if (r.key == nil) == (p.receive == nil) && (r.key == nil || r.key.secret == p.receive.secret && r.number == p.recvNumber) {
		p.recvNumber++
		return r, true
	}
	j.fail(l, i, "record", "%s (%v): %v comes as number %d under %v, want %d under %v", j.machines[i].name, p.session.State(), r, r.number, r.key, p.recvNumber, p.receive)
	l.drop(i)
	return r, false
}

// receiveData takes what application data has arrived. It makes no difference to
// the session when that happens, so it happens at once.
func (j *joint) receiveData() {
	for _, l := range j.links {
		for i, p := range l.ports {
			for len(l.queues[i]) > 0 && l.queues[i][0].data > 0 {
				r, ok := j.open(l, i)
				if !ok {
					break
				}
				p.receivedData++
				if r.data != p.receivedData {
					j.violate("data", "%s gets application data %d, want %d", j.machines[i].name, r.data, p.receivedData)
				}
				if p.complete == 0 {
					j.violate("data", "%s gets application data before its handshake is complete", j.machines[i].name)
				}
			}
			if other := l.ports[1-i]; l.ports[i] != nil && other != nil && len(l.queues[i]) == 0 && p.receivedData != other.sentData {
				j.violate("data", "%s has got %d records of application data of %d", j.machines[i].name, p.receivedData, other.sentData)
			}
		}
	}
}

// next returns the key after k in the same epoch.
func (k *trafficKey) next() *trafficKey {
	return &trafficKey{string(nextKey([]byte(k.secret))), k.epoch, k.number, k.step + 1}
}

func (k *trafficKey) String() string {
	if k == nil {
		return "no key"
	}
	return fmt.Sprintf("key %d of epoch %d", k.step, k.number)
}

func (r wireRecord) String() string {
	if r.data > 0 {
		return fmt.Sprintf("application data %d", r.data)
	}
	return r.message.Type.String()
}
