package channel

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A world is two hosts and any connections between them, some of which may
// have been given up by one end only, and somebody who keeps what travels in the clear.
type world struct {
	hosts    [2]*host
	links    [][2]*peer // the ends at hosts[0] and hosts[1]
	captured []Message
	resumed  int
}

// open adds a connection that is dialled by one host, or by both at once.
func (w *world) open(t *rapid.T) {
	dialler := rapid.IntRange(0, 2).Draw(t, "dialler")
	age := rapid.IntRange(0, 3).Draw(t, "session")
	var ends [2]*peer
	for i, h := range w.hosts {
		if dialler != i && dialler != 2 {
			ends[i] = listen(t, h)
			continue
		}
		if ids := w.sessions(dialler); len(ids) > 0 {
			ends[i] = resumer(t, h, ids[age%len(ids)])
			continue
		}
		if ends[i] = listen(t, h); dialler == i {
			ends[i].Session = must(NewInitiator(&h.cfg))
		}
	}
	connect(ends[0], ends[1])
	w.links = append(w.links, ends)
	for _, p := range ends {
		if p.State() == StateIdle {
			p.start(t)
		}
	}
	w.look(t)
}

// sessions returns those that one host has, or that both have.
func (w *world) sessions(host int) []SessionID {
	if host < 2 {
		return w.hosts[host].sessions()
	}
	return slices.DeleteFunc(w.hosts[0].sessions(), func(id SessionID) bool {
		_, err := w.hosts[1].store.Load(ctx, id)
		return err != nil
	})
}

// some returns one of the connections' ends that suits, nil if there is none.
func (w *world) some(t *rapid.T, suits func(*peer) bool) *peer {
	var ends []*peer
	for _, link := range w.links {
		for _, p := range link {
			if suits(p) {
				ends = append(ends, p)
			}
		}
	}
	if len(ends) == 0 {
		return nil
	}
	return ends[rapid.IntRange(0, len(ends)-1).Draw(t, "end")]
}

// deliver hands over one message, of whatever connection.
func (w *world) deliver(t *rapid.T) {
	p := w.some(t, func(p *peer) bool { return len(p.in) > 0 })
	if p == nil {
		return
	}
	if next := p.in[0]; next.key == nil && !slices.ContainsFunc(w.captured, func(m Message) bool { return string(m.Body) == string(next.Body) }) {
		w.captured = append(w.captured, next.Message)
	}
	p.deliver(t)
	w.look(t)
}

func (w *world) update(t *rapid.T) {
	p := w.some(t, func(p *peer) bool { return p.State().complete() })
	if p == nil {
		return
	}
	reasons := []UpdateReason{ReasonBytes, ReasonAge, ReasonRequested}
	if p.pair != nil {
		reasons = append(reasons, ReasonFullAge)
	}
	p.update(t, rapid.SampledFrom(reasons).Draw(t, "reason"))
	w.look(t)
}

// cut ends a connection at both ends.
func (w *world) cut(t *rapid.T) {
	if len(w.links) == 0 {
		return
	}
	i := rapid.IntRange(0, len(w.links)-1).Draw(t, "connection")
	cut(w.links[i][0], w.links[i][1])
	w.links = slices.Delete(w.links, i, i+1)
}

// crash ends all sessions of a host. The other end does not notice.
func (w *world) crash(t *rapid.T) {
	i := rapid.IntRange(0, 1).Draw(t, "host")
	for _, link := range w.links {
		link[i].Close()
	}
}

// fail lets the next save of a host fail.
func (w *world) fail(t *rapid.T) {
	h := w.hosts[rapid.IntRange(0, 1).Draw(t, "host")]
	effective, pending := rapid.Bool().Draw(t, "effective"), true
	h.store.fail = func(int) (error, bool) {
		if !pending {
			return nil, false
		}
		pending = false
		return errStore, effective
	}
}

// replay sends something that was captured to a new session of a host.
func (w *world) replay(t *rapid.T) {
	if len(w.captured) == 0 {
		return
	}
	p := listen(t, w.hosts[rapid.IntRange(0, 1).Draw(t, "host")])
	m := w.captured[rapid.IntRange(0, len(w.captured)-1).Draw(t, "message")]
	m.Protected = false
	if m.Type == MessageResumptionResponse && rapid.Bool().Draw(t, "as a request") {
		m.Type = MessageResumptionRequest
	}
	events, err := p.Receive(ctx, m)
	p.carryOut(t, events, err)
	p.Close()
}

// look checks that no session has failed but for reasons that this world has.
func (w *world) look(t *rapid.T) {
	for _, link := range w.links {
		for _, p := range link {
			if p.err != nil && !errors.Is(p.err, errStore) && !errors.Is(p.err, ErrSuperseded) && !errors.Is(p.err, errOutdated) {
				t.Fatalf("%s: %v", p.name, p.err)
			}
			if p.complete == 1 && p.Resumed() {
				w.resumed++
			}
		}
	}
}

// rest delivers all that is on the way and checks that connections of which
// both ends are alive are in order.
func (w *world) rest(t *rapid.T) {
	for _, link := range w.links {
		a, b := link[0], link[1]
		settle(t, a, b)
		w.look(t)
		if a.State().complete() && b.State().complete() && a.Epoch() == b.Epoch() && a.ID() == b.ID() {
			if string(a.sendKey) != string(b.receiveKey) || string(b.sendKey) != string(a.receiveKey) {
				t.Fatal("the ends have other traffic secrets")
			}
		}
	}
}

// Whatever happens to two hosts and the connections between them, a session that
// both have in their stores can be resumed from either end.
func TestAnyScheduleLeavesSessionsThatResume(t *testing.T) {
	t.Parallel()
	resumed := 0
	rapid.Check(t, func(t *rapid.T) {
		a, b := established(t)
		if rapid.IntRange(0, 2).Draw(t, "two groups") == 0 {
			a, b = (&setting{paired: true}).established()
			a, b = a.copied(t), b.copied(t)
			connect(a, b)
		}
		w := &world{hosts: [2]*host{a.host, b.host}, links: [][2]*peer{{a, b}}}
		for range 40 {
			w.deliver(t)
			switch rapid.IntRange(0, 15).Draw(t, "action") {
			case 0, 1:
				w.open(t)
			case 2:
				w.cut(t)
			case 3:
				w.crash(t)
			case 4:
				w.fail(t)
			case 5:
				w.replay(t)
			case 6, 7, 8, 9:
				w.update(t)
			}
		}
		for _, h := range w.hosts {
			h.store.fail = nil
		}
		if rapid.Bool().Draw(t, "come to rest") {
			w.rest(t)
		}
		for _, link := range w.links {
			cut(link[0], link[1])
		}
		resumed += w.resumed
		for _, id := range w.sessions(2) {
			recoverSession(t, rapid.SampledFrom(ways).Draw(t, "way"), id, w.hosts[0], w.hosts[1])
		}
	})
	if resumed == 0 && !t.Failed() {
		t.Error("no schedule came to a resumption")
	}
}
