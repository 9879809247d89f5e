package mls

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Whatever members do, in whatever order they hear of it, and whatever fails on
// the way: those of one epoch agree on its secrets, whoever has missed something
// catches up, whoever was removed reads no more, and a failure changes nothing. All that
// also holds where they send fewer signatures, and targeted messages.
func TestRandomHistoriesOnABadNetwork(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fewer, targeted := rapid.Bool().Draw(t, "fewer signatures"), rapid.Bool().Draw(t, "targeted messages")
		h := &history{network: newNetwork(t, fewer, targeted), rt: t}
		actions := h.actions()
		for range rapid.IntRange(10, 120).Draw(t, "steps") {
			actions[rapid.IntRange(0, len(actions)-1).Draw(t, "action")]()
		}
		h.end()
	})
}

// A history draws what happens on a network.
type history struct {
	*network
	rt   *rapid.T
	said int // application messages so far
}

// actions are all that can happen. What should happen more often stands there
// more than once.
func (h *history) actions() []func() {
	return []func(){
		h.deliverOne, h.deliverOne, h.deliverOne, h.deliverOne, h.deliverOne, h.deliverOne,
		h.say, h.say,
		h.sayToSome,
		h.propose, h.propose, h.propose,
		h.commit, h.commit, h.commit,
		h.proposeFromOutside,
		h.joinFromOutside,
		h.restartOne,
		h.catchUpOne,
		h.lose,
	}
}

func (h *history) below(what string, n int) int { return rapid.IntRange(0, n-1).Draw(h.rt, what) }

func (h *history) chance(what string, percent int) bool { return h.below(what, 100) < percent }

func (h *history) someone() *endpoint { return h.endpoints[h.below("member", len(h.endpoints))] }

// fault returns after how many calls one fails. Mostly none does.
func (h *history) fault() int {
	if !h.chance("a fault", 25) {
		return -1
	}
	return h.below("calls before the fault", 12)
}

func (h *history) format() WireFormat {
	return []WireFormat{WireFormatPrivateMessage, WireFormatPublicMessage}[h.below("wire format", 2)]
}

// deliverOne gives a member any of its letters, and leaves a copy now and then.
func (h *history) deliverOne() {
	m := h.someone()
	if len(m.inbox) == 0 {
		return
	}
	i := h.below("letter", len(m.inbox))
	l := m.inbox[i]
	if !h.chance("repeated", 20) {
		m.inbox = slices.Delete(m.inbox, i, i+1)
	}
	h.deliver(m, l, h.fault())
}

func (h *history) lose() {
	m := h.someone()
	if len(m.inbox) > 0 {
		i := h.below("letter", len(m.inbox))
		m.inbox = slices.Delete(m.inbox, i, i+1)
	}
}

func (h *history) catchUpOne() { h.catchUp(h.someone()) }

func (h *history) restartOne() {
	m := h.someone()
	m.g = m.clone(h.t)
	if h.observer != nil && h.chance("the observer", 50) {
		h.observer = h.observer.restored(h.t)
	}
}

func (h *history) say() {
	m := h.someone()
	if h.hasProposals(m) {
		return
	}
	h.said++
	l := &letter{kind: ContentApplication, private: true, epoch: m.g.Epoch(), from: m.name, data: fmt.Sprintf("number %d", h.said)}
	h.try(m, h.fault(), "speaks", func() (err error) {
		l.message, err = m.g.Protect([]byte(l.data), nil)
		return err
	})
	h.send(l)
}

// sayToSome has a member send to some others of its epoch. That does not have to wait for a
// commit.
func (h *history) sayToSome() {
	m := h.someone()
	var others []LeafIndex
	for _, other := range m.g.Members() {
		if other.Index != m.g.OwnLeaf() {
			others = append(others, other.Index)
		}
	}
	if !h.targeted || len(others) == 0 {
		return
	}
	first := h.below("first recipient", len(others))
	h.said++
	l := &letter{private: true, epoch: m.g.Epoch(), from: m.name, data: fmt.Sprintf("number %d", h.said), to: others[first : first+1]}
	several := h.chance("several", 50)
	if several {
		l.to = others[first:]
	}
	before := mustMarshal(h.t, m.g)
	h.try(m, h.fault(), "speaks to some", func() (err error) {
		if several {
			l.message, err = m.g.ProtectToSeveral(l.to, []byte(l.data), nil)
		} else {
			l.message, err = m.g.ProtectTo(l.to[0], []byte(l.data), nil)
		}
		return err
	})
	if !bytes.Equal(mustMarshal(h.t, m.g), before) {
		h.t.Fatalf("%s: sending a targeted message has changed the state", m.name)
	}
	h.send(l)
}

