package mls

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Members come and go while components change their data in all ways, by value and
// by reference: the dictionary is what the commits make of it, at all members, at
// an observer and after a restart.
func TestRandomHistoriesOfComponents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := emptyCrowd(t, suite1)
		c.configure = func(cfg *Config) {
			componentConfig(cfg)
			cfg.Components = append(cfg.Components, AppAcks())
		}
		c.found(GroupOptions{})
		c.add(0, rapid.IntRange(1, 3).Draw(t, "members"))
		h := &componentHistory{t, c, make(map[ComponentID]*string)}
		for range rapid.IntRange(1, 5).Draw(t, "epochs") {
			if h.chance("others", 30) {
				randomEpoch(t, c)
			} else {
				h.epoch()
			}
			for _, id := range []ComponentID{notesComponent, plainComponent} {
				want := ""
				if h.entries[id] != nil {
					want = *h.entries[id]
				}
				c.wantEntry(id, want)
			}
		}
		c.checkMessages()
	})
}

// A componentHistory draws what happens to components, and knows what they should have.
type componentHistory struct {
	t       *rapid.T
	c       *crowd
	entries map[ComponentID]*string // nil: none
}

func (h *componentHistory) chance(what string, percent int) bool {
	return rapid.IntRange(1, 100).Draw(h.t, what) <= percent
}

func (h *componentHistory) someone(what string) int {
	return rapid.IntRange(0, len(h.c.members)-1).Draw(h.t, what)
}

// proposals draws proposals that go together, in any order. outside says that
// they are of somebody who is not a member.
func (h *componentHistory) proposals(outside bool) []Proposal {
	var all []Proposal
	for _, id := range []ComponentID{notesComponent, plainComponent} {
		n := rapid.IntRange(0, 3).Draw(h.t, "updates")
		mayRemove := h.entries[id] != nil && !(outside && id == notesComponent)
		if mayRemove && h.chance("removed", 20) {
			all = append(all, &AppDataUpdate{Component: id, Remove: true})
			n = 0
		}
		for i := range n {
			all = append(all, update(id, fmt.Sprintf("%d.%d", h.c.members[0].g.Epoch(), i)))
		}
		if h.chance("ephemeral", 30) {
			all = append(all, &AppEphemeral{Component: id, Data: []byte("once")})
		}
	}
	return rapid.Permutation(all).Draw(h.t, "order")
}

// epoch lets one commit go by.
func (h *componentHistory) epoch() {
	c := h.c
	c.format, c.apart = WireFormatPublicMessage, false // that an observer sees
	o := c.observer(h.someone("informer"))
	observe := func(message []byte) {
		if _, err := o.Process(message); err != nil {
			h.t.Fatal(err)
		}
	}
	var byReference, byValue []Proposal
	outside := h.chance("external commit", 20)
	for _, p := range h.proposals(outside) {
		if outside || h.chance("by value", 50) {
			byValue = append(byValue, p)
			continue
		}
		observe(c.propose(h.someone("proposer"), p))
		byReference = append(byReference, p)
	}
	if h.chance("acknowledged", 30) && !outside {
		by := h.someone("acknowledges")
		observe(c.propose(by, c.ack(by).Proposal()))
	}
	if h.chance("restart", 40) {
		c.restart()
	}
	if outside {
		c.joinExternal(h.someone("informer"), c.newClient(), ExternalJoinOptions{Proposals: byValue})
	} else {
		committer := h.someone("committer")
		pending, err := c.members[committer].g.Commit(CommitOptions{
			Proposals: byValue, OmitPath: h.chance("no path", 50), WireFormat: c.format,
		})
		if err != nil {
			h.t.Fatal(err)
		}
		next := c.observe(o, pending.Message())
		c.deliver(committer, pending)
		c.wantSameView(next)
	}
	for _, p := range slices.Concat(byReference, byValue) {
		if u, ok := p.(*AppDataUpdate); ok {
			h.apply(u)
		}
	}
}

// apply does to the model what an update does.
func (h *componentHistory) apply(u *AppDataUpdate) {
	if u.Remove {
		h.entries[u.Component] = nil
		return
	}
	entry := string(u.Update)
	if u.Component == notesComponent {
		before := "new:"
		if h.entries[u.Component] != nil {
			before = *h.entries[u.Component]
		}
		entry = before + entry + ";"
	}
	h.entries[u.Component] = &entry
}
