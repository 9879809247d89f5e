package mls

import (
	"bytes"
	"fmt"

	"github.com/mendlink/mendlink/mls/internal/secrettree"
)

// APQReceived is what a message to a pair of groups turned out to hold.
type APQReceived struct {
	// T is what it holds for the traditional group.
	T Received
	// PQ is what it holds for the post-quantum one, nil if that is nothing: the
	// message is application data, a partial commit, or a proposal for one.
	PQ Received

	next *APQGroup
}

// Group returns the state of the epochs that a commit leads to, for the caller of
// [APQGroup.Process] to adopt. It is nil for other messages, and if the commit
// removed this member.
func (r *APQReceived) Group() *APQGroup { return r.next }

// Full reports whether the message is for both groups.
func (r *APQReceived) Full() bool { return r.PQ != nil }

// Erase drops a commit: it erases the epochs that it would have led to.
func (r *APQReceived) Erase() {
	if r.next != nil {
		r.next.Erase()
	}
}

// Process decrypts and verifies an MLSMessage for the pair: a pair of messages, or
// one for the traditional group alone. Neither group goes on, and nothing is
// used up, unless all of it is right. So if one half of a pair is late, repeated or
// refused, the whole pair is, with the error of [Group.Process]; which half it
// is stands in front of that. Whoever made a full commit of which another commit to the
// traditional group came first makes another.
func (g *APQGroup) Process(message []byte) (*APQReceived, error) {
	if err := g.t.usable(); err != nil {
		return nil, err
	}
	if !IsAPQMessagePair(message) {
		return g.processAlone(message)
	}
	p, err := g.t.cfg.parsePair(message, 0)
	if err != nil {
		return nil, err
	}
	if t, pq := g.t.ownProposal(p.tData), g.pq.ownProposal(p.pData); t != nil && pq != nil {
		return &APQReceived{T: t, PQ: pq}, nil
	}
	return g.processPair(p)
}

// processAlone processes a message for the traditional group.
func (g *APQGroup) processAlone(message []byte) (*APQReceived, error) {
	if err := g.pq.verifyNotAlone(message); err != nil {
		return nil, err
	}
	if own := g.t.ownProposal(message); own != nil {
		return &APQReceived{T: own}, nil
	}
	var m mlsMessage
	if err := g.t.cfg.unmarshal(message, &m); err != nil {
		return nil, fmt.Errorf("mls: parsing a message: %w", err)
	}
	remembered := g.t.proposals
	received, key, err := g.t.stage(&m)
	if err != nil {
		return nil, err
	}
	result := &APQReceived{T: received}
	switch r := received.(type) {
	case *ReceivedApplication:
		g.t.noteApplication(r, key)
	case *ReceivedProposal:
		err = verifyAPQProposal(r.Proposal, false)
	case *ReceivedCommit:
		err = g.adoptPartial(result, r)
	}
	if err != nil {
		g.t.forget(remembered)
	}
	settleKeys(err == nil, key)
	if err != nil {
		return nil, err
	}
	return result, nil
}

// verifyNotAlone checks that a message that is no pair is not for the post-quantum group s.
func (s *publicState) verifyNotAlone(message []byte) error {
	if h, err := ParseHeader(message); err == nil && bytes.Equal(h.GroupID, s.context.groupID) {
		return invalid(CheckAPQAlone, "the post-quantum group gets a %v by itself", h.ContentType)
	}
	return nil
}

// adoptPartial completes what a partial commit led to.
func (g *APQGroup) adoptPartial(result *APQReceived, c *ReceivedCommit) error {
	after := c.next
	if after == nil { // it removes this member
		after = g.t
	}
	if err := verifyPartial(&g.t.publicState, &after.publicState, &g.pq.publicState, c.Proposals); err != nil {
		c.Erase()
		return err
	}
	result.next = &APQGroup{t: c.next, pq: g.pq.share(), owes: g.owes}
	return nil
}

// processPair processes a pair of commits or of proposals.
func (g *APQGroup) processPair(p *apqPair) (_ *APQReceived, err error) {
	rememberedT, rememberedPQ := g.t.proposals, g.pq.proposals
	var keys [2]*secrettree.Key
	r := &APQReceived{}
	defer func() {
		if err != nil {
			eraseReceived(r.T)
			eraseReceived(r.PQ)
			g.t.forget(rememberedT)
			g.pq.forget(rememberedPQ)
		}
		settleKeys(err == nil, keys[:]...)
	}()
	if r.PQ, keys[0], err = g.pq.stage(&p.pq); err != nil {
		return nil, fmt.Errorf("mls: post-quantum half of a pair: %w", err)
	}
	var psk *apqPSK
	if c, ok := r.PQ.(*ReceivedCommit); ok && c.next != nil {
		if psk, err = exportPSK(c.next, g.t.suite); err != nil {
			return nil, err
		}
		defer psk.erase()
	}
	g.t.pairKey = psk
	r.T, keys[1], err = g.t.stage(&p.t)
	g.t.pairKey = nil
	if err != nil {
		return nil, fmt.Errorf("mls: traditional half of a pair: %w", err)
	}
	if err = verifyHalves(r.T, r.PQ); err != nil {
		return nil, err
	}
	switch t := r.T.(type) {
	case *ReceivedProposal:
		err = verifyAPQProposal(t.Proposal, true)
	case *ReceivedCommit:
		if t.next == nil {
			break // it removes this member
		}
		next := &APQGroup{t: t.next, pq: newSharedGroup(r.PQ.(*ReceivedCommit).next), owes: g.owes}
		if err = next.verifyCommitted(t.Proposals, r.PQ.(*ReceivedCommit).Proposals, psk); err == nil {
			r.next = next
		}
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// verifyHalves checks that the halves of a pair belong together.
func verifyHalves(t, pq Received) error {
	same := false
	switch t := t.(type) {
	case *ReceivedProposal:
		other, ok := pq.(*ReceivedProposal)
		same = ok && t.Sender == other.Sender && t.Proposal.ProposalType() == other.Proposal.ProposalType()
	case *ReceivedCommit:
		other, ok := pq.(*ReceivedCommit)
		same = ok && t.Sender == other.Sender && t.Removed == other.Removed
	case *ObservedCommit:
		other, ok := pq.(*ObservedCommit)
		same = ok && t.Sender == other.Sender
	}
	if !same {
		return invalid(CheckAPQHalves, "a pair holds a %T and a %T that do not belong together", t, pq)
	}
	return nil
}

func eraseReceived(r Received) {
	if c, ok := r.(*ReceivedCommit); ok {
		c.Erase()
	}
}

// settleKeys uses up the keys of messages that were processed, or gives them back.
func settleKeys(consumed bool, keys ...*secrettree.Key) {
	for _, key := range keys {
		switch {
		case key == nil:
		case consumed:
			key.Consume()
		default:
			key.Discard()
		}
	}
}
