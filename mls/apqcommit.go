package mls

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/mendlink/mendlink/internal/wire"
)

// APQCommitOptions are the contents of a commit to a pair of groups. The zero
// value is a partial one, which heals from attackers without a quantum computer.
type APQCommitOptions struct {
	// Full makes it a full commit. One that adds or removes members, or has
	// anything else for the post-quantum group, is full in any case, and so is
	// the first of a member that has joined.
	Full bool
	// Add are key packages of new members.
	Add []*APQKeyPackage
	// Remove are leaves of members to be removed, from both groups.
	Remove []LeafIndex
	// T and PQ are what else the commit does to each group. They name neither Adds
	// nor Removes. The wire format is that of T.
	T, PQ CommitOptions
}

// isFull reports whether g's commit of o is a full one.
func (o *APQCommitOptions) isFull(g *APQGroup) bool {
	return o.Full || g.owes || len(o.Add) > 0 || len(o.Remove) > 0 ||
		len(o.PQ.Proposals) > 0 || o.PQ.Leaf != (LeafChanges{}) || o.T.Leaf.Identity != nil
}

// An APQPendingCommit is a commit to a pair of groups that was made but perhaps
// not accepted yet, and the epochs that it leads to. See [PendingCommit].
type APQPendingCommit struct {
	message, welcome []byte
	t, pq            *PendingCommit // pq is nil for a partial commit
	next             *APQGroup
}

// Message returns the commit as an MLSMessage: a pair if it is full. It is empty
// if it was made with [CommitOptions.WelcomeOnly].
func (p *APQPendingCommit) Message() []byte { return p.message }

// Welcome returns the pair of Welcomes for the new members as an MLSMessage, nil
// if nobody was added.
func (p *APQPendingCommit) Welcome() []byte { return p.welcome }

// Full reports whether the commit changes both groups.
func (p *APQPendingCommit) Full() bool { return p.pq != nil }

// Group returns the state of the epochs that the commit leads to.
func (p *APQPendingCommit) Group() *APQGroup { return p.next }

// Is reports whether message is this commit, as [PendingCommit.Is] does.
func (p *APQPendingCommit) Is(message []byte) bool {
	return len(p.message) > 0 && bytes.Equal(p.message, message)
}

// Erase drops the commit: it erases the epochs that it would have led to.
func (p *APQPendingCommit) Erase() { p.next.Erase() }

// Commit makes a commit. Both groups stay in their epochs, as after
// [Group.Commit]. What is pending is left out if it would give a member another identity in
// one of the groups alone. If Commit returns an error, all that has changed is that
// generations of handshake ratchets are used up.
func (g *APQGroup) Commit(o APQCommitOptions) (*APQPendingCommit, error) {
	if err := g.t.usable(); err != nil {
		return nil, err
	}
	p, err := g.commit(&o)
	if namesRule(err) {
		// Whoever proposes such Updates keeps nobody from committing by that.
		o.T.WithoutPending, o.PQ.WithoutPending = true, true
		return g.commit(&o)
	}
	return p, err
}

func (g *APQGroup) commit(o *APQCommitOptions) (*APQPendingCommit, error) {
	if !o.isFull(g) {
		return g.commitPartial(o)
	}
	return g.commitFull(o)
}

func (g *APQGroup) commitPartial(o *APQCommitOptions) (*APQPendingCommit, error) {
	t, err := g.t.Commit(o.T)
	if err != nil {
		return nil, err
	}
	if err := verifyPartial(&g.t.publicState, &t.next.publicState, &g.pq.publicState, t.contents.Proposals); err != nil {
		t.Erase()
		return nil, err
	}
	return &APQPendingCommit{message: t.message, t: t, next: &APQGroup{t: t.next, pq: g.pq.share()}}, nil
}

func (g *APQGroup) commitFull(o *APQCommitOptions) (_ *APQPendingCommit, err error) {
	before := g.Info()
	after := before
	after.TEpoch, after.PQEpoch = g.t.Epoch()+1, g.pq.Epoch()+1
	t, pq := o.halves()
	updates := apqUpdates(before, after)
	pq.Proposals = append(pq.Proposals, updates...)
	p := &APQPendingCommit{}
	if p.pq, err = g.pq.Commit(pq); err != nil {
		return nil, fmt.Errorf("mls: committing to the post-quantum group: %w", err)
	}
	defer func() {
		if err != nil {
			p.pq.Erase()
		}
	}()
	psk, err := exportPSK(p.pq.next, g.t.suite)
	if err != nil {
		return nil, err
	}
	defer psk.erase()
	proposal, err := psk.proposal(g.t.cfg, g.t.suite)
	if err != nil {
		return nil, err
	}
	t.Proposals = append(append(t.Proposals, proposal), updates...)
	g.t.pairKey = psk
	p.t, err = g.t.Commit(t)
	g.t.pairKey = nil
	if err != nil {
		return nil, fmt.Errorf("mls: committing to the traditional group: %w", err)
	}
	p.next = &APQGroup{t: p.t.next, pq: newSharedGroup(p.pq.next)}
	if err = p.next.verifyCommitted(p.t.contents.Proposals, p.pq.contents.Proposals, psk); err != nil {
		p.t.Erase()
		return nil, err
	}
	if !o.T.WelcomeOnly {
		p.message = joinPair(p.t.message, p.pq.message)
	}
	if p.t.welcome != nil {
		p.welcome = joinPair(p.t.welcome, p.pq.welcome)
	}
	return p, nil
}

