package mls

import (
	"bytes"
	"errors"
	"testing"
)

func (c *crowd) observer(by int) *Observer {
	c.t.Helper()
	info, err := c.members[by].g.GroupInfo(GroupInfoOptions{WithoutExternalPub: true, WithoutTree: c.apart})
	if err != nil {
		c.t.Fatal(err)
	}
	var tree []byte
	if c.apart {
		tree = c.members[by].g.RatchetTree()
	}
	o, err := NewObserver(c.newClient().cfg, info, tree)
	if err != nil {
		c.t.Fatal(err)
	}
	return o
}

func (c *crowd) wantSameView(o *Observer) {
	c.t.Helper()
	g := c.members[0].g
	if o.Epoch() != g.Epoch() || !bytes.Equal(o.GroupID(), g.GroupID()) || !bytes.Equal(o.TreeHash(), g.TreeHash()) ||
		!bytes.Equal(o.RatchetTree(), g.RatchetTree()) || !bytes.Equal(o.encodedContext, g.encodedContext) ||
		!bytes.Equal(o.interimTranscriptHash, g.interimTranscriptHash) || len(o.Members()) != len(g.Members()) {
		c.t.Errorf("the observer, in epoch %d, has another view than the members in epoch %d", o.Epoch(), g.Epoch())
	}
}

// restored returns the observer that comes back after o was stored.
func (o *Observer) restored(t failer) *Observer {
	t.Helper()
	state := o.Marshal()
	again, err := RestoreObserver(o.cfg, state)
	if err != nil {
		t.Fatalf("the observer in epoch %d does not come back: %v", o.Epoch(), err)
	}
	if !bytes.Equal(again.Marshal(), state) {
		t.Errorf("the observer in epoch %d is another after it was stored", o.Epoch())
	}
	return again
}

// The one that is apart gets the tree by itself, and is restarted before each message.
func TestObserverFollowsAGroup(t *testing.T) {
	for _, apart := range []bool{false, true} {
		c := newCrowd(t, suite1, 4)
		c.format, c.apart = WireFormatPublicMessage, apart
		o := c.observer(2)
		c.wantSameView(o)
		restart := func() {
			t.Helper()
			if apart {
				o = o.restored(t)
				c.wantSameView(o)
			}
		}
		follow := func(message []byte) {
			t.Helper()
			restart()
			received, err := o.Process(message)
			if err != nil {
				t.Fatal(err)
			}
			o = received.(*ObservedCommit).Observer()
		}
		observe := func(message []byte) {
			t.Helper()
			restart()
			if received, err := o.Process(message); err != nil {
				t.Fatal(err)
			} else if _, ok := received.(*ReceivedProposal); !ok {
				t.Fatalf("received %T", received)
			}
		}
		deliver := func(by int, options CommitOptions) {
			t.Helper()
			options.WireFormat, options.WithoutTree = c.format, apart
			pending, err := c.members[by].g.Commit(options)
			if err != nil {
				t.Fatal(err)
			}
			follow(pending.Message())
			c.deliver(by, pending)
			c.wantSameView(o)
		}
		deliver(0, CommitOptions{})
		observe(c.propose(1, &Remove{Removed: 3}))
		observe(c.proposeUpdate(2, LeafChanges{}))
		deliver(0, CommitOptions{Proposals: []Proposal{c.invite(LeafOptions{})}})
		joiner := c.newClient()
		pending := c.externalJoin(0, joiner, ExternalJoinOptions{})
		follow(pending.Message())
		for i, m := range c.members {
			m.adopt(c.process(i, pending.Message()).(*ReceivedCommit).Group())
		}
		joiner.g = pending.Group()
		c.members = append(c.members, joiner)
		c.checkAgreement()
		c.wantSameView(o)
	}
}

func TestObserverRefusesWhatItCannotFollow(t *testing.T) {
	c := newCrowd(t, suite1, 3)
	o := c.observer(0)
	view := o.RatchetTree()
	application := must(c.members[0].g.Protect(nil, nil))
	unseen := must(c.members[1].g.Propose(&Remove{Removed: 2}, ProposeOptions{WireFormat: WireFormatPublicMessage}))
	c.process(0, unseen)
	pending, err := c.members[0].g.Commit(CommitOptions{WireFormat: WireFormatPublicMessage})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Process(application); !errors.Is(err, ErrUnsupported) {
		t.Errorf("private message: error %v, want ErrUnsupported", err)
	}
	_, err = o.Process(pending.Message())
	wantCheck(t, err, CheckProposalUnknownRef)
	if _, err := o.Process(unseen); err != nil {
		t.Fatal(err)
	}
	spoilt := bytes.Clone(pending.Message())
	spoilt[40] ^= 1
	if _, err := o.Process(spoilt); err == nil {
		t.Error("a changed commit is accepted")
	}
	if !bytes.Equal(o.RatchetTree(), view) || o.Epoch() != 1 {
		t.Error("the observer changed")
	}
	if _, err := o.Process(pending.Message()); err != nil {
		t.Errorf("the genuine commit: %v", err)
	}
	blank := c.forge(1, ContentProposal, WireFormatPublicMessage, func(a *authenticatedContent) {
		a.content.proposal, a.content.sender.Leaf = &Remove{Removed: 0}, 9
	})
	_, err = o.Process(blank)
	wantCheck(t, err, CheckSenderBlank)
}
