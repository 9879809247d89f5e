package mls

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Whatever a network does to what the members of a pair of groups send, and whatever fails on the
// way: those of one epoch agree on both groups, a message counts once, half a commit counts for
// nothing, whoever has missed something catches up, and a failure changes nothing.
func TestRandomHistoriesOfAPairOnABadNetwork(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := newAPQHistory(t)
		actions := []func(){
			h.deliverOne, h.deliverOne, h.deliverOne, h.deliverOne, h.deliverOne,
			h.say, h.say,
			h.commit, h.commit, h.commit,
			h.deliverHalf,
			h.lose,
			h.restartOne,
			h.catchUpOne,
		}
		for range rapid.IntRange(10, 40).Draw(t, "steps") {
			actions[h.below("action", len(actions))]()
		}
		h.end()
	})
}

// An apqHistory draws what happens. Its delivery service takes the first commit of each epoch of
// the traditional group, and is able to repeat it.
type apqHistory struct {
	*apqCrowd
	rt      *rapid.T
	faults  *faults
	here    []*apqEndpoint
	head    uint64
	commits map[uint64]*letter // those that were taken, by the epoch of the traditional group
	other   map[uint64][]byte  // full commits that came too late, by the same
	facts   map[uint64][]byte  // what the members of an epoch agree on
	said    int
}

type apqEndpoint struct {
	*apqClient
	inbox   []*letter
	seen    map[*letter]bool
	pending *APQPendingCommit // its own that was taken, and has not come back yet
}

func newAPQHistory(t *rapid.T) *apqHistory {
	h := &apqHistory{
		apqCrowd: newAPQCrowd(t, rapid.IntRange(2, 3).Draw(t, "members")), rt: t, faults: &faults{after: -1},
		commits: make(map[uint64]*letter), other: make(map[uint64][]byte), facts: make(map[uint64][]byte),
	}
	h.head = h.members[0].g.T().Epoch()
	for _, m := range h.members {
		h.enter(m)
	}
	return h
}

func (h *apqHistory) below(what string, n int) int { return rapid.IntRange(0, n-1).Draw(h.rt, what) }

func (h *apqHistory) chance(what string, percent int) bool { return h.below(what, 100) < percent }

func (h *apqHistory) someone() *apqEndpoint { return h.here[h.below("member", len(h.here))] }

// enter makes a client with a state a member that has heard nothing yet, and whose randomness and
// Authentication Service may fail.
func (h *apqHistory) enter(m *apqClient) {
	m.cfg.Rand, m.cfg.AuthenticationService = faultyReader{m.cfg.Rand, h.faults}, faultyService{h.faults}
	entered := &apqEndpoint{apqClient: m, seen: make(map[*letter]bool)}
	h.reopen(entered)
	h.here = append(h.here, entered)
	h.learn(entered)
}

// reopen has a member go on from what it has saved.
func (h *apqHistory) reopen(m *apqEndpoint) {
	h.t.Helper()
	g, err := RestoreAPQGroup(m.cfg, m.g.t.signer, m.g.pq.signer, mustMarshalAPQ(h.t, m.g))
	if err != nil {
		h.t.Fatalf("%s restores: %v", m.name, err)
	}
	m.g = g
}

// learn checks that a member agrees with all others of its epoch, on both groups.
func (h *apqHistory) learn(m *apqEndpoint) {
	h.t.Helper()
	t, pq := m.g.T(), m.g.PQ()
	got := slices.Concat(t.EpochAuthenticator(), t.encodedContext, pq.EpochAuthenticator(), pq.encodedContext)
	if want, ok := h.facts[t.Epoch()]; ok && !bytes.Equal(got, want) {
		h.t.Fatalf("%s, in epochs %d and %d, does not agree with the others", m.name, t.Epoch(), pq.Epoch())
	}
	h.facts[t.Epoch()] = got
}

