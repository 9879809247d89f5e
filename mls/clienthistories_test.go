package mls

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever clients do, in whatever order they hear of it, whatever their stores and
// sources of randomness do, and whenever they crash: members of one epoch agree on
// it, late messages are read once, whoever has missed something catches up, whoever
// was removed reads no more, and nothing is ever half done.
func TestRandomHistoriesOfClients(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := newClientHistory(t)
		actions := h.actions()
		for range rapid.IntRange(20, 150).Draw(t, "steps") {
			actions[h.below("action", len(actions))]()
		}
		h.end()
	})
}

// A clientHistory draws what happens to clients on a bad network. Its delivery
// service takes the first commit of each epoch and refuses all others, and is able
// to repeat what it has taken.
type clientHistory struct {
	*fleet
	rt      *rapid.T
	members []*correspondent
	gone    []*endpoint        // with the last state that they had
	waiting map[string]*device // invited, by name
	head    uint64             // the newest epoch
	letters map[uint64][]*letter
	commits map[uint64]*letter // the one that was taken, by the epoch it was sent in
	facts   map[uint64]facts
	said    int
	kept    int // past epochs that clients keep
	// components: clients have components, whose data changes as well.
	components bool

	targeted bool // clients send to one another
}

// A correspondent is a member that gets letters.
type correspondent struct {
	*device
	inbox   []*letter
	seen    map[*letter]bool
	left    map[uint64]time.Time // when it went on from an epoch
	pending *letter              // its own commit
	unsent  bool                 // a proposal of this epoch was saved, and got lost in a crash
}

func newClientHistory(t *rapid.T) *clientHistory {
	h := &clientHistory{
		fleet: &fleet{crowd: emptyCrowd(t, suite1)}, rt: t, waiting: make(map[string]*device), letters: make(map[uint64][]*letter),
		commits: make(map[uint64]*letter), facts: make(map[uint64]facts),
	}
	h.psks["shared"] = []byte("a secret that all clients have")
	h.componentPSKs[componentPSK{0x8001, "shared"}] = []byte("a secret of a component")
	h.components = h.chance("components", 50)
	h.oneSignature, h.targeted = h.chance("fewer signatures", 50), h.chance("targeted messages", 50)
	h.configure = func(cfg *Config) {
		cfg.MaxSkippedAge = -1 // past epochs have a bound of their own
		if h.components {
			componentConfig(cfg)
			cfg.Components = append(cfg.Components, AppAcks())
		}
		cfg.OneSignature, cfg.TargetedMessages = h.oneSignature, h.targeted
	}
	h.options.PastEpochs = []int{0, -1, 1, 3}[h.below("past epochs", 4)]
	h.kept = max(0, h.options.PastEpochs)
	if h.options.PastEpochs == 0 {
		h.kept = DefaultPastEpochs
	}
	h.found(3)
	h.head = h.devices[0].view().Epoch()
	for _, d := range h.devices {
		h.enter(d)
	}
	return h
}

// actions are all that can happen. What should happen more often stands there more
// than once.
func (h *clientHistory) actions() []func() {
	return []func(){
		h.deliverOne, h.deliverOne, h.deliverOne, h.deliverOne, h.deliverOne, h.deliverOne, h.deliverOne,
		h.say, h.say, h.say, h.say,
		h.sayToOne,
		h.propose, h.propose,
		h.commit, h.commit, h.commit, h.commit,
		h.decide,
		h.joinFromOutside,
		h.restartOne,
		h.catchUpOne,
		h.lose,
		h.wait,
	}
}

func (h *clientHistory) below(what string, n int) int {
	return rapid.IntRange(0, n-1).Draw(h.rt, what)
}

func (h *clientHistory) chance(what string, percent int) bool { return h.below(what, 100) < percent }

func (h *clientHistory) someone() *correspondent {
	return h.members[h.below("member", len(h.members))]
}

// sayToOne has a member send to another that is in its epoch, which may read it late.
func (h *clientHistory) sayToOne() {
	from, to := h.someone(), h.someone()
	if !h.targeted || from == to || from.view().Epoch() != to.view().Epoch() {
		return
	}
	h.said++
	l := &letter{
		private: true, epoch: from.view().Epoch(), from: from.name, leaf: from.view().OwnLeaf(),
		data: fmt.Sprintf("number %d", h.said), to: []LeafIndex{to.view().OwnLeaf()}, toName: to.name,
	}
	if h.try(from.device, "speaks to one", func() (err error) {
		if h.chance("in the form for several", 30) {
			l.message, err = from.m.ProtectToSeveral(l.to, []byte(l.data), nil)
		} else {
			l.message, err = from.m.ProtectTo(l.to[0], []byte(l.data), nil)
		}
		return err
	}) {
		h.t.Fatalf("%s saves something to send a targeted message", from.name)
	}
	h.send(l)
}

