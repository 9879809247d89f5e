package channel

import (
	"crypto/sha256"
	"fmt"
	"strings"
)

// A fingerprint stands for all joint states that behave alike. It leaves out
// what is random, such as the keys themselves, and counts epochs from the oldest
// one in sight, so that a state comes back however many epochs went by.
type fingerprint [sha256.Size]byte

func (j *joint) fingerprint() fingerprint { return sha256.Sum256([]byte(j.describe())) }

// A summary describes a stored session.
type summary struct {
	version        uint64
	role           Role
	epoch, pending epochID
	number         uint64
	reason         UpdateReason
	purpose        purpose
	as, pendingAs  int // identities
	full           fullness
	early          string
	acknowledged   fingerprint // of an EpochKeyUpdate
}

// summaryOf returns the summary of what is in a machine's store now.
func (m *machine) summaryOf(id SessionID) summary {
	stored := m.store.sessions[id]
	if known, ok := m.summaries[id]; ok && known.version == stored.Version {
		return known
	}
	s := must(newSession(&m.cfg))
	s.id = id
	if err := s.unmarshal(stored.Data); err != nil {
		panic(err)
	}
	sum := summary{version: stored.Version, role: s.role, epoch: s.epoch(), pending: s.pending.epoch(), number: s.Epoch(), as: m.as(ownKey(s.group)), early: string(s.earlyDigest), acknowledged: sha256.Sum256(s.lastAck)}
	if s.pending != nil {
		sum.reason, sum.purpose, sum.pendingAs = s.pending.reason, purposeOf(s.pending.commit), m.as(ownKey(s.pending.group))
	}
	sum.full = fullnessOf(s)
	m.summaries[id] = sum
	return sum
}

// A describer writes a joint state down. Epochs and sessions get their names in
// the order in which they appear.
type describer struct {
	strings.Builder
	oldest   uint64
	epochs   map[epochID]int
	sessions map[SessionID]int
	hellos   map[fingerprint]int
	earlies  map[string]int // digests and nonces of early data
}

func name[K comparable](names map[K]int, k K) int {
	if _, ok := names[k]; !ok {
		names[k] = len(names) + 1
	}
	return names[k]
}

func (d *describer) epoch(id epochID) string {
	if id == (epochID{}) {
		return "-"
	}
	return fmt.Sprintf("e%d", name(d.epochs, id))
}

// numbered is epoch where the number is known.
func (d *describer) numbered(id epochID, number uint64) string {
	return fmt.Sprintf("%s+%d", d.epoch(id), int64(number)-int64(d.oldest))
}

func (d *describer) session(id SessionID) string {
	if id == (SessionID{}) {
		return "-"
	}
	return fmt.Sprintf("s%d", name(d.sessions, id))
}

func (d *describer) early(digest string) int {
	if digest == "" {
		return 0
	}
	return name(d.earlies, digest)
}

func (d *describer) key(k *trafficKey) string {
	if k == nil {
		return "clear"
	}
	return fmt.Sprintf("%s.%d", d.numbered(k.epoch, k.number), k.step)
}

// describe writes down all of a joint state that its future depends on.
func (j *joint) describe() string {
	d := &describer{epochs: make(map[epochID]int), sessions: make(map[SessionID]int), hellos: make(map[fingerprint]int), earlies: make(map[string]int)}
	d.oldest = j.oldestEpoch()
	fmt.Fprintf(d, "original %s refused %t\n", d.session(j.original), j.refused)
	for i, m := range j.machines {
		fmt.Fprintf(d, "%s: fault %d as %d\n", m.name, m.fault, m.current)
		acting := make(map[epochID]bool) // epochs that this machine may still send in
		for _, id := range m.sessions() {
			s := m.summaryOf(id)
			acting[s.epoch], acting[s.pending] = true, true
			fmt.Fprintf(d, " store %s: %v in %s, as %d early %d acknowledged %t, pending %s (%d for %d) as %d%v\n", d.session(id), s.role, d.numbered(s.epoch, s.number), s.as, d.early(s.early), s.acknowledged != sha256.Sum256(nil), d.epoch(s.pending), s.purpose, s.reason, s.pendingAs, s.full)
		}
		for n, l := range j.links {
			if p := l.ports[i]; p != nil {
				fmt.Fprintf(d, " port %d: ", n)
				d.port(m, p)
				acting[p.session.epoch()], acting[p.session.pending.epoch()] = true, true
			} else {
				fmt.Fprintf(d, " port %d: none\n", n)
			}
			if l.forged {
				d.WriteString("  forged\n")
			}
			for _, r := range l.queues[i] {
				d.record(r)
			}
		}
		delete(acting, epochID{})
		if _, delivered := j.machines[1-i].history.early[m.history.attempted]; j.repeating && acting[m.history.attempt] {
			fmt.Fprintf(d, " early data with %s, delivered %t, peer saved in vain %t\n", d.epoch(m.history.attempt), delivered, j.machines[1-i].history.savedInVain)
		}
		d.past(m, acting)
	}
	for _, r := range j.captured {
		d.record(r)
	}
	return d.String()
}

