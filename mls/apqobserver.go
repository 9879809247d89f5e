package mls

import (
	"fmt"
)

// An APQObserver follows a pair of groups from outside, as an [Observer] follows a group:
// it checks the public part of PublicMessages and has no secrets. In particular it cannot
// check that the key that a full commit names is that of the post-quantum group. Like an
// Observer, it is the view of one epoch, and not for several goroutines at once.
type APQObserver struct{ t, pq *Observer }

// NewAPQObserver returns the view of the epochs that a pair of GroupInfos describes
// ([APQGroup.GroupInfo]), which hold the trees. cfg needs what [NewAPQGroup] does.
func NewAPQObserver(cfg *Config, groupInfo []byte) (*APQObserver, error) {
	cfg, err := cfg.withAPQ()
	if err != nil {
		return nil, err
	}
	infos, err := cfg.parsePair(groupInfo, WireFormatGroupInfo)
	if err != nil {
		return nil, err
	}
	o := &APQObserver{}
	if o.t, err = NewObserver(cfg, infos.tData, nil); err != nil {
		return nil, fmt.Errorf("mls: observing the traditional group: %w", err)
	}
	if o.pq, err = NewObserver(cfg, infos.pData, nil); err != nil {
		return nil, fmt.Errorf("mls: observing the post-quantum group: %w", err)
	}
	if _, err := verifyAPQ(&o.t.publicState, &o.pq.publicState); err != nil {
		return nil, err
	}
	return o, nil
}

// T returns the view of the traditional group.
func (o *APQObserver) T() *Observer { return o.t }

// PQ returns the view of the post-quantum group.
func (o *APQObserver) PQ() *Observer { return o.pq }

// APQObserved is what a message to a pair of groups was seen to hold: a
// [*ReceivedProposal] or an [*ObservedCommit] for each group.
type APQObserved struct {
	// T is what it holds for the traditional group, and PQ for the post-quantum one. The
	// latter is nil if that is nothing.
	T, PQ Received

	next *APQObserver
}

// Observer returns the view of the epochs that a commit leads to, nil for proposals.
func (r *APQObserved) Observer() *APQObserver { return r.next }

// Process verifies PublicMessages of these groups and epochs: a pair, or one for the traditional
// group alone. If it returns an error, the APQObserver is as it was. See [Observer.Process] and
// [APQGroup.Process].
func (o *APQObserver) Process(message []byte) (_ *APQObserved, err error) {
	rememberedT, rememberedPQ := o.t.proposals, o.pq.proposals
	defer func() {
		if err != nil {
			o.t.proposals, o.pq.proposals = rememberedT, rememberedPQ
		}
	}()
	if !IsAPQMessagePair(message) {
		return o.processAlone(message)
	}
	p, err := o.t.cfg.parsePair(message, 0)
	if err != nil {
		return nil, err
	}
	r := &APQObserved{}
	if r.PQ, err = o.pq.Process(p.pData); err != nil {
		return nil, fmt.Errorf("mls: post-quantum half of a pair: %w", err)
	}
	if r.T, err = o.t.Process(p.tData); err != nil {
		return nil, fmt.Errorf("mls: traditional half of a pair: %w", err)
	}
	if err := verifyHalves(r.T, r.PQ); err != nil {
		return nil, err
	}
	switch t := r.T.(type) {
	case *ReceivedProposal:
		err = verifyAPQProposal(t.Proposal, true)
	case *ObservedCommit:
		pq := r.PQ.(*ObservedCommit)
		unseen := &apqPSK{asked: 1, used: 1} // it takes secrets to see whether it is the right one
		if err = verifyFull(t.Proposals, pq.Proposals, unseen); err == nil {
			err = verifyAPQAfter(&t.next.publicState, &pq.next.publicState)
		}
		r.next = &APQObserver{t: t.next, pq: pq.next}
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// processAlone verifies a message for the traditional group.
func (o *APQObserver) processAlone(message []byte) (*APQObserved, error) {
	if err := o.pq.verifyNotAlone(message); err != nil {
		return nil, err
	}
	received, err := o.t.Process(message)
	if err != nil {
		return nil, err
	}
	r := &APQObserved{T: received}
	switch t := received.(type) {
	case *ReceivedProposal:
		err = verifyAPQProposal(t.Proposal, false)
	case *ObservedCommit:
		err = verifyPartial(&o.t.publicState, &t.next.publicState, &o.pq.publicState, t.Proposals)
		r.next = &APQObserver{t: t.next, pq: o.pq}
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}