// hasProposals reports whether proposals wait for a commit, so that no
// application data may be sent. RFC 9420, Section 15.2.
func (h *history) hasProposals(m *endpoint) bool { return len(m.g.proposals) > 0 }

// proposal draws a proposal that fits a member's state.
func (h *history) proposal(m *endpoint) Proposal {
	members := m.g.Members()
	switch h.below("proposal", 8) {
	case 0, 1:
		if len(members) < 7 && h.allowsJoiners() {
			_, k := h.invite()
			return &Add{KeyPackage: k}
		}
	case 2:
		if target := members[h.below("leaf", len(members))]; target.Index != m.g.OwnLeaf() {
			return &Remove{Removed: target.Index}
		}
	case 3:
		return paint.NewProposal([]byte{byte(h.below("colour", 256))})
	case 4:
		senders, _ := m.g.Extensions().Find(ExtensionExternalSenders)
		required := &RequiredCapabilities{Extensions: []ExtensionType{colour}[:h.below("required extensions", 2)]}
		formats := WireFormats{furtherFormat}[:h.below("required wire formats", 2)]
		return &GroupContextExtensions{Extensions{{Type: ExtensionExternalSenders, Data: senders}, required.Extension(), formats.Required()}}
	case 5:
		if !h.allowsJoiners() {
			return &PreSharedKey{PSK: PreSharedKeyID{Type: PSKResumption, Usage: ResumptionApplication, Group: m.g.GroupID(), Epoch: m.g.Epoch()}}
		}
	case 6:
		return &PreSharedKey{PSK: PreSharedKeyID{Type: PSKApplication, Component: 0x8001, ID: []byte("shared")}}
	}
	return &PreSharedKey{PSK: PreSharedKeyID{Type: PSKExternal, ID: []byte("shared")}}
}

// allowsJoiners reports whether the current epoch's commit may add somebody. In
// the others it may use a resumption PSK, which a new member does not have.
func (h *history) allowsJoiners() bool { return h.head%3 != 2 }

func (h *history) propose() {
	m := h.someone()
	o := ProposeOptions{WireFormat: h.format()}
	p := h.proposal(m)
	l := &letter{kind: ContentProposal, private: o.WireFormat == WireFormatPrivateMessage, epoch: m.g.Epoch(), from: m.name}
	update := h.chance("update", 40)
	if h.chance("leaves", 10) && m.g.selfRemoveOf(m.g.OwnLeaf()) == nil {
		p, update, l.private, l.selfRemove = &SelfRemove{}, false, false, true
		o.WireFormat = WireFormatPublicMessage
	}
	h.try(m, h.fault(), "proposes", func() (err error) {
		if update {
			l.message, err = m.g.ProposeUpdate(LeafChanges{}, o)
		} else {
			l.message, err = m.g.Propose(p, o)
		}
		return err
	})
	h.send(l)
}

func (h *history) commit() {
	m := h.someone()
	o := CommitOptions{WireFormat: h.format(), WithoutTree: h.chance("tree apart", 30), OmitPath: h.chance("no path", 30)}
	if h.chance("by value", 40) {
		o.Proposals = []Proposal{h.proposal(m)}
	}
	o.WithoutPending = h.chance("nothing by reference", 10)
	var pending *PendingCommit
	h.try(m, h.fault(), "commits", func() (err error) {
		pending, err = m.g.Commit(o)
		return err
	})
	l := &letter{
		message: pending.Message(), kind: ContentCommit, private: o.WireFormat == WireFormatPrivateMessage,
		epoch: m.g.Epoch(), from: m.name, welcome: pending.Welcome(),
	}
	if o.WithoutTree {
		l.tree = pending.RatchetTree()
	}
	if h.take(l, pending.Group()) {
		m.pending = pending
	} else {
		pending.Erase()
	}
}