func (h *clientHistory) enter(d *device) *correspondent {
	m := &correspondent{device: d, seen: make(map[*letter]bool), left: make(map[uint64]time.Time)}
	h.members = append(h.members, m)
	h.learn(d.m.state.group)
	return m
}

// leave notes that a device is a member no more. g is the last state that it had.
func (h *clientHistory) leave(d *device, g *Group) {
	g.proposals = nil // they do not help it to read
	h.members = slices.DeleteFunc(h.members, func(m *correspondent) bool { return m.device == d })
	h.gone = append(h.gone, &endpoint{client: &client{name: d.name, cfg: d.cfg, g: g}})
}

// learn checks that a member agrees with all others of its epoch.
func (h *clientHistory) learn(g *Group) {
	h.t.Helper()
	n := &network{crowd: h.crowd, facts: h.facts}
	n.learn(g)
}

// try has a device do something, which may fail at first: then the device is as it
// was. It may also crash after it has saved what it has done, and before it has got
// the result; crashed says so.
func (h *clientHistory) try(d *device, what string, do func() error) (crashed bool) {
	h.t.Helper()
	failing := []*faults{nil, nil, nil, nil, nil, d.store.faults, d.random, d.store.saves}[h.below("fault", 8)]
	if failing != nil {
		remembered, stored := d.remembers(), d.stored()
		failing.after, failing.hit = 0, false
		if failing != d.store.saves {
			failing.after = h.below("calls before the fault", 8)
		}
		err := do()
		failing.after = -1
		if !failing.hit {
			if err != nil {
				h.t.Fatalf("%s %s: %v", d.name, what, err)
			}
			return false
		}
		if !errors.Is(err, errFault) {
			h.t.Fatalf("%s %s: error %v, want the fault", d.name, what, err)
		}
		if !bytes.Equal(d.remembers(), remembered) {
			h.t.Fatalf("%s %s: a failure has changed what it remembers", d.name, what)
		}
		if failing == d.store.saves {
			return true
		}
		if !maps.Equal(d.stored(), stored) {
			h.t.Fatalf("%s %s: a failure has changed what is stored", d.name, what)
		}
	}
	if err := do(); err != nil {
		h.t.Fatalf("%s %s: %v", d.name, what, err)
	}
	return false
}

// recover starts a member anew after a crash, and reports whether it is one still.
func (h *clientHistory) recover(m *correspondent) bool {
	h.t.Helper()
	if h.chance("notices a conflict", 50) {
		if err := m.m.EraseExpired(background); !errors.Is(err, ErrConflict) {
			h.t.Fatalf("%s goes on after a crash: %v", m.name, err)
		}
	}
	if _, ok := m.stored()[m.m.head()]; ok {
		m.reopen()
		return true
	}
	m.c = m.newClient()
	if _, err := m.c.Open(background, m.m.groupID); !errors.Is(err, ErrNotStored) {
		h.t.Fatalf("%s opens a group that it has left: %v", m.name, err)
	}
	return false
}

// send hands a letter to the delivery service.
func (h *clientHistory) send(l *letter) {
	h.letters[l.epoch] = append(h.letters[l.epoch], l)
	for _, m := range h.members {
		m.inbox = append(m.inbox, l)
	}
}

// take decides on a commit: the first one leads on. It reports whether that is this
// one. Those whom it adds join.
func (h *clientHistory) take(l *letter, next *Group) bool {
	h.t.Helper()
	if l.epoch != h.head || h.commits[l.epoch] != nil {
		return false
	}
	h.commits[l.epoch] = l
	h.send(l)
	h.head++
	h.learn(next)
	for _, member := range next.Members() {
		joiner := h.waiting[string(member.Leaf.Credential.Identity)]
		if joiner == nil || l.welcome == nil {
			continue
		}
		delete(h.waiting, joiner.name)
		crashed := h.try(joiner, "joins", func() (err error) {
			m, err := joiner.c.Join(background, l.welcome, l.tree)
			if err == nil {
				joiner.m = m
			}
			return err
		})
		if crashed {
			h.openOnly(joiner)
		}
		h.enter(joiner)
	}
	return true
}