// try runs what a member does, at first with a fault after some calls now and then. If the
// fault matters, do has failed, and then the member's state is as it was if unchanged says so.
func (h *apqHistory) try(m *apqEndpoint, what string, unchanged bool, do func() error) {
	h.t.Helper()
	if h.chance("a fault", 25) {
		before := mustMarshalAPQ(h.t, m.g)
		h.faults.after, h.faults.hit = h.below("calls before the fault", 12), false
		err := do()
		hit := h.faults.hit
		h.faults.after = -1
		if err == nil {
			return
		}
		if !hit {
			h.t.Fatalf("%s %s: %v", m.name, what, err)
		}
		if unchanged && !bytes.Equal(mustMarshalAPQ(h.t, m.g), before) {
			h.t.Fatalf("%s %s: a fault has changed the state", m.name, what)
		}
	}
	if err := do(); err != nil {
		h.t.Fatalf("%s %s: %v", m.name, what, err)
	}
}

func (h *apqHistory) send(l *letter) {
	for _, m := range h.here {
		m.inbox = append(m.inbox, l)
	}
}

func (h *apqHistory) say() {
	m := h.someone()
	h.said++
	l := &letter{kind: ContentApplication, epoch: m.g.T().Epoch(), from: m.name, data: fmt.Sprintf("number %d", h.said)}
	h.try(m, "speaks", false, func() (err error) {
		l.message, err = m.g.Protect([]byte(l.data), nil)
		return err
	})
	h.send(l)
}

// commit has a member make a commit of any kind. The first one of an epoch leads on.
func (h *apqHistory) commit() {
	m := h.someone()
	if m.pending != nil {
		return
	}
	o := APQCommitOptions{Full: h.chance("full", 40)}
	o.T.WireFormat = []WireFormat{WireFormatPrivateMessage, WireFormatPublicMessage}[h.below("format", 2)]
	if members := m.g.T().Members(); h.chance("somebody is removed", 15) && len(members) > 2 {
		if gone := members[h.below("leaf", len(members))].Index; gone != m.g.T().OwnLeaf() {
			o.Remove = []LeafIndex{gone}
		}
	}
	if len(m.g.T().Members()) < 4 && h.chance("somebody is added", 15) {
		o.Add = h.invite(1)
	}
	var pending *APQPendingCommit
	h.try(m, "commits", false, func() (err error) {
		pending, err = m.g.Commit(o)
		return err
	})
	joiners := h.invited
	h.invited = nil
	l := &letter{kind: ContentCommit, epoch: m.g.T().Epoch(), from: m.name, message: pending.Message()}
	if l.epoch != h.head || h.commits[l.epoch] != nil {
		if pending.Full() {
			h.other[l.epoch] = l.message
		}
		pending.Erase()
		return
	}
	h.commits[l.epoch], m.pending = l, pending
	h.send(l)
	h.head++
	for _, joiner := range joiners {
		var err error
		if joiner.g, err = JoinAPQ(joiner.cfg, pending.Welcome(), joiner.bundle, APQJoinOptions{}); err != nil {
			h.t.Fatalf("%s joins: %v", joiner.name, err)
		}
		h.enter(joiner)
	}
}

// deliverOne gives a member any of its letters, and leaves a copy now and then.
func (h *apqHistory) deliverOne() {
	m := h.someone()
	if len(m.inbox) == 0 {
		return
	}
	i := h.below("letter", len(m.inbox))
	l := m.inbox[i]
	if !h.chance("repeated", 20) {
		m.inbox = slices.Delete(m.inbox, i, i+1)
	}
	h.deliver(m, l)
}

// deliver lets a member have a letter, and checks what it makes of it.
func (h *apqHistory) deliver(m *apqEndpoint, l *letter) {
	h.t.Helper()
	own := l.from == m.name
	switch {
	case l.epoch != m.g.T().Epoch():
		h.refuses(m, l.message, ErrWrongEpoch)
	case l.kind == ContentCommit && own:
		if m.pending == nil || !m.pending.Is(l.message) {
			h.t.Fatalf("%s has lost its commit", m.name)
		}
		m.adopt(m.pending.Group())
		m.pending = nil
		h.learn(m)
	case l.kind == ContentApplication && own:
		h.refuses(m, l.message, ErrOwnMessage)
	case l.kind == ContentApplication && m.seen[l]:
		h.refuses(m, l.message, nil)
	default:
		h.accepts(m, l)
	}
}

