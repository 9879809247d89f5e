package channel

import (
	"fmt"
	"runtime/debug"
	"slices"
)

// An action is something that can happen to a joint state.
type action struct {
	kind kind
	link int // index
	end  int // or machine, or dialler
	arg  int
}

type kind uint8

const (
	deliver     kind = iota // the next message on a link reaches an end
	cutBoth                 // a connection breaks, and both ends know
	cutOne                  // one end believes that it has broken
	notice                  // so does the other, later
	dial                    // one end, or both, opens a connection
	update                  // an end wants fresh keys
	crash                   // a machine forgets all but its store
	failStore               // the next save of a machine fails
	replay                  // an attacker repeats a message to a machine, on a connection of its own
	intercept               // an attacker repeats a message to an end of a connection
	refuse                  // an attacker refuses a resumption
	rotate                  // an end goes on with another identity
	reconfigure             // a machine without a connection gets its other identity
	step                    // an end goes on to its next key of the same epoch
)

const (
	bothEnds      = 2 // dial from both
	newestSession = 0 // dial to resume the dialler's newest session
)

var endNames = []string{"alice", "bob", "both"}

func (a action) String() string {
	ends := endNames
	switch a.kind {
	case deliver:
		return fmt.Sprintf("link %d: %s gets the next message", a.link, ends[a.end])
	case cutBoth:
		return fmt.Sprintf("link %d: cut", a.link)
	case cutOne:
		return fmt.Sprintf("link %d: %s believes that it is cut", a.link, ends[a.end])
	case notice:
		return fmt.Sprintf("link %d: the other end knows of the cut", a.link)
	case dial:
		return fmt.Sprintf("%s dial", ends[a.end])
	case update:
		return fmt.Sprintf("link %d: %s updates (%v)", a.link, ends[a.end], UpdateReason(a.arg))
	case crash:
		return fmt.Sprintf("%s crashes", ends[a.end])
	case failStore:
		return fmt.Sprintf("%s's next save fails, with effect: %t", ends[a.end], fault(a.arg) == faultAfterwards)
	case replay:
		return fmt.Sprintf("message %d is replayed to %s as a request", a.arg, ends[a.end])
	case intercept:
		return fmt.Sprintf("link %d: message %d is replayed to %s", a.link, a.arg, ends[a.end])
	case refuse:
		return fmt.Sprintf("link %d: a forged refusal reaches %s", a.link, ends[a.end])
	case rotate:
		return fmt.Sprintf("link %d: %s rotates", a.link, ends[a.end])
	case reconfigure:
		return fmt.Sprintf("%s gets its other identity", ends[a.end])
	case step:
		return fmt.Sprintf("link %d: %s takes its next key, and asks for the same: %t", a.link, ends[a.end], a.arg == 1)
	}
	return fmt.Sprintf("kind(%d)", a.kind)
}

// actions returns all that can happen next. What it costs shows only afterwards.
func (j *joint) actions() []action {
	var all []action
	add := func(k kind, link, end, arg int) { all = append(all, action{k, link, end, arg}) }
	for n, l := range j.links {
		for i, p := range l.ports {
			if p != nil && len(l.queues[i]) > 0 {
				add(deliver, n, i, 0)
			}
		}
	}
	for n, l := range j.links {
		for i, p := range l.ports {
			if p == nil {
				if l.ports[1-i] != nil {
					add(notice, n, 1-i, 0)
				}
				continue
			}
			if p.session.State().complete() {
				for _, r := range j.reasons {
					add(update, n, i, int(r))
				}
				if j.rotating {
					add(rotate, n, i, 0)
				}
				if j.left.steps > 0 {
					add(step, n, i, 0)
					add(step, n, i, 1)
				}
			}
			if j.left.interruptions > 0 && l.ports[1-i] != nil {
				add(cutOne, n, i, 0)
			}
		}
		if j.left.interruptions > 0 && l.ports[0] != nil && l.ports[1] != nil {
			add(cutBoth, n, 0, 0)
		}
	}
	for i := range j.machines {
		if j.canDial(i) {
			add(dial, 0, i, 0)
		}
		if j.left.interruptions > 0 && j.livePorts(i) > 1 {
			add(crash, 0, i, 0) // with one port it is as cutOne
		}
		if j.rotating && j.livePorts(i) == 0 {
			add(reconfigure, 0, i, 0)
		}
		if j.left.faults > 0 && j.machines[i].fault == noFault {
			add(failStore, 0, i, int(faultBefore))
			add(failStore, 0, i, int(faultAfterwards))
		}
	}
	if j.canDial(0) && j.canDial(1) && j.livePorts(0)+j.livePorts(1) == 0 {
		add(dial, 0, bothEnds, 0)
	}
	if j.left.forgeries > 0 {
		all = append(all, j.forgeries()...)
	}
	return all
}

