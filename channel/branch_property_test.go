package channel

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/mendlink/mendlink/mls"
)

// An invitation is a key package of one end, for branches that the other founds.
type invitation struct {
	joiner  *peer
	message []byte
	since   uint64 // the joiner's epoch
	used    bool   // somebody has joined with it
	gone    bool   // others have taken its place
}

// A branching is a branch that was founded and waits to be joined.
type branching struct {
	*invitation
	group   *mls.Group
	welcome []byte
	epoch   uint64 // the founder's
}

// branchWorld is a connection, what is on its way on it, and the branches that its ends make of the
// session meanwhile. Key packages and Welcomes travel at any speed.
type branchWorld struct {
	a, b        *peer
	invitations []*invitation
	branchings  []*branching
	joined      map[string]int // how the epochs of the ends differed
}

func (w *branchWorld) invite(t tb, p *peer) {
	if waiting := w.waiting(p); len(waiting) == maxBranchKeyPackages {
		waiting[0].gone = true
	}
	w.invitations = append(w.invitations, &invitation{joiner: p, message: p.keyPackage(t), since: p.Epoch()})
}

func (w *branchWorld) found(t tb, i *invitation) {
	group, welcome := i.joiner.other.found(t, i.message)
	w.branchings = append(w.branchings, &branching{i, group, welcome, i.joiner.other.Epoch()})
}

// waiting returns the key packages of p that wait, the oldest first.
func (w *branchWorld) waiting(p *peer) (waiting []*invitation) {
	for _, i := range w.invitations {
		if i.joiner == p && !i.used && !i.gone {
			waiting = append(waiting, i)
		}
	}
	return waiting
}

// waitsSince returns the epoch in which the oldest of them was made.
func (w *branchWorld) waitsSince(p *peer) uint64 {
	if waiting := w.waiting(p); len(waiting) > 0 {
		return waiting[0].since
	}
	return p.Epoch()
}

// join checks that the joiner comes in exactly if it can: its key package waits, and the
// founder's epoch is one that the joiner is in, has made and not yet entered, or has left since
// some key package waits.
func (w *branchWorld) join(t tb, b *branching) {
	t.Helper()
	p := b.joiner
	group, err := p.JoinBranch(b.welcome)
	ahead := p.pending != nil && b.epoch == p.Epoch()+1
	switch {
	case b.used || b.gone:
		if !errors.Is(err, ErrNoBranch) {
			t.Fatalf("%s joins with a key package that is gone: error %v, want %v", p.name, err, ErrNoBranch)
		}
	case b.epoch < w.waitsSince(p) || b.epoch > p.Epoch() && !ahead || p.Epoch() > b.epoch+maxBranchEpochs:
		if !errors.Is(err, ErrBranchEpoch) {
			t.Fatalf("%s, in epoch %d and waiting since %d, joins a branch of epoch %d: error %v, want %v", p.name, p.Epoch(), w.waitsSince(p), b.epoch, err, ErrBranchEpoch)
		}
		w.joined["not at all"]++
	case err != nil:
		t.Fatalf("%s, in epoch %d and waiting since %d, joins a branch of epoch %d: %v", p.name, p.Epoch(), w.waitsSince(p), b.epoch, err)
	default:
		b.used = true
		if !bytes.Equal(group.EpochAuthenticator(), b.group.EpochAuthenticator()) {
			t.Fatal("the ends are in different groups")
		}
		group.Erase()
		switch {
		case ahead:
			w.joined["ahead"]++
		case b.epoch < p.Epoch():
			w.joined["behind"]++
		default:
			w.joined["in the same epoch"]++
		}
	}
}

// finish checks that the session is none the worse, and still branches.
func (w *branchWorld) finish(t tb) {
	settle(t, w.a, w.b)
	agree(t, w.a, w.b)
	canUpdate(t, w.a, w.b)
	branch(t, w.a, w.b)
	branch(t, w.b, w.a)
}

// wantAll checks that all that can be between the ends' epochs has been.
func wantAll(t *testing.T, joined map[string]int, kinds ...string) {
	t.Helper()
	if t.Failed() {
		return
	}
	for _, kind := range kinds {
		if joined[kind] == 0 {
			t.Errorf("no branch was joined by an end that was %s: %v", kind, joined)
		}
	}
}

