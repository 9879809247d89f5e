package channel

import "testing"

// takesStale checks whether a session takes a protected message that it has taken
// before, as a peer might send that has gone wrong. The leader passes over an
// update that crosses its own without a look at more than its header.
func (j *joint) takesStale() (tried int, v *violation) {
	for n, l := range j.links {
		for i, p := range l.ports {
			if p == nil || p.receive == nil {
				continue
			}
			for _, m := range j.machines[i].taken {
				if m.Type == MessageConnectionUpdate && p.session.leads && p.session.state == StateUpdating && !p.session.ignored {
					continue
				}
				tried++
				q := j.fork(i).links[n].ports[i]
				if _, err := q.session.Receive(ctx, m); err == nil {
					return tried, &violation{"stale", j.machines[i].name + " takes a " + m.Type.String() + " for the second time"}
				}
			}
		}
	}
	return tried, nil
}

// No protected message is taken twice, in whatever state.
func TestExploreStaleMessages(t *testing.T) {
	t.Parallel()
	total := 0
	s := &search{limit: scaled(20000)}
	s.check = func(f *found) *violation {
		tried, v := f.takesStale()
		s.mu.Lock()
		defer s.mu.Unlock()
		total += tried
		return v
	}
	s.run(newJoint(oneLink(), budget{unlimited, unlimited, 0, 0, 0}))
	if s.failed != nil {
		t.Fatal(explain(s.failed.trace(), s.failed.violated))
	}
	if t.Logf("%d messages tried, %v", total, s); total < scaled(1800) {
		t.Errorf("only %d messages were tried", total)
	}
}