// forgeries returns what an attacker can do that anybody can: repeat what
// travelled in the clear, and refuse.
func (j *joint) forgeries() []action {
	var all []action
	for n, r := range j.captured {
		if r.message.Type.isCommit() {
			all = append(all, action{replay, 0, 0, n}, action{replay, 0, 1, n})
		}
	}
	for n, l := range j.links {
		for i, p := range l.ports {
			if p == nil || p.receive != nil {
				continue // protected messages cannot be forged
			}
			if p.session.State() == StateAwaitingResumptionResponse {
				all = append(all, action{refuse, n, i, 0})
			}
			for c := range j.captured {
				all = append(all, action{intercept, n, i, c})
			}
		}
	}
	return all
}

// livePorts counts the connections of a machine that it has not given up.
func (j *joint) livePorts(i int) (n int) {
	for _, l := range j.links {
		if l.ports[i] != nil {
			n++
		}
	}
	return n
}

// canDial reports whether a machine has reason to open a connection. It has one
// if it has none that it believes in. Where connections cross, one on which the
// peer has said nothing yet does not count; else the peer has to have given up,
// or not noticed, all that there are.
func (j *joint) canDial(i int) bool {
	for _, l := range j.links {
		p := l.ports[i]
		if p != nil && j.overlapping {
			continue
		}
		if p != nil && p.session.State() != StateAwaitingHello {
			return false
		}
		if p != nil && l.ports[1-i] != nil && !j.crossing {
			return false
		}
	}
	return len(j.links) < j.maxLinks
}

// after returns the joint state after an action, nil if that costs more than is left.
func (j *joint) after(a action) *joint {
	f := j.fork(a.actors()...)
	f.apply(a)
	if f.left.overdrawn() {
		return nil
	}
	return f
}

// actors returns the machines whose sessions an action can change.
func (a action) actors() []int {
	switch {
	case a.kind == cutBoth || a.kind == cutOne || a.kind == notice || a.kind == crash:
		return nil // sessions are forgotten, not changed
	case a.kind == dial && a.end == bothEnds:
		return []int{0, 1}
	}
	return []int{a.end}
}

// apply has an action happen.
func (j *joint) apply(a action) {
	defer func() {
		if r := recover(); r != nil {
			j.violate("panic", "%v\n%s", r, debug.Stack())
		}
	}()
	switch a.kind {
	case deliver:
		l := j.links[a.link]
		if r, ok := j.open(l, a.end); ok {
			j.receive(l, a.end, r.message)
		}
	case cutBoth:
		j.left.spend(&j.left.interruptions)
		j.links[a.link].ports = [2]*port{}
	case cutOne:
		j.left.spend(&j.left.interruptions)
		j.links[a.link].drop(a.end)
	case notice:
		j.links[a.link].drop(a.end)
	case dial:
		j.dial(a.end, a.arg)
	case update:
		j.call(j.links[a.link], a.end, func(s *Session) ([]Event, error) { return s.Update(ctx, UpdateReason(a.arg)) })
	case rotate:
		j.rotate(j.links[a.link], a.end)
	case reconfigure:
		m := j.machines[a.end]
		m.current = 1 - m.current
		m.cfg.Identity = m.identities[m.current]
	case step:
		j.left.spend(&j.left.steps)
		j.call(j.links[a.link], a.end, func(s *Session) ([]Event, error) { return s.UpdateKeys(a.arg == 1) })
	case crash:
		j.left.spend(&j.left.interruptions)
		for _, l := range j.links {
			l.drop(a.end)
		}
	case failStore:
		j.left.spend(&j.left.faults)
		j.machines[a.end].fault = fault(a.arg)
	case replay:
		j.left.spend(&j.left.forgeries)
		j.replay(a.end, j.captured[a.arg].message)
	case intercept:
		j.left.spend(&j.left.forgeries)
		m := j.captured[a.arg].message
		j.refused = j.refused || m.Type == MessageResumptionRefused
		j.forge(j.links[a.link], a.end, m)
	case refuse:
		j.left.spend(&j.left.forgeries)
		j.refused = true
		j.forge(j.links[a.link], a.end, Message{Type: MessageResumptionRefused, Body: []byte{byte(RefusedUnknown)}})
	}
	j.receiveData()
	j.checkStores()
	j.links = slices.DeleteFunc(j.links, func(l *link) bool { return l.ports == [2]*port{} })
	if j.left.forgeries == 0 {
		j.captured = nil
	}
}