// halves returns what a full commit does to each group, but for the APQInfo and
// the key.
func (o *APQCommitOptions) halves() (t, pq CommitOptions) {
	t, pq = o.T, o.PQ
	t.Proposals, pq.Proposals = slices.Clone(t.Proposals), slices.Clone(pq.Proposals)
	for _, i := range o.Remove {
		t.Proposals, pq.Proposals = append(t.Proposals, &Remove{Removed: i}), append(pq.Proposals, &Remove{Removed: i})
	}
	for _, k := range o.Add {
		t.Proposals, pq.Proposals = append(t.Proposals, &Add{KeyPackage: k.T}), append(pq.Proposals, &Add{KeyPackage: k.PQ})
	}
	pq.WireFormat, pq.WelcomeOnly, pq.WithoutTree = t.WireFormat, t.WelcomeOnly, t.WithoutTree
	return t, pq
}

// verifyCommitted checks the pair that a full commit with these proposals and
// this key has led to.
func (g *APQGroup) verifyCommitted(t, pq []CommittedProposal, psk *apqPSK) error {
	if err := verifyFull(t, pq, psk); err != nil {
		return err
	}
	return g.verifyNew()
}

// verifyNew checks a pair to which a full commit has led.
func (g *APQGroup) verifyNew() error { return verifyAPQAfter(&g.t.publicState, &g.pq.publicState) }

// verifyAPQAfter checks the two groups that a full commit has led to.
func verifyAPQAfter(t, pq *publicState) error {
	info, err := verifyAPQ(t, pq)
	if err != nil {
		return err
	}
	return verifyAPQEpochs(&info, t, pq)
}

// ProposeUpdate proposes new leaves for this member: in both groups if full is
// set, so that the commit which covers them has to be a full one to take both.
// Otherwise, in the traditional one. See [Group.ProposeUpdate]; a new
// identity takes a full one.
func (g *APQGroup) ProposeUpdate(full bool, t, pq LeafChanges, o ProposeOptions) ([]byte, error) {
	if !full {
		if t.Identity != nil {
			return nil, fmt.Errorf("mls: proposing another identity in one group of a pair: %w", ErrUnsupported)
		}
		return g.t.ProposeUpdate(t, o)
	}
	remembered := g.pq.proposals
	second, err := g.pq.ProposeUpdate(pq, o)
	if err != nil {
		return nil, err
	}
	first, err := g.t.ProposeUpdate(t, o)
	if err != nil {
		g.pq.forget(remembered)
		return nil, err
	}
	return joinPair(first, second), nil
}

// forget goes back to the proposals that a group remembered before.
func (g *Group) forget(before []*cachedProposal) {
	for _, p := range g.proposals[len(before):] {
		p.erase()
	}
	g.proposals = before
}

// apqPendingVersion is the first field of a marshalled APQPendingCommit.
const apqPendingVersion uint16 = 1

// Marshal returns the commit and the epochs that it leads to, secrets included,
// for [APQGroup.RestorePending].
//
//	struct {
//	    uint16 version = 1;
//	    opaque message<V>;
//	    opaque welcome<V>;
//	    opaque t<V>;                 /* PendingCommit.Marshal */
//	    optional<opaque> pq<V>;      /* likewise; absent: the commit is partial */
//	} APQPendingCommit;
func (p *APQPendingCommit) Marshal() ([]byte, error) {
	t, err := p.t.Marshal()
	if err != nil {
		return nil, err
	}
	defer clear(t)
	var pq []byte
	if p.pq != nil {
		if pq, err = p.pq.Marshal(); err != nil {
			return nil, err
		}
		defer clear(pq)
	}
	return wire.Encode(func(w *wire.Writer) {
		w.Uint16(apqPendingVersion)
		w.Opaque(p.message)
		w.Opaque(p.welcome)
		w.Opaque(t)
		w.Optional(pq != nil)
		if pq != nil {
			w.Opaque(pq)
		}
	}), nil
}