// openOnly opens the only group that a device has stored.
func (h *clientHistory) openOnly(d *device) {
	h.t.Helper()
	d.c = d.newClient()
	ids, err := d.c.Groups(background)
	if err == nil && len(ids) != 1 {
		err = fmt.Errorf("%d groups", len(ids))
	}
	if err == nil {
		d.m, err = d.c.Open(background, ids[0])
	}
	if err != nil {
		h.t.Fatalf("%s after a crash: %v", d.name, err)
	}
}

func (h *clientHistory) deliverOne() {
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
func (h *clientHistory) deliver(m *correspondent, l *letter) {
	h.t.Helper()
	epoch, own := m.view().Epoch(), l.from == m.name
	switch {
	case l.epoch > epoch:
		m.refuses(l.message, ErrWrongEpoch)
	case l.epoch < epoch && (l.kind != ContentApplication && l.to == nil || !h.keeps(m, l.epoch)):
		m.refuses(l.message, ErrWrongEpoch)
	case l.to != nil && l.toName != m.name:
		m.refuses(l.message, ErrNotRecipient)
	case l.to != nil:
		m.readsTargeted(l.message, l.data, l.leaf)
	case l.kind == ContentApplication && own:
		m.refuses(l.message, ErrOwnMessage)
	case l.kind == ContentApplication && m.seen[l], l.kind == ContentProposal && l.private && m.seen[l] && !own:
		m.refuses(l.message, nil)
	default:
		h.accepts(m, l)
	}
}

// keeps reports whether a member should be able to read what was sent in a past epoch.
func (h *clientHistory) keeps(m *correspondent, epoch uint64) bool {
	left, ok := m.left[epoch]
	return ok && epoch+uint64(h.kept) >= m.view().Epoch() && !left.Before(h.now.Add(-DefaultMaxPastEpochAge))
}

// accepts checks that a member accepts a letter, after the proposals that it missed
// have been repeated if need be.
func (h *clientHistory) accepts(m *correspondent, l *letter) {
	h.t.Helper()
	if l.kind == ContentCommit && l != m.pending {
		h.repeatProposals(m)
	}
	before := m.m.state.group.fork()
	var received Received
	crashed := h.try(m.device, "processes a letter", func() (err error) {
		received, err = m.m.Process(background, l.message)
		return err
	})
	m.seen[l] = true
	stays := !crashed || h.recover(m)
	if a, ok := received.(*ReceivedApplication); ok && string(a.Data) != l.data {
		h.t.Fatalf("%s reads %q, %s wrote %q", m.name, a.Data, l.from, l.data)
	}
	if c, ok := received.(*ReceivedCommit); ok {
		stays = !c.Removed
	}
	if !stays {
		if l.kind != ContentCommit {
			h.t.Fatalf("%s left without a commit", m.name)
		}
		h.fleet.leave(m.device)
		h.leave(m.device, before)
		return
	}
	if l.kind == ContentCommit {
		h.moved(m, l)
	}
	before.Erase()
}

// moved checks that a member has gone where a commit leads.
func (h *clientHistory) moved(m *correspondent, l *letter) {
	h.t.Helper()
	if got := m.view().Epoch(); got != l.epoch+1 {
		h.t.Fatalf("%s is in epoch %d after a commit of epoch %d", m.name, got, l.epoch)
	}
	if out, err := m.m.Pending(); out != nil || err != nil {
		h.t.Fatalf("%s still has a commit pending, %v", m.name, err)
	}
	m.left[l.epoch], m.pending, m.unsent = h.now, nil, false
	h.learn(m.m.state.group)
}

// repeatProposals gives a member all proposals of its epoch that it has missed.
func (h *clientHistory) repeatProposals(m *correspondent) {
	h.t.Helper()
	for _, l := range h.letters[m.view().Epoch()] {
		if l.kind == ContentProposal && !m.seen[l] && l.from != m.name {
			h.accepts(m, l)
		}
	}
}

func (h *clientHistory) lose() {
	m := h.someone()
	if len(m.inbox) > 0 {
		i := h.below("letter", len(m.inbox))
		m.inbox = slices.Delete(m.inbox, i, i+1)
	}
}

func (h *clientHistory) wait() {
	h.now = h.now.Add(time.Duration(h.below("minutes", 40)) * time.Minute)
	m := h.someone()
	if h.try(m.device, "erases what is expired", func() error { return m.m.EraseExpired(background) }) {
		h.recover(m)
	}
}

func (h *clientHistory) restartOne() { h.someone().restart() }

func (h *clientHistory) catchUpOne() { h.catchUp(h.someone()) }

// catchUp gives a member all that it has missed.
func (h *clientHistory) catchUp(m *correspondent) {
	h.t.Helper()
	for slices.Contains(h.members, m) && m.view().Epoch() < h.head {
		h.deliver(m, h.commits[m.view().Epoch()])
	}
}

func (h *clientHistory) say() {
	m := h.someone()
	if len(m.view().PendingProposals()) > 0 { // RFC 9420, Section 15.2
		_, err := m.m.Protect(background, nil, nil)
		wantError(h.t, "speaking among proposals", err, ErrPendingProposals)
		return
	}
	h.said++
	l := &letter{kind: ContentApplication, private: true, epoch: m.view().Epoch(), from: m.name, data: fmt.Sprintf("number %d", h.said)}
	crashed := h.try(m.device, "speaks", func() (err error) {
		l.message, err = m.m.Protect(background, []byte(l.data), nil)
		return err
	})
	if crashed {
		h.recover(m) // and nobody hears it
		return
	}
	h.send(l)
}

// proposal draws a proposal that fits a member's state.
func (h *clientHistory) proposal(m *correspondent) Proposal {
	members := m.view().Members()
	if h.components && h.chance("of a component", 30) {
		return h.componentProposal(m)
	}
	switch h.below("proposal", 5) {
	case 0, 1:
		if len(members) < 6 {
			joiner := h.newDevice()
			joiner.lastResort = h.chance("last resort", 30)
			h.waiting[joiner.name] = joiner
			return joiner.keyPackage()
		}
	case 2:
		if target := members[h.below("leaf", len(members))]; target.Index != m.view().OwnLeaf() {
			return &Remove{Removed: target.Index}
		}
	case 3:
		return &PreSharedKey{PSK: PreSharedKeyID{Type: PSKApplication, Component: 0x8001, ID: []byte("shared")}}
	}
	return &PreSharedKey{PSK: PreSharedKeyID{Type: PSKExternal, ID: []byte("shared")}}
}

// componentProposal draws a proposal of a component.
func (h *clientHistory) componentProposal(m *correspondent) Proposal {
	id := []ComponentID{notesComponent, plainComponent}[h.below("component", 2)]
	d, err := m.view().Extensions().AppDataDictionary()
	if err != nil {
		h.t.Fatal(err)
	}
	switch _, present := d.Find(id); h.below("what of a component", 4) {
	case 0:
		if present {
			return &AppDataUpdate{Component: id, Remove: true}
		}
	case 1:
		ack, err := m.m.AppAck()
		if err != nil {
			h.t.Fatal(err)
		}
		return ack.Proposal()
	}
	return update(id, fmt.Sprint(h.said))
}

func (h *clientHistory) format() WireFormat {
	return []WireFormat{WireFormatPrivateMessage, WireFormatPublicMessage}[h.below("wire format", 2)]
}

func (h *clientHistory) propose() {
	m := h.someone()
	o := ProposeOptions{WireFormat: h.format()}
	l := &letter{kind: ContentProposal, private: o.WireFormat == WireFormatPrivateMessage, epoch: m.view().Epoch(), from: m.name}
	propose := func() (err error) {
		l.message, err = m.m.ProposeUpdate(background, LeafChanges{}, o)
		return err
	}
	switch h.below("what", 3) {
	case 0:
		p := h.proposal(m)
		propose = func() (err error) {
			l.message, err = m.m.Propose(background, p, o)
			return err
		}
	case 1:
		changes := m.newKey()
		propose = func() (err error) {
			l.message, err = m.m.ProposeUpdate(background, changes, o)
			return err
		}
	}
	if h.try(m.device, "proposes", propose) {
		m.unsent = true
		h.recover(m)
		return
	}
	h.send(l)
}

func (h *clientHistory) commit() {
	m := h.someone()
	o := CommitOptions{WireFormat: h.format(), OmitPath: h.chance("no path", 30), WithoutPending: m.unsent || h.chance("nothing by reference", 10)}
	if h.chance("by value", 40) {
		o.Proposals = []Proposal{h.proposal(m)}
	}
	if h.chance("new key", 20) {
		o.Leaf = m.newKey()
	}
	if h.chance("detached", 30) {
		h.commitDetached(m, o)
		return
	}
	if m.pending != nil {
		_, err := m.m.Commit(background, o)
		wantError(h.t, "committing again", err, ErrCommitPending)
		return
	}
	var out *CommitOutput
	crashed := h.try(m.device, "commits", func() (err error) {
		out, err = m.m.Commit(background, o)
		return err
	})
	if crashed {
		h.recover(m)
		var err error
		if out, err = m.m.Pending(); out == nil || err != nil {
			h.t.Fatalf("%s has lost its commit: %v", m.name, err)
		}
	}
	m.pending = &letter{message: out.Commit, kind: ContentCommit, private: o.WireFormat == WireFormatPrivateMessage, epoch: m.view().Epoch(), from: m.name, welcome: out.Welcome}
	h.take(m.pending, m.m.state.pending.next)
}

// commitDetached has a member prepare a commit and, if the service takes it, adopt it.
func (h *clientHistory) commitDetached(m *correspondent, o CommitOptions) {
	var p *PendingCommit
	crashed := h.try(m.device, "prepares a commit", func() (err error) {
		p, err = m.m.CommitDetached(background, o)
		return err
	})
	if crashed {
		h.recover(m) // and the commit is lost
		return
	}
	l := &letter{message: p.Message(), kind: ContentCommit, private: o.WireFormat == WireFormatPrivateMessage, epoch: m.view().Epoch(), from: m.name, welcome: p.Welcome()}
	if !h.take(l, p.next) {
		p.Erase()
		return
	}
	if h.try(m.device, "adopts its commit", func() error { return m.m.Adopt(background, p) }) {
		p.Erase()
		h.recover(m)
	}
	h.moved(m, l)
}

// decide has a member make up its mind on its pending commit.
func (h *clientHistory) decide() {
	m := h.someone()
	l := m.pending
	if l == nil {
		wantError(h.t, "accepting nothing", m.m.Accept(background), ErrNoCommitPending)
		return
	}
	decide, what := m.m.Drop, "drops its commit"
	if h.commits[l.epoch] == l {
		decide, what = m.m.Accept, "accepts its commit"
	}
	if h.try(m.device, what, func() error { return decide(background) }) {
		h.recover(m)
	}
	if h.commits[l.epoch] == l {
		h.moved(m, l)
	}
	m.pending = nil
}

// joinFromOutside has a new client, or a member that begins anew, enter by an
// external commit.
func (h *clientHistory) joinFromOutside() {
	from := h.someone()
	info, err := from.m.GroupInfo(GroupInfoOptions{})
	if err != nil {
		h.t.Fatal(err)
	}
	l := &letter{kind: ContentCommit, epoch: from.view().Epoch()}
	joiner := h.someone().device
	o := ExternalJoinOptions{Resync: func(leaf *LeafNode) bool { return string(leaf.Credential.Identity) == joiner.name }}
	again := h.chance("again", 50) && l.epoch == h.head && joiner != from.device &&
		slices.ContainsFunc(from.view().Members(), func(m Member) bool { return o.Resync(m.Leaf) })
	if !again {
		if len(from.view().Members()) > 5 {
			return
		}
		joiner, o.Resync = h.newDevice(), nil
	}
	o.Identity, l.from = joiner.id, joiner.name
	join := func() error {
		m, message, err := joiner.c.JoinExternal(background, info, o)
		if err == nil {
			joiner.m, l.message = m, message
		}
		return err
	}
	if again { // a crash would leave a leaf behind that nobody has
		before := joiner.m.state.group.fork()
		joiner.do("joins again", join)
		h.leave(joiner, before)
	} else if h.try(joiner, "joins from outside", join) {
		h.openOnly(joiner) // the commit is lost
	}
	if l.message != nil && h.take(l, joiner.m.state.group) {
		h.enter(joiner)
		return
	}
	joiner.do("forgets the group", func() error { return joiner.m.Forget(background) })
}

// end brings everybody together.
func (h *clientHistory) end() {
	for _, m := range slices.Clone(h.members) {
		h.catchUp(m)
	}
	(&network{crowd: h.crowd, gone: h.gone, head: h.head, letters: h.letters}).checkGone()
	h.devices = nil
	for _, m := range h.members {
		m.restart()
		h.devices = append(h.devices, m.device)
		for name := range m.stored() {
			if _, ok := m.m.versions[name]; !ok && strings.HasPrefix(name, groupRecords) {
				h.t.Fatalf("%s: record %s is forgotten", m.name, name)
			}
		}
		if err := m.m.Drop(background); err != nil {
			h.t.Fatal(err)
		}
	}
	h.fleet.commit(h.below("committer", len(h.devices)), CommitOptions{WithoutPending: true})
	h.checkMessages()
}