// proposeFromOutside has the external sender or a new member propose something.
func (h *history) proposeFromOutside() {
	m := h.someone() // whom they ask about the group
	l := &letter{kind: ContentProposal, epoch: m.g.Epoch()}
	var err error
	if h.chance("new member", 40) {
		if !h.allowsJoiners() || len(m.g.Members()) > 6 {
			return
		}
		joiner, _ := h.invite()
		l.from = joiner.name + ", waiting"
		l.message, err = joiner.bundle.ProposeJoin(joiner.cfg, m.g.GroupID(), m.g.Epoch(), nil)
	} else {
		p := h.proposal(m)
		l.from = "authority"
		l.message, err = ProposeAsExternalSender(m.cfg, ExternalProposalOptions{
			Suite: h.suite.ID(), GroupID: m.g.GroupID(), Epoch: m.g.Epoch(), Signer: h.authority,
		}, p)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	h.send(l)
}

// joinFromOutside has a new client, or a member that has lost its state, enter
// by an external commit.
func (h *history) joinFromOutside() {
	from := h.someone()
	members := len(from.g.Members())
	joiner := h.newClient()
	o := ExternalJoinOptions{Identity: joiner.id}
	lost := h.someone()
	resync := h.chance("resync", 50) && lost.pending == nil && lost != from &&
		slices.ContainsFunc(from.g.Members(), func(m Member) bool { return string(m.Leaf.Credential.Identity) == lost.name })
	switch {
	case resync:
		joiner.name = lost.name
		o.Identity.Credential = lost.id.Credential
		joiner.id = o.Identity
		o.Resync = func(leaf *LeafNode) bool { return leaf.Credential.Equal(lost.id.Credential) }
	case members > 6:
		return
	}
	if h.chance("tree apart", 50) {
		o.RatchetTree = from.g.RatchetTree()
	}
	for _, l := range h.letters[from.g.Epoch()] {
		if l.selfRemove {
			o.SelfRemoves = append(o.SelfRemoves, l.message)
		}
	}
	if h.chance("PSK", 30) {
		o.PSKs = []PreSharedKeyID{{Type: PSKExternal, ID: []byte("shared")}}
	}
	info, err := from.g.GroupInfo(GroupInfoOptions{WithoutTree: o.RatchetTree != nil})
	if err != nil {
		h.t.Fatal(err)
	}
	pending, err := JoinExternal(joiner.cfg, info, o)
	if err != nil {
		h.t.Fatalf("%s joins from outside: %v", joiner.name, err)
	}
	l := &letter{message: pending.Message(), kind: ContentCommit, epoch: from.g.Epoch(), from: joiner.name}
	if l.epoch == h.head && h.commits[l.epoch] == nil && resync {
		h.endpoints = slices.DeleteFunc(h.endpoints, func(o *endpoint) bool { return o == lost })
		h.gone = append(h.gone, lost)
	}
	if !h.take(l, pending.Group()) {
		pending.Erase()
		return
	}
	joiner.g = pending.Group()
	h.enter(joiner)
	h.learn(joiner.g)
}

// end brings everybody together.
func (h *history) end() {
	for _, m := range slices.Clone(h.endpoints) {
		h.catchUp(m)
	}
	h.checkGone()
	h.members = nil
	for _, m := range h.endpoints {
		h.members = append(h.members, m.client)
		if m.pending != nil {
			h.t.Fatalf("%s still waits for its commit", m.name)
		}
	}
	if h.chance("restart", 50) {
		h.restart()
	}
	h.crowd.commit(h.below("committer", len(h.members)), CommitOptions{WithoutPending: true})
	h.checkMessages()
	h.succeed()
}

// succeed has the members go on in another group: all of them after a ReInit, or
// some of them in a branch.
func (h *history) succeed() {
	creator := h.members[h.below("creator", len(h.members))]
	branch := h.chance("branch", 50)
	if !branch {
		h.crowd.commit(h.below("closer", len(h.members)), CommitOptions{WithoutPending: true, Proposals: []Proposal{&ReInit{
			GroupID: []byte("the new group"), Version: MLS10, CipherSuite: h.suite.ID(), Extensions: creator.g.Extensions(),
		}}})
	}
	old := make(map[string]*Group)
	o := SuccessorOptions{WithoutTree: h.chance("tree apart", 50)}
	h.crowd.invited = nil
	for _, m := range h.members {
		old[m.name] = m.g
		if m == creator || branch && h.chance("stays behind", 30) {
			continue
		}
		again := &client{name: m.name, cfg: m.cfg, id: Identity{Credential: m.id.Credential, Signer: m.id.Signer}}
		again.bundle = h.keyPackage(again)
		o.KeyPackages = append(o.KeyPackages, h.verified(again.bundle))
		h.crowd.invited = append(h.crowd.invited, again)
	}
	succeed := creator.g.ReInitialize
	if branch {
		succeed = creator.g.Branch
	}
	pending, err := succeed(o)
	if err != nil {
		h.t.Fatalf("branch %t: %v", branch, err)
	}
	next := &crowd{t: h.t, suite: h.suite, members: []*client{{name: creator.name, cfg: creator.cfg, id: creator.id, g: pending.Group()}}}
	for _, joiner := range h.crowd.invited {
		join := JoinOptions{Previous: old[joiner.name]}
		if o.WithoutTree {
			join.RatchetTree = pending.RatchetTree()
		}
		if joiner.g, err = Join(joiner.cfg, pending.Welcome(), joiner.bundle, join); err != nil {
			h.t.Fatalf("%s, branch %t: %v", joiner.name, branch, err)
		}
		next.members = append(next.members, joiner)
	}
	next.checkAgreement()
	next.checkMessages()
	if branch {
		h.checkMessages() // the old group lives on
	}
}