// Whatever updates are under way, crossing ones too, an end joins a branch whose epoch it can know.
func TestBranchesWhileUpdatesCross(t *testing.T) {
	t.Parallel()
	joined := make(map[string]int)
	rapid.Check(t, func(t *rapid.T) {
		a, b := established(t)
		w := &branchWorld{a: a, b: b, joined: joined}
		one := func(what string, n int) int { return rapid.IntRange(0, n-1).Draw(t, what) }
		end := func() *peer { return []*peer{a, b}[one("end", 2)] }
		for range 30 {
			switch one("action", 10) {
			case 0, 1, 2:
				end().update(t, ReasonRequested)
			case 3, 4, 5:
				if p := end(); len(p.in) > 0 {
					p.deliver(t)
				}
			case 6:
				w.invite(t, end())
			case 7:
				if n := len(w.invitations); n > 0 {
					w.found(t, w.invitations[one("key package", n)])
				}
			case 8, 9:
				if n := len(w.branchings); n > 0 {
					w.join(t, w.branchings[one("Welcome", n)])
				}
			}
		}
		for _, b := range w.branchings {
			w.join(t, b)
		}
		w.finish(t)
	})
	t.Log(joined) // what came up by chance; it is there for certain in the next two tests
}

// Each of the ways in which the epochs of the ends can differ, one after the other.
func TestABranchOfEachEpochThatThereCanBe(t *testing.T) {
	joined := make(map[string]int)
	a, b := established(t)
	w := &branchWorld{a: a, b: b, joined: joined}
	nothing := func() {}
	for _, before := range []struct{ inviting, founding, joining func() }{
		{nothing, nothing, nothing},
		{nothing, nothing, func() { canUpdate(t, a, b) }},
		{nothing, func() { b.update(t, ReasonRequested); a.deliver(t) }, nothing}, // b does not know yet that a goes on
		{func() { a.update(t, ReasonRequested); b.deliver(t) }, nothing, nothing}, // and here the other way round
	} {
		before.inviting()
		w.invite(t, b)
		before.founding()
		w.found(t, w.invitations[len(w.invitations)-1])
		before.joining()
		w.join(t, w.branchings[len(w.branchings)-1])
		settle(t, a, b)
	}
	wantAll(t, joined, "in the same epoch", "behind", "ahead", "not at all")
	w.finish(t)
}

// The same, exhaustively, for one branch: its key package is there from the beginning, and it is founded and
// joined between any two steps of all orders in which two updates and their messages can fall.
func TestABranchAtEveryMomentOfTwoUpdates(t *testing.T) {
	t.Parallel()
	const length = 6
	joined := make(map[string]int)
	orders := 0
	var search func(schedule []int)
	search = func(schedule []int) {
		a, b := established(t)
		for i, step := range schedule {
			if !takeStep(t, a, b, step) && i == len(schedule)-1 {
				return
			}
		}
		if len(schedule) < length {
			for step := range 4 {
				search(append(schedule[:len(schedule):len(schedule)], step))
			}
			return
		}
		orders++
		for joiner := range 2 {
			a, b := established(t)
			w := &branchWorld{a: a, b: b, joined: joined}
			p := []*peer{a, b}[joiner]
			p.keyPackage(t) // waits all the time, so that joining once does not end it
			w.invite(t, p)
			invitation := w.invitations[0]
			spare := must(p.branches.waiting[1].bundle.Marshal())
			for at := range length + 1 {
				w.found(t, invitation)
				for founded, branching := range w.branchings {
					w.join(t, branching)
					if !invitation.used {
						t.Fatalf("schedule %d: %s does not come into the branch of after step %d after step %d", schedule, p.name, founded, at)
					}
					invitation.used = false
					cfg := p.branchOptions().Config
					again := must(mls.RestoreKeyPackage(cfg, p.cfg.Identity.Signer, spare))
					p.branches.add(branchKeyPackage{cfg, again, invitation.since})
				}
				if at < length {
					takeStep(t, a, b, schedule[at])
				}
			}
			settle(t, a, b)
			agree(t, a, b)
		}
	}
	search(nil)
	if orders < 40 {
		t.Errorf("%d orders, want more", orders)
	}
	wantAll(t, joined, "ahead", "behind", "in the same epoch")
}

// takeStep has an end update or take a message, and reports whether it could.
func takeStep(t tb, a, b *peer, step int) bool {
	p := []*peer{a, b}[step%2]
	switch {
	case step >= 2:
		if len(p.in) == 0 {
			return false
		}
		p.deliver(t)
	case p.State() == StateUpdating || p.State() == StateAcknowledgedUpdating || p.Epoch() > 2:
		return false
	default:
		p.update(t, ReasonRequested)
	}
	return true
}