// drop has an end give a connection up.
func (l *link) drop(i int) { l.ports[i], l.queues[i] = nil, nil }

// receive hands a message to an end's session.
func (j *joint) receive(l *link, i int, m Message) {
	if m.Protected = l.ports[i].receive != nil; m.Protected {
		j.machines[i].taken[m.Type] = m
	}
	j.call(l, i, func(s *Session) ([]Event, error) { return s.Receive(ctx, m) })
}

// forge hands a message in the clear from an attacker to an end's session.
func (j *joint) forge(l *link, i int, m Message) {
	l.forged = true
	j.call(l, i, func(s *Session) ([]Event, error) { return s.Receive(ctx, m) })
}

// dial opens a connection from one machine or both, to resume a session.
func (j *joint) dial(dialler, which int) {
	l := &link{}
	for i, m := range j.machines {
		s, err := NewResponder(&m.cfg)
		if id, ok := j.toResume(dialler, which); ok && (dialler == i || dialler == bothEnds) {
			s, err = Resume(ctx, &m.cfg, id)
		} else if dialler == i || dialler == bothEnds && i == 0 {
			s, err = NewInitiator(&m.cfg)
		}
		if err != nil {
			j.violate("error", "%s: %v", m.name, err)
			return
		}
		l.ports[i] = &port{session: j.prepare(s)}
	}
	j.links = append(j.links, l)
	for i, p := range l.ports {
		if p.session.State() == StateIdle {
			j.start(l, i)
		}
	}
}

// start has a session begin, with early data if the setting has it. Where the
// commit of an attempt is repeated whose early data may have been lost, so may be
// the data.
func (j *joint) start(l *link, i int) {
	m, p := j.machines[i], l.ports[i]
	j.call(l, i, func(s *Session) ([]Event, error) {
		if !j.early || s.group == nil {
			return s.Start(ctx)
		}
		if s.pending == nil || !j.repeating || s.pending.epoch() != m.history.attempt {
			m.history.data++
			m.history.attempted = fmt.Sprint(m.name, m.history.data)
		}
		p.early = m.history.attempted
		events, err := s.StartWithEarlyData(ctx, []byte(p.early))
		m.history.attempt = s.pending.epoch()
		return events, err
	})
}

// rotate has a machine go on with its other identity, in its session and in its
// configuration.
func (j *joint) rotate(l *link, i int) {
	m := j.machines[i]
	next := 1 - m.current
	j.call(l, i, func(s *Session) ([]Event, error) {
		events, err := s.Rotate(ctx, m.identities[next])
		if err == nil {
			m.current, m.cfg.Identity = next, m.identities[next]
		}
		return events, err
	})
}

// toResume returns the session that a dialler resumes, if there is one: the newest
// that it has, or the given one, from 1 on, of those that both have. If both dial,
// it is one that both have.
func (j *joint) toResume(dialler, which int) (SessionID, bool) {
	ids := j.common()
	if dialler != bothEnds && which == newestSession {
		ids = j.machines[dialler].sessions()
	}
	if n := max(which-1, 0); n < len(ids) {
		return ids[n], true
	}
	return SessionID{}, false
}

// common returns the sessions that both machines have, the newest first.
func (j *joint) common() []SessionID {
	return slices.DeleteFunc(j.machines[0].sessions(), func(id SessionID) bool {
		return !slices.Contains(j.machines[1].sessions(), id)
	})
}

// replay opens a connection to a machine from which a captured commit comes, as
// the request to resume.
func (j *joint) replay(i int, m Message) {
	l := &link{}
	l.ports[i] = &port{session: j.prepare(must(NewResponder(&j.machines[i].cfg)))}
	m.Type = MessageResumptionRequest
	j.links = append(j.links, l)
	j.forge(l, i, m)
}
