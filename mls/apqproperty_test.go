package mls

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Members of a pair of groups come and go, make partial and full commits, cross each
// other's, give them up and are restarted, in any order: they always agree on both
// groups, and a pair moves as a whole or not at all.
func TestRandomHistoriesOfAPair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newAPQCrowd(t, rapid.IntRange(1, 3).Draw(t, "members"))
		c.watched = true
		below := func(what string, n int) int { return rapid.IntRange(0, n-1).Draw(t, what) }
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			by := below("member", len(c.members))
			c.format = []WireFormat{WireFormatPrivateMessage, WireFormatPublicMessage}[below("format", 2)]
			switch below("step", 7) {
			case 0:
				c.restart()
			case 1:
				c.commit(by, APQCommitOptions{Full: true})
			case 2:
				if len(c.members) < 5 {
					c.commit(by, APQCommitOptions{Add: c.invite(1 + below("joiners", 2))})
				}
			case 3:
				if len(c.members) > 1 {
					leaves := c.leaves(by)
					c.commit(by, APQCommitOptions{Remove: leaves[:1+below("leavers", len(leaves))]})
				}
			case 4:
				c.proposeUpdate(by, below("full", 2) == 1)
			case 5:
				c.cross(by, below("other", len(c.members)), below("full", 2) == 1)
			default:
				c.commit(by, APQCommitOptions{})
			}
		}
		c.commit(below("last", len(c.members)), APQCommitOptions{})
		c.checkMessages()
	})
}

// leaves returns those of all members but one.
func (c *apqCrowd) leaves(but int) (leaves []LeafIndex) {
	for i, m := range c.members {
		if i != but {
			leaves = append(leaves, m.g.T().OwnLeaf())
		}
	}
	return leaves
}

// proposeUpdate has a member propose other leaves to everybody.
func (c *apqCrowd) proposeUpdate(by int, full bool) {
	c.t.Helper()
	c.watched = false // an observer of which something would have to be known before
	defer func() { c.watched = true }()
	message, err := c.members[by].g.ProposeUpdate(full, LeafChanges{}, LeafChanges{}, ProposeOptions{WireFormat: c.format})
	if err != nil {
		c.t.Fatal(err)
	}
	for _, m := range c.members {
		if _, err := m.g.Process(message); err != nil {
			c.t.Fatalf("%s: %v", m.name, err)
		}
	}
	// What was proposed has to be committed before there can be data.
	committer := slices.IndexFunc(c.members, func(m *apqClient) bool { return m != c.members[by] })
	if committer < 0 {
		committer = by
	}
	c.commit(committer, APQCommitOptions{Full: full})
}

// cross has two members commit to one epoch, of which the first one counts.
func (c *apqCrowd) cross(first, second int, full bool) {
	c.t.Helper()
	var pending [2]*APQPendingCommit
	for i, by := range []int{first, second} {
		var err error
		if pending[i], err = c.members[by].g.Commit(APQCommitOptions{Full: full == (i == 1), T: CommitOptions{WireFormat: c.format}}); err != nil {
			c.t.Fatal(err)
		}
	}
	c.deliver(first, pending[0])
	pending[1].Erase()
	for i, m := range c.members {
		if _, err := m.g.Process(pending[1].Message()); !errors.Is(err, ErrWrongEpoch) && !(i == second && errors.Is(err, ErrOwnMessage)) {
			c.t.Errorf("%s: error %v, want %v", m.name, err, ErrWrongEpoch)
		}
	}
}
