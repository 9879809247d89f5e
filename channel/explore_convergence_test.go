package channel

import (
	"bytes"
	"fmt"
	"sync"
)

// A healer checks that states heal once the network and the stores are kind. It
// remembers what it has seen, as few states are left when all connections are cut.
type healer struct{ seen sync.Map }

// heals checks a state, once what comes after it is known. If a message is on the
// way, the states after its delivery are visited too, and this one has what they
// have. Of others the connection that there is has to work, if no end's session
// was taken over by another connection; and one that is dialled by either end, or
// by both, in any case. It resumes whichever of the sessions that both have it is
// asked to. (The newest that the dialler has may be one that the peer has not.)
func (h *healer) heals(f *found) *violation {
	if len(f.delivered) > 0 {
		return nil
	}
	k := f.kind()
	k.settle()
	if k.violated == nil && k.agrees() && k.newest() {
		h.works(k, "the same connection")
	}
	if k.violated != nil {
		return k.violated
	}
	k.links = nil
	print := k.fingerprint()
	for which := range len(k.common()) + 1 {
		for dialler := range bothEnds + 1 {
			if h.known(print, action{dial, 0, dialler, which}) || which == newestSession && k.resumeOnly {
				continue
			}
			c := k.kind()
			c.apply(action{dial, 0, dialler, which})
			c.settle()
			h.works(c, "a connection dialled by "+endNames[dialler])
			if c.violated == nil && which != newestSession && !c.links[0].ports[0].session.Resumed() {
				c.violate("convergence", "a full handshake took the place of a resumption")
			}
			if c.violated != nil {
				return c.violated
			}
		}
	}
	return nil
}

// known reports whether something was checked before, and remembers it.
func (h *healer) known(print fingerprint, a action) bool {
	type key struct {
		print  fingerprint
		action action
	}
	_, known := h.seen.LoadOrStore(key{print, a}, true)
	return known
}

// works checks that the ends agree and that both can update.
func (h *healer) works(j *joint, where string) {
	j.mustAgree(where)
	if j.violated == nil && !h.known(j.fingerprint(), action{kind: update}) {
		j.updatesWork(where)
	}
}

// kind returns a fork of j in which nothing more goes wrong.
func (j *joint) kind() *joint {
	k := j.fork(0, 1)
	k.left, k.captured = budget{commits: unlimited, interruptions: unlimited}, nil
	for _, m := range k.machines {
		m.fault = noFault
	}
	return k
}

// newest reports whether each end's session is the one that its store has.
func (j *joint) newest() bool {
	for i, m := range j.machines {
		s := j.links[0].ports[i].session
		if stored, ok := m.store.sessions[s.id]; !ok || stored.Version != s.version {
			return false
		}
	}
	return true
}

// showIdentities checks that each end shows the identity that it wants to, which
// is the one that its session was made with or has rotated to.
func (j *joint) showIdentities(where string) {
	for i, m := range j.machines {
		if j.violated == nil && j.links[0].ports[i].session.newIdentity() != nil {
			j.violate("identity", "on %s: %s does not show the identity that it wants to", where, m.name)
		}
	}
}

// updatesWork checks that both ends can update.
func (j *joint) updatesWork(where string) {
	j.showIdentities(where)
	for i, m := range j.machines {
		if j.violated != nil {
			return
		}
		p := j.links[0].ports[i]
		confirmed, epoch := p.own, p.session.Epoch()
		j.apply(action{update, 0, i, int(ReasonRequested)})
		j.settle()
		j.mustAgree(fmt.Sprintf("%s, after an update by %s", where, m.name))
		j.showIdentities(where)
		if j.violated == nil && (p.own != confirmed+1 || p.session.Epoch() != epoch+1) {
			j.violate("convergence", "on %s: an update by %s leads from epoch %d to %d, with %d confirmations", where, m.name, epoch, p.session.Epoch(), p.own-confirmed)
		}
	}
}

// settle delivers all messages and tells each end whose connection the other has
// given up.
func (j *joint) settle() {
	for steps := 0; j.violated == nil; steps++ {
		if steps > 200 {
			j.violate("convergence", "the ends never come to rest")
		}
		a, ok := j.nextOf(deliver)
		if !ok {
			a, ok = j.nextOf(notice)
		}
		if !ok {
			return
		}
		j.apply(a)
	}
}

// nextOf returns the first action of a kind that can happen.
func (j *joint) nextOf(k kind) (action, bool) {
	for _, a := range j.actions() {
		if a.kind == k {
			return a, true
		}
	}
	return action{}, false
}

// agrees reports whether the ends share one connection and all else.
func (j *joint) agrees() bool {
	c := *j
	c.mustAgree("now")
	return c.violated == nil
}

// mustAgree checks that the ends share one connection and all else.
func (j *joint) mustAgree(where string) {
	fail := func(format string, a ...any) {
		j.violate("convergence", "on %s: %s", where, fmt.Sprintf(format, a...))
	}
	if len(j.links) != 1 || j.links[0].ports[0] == nil || j.links[0].ports[1] == nil {
		fail("%d connections", len(j.links))
		return
	}
	p, q := j.links[0].ports[0], j.links[0].ports[1]
	x, y := p.session, q.session
	switch {
	case x.State() != StateSynced || y.State() != StateSynced || p.complete != 1 || q.complete != 1:
		fail("the ends are %v and %v after %d and %d handshakes", x.State(), y.State(), p.complete, q.complete)
	case x.Epoch() != y.Epoch() || x.epoch() != y.epoch() || x.ID() != y.ID() || x.Role() == y.Role():
		fail("the ends are in epochs %d and %d of %v and %v", x.Epoch(), y.Epoch(), x.ID(), y.ID())
	case p.send.secret != q.receive.secret || q.send.secret != p.receive.secret || p.send.secret == q.send.secret:
		fail("the ends have other traffic secrets")
	case p.send.number != x.Epoch() || p.receive.number != x.Epoch():
		fail("epoch %d sends under %v and receives under %v", x.Epoch(), p.send, p.receive)
	case !bytes.Equal(peerLeaf(x.group).SignatureKey, ownKey(y.group)) || !bytes.Equal(peerLeaf(y.group).SignatureKey, ownKey(x.group)):
		fail("an end takes the peer for somebody else")
	case !bytes.Equal(x.group.EpochAuthenticator(), y.group.EpochAuthenticator()):
		fail("the ends are in other groups")
	case !bytes.Equal(must(x.ExportKeyingMaterial("label", []byte("context"), 48)), must(y.ExportKeyingMaterial("label", []byte("context"), 48))):
		fail("the ends export other keying material")
	}
}
