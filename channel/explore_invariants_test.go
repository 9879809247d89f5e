package channel

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"

	"github.com/mendlink/mendlink/mls"
)

// A violation is a rule that was broken.
type violation struct {
	rule   string
	detail string
}

func (v *violation) Error() string { return v.rule + ": " + v.detail }

// violate notes the first rule that is broken.
func (j *joint) violate(rule, format string, a ...any) {
	if j.violated == nil {
		j.violated = &violation{rule, fmt.Sprintf(format, a...)}
	}
}

// A history is what has left a machine. It goes on when the machine crashes.
type history struct {
	commits          map[epochID]epochID           // by the epoch that they were made in
	acknowledgements map[epochID][sha256.Size]byte // by epoch
	records          map[recordID][sha256.Size]byte
	sendingKeys      map[epochID]string
	data             uint64
	early            map[string]EarlyDataFate // of the data that the machine was told of, or had delivered
	attempt          epochID                  // of the request that early data went with last
	attempted        string                   // that data
	savedInVain      bool                     // a save took effect and was reported as failed
}

// A recordID is what a nonce is made of.
type recordID struct {
	secret string
	number uint64
}

func newHistory() history {
	return history{make(map[epochID]epochID), make(map[epochID][sha256.Size]byte), make(map[recordID][sha256.Size]byte), make(map[epochID]string), 0, make(map[string]EarlyDataFate), epochID{}, "", false}
}

func (h history) fork() history {
	return history{maps.Clone(h.commits), maps.Clone(h.acknowledgements), maps.Clone(h.records), maps.Clone(h.sendingKeys), h.data, maps.Clone(h.early), h.attempt, h.attempted, h.savedInVain}
}

// noteCommit checks that a machine shows one commit for an epoch, ever, and that
// it is the one that the session has pending.
func (j *joint) noteCommit(m *machine, s *Session, r *wireRecord) {
	if s.pending.epoch() != r.about {
		j.violate("pending", "%s sends a commit that is not pending", m.name)
		return
	}
	old, ok := m.history.commits[s.epoch()]
	if !ok || old != r.about {
		j.left.spend(&j.left.commits)
	}
	if ok && old != r.about && j.commitsOnce {
		j.violate("commits", "%s sends two commits for epoch %d", m.name, s.Epoch())
	}
	m.history.commits[s.epoch()] = r.about
}

// noteRepeatedAcknowledgement checks that an acknowledgement which is repeated is the
// one of the epoch that the machine has stored.
func (j *joint) noteRepeatedAcknowledgement(m *machine, r *wireRecord) {
	sum := sha256.Sum256(r.message.Body)
	for _, id := range m.sessions() {
		if s := m.summaryOf(id); s.acknowledged == sum {
			r.about = s.epoch
			if old, ok := m.history.acknowledgements[r.about]; ok && old != sum {
				j.violate("acknowledgements", "%s sends two for one epoch", m.name)
			}
			m.history.acknowledgements[r.about] = sum
			return
		}
	}
	j.violate("acknowledgements", "%s repeats an EpochKeyUpdate that it has not stored", m.name)
}

// noteAcknowledgement checks that a machine encrypts one message with the
// application ratchet of an epoch, so that no generation serves twice.
func (j *joint) noteAcknowledgement(m *machine, r *wireRecord) {
	sum := sha256.Sum256(r.message.Body)
	if old, ok := m.history.acknowledgements[r.about]; ok && old != sum {
		j.violate("acknowledgements", "%s sends two for one epoch", m.name)
	}
	m.history.acknowledgements[r.about] = sum
}

// noteRecord checks that no record's key and number serve for two plaintexts.
// No two records of application data are the same.
func (j *joint) noteRecord(m *machine, r wireRecord) {
	if r.key == nil {
		return
	}
	m.history.data++
	sum := sha256.Sum256(r.message.AppendTo(nil))
	if r.data > 0 {
		sum = sha256.Sum256(fmt.Append(nil, m.history.data))
	}
	id := recordID{r.key.secret, r.number}
	if old, ok := m.history.records[id]; ok && old != sum {
		j.violate("nonces", "%s uses %d of %v for two records", m.name, r.number, r.key)
	}
	m.history.records[id] = sum
}

// noteSendingKey checks that a machine begins to send under a key once, ever.
func (j *joint) noteSendingKey(m *machine, k *trafficKey) {
	if _, ok := m.history.sendingKeys[k.epoch]; ok {
		j.violate("nonces", "%s installs the sending key of epoch %d for the second time", m.name, k.number)
	}
	m.history.sendingKeys[k.epoch] = k.secret
}

