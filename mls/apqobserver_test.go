package mls

import (
	"bytes"
	"errors"
	"testing"
)

// An observer follows partial and full commits, and proposals for one group and both.
func TestObserversFollowAPair(t *testing.T) {
	c := newAPQCrowd(t, 3)
	c.format = WireFormatPublicMessage
	o := c.observer(0)
	see := func(message []byte) *APQObserved {
		t.Helper()
		seen, err := o.Process(message)
		if err != nil {
			t.Fatal(err)
		}
		if next := seen.Observer(); next != nil {
			o = next
		}
		return seen
	}
	for _, full := range []bool{false, true} {
		message, err := c.members[1].g.ProposeUpdate(full, LeafChanges{}, LeafChanges{}, ProposeOptions{WireFormat: c.format})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range c.members {
			if _, err := m.g.Process(message); err != nil {
				t.Fatal(err)
			}
		}
		if seen := see(message); seen.Observer() != nil || (seen.PQ != nil) != full {
			t.Errorf("a proposal is seen as %+v", seen)
		}
		pending := c.commit(0, APQCommitOptions{Full: full})
		if seen := see(pending.Message()); (seen.PQ != nil) != full {
			t.Errorf("a commit is seen as %+v", seen)
		}
		c.wantSameView(o)
	}
	see(c.commit(2, APQCommitOptions{Remove: []LeafIndex{1}, Add: c.invite(2)}).Message())
	c.wantSameView(o)
	// Who comes from outside makes a full commit.
	joiner := c.newClient()
	info, err := c.members[0].g.GroupInfo(GroupInfoOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pending, err := JoinAPQExternal(joiner.cfg, info, APQExternalJoinOptions{T: ExternalJoinOptions{Identity: joiner.id}, PQ: ExternalJoinOptions{Identity: joiner.id}})
	if err != nil {
		t.Fatal(err)
	}
	joiner.g = pending.Group()
	for _, m := range c.members {
		received, err := m.g.Process(pending.Message())
		if err != nil {
			t.Fatal(err)
		}
		m.adopt(received.Group())
	}
	c.members = append(c.members, joiner)
	see(pending.Message())
	c.wantSameView(o)
}

// An observer refuses what members do, where that takes no secrets, and is as it was.
func TestObserversOfPairsRefuse(t *testing.T) {
	c := newAPQCrowd(t, 3)
	c.format = WireFormatPublicMessage
	o := c.observer(0)
	public := CommitOptions{WireFormat: WireFormatPublicMessage}
	commit := func(g *Group, proposals ...Proposal) []byte {
		t.Helper()
		options := public
		options.Proposals = proposals
		p, err := g.Commit(options)
		if err != nil {
			t.Fatal(err)
		}
		return p.Message()
	}
	full := func() *apqPair {
		t.Helper()
		p, err := c.members[0].g.Commit(APQCommitOptions{Full: true, T: public})
		if err != nil {
			t.Fatal(err)
		}
		pair, err := c.members[0].g.t.cfg.parsePair(p.Message(), 0)
		if err != nil {
			t.Fatal(err)
		}
		return pair
	}
	a := full()
	t0, pq0 := c.members[0].g.t, c.members[0].g.pq.Group
	after := c.members[0].g.Info()
	after.TEpoch, after.PQEpoch = t0.Epoch()+1, pq0.Epoch()+1
	updates := apqUpdates(c.members[0].g.Info(), after)
	propose := func(g *Group, p Proposal) []byte {
		t.Helper()
		message, err := g.Propose(p, ProposeOptions{WireFormat: WireFormatPublicMessage})
		if err != nil {
			t.Fatal(err)
		}
		return message
	}
	broken := bytes.Clone(a.tData)
	broken[len(broken)-100] ^= 1
	for _, e := range []struct {
		name    string
		message []byte
		check   Check // or
		want    error
	}{
		{"no key named", joinPair(commit(t0, updates...), a.pData), CheckAPQPSK, nil},
		{"no APQInfo in one half", joinPair(a.tData, commit(pq0)), CheckAPQInfoEqual, nil},
		{"the post-quantum half alone", a.pData, CheckAPQAlone, nil},
		{"the traditional half alone", a.tData, CheckAPQPartial, nil},
		{"an Add alone", commit(t0, &Add{KeyPackage: c.invite(1)[0].T}), CheckAPQPartial, nil},
		{"a Remove proposed", propose(c.members[1].g.t, &Remove{Removed: 2}), CheckAPQProposal, nil},
		{"a pair of Removes", joinPair(propose(c.members[1].g.t, &Remove{Removed: 2}), propose(c.members[1].g.pq.Group, &Remove{Removed: 2})), CheckAPQProposal, nil},
		{"a proposal and a commit", joinPair(propose(c.members[1].g.t, &Remove{Removed: 2}), a.pData), CheckAPQHalves, nil},
		{"halves in each other's place", joinPair(a.pData, a.tData), "", ErrWrongGroup},
		{"a signature changed", joinPair(broken, a.pData), "", nil},
		{"private messages", c.privatePair(), "", ErrUnsupported},
		{"nothing", nil, "", nil},
	} {
		before := [2]int{len(o.t.proposals), len(o.pq.proposals)}
		seen, err := o.Process(e.message)
		switch {
		case err == nil:
			t.Errorf("%s: seen as %+v", e.name, seen)
		case e.check != "":
			wantCheck(t, err, e.check)
		case e.want != nil && !errors.Is(err, e.want):
			t.Errorf("%s: error %v, want %v", e.name, err, e.want)
		}
		if got := [2]int{len(o.t.proposals), len(o.pq.proposals)}; got != before {
			t.Errorf("%s: the observer remembers %v proposals, and %v before", e.name, got, before)
		}
	}
	if seen, err := o.Process(joinPair(a.tData, a.pData)); err != nil || seen.Observer() == nil {
		t.Errorf("the right one: %+v, %v", seen, err)
	}
	for _, wrong := range []*Config{{}, c.newClient().cfg} {
		if _, err := NewAPQObserver(wrong, a.tData); err == nil {
			t.Error("an observer begins with a commit")
		}
	}
	for half, b := range map[string]badPair{
		"another mode":         {info: func(info *APQInfo) { info.Mode = APQAuthenticity }},
		"hybrid, post-quantum": {pq: 0xF002},
	} {
		bad := newAPQCrowd(t, 1)
		g, pq, _ := b.found(bad)
		if _, err := NewAPQObserver(bad.newClient().cfg, joinPair(must(g.GroupInfo(GroupInfoOptions{})), must(pq.GroupInfo(GroupInfoOptions{})))); err == nil {
			t.Errorf("%s: observed", half)
		}
	}
}

// privatePair returns a full commit that only members can read.
func (c *apqCrowd) privatePair() []byte {
	c.t.Helper()
	p, err := c.members[0].g.Commit(APQCommitOptions{Full: true})
	if err != nil {
		c.t.Fatal(err)
	}
	return p.Message()
}