// refuses checks that a member refuses a message and stays as it was.
func (h *apqHistory) refuses(m *apqEndpoint, message []byte, want error) {
	h.t.Helper()
	before := mustMarshalAPQ(h.t, m.g)
	if received, err := m.g.Process(message); err == nil || want != nil && !errors.Is(err, want) {
		h.t.Fatalf("%s takes what it should refuse: %+v, %v", m.name, received, err)
	}
	if !bytes.Equal(mustMarshalAPQ(h.t, m.g), before) {
		h.t.Fatalf("%s: a refusal has changed the state", m.name)
	}
}

func (h *apqHistory) accepts(m *apqEndpoint, l *letter) {
	h.t.Helper()
	var received *APQReceived
	h.try(m, "processes a letter", true, func() (err error) {
		received, err = m.g.Process(l.message)
		return err
	})
	m.seen[l] = true
	switch r := received.T.(type) {
	case *ReceivedApplication:
		if string(r.Data) != l.data {
			h.t.Fatalf("%s reads %q, %s wrote %q", m.name, r.Data, l.from, l.data)
		}
	case *ReceivedCommit:
		if m.pending != nil {
			h.t.Fatalf("%s: its commit was taken, and another as well", m.name)
		}
		if r.Removed {
			m.g.Erase()
			h.here = slices.DeleteFunc(h.here, func(o *apqEndpoint) bool { return o == m })
			return
		}
		m.adopt(received.Group())
		h.learn(m)
	}
}

// deliverHalf gives a member one half of a full commit, or both halves of different ones.
func (h *apqHistory) deliverHalf() {
	m := h.someone()
	l := h.commits[m.g.T().Epoch()]
	if l == nil || !IsAPQMessagePair(l.message) || l.from == m.name {
		return
	}
	p, err := m.g.t.cfg.parsePair(l.message, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	broken := [][]byte{p.tData, p.pData, joinPair(p.pData, p.tData), joinPair(p.tData, p.tData)}
	if late := h.other[l.epoch]; late != nil {
		q, err := m.g.t.cfg.parsePair(late, 0)
		if err != nil {
			h.t.Fatal(err)
		}
		broken = append(broken, joinPair(p.tData, q.pData), joinPair(q.tData, p.pData))
	}
	h.refuses(m, broken[h.below("half", len(broken))], nil)
}

func (h *apqHistory) lose() {
	m := h.someone()
	if len(m.inbox) > 0 {
		i := h.below("letter", len(m.inbox))
		m.inbox = slices.Delete(m.inbox, i, i+1)
	}
}

// restartOne has a member start anew with what it has saved, its commit too.
func (h *apqHistory) restartOne() {
	m := h.someone()
	var state []byte
	if m.pending != nil {
		var err error
		if state, err = m.pending.Marshal(); err != nil {
			h.t.Fatal(err)
		}
	}
	h.reopen(m)
	if m.pending != nil {
		var err error
		if m.pending, err = m.g.RestorePending(m.g.t.signer, m.g.pq.signer, state); err != nil {
			h.t.Fatalf("%s restores its commit: %v", m.name, err)
		}
	}
}

func (h *apqHistory) catchUpOne() { h.catchUp(h.someone()) }

// catchUp gives a member all commits that it has missed.
func (h *apqHistory) catchUp(m *apqEndpoint) {
	h.t.Helper()
	for slices.Contains(h.here, m) && m.g.T().Epoch() < h.head {
		h.deliver(m, h.commits[m.g.T().Epoch()])
	}
}

// end brings everybody together.
func (h *apqHistory) end() {
	for _, m := range slices.Clone(h.here) {
		h.catchUp(m)
	}
	h.members = nil
	for _, m := range h.here {
		h.members = append(h.members, m.apqClient)
	}
	h.checkAgreement()
	h.apqCrowd.commit(h.below("committer", len(h.members)), APQCommitOptions{Full: h.chance("full", 50)})
	h.checkMessages()
}
