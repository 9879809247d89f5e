package channel

import (
	"slices"
	"testing"
)

// A thief has a copy of all that a machine holds at one moment, and sees all that
// is sent afterwards. It gets on as far as honest code can.
type thief struct {
	machine int
	groups  []groups
	keys    map[string]bool // traffic secrets
}

// steal copies the sessions, the store and the traffic keys of a machine.
func (j *joint) steal(i int) *thief {
	f := j.fork(i)
	t := &thief{machine: i, keys: make(map[string]bool)}
	take := func(s *Session) {
		for _, secrets := range heldBy(s).secrets {
			t.keys[string(secrets.send)], t.keys[string(secrets.receive)] = true, true
		}
		if s.group != nil {
			t.learn(s.groups())
		}
		if s.pending != nil {
			t.learn(s.pending.groups())
		}
	}
	for _, id := range f.machines[i].sessions() {
		take(must(Resume(ctx, &f.machines[i].cfg, id)))
	}
	for _, l := range f.links {
		if p := l.ports[i]; p != nil {
			take(p.session)
			for _, k := range []*trafficKey{p.send, p.receive} {
				if k != nil {
					t.keys[k.secret] = true
				}
			}
		}
	}
	return t
}

// learn takes an epoch and whatever can be derived from it.
func (t *thief) learn(g groups) {
	t.groups = append(t.groups, g)
	for _, label := range []string{labelClientTraffic, labelServerTraffic} {
		if secret, err := g.Export(label, nil, g.Suite().HashSize()); err == nil {
			t.keys[string(secret)] = true
		}
	}
}

// watch tries all that is known on what was sent.
func (t *thief) watch(sent []wireRecord) {
	for _, r := range sent {
		for _, g := range t.groups {
			if !r.message.Type.isCommit() {
				continue
			}
			if c, err := g.process(r.message.Body); err == nil {
				t.learn(c.next)
			}
		}
	}
}

// opens reports whether the thief has both keys of a connection.
func (t *thief) opens(l *link) bool {
	return t.keys[l.ports[0].send.secret] && t.keys[l.ports[1].send.secret]
}

// secretsStayStolen checks what a thief of the memory of a machine can do. Until
// that machine has made an update, everything: otherwise this would see nothing.
// It reports whether that was seen. Afterwards, nothing.
func (j *joint) secretsStayStolen(i, dialler int) (seen bool, v *violation) {
	t := j.steal(i)
	k := j.kind()
	var sent []wireRecord
	for _, l := range k.links {
		sent = slices.Concat(sent, l.queues[0], l.queues[1])
	}
	k.tap = &sent
	k.settle()
	if !k.agrees() || !k.newest() {
		k.links = nil
		k.apply(action{kind: dial, end: dialler})
		k.settle()
	}
	updateBy := func(who int) {
		k.apply(action{update, 0, who, int(ReasonRequested)})
		k.settle()
		k.mustAgree("the connection after a theft")
	}
	updateBy(1 - i)
	if k.violated != nil {
		return false, k.violated
	}
	healed := false // perhaps: the machine has committed since
	known := make(map[epochID]bool)
	for _, epoch := range j.machines[i].history.commits {
		known[epoch] = true
	}
	for _, epoch := range k.machines[i].history.commits {
		healed = healed || !known[epoch]
	}
	t.watch(sent)
	if seen = t.opens(k.links[0]); !seen && !healed {
		return false, &violation{"theft", "a thief who has everything cannot follow the peer's update"}
	}
	for _, who := range []int{i, 1 - i, 1 - i} {
		sent = nil
		updateBy(who)
		if k.violated != nil {
			return seen, k.violated
		}
		t.watch(sent)
		if l := k.links[0]; t.keys[l.ports[0].send.secret] || t.keys[l.ports[1].send.secret] {
			return seen, &violation{"theft", "a thief follows the update of whom the secrets were stolen from"}
		}
	}
	return seen, nil
}

// What is stolen is worthless once its owner has made an update.
func TestExploreThefts(t *testing.T) {
	t.Parallel()
	t.Run("one group", func(t *testing.T) { exploreThefts(t, oneLink(), 10000) })
	t.Run("two groups", func(t *testing.T) { exploreThefts(t, oneLink().ofTwoGroups(), 3000) })
}

func exploreThefts(t *testing.T, where *setting, limit int) {
	t.Parallel()
	thefts, useful := 0, 0
	s := &search{limit: scaled(limit)}
	s.check = func(f *found) *violation {
		if f.print[1]%8 != 0 && !*exploreDeep {
			return nil
		}
		for i := range f.machines {
			seen, v := f.secretsStayStolen(i, int(f.print[0])%3)
			if v != nil {
				return v
			}
			s.mu.Lock()
			if thefts++; seen {
				useful++
			}
			s.mu.Unlock()
		}
		return nil
	}
	s.run(newJoint(where, budget{unlimited, unlimited, 0, 0, 0}))
	if s.failed != nil {
		t.Fatal(explain(s.failed.trace(), s.failed.violated))
	}
	if t.Logf("%d thefts, %d of them useful until the update, %v", thefts, useful, s); thefts < scaled(limit*3/100) || useful < scaled(limit/200) {
		t.Errorf("only %d thefts were tried, %d of them useful", thefts, useful)
	}
}

// Each direction heals at its own message: that of the peer with the peer's EpochKeyUpdate, that of
// the robbed end with its KeySwitch. An update of the peer heals neither.
func TestEachDirectionHealsAtItsMessage(t *testing.T) {
	t.Parallel()
	for robbed := range 2 {
		j := newJoint(oneLink(), budget{unlimited, unlimited, 0, 0, 0})
		var sent []wireRecord
		j.tap = &sent
		known := func(when string, thief *thief, own, peers bool) {
			t.Helper()
			if j.violated != nil {
				t.Fatal(j.violated)
			}
			thief.watch(sent)
			sent = nil
			l := j.links[0]
			if k := l.ports[robbed].send; thief.keys[k.secret] != own {
				t.Errorf("%s, the thief reads what the robbed end sends under %v: %t, want %t", when, k, !own, own)
			}
			if k := l.ports[1-robbed].send; thief.keys[k.secret] != peers {
				t.Errorf("%s, the thief reads what its peer sends under %v: %t, want %t", when, k, !peers, peers)
			}
		}
		thief := j.steal(robbed)
		known("after the theft", thief, true, true)
		j.apply(action{update, 0, 1 - robbed, int(ReasonRequested)})
		j.settle()
		known("after an update of the peer", thief, true, true)
		j.apply(action{update, 0, robbed, int(ReasonRequested)})
		known("with the ConnectionUpdate", thief, true, true)
		j.apply(action{deliver, 0, 1 - robbed, 0})
		known("from the EpochKeyUpdate on", thief, true, false)
		j.apply(action{deliver, 0, robbed, 0})
		known("from the KeySwitch on", thief, false, false)
	}
}
