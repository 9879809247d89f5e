package mls

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Members come and go, update and heal in any mixture of ways, are restarted at
// any time and give commits up: those who should be members always agree.
func TestRandomHistoriesKeepTheMembersTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := emptyCrowd(t, suite1)
		c.configure = func(cfg *Config) { cfg.SelfRemove = true }
		c.as = multiService(acceptAll{})
		w := c.newWallet()
		c.identify = func(m *client) { // in turn with one credential, with two, and with two of which one is enough
			if n := c.made % 3; n > 0 {
				m.id = w.show(n == 2, m.id.Signer, m.name, m.name+" at work")
			}
		}
		c.found(GroupOptions{})
		n := rapid.IntRange(0, 3).Draw(t, "further members")
		if rapid.IntRange(0, 31).Draw(t, "many") > 29 { // seldom, since each processes what each of them sends
			n += 20
		}
		if n > 0 {
			c.add(0, n)
		}
		for range rapid.IntRange(1, 4).Draw(t, "epochs") {
			randomEpoch(t, c)
		}
		c.checkMessages()
	})
}

func randomEpoch(t *rapid.T, c *crowd) {
	chance := func(what string, percent int) bool { return rapid.IntRange(1, 100).Draw(t, what) <= percent }
	someone := func(what string) int { return rapid.IntRange(0, len(c.members)-1).Draw(t, what) }

	committer := someone("committer")
	expected := make(map[string]bool)
	var byValue []Proposal
	propose := func(p Proposal) {
		if chance("by value", 50) {
			byValue = append(byValue, p)
		} else {
			c.propose(someone("proposer"), p)
		}
	}
	c.format = WireFormatPrivateMessage
	if chance("public", 50) {
		c.format = WireFormatPublicMessage
	}
	c.apart = chance("tree apart", 30)
	if chance("messages", 30) {
		c.checkMessages()
	}
	if chance("components", 30) {
		c.checkComponents(someone("signer"), someone("reader"))
	}
	for i, m := range c.members {
		expected[m.name] = true
		switch {
		case chance("updates", 25):
			c.proposeUpdate(i, LeafChanges{})
		case i != committer && chance("leaves", 25):
			if m.cfg.SelfRemove && chance("by itself", 50) {
				c.leaves(i)
			} else {
				propose(&Remove{Removed: m.g.OwnLeaf()})
			}
			delete(expected, m.name)
		}
	}
	if len(c.members) < 8 {
		for range rapid.IntRange(0, 3).Draw(t, "joiners") {
			propose(c.invite(LeafOptions{}))
			expected[c.invited[len(c.invited)-1].name] = true
		}
	}
	if chance("restart", 40) {
		c.restart()
	}
	o := CommitOptions{Proposals: byValue, OmitPath: chance("no path", 30), WireFormat: c.format, WithoutTree: c.apart}
	pending, err := c.members[committer].g.Commit(o)
	if err != nil {
		t.Fatal(err)
	}
	if chance("give up", 30) {
		for i := range c.members {
			if i != committer && chance("received", 50) {
				c.process(i, pending.Message()).(*ReceivedCommit).Erase()
			}
		}
		pending.Erase()
		if pending, err = c.members[committer].g.Commit(o); err != nil {
			t.Fatal(err)
		}
	}
	c.deliver(committer, pending)
	got := make(map[string]bool)
	for _, m := range c.members {
		got[m.name] = true
	}
	if !maps.Equal(got, expected) {
		t.Fatalf("members are %v, want %v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(expected)))
	}
	for _, m := range c.members[0].g.Members() {
		if name := nameIn(t, &m.Leaf.Credential); !expected[name] {
			t.Fatalf("leaf %d belongs to %s", m.Index, name)
		}
	}
}