// noteEarlyData checks that early data is delivered once, and not after its sender
// was told that it never will be.
func (j *joint) noteEarlyData(m *machine, data string) {
	for _, n := range j.machines {
		if fate, ok := n.history.early[data]; ok {
			j.violate("early data", "%s gets data whose fate is: %v", m.name, fate)
		}
	}
	m.history.early[data] = EarlyDataDelivered
}

// noteEarlyDataResult checks what a machine is told of its early data.
func (j *joint) noteEarlyDataResult(m, peer *machine, data string, r EarlyDataResult) {
	if r.Elsewhere && peer.history.savedInVain {
		// The peer has noted that it delivers the data, and then failed. This end is
		// told that it was delivered, and the peer's application does not have it.
		return
	}
	_, delivered := peer.history.early[data]
	if r.Fate == EarlyDataDelivered && !delivered || r.Fate == EarlyDataRejected && delivered {
		j.violate("early data", "%s is told %v, delivered: %t", m.name, r.Fate, delivered)
	}
	if r.Fate == EarlyDataRejected {
		m.history.early[data] = EarlyDataRejected
	}
}

// held is what a session holds that it has to erase at some time.
type held struct {
	groups  []*mls.Group
	secrets []*trafficSecrets
}

func heldBy(s *Session) held {
	var h held
	if s.group != nil {
		h.groups = append(h.groups, s.group)
	}
	if s.pair != nil {
		h.groups = append(h.groups, s.pair.PQ())
	}
	if s.secrets != nil {
		h.secrets = append(h.secrets, s.secrets)
	}
	if p := s.pending; p != nil {
		h.groups = append(h.groups, p.group)
		if p.pair != nil {
			h.groups = append(h.groups, p.pair.PQ())
		}
		if p.secrets != nil {
			h.secrets = append(h.secrets, p.secrets)
		}
	}
	return h
}

// checkErased checks that a session holds nothing but what it needs, and has
// erased what it held before and needs no more.
func (j *joint) checkErased(m *machine, before held, s *Session) {
	now := heldBy(s)
	for _, g := range before.groups {
		if !contains(now.groups, g) && !isErased(g) {
			j.violate("erasure", "%s (%v): a past epoch is not erased", m.name, s.state)
		}
	}
	for _, t := range before.secrets {
		if !contains(now.secrets, t) && !(allZero(t.send) && allZero(t.receive) && allZero(t.exporter) && allZero(t.early)) {
			j.violate("erasure", "%s (%v): the traffic secrets of a past epoch are not erased", m.name, s.state)
		}
	}
	if s.state == StateClosed && (len(now.groups) > 0 || len(now.secrets) > 0) {
		j.violate("erasure", "%s holds an epoch after its end", m.name)
	}
	if s.group != nil && !exporterErased(s.group) {
		j.violate("erasure", "%s (%v): the exporter secret is not erased", m.name, s.state)
	}
	if p := s.pending; p != nil && p.secrets != nil && !exporterErased(p.group) {
		j.violate("erasure", "%s (%v): the exporter secret of the epoch to come is not erased", m.name, s.state)
	}
	// What the driver has is nil here. That leaves one secret that waits for the
	// peer's KeySwitch.
	if s.state.complete() {
		waits := s.state == StateAcknowledged || s.state == StateAcknowledgedUpdating
		if s.secrets.send != nil || (s.secrets.receive != nil) != waits {
			j.violate("erasure", "%s (%v): keeps a traffic secret that the driver has", m.name, s.state)
		}
	}
}

func contains[T comparable](all []T, x T) bool {
	for _, y := range all {
		if x == y {
			return true
		}
	}
	return false
}

func isErased(g *mls.Group) bool {
	_, err := g.Marshal()
	return errors.Is(err, mls.ErrErased) && g.EpochAuthenticator() == nil
}

func exporterErased(g *mls.Group) bool {
	_, err := g.Export(labelClientTraffic, nil, 32)
	return errors.Is(err, mls.ErrErased)
}

func allZero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

// checkSaved checks that what a session goes by is in the store before anything
// that follows from it is sent, unless another connection has taken it over.
func (j *joint) checkSaved(m *machine, s *Session) {
	stored, ok := m.store.sessions[s.id]
	if !s.kept || !ok || stored.Version != s.version {
		return
	}
	if sum := m.summaryOf(s.id); sum.epoch != s.epoch() || sum.pending != s.pending.epoch() || sum.role != s.role {
		j.violate("saved", "%s (%v): epoch %d is in the store, or another pending commit, while the session is in epoch %d", m.name, s.state, sum.number, s.Epoch())
	}
}

// checkStores checks that both machines keep the session that they have from the
// beginning, unless somebody has refused it.
func (j *joint) checkStores() {
	for _, m := range j.machines {
		if j.keepsSession && !j.refused && !contains(m.sessions(), j.original) {
			j.violate("session", "%s has lost the session", m.name)
		}
	}
}