// oldestEpoch returns the lowest number of an epoch that an end is in.
func (j *joint) oldestEpoch() uint64 {
	oldest := ^uint64(0)
	for i, m := range j.machines {
		for _, id := range m.sessions() {
			oldest = min(oldest, m.summaryOf(id).number)
		}
		for _, l := range j.links {
			if p := l.ports[i]; p != nil && p.session.group != nil {
				oldest = min(oldest, p.session.Epoch())
			}
		}
	}
	return oldest
}

func (d *describer) port(m *machine, p *port) {
	s, o := p.session, openingOf(p.session)
	fmt.Fprintf(d, "%v, %v, leads %t resumed %t ignored %t repeated %t wanted %d complete %d, session %s kept %t replaces %s, ",
		s.state, s.role, s.leads, s.resumed, s.ignored, s.repeated, s.wanted.reason, p.complete, d.session(s.id), s.kept, d.session(o.replaces.id))
	if s.kept {
		stored, ok := m.store.sessions[s.id]
		fmt.Fprintf(d, "newest %t, ", ok && stored.Version == s.version)
	}
	if o.bundle != nil {
		d.WriteString("bundle, ")
	}
	fmt.Fprintf(d, "prevails %t confirms %t as %d, ", s.prevails, s.confirm != nil, m.wanted(s))
	if e := o.early; e.fate || e.seen {
		received := e.received
		fmt.Fprintf(d, "early: data %t sent %t seen %t nonce %d digest %d received %d delivered %d, ", e.data != nil, e.sent, e.seen,
			d.early(string(e.nonce)), d.early(string(e.digest)), d.early(string(received[:min(len(received), earlyNonceSize)])), d.early(string(e.delivered)))
	}
	fmt.Fprintf(d, "with %d acknowledged %t, ", d.early(string(s.earlyDigest)), s.lastAck != nil)
	if s.group != nil {
		fmt.Fprintf(d, "in %s as %d secrets %s", d.numbered(s.epoch(), s.Epoch()), m.as(ownKey(s.group)), left(s.secrets))
	}
	if q := s.pending; q != nil {
		fmt.Fprintf(d, " pending %s (%d for %d) as %d secrets %s", d.epoch(q.epoch()), purposeOf(q.commit), q.reason, m.as(ownKey(q.group)), left(q.secrets))
	}
	fmt.Fprintf(d, "%v sends %s receives %s\n", fullnessOf(s), d.key(p.send), d.key(p.receive))
}

// A fullness says what full commits, of a session of two groups, were and will be.
type fullness struct {
	owes, current, pending, wanted, wish bool
}

func fullnessOf(s *Session) (f fullness) {
	if s.pair == nil {
		return f
	}
	f.owes, f.current, f.wanted = s.pair.OwesFull(), s.groups().isFull(), s.wanted.full
	if s.pending != nil {
		f.pending, f.wish = s.pending.groups().isFull(), s.pending.full
	}
	return f
}

func (f fullness) String() string {
	if f == (fullness{}) {
		return ""
	}
	return fmt.Sprintf(" full: owes %t current %t pending %t wanted %t for %t", f.owes, f.current, f.pending, f.wanted, f.wish)
}

// left says which secrets are there still.
func left(t *trafficSecrets) string {
	if t == nil {
		return "none"
	}
	return fmt.Sprint(t.send != nil, t.receive != nil, t.exporter != nil)
}

func (d *describer) record(r wireRecord) {
	switch {
	case r.data > 0:
		fmt.Fprintf(d, "  data under %s\n", d.key(r.key))
	case r.about != epochID{}:
		of := 0
		if r.message.Type.isCommit() {
			of = int(purposeOf(r.message.Body))
		}
		fmt.Fprintf(d, "  %v %d %s early %d under %s\n", r.message.Type, of, d.epoch(r.about), d.early(r.nonce), d.key(r.key))
	case r.message.Type == MessageEarlyDataStatus:
		fmt.Fprintf(d, "  %v %d %d under %s\n", r.message.Type, r.message.Body[0], d.early(string(r.message.Body[1:])), d.key(r.key))
	case r.message.Type == MessageClientHello || r.message.Type == MessageServerHello:
		fmt.Fprintf(d, "  %v %d\n", r.message.Type, name(d.hellos, sha256.Sum256(r.message.Body)))
	case r.message.Type == MessageKeySwitch:
		fmt.Fprintf(d, "  %v under %s\n", r.message.Type, d.key(r.key))
	default:
		fmt.Fprintf(d, "  %v %x under %s\n", r.message.Type, r.message.Body, d.key(r.key))
	}
}

// past writes down what a machine has done in the epochs that it may still send in.
func (d *describer) past(m *machine, acting map[epochID]bool) {
	names := make([]epochID, len(d.epochs))
	for id, n := range d.epochs {
		names[n-1] = id
	}
	for _, id := range names {
		if !acting[id] {
			continue
		}
		_, acknowledged := m.history.acknowledgements[id]
		_, sent := m.history.sendingKeys[id]
		fmt.Fprintf(d, " in %s: committed %s acknowledged %t sent %t\n", d.epoch(id), d.epoch(m.history.commits[id]), acknowledged, sent)
	}
}
