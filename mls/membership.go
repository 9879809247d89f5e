package mls

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

var (
	// ErrRemoved means that a commit has removed the client from the group.
	ErrRemoved = errors.New("mls: client was removed from the group")
	// ErrCommitPending means that a commit of the client's own waits to be
	// accepted or dropped, before it can make another one.
	ErrCommitPending = errors.New("mls: a commit is pending")
	// ErrNoCommitPending means that there is no commit to accept, or that it was
	// made in another epoch.
	ErrNoCommitPending = errors.New("mls: no commit of this epoch is pending")
)

// A Membership is a client's part in a group, over all its epochs. Where a [Group]
// is one epoch, a Membership goes from one to the next, and saves each step in the
// client's [Store] before it takes effect or anything is sent.
//
// It may be used from several goroutines at once. Errors are those of the method
// of Group that has the same name, and those of the store. After an error, all
// is as it was before.
type Membership struct {
	client  *Client
	groupID []byte

	mu       sync.Mutex
	state    memberState
	versions map[string]uint64 // of its records
	ended    error             // why it cannot be used any more
}

func (c *Client) newMembership(groupID []byte) *Membership {
	return &Membership{client: c, groupID: bytes.Clone(groupID), versions: make(map[string]uint64)}
}

// GroupID returns the group's identifier.
func (m *Membership) GroupID() []byte { return bytes.Clone(m.groupID) }

// use locks m, unless it has ended. The caller unlocks m.mu if there is no error.
func (m *Membership) use() error {
	m.mu.Lock()
	if m.ended == nil {
		return nil
	}
	defer m.mu.Unlock()
	return fmt.Errorf("mls: group %x: %w", m.groupID, m.ended)
}

// end erases what is in memory. The caller has locked m.
func (m *Membership) end(reason error) {
	if m.ended == nil {
		m.ended = reason
		m.state.eraseAllBut(&memberState{})
		m.state = memberState{}
	}
}

// Close erases what is in memory and leaves the store as it is: [Client.Open]
// goes on from there.
func (m *Membership) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.end(ErrErased)
	m.client.release(m)
}

// Forget deletes the membership. The other members are not told.
func (m *Membership) Forget(ctx context.Context) error {
	if err := m.use(); err != nil {
		return err
	}
	defer m.mu.Unlock()
	return m.delete(ctx, ErrErased)
}

// delete deletes all records and then ends m.
func (m *Membership) delete(ctx context.Context, reason error) error {
	if err := m.client.store.Update(ctx, m.deletions()); err != nil {
		return fmt.Errorf("mls: deleting group %x: %w", m.groupID, err)
	}
	m.end(reason)
	m.client.release(m)
	return nil
}

// try runs f on a copy of the epoch's state, and saves what has become of that.
func (m *Membership) try(ctx context.Context, f func(g *Group) error) error {
	if err := m.use(); err != nil {
		return err
	}
	defer m.mu.Unlock()
	next := m.state
	next.group = m.state.group.fork()
	if err := f(next.group); err != nil {
		next.group.Erase()
		return err
	}
	return m.move(ctx, next)
}

// tryOctets is try for an f that returns a message or a secret.
func (m *Membership) tryOctets(ctx context.Context, f func(g *Group) ([]byte, error)) (octets []byte, err error) {
	err = m.try(ctx, func(g *Group) error {
		octets, err = f(g)
		return err
	})
	if err != nil {
		clear(octets)
		return nil, err
	}
	return octets, nil
}

// Protect encrypts application data to the group: see [Group.Protect].
func (m *Membership) Protect(ctx context.Context, data, authenticatedData []byte) ([]byte, error) {
	return m.tryOctets(ctx, func(g *Group) ([]byte, error) { return g.Protect(data, authenticatedData) })
}

// Propose sends a proposal: see [Group.Propose]. If the process ends before the
// message is sent, commits of this epoch have to do without the pending proposals
// ([CommitOptions].WithoutPending): the others do not know this one.
func (m *Membership) Propose(ctx context.Context, p Proposal, o ProposeOptions) ([]byte, error) {
	return m.tryOctets(ctx, func(g *Group) ([]byte, error) { return g.Propose(p, o) })
}

// ProposeUpdate proposes a new leaf for this member: see [Group.ProposeUpdate].
func (m *Membership) ProposeUpdate(ctx context.Context, c LeafChanges, o ProposeOptions) ([]byte, error) {
	return m.tryOctets(ctx, func(g *Group) ([]byte, error) { return g.ProposeUpdate(c, o) })
}

// SafeExportSecret takes the epoch's secret of a component out of the group: see
// [Group.SafeExportSecret].
func (m *Membership) SafeExportSecret(ctx context.Context, component ComponentID) ([]byte, error) {
	return m.tryOctets(ctx, func(g *Group) ([]byte, error) { return g.SafeExportSecret(component) })
}

// EraseExporterSecret erases the secret behind [Membership.Export] for this epoch.
func (m *Membership) EraseExporterSecret(ctx context.Context) error {
	return m.try(ctx, func(g *Group) error {
		g.EraseExporterSecret()
		return nil
	})
}

// EraseExpired erases what is too old: keys of overtaken messages (see
// [Group.EraseExpiredKeys]) and past epochs. Both also happen with other
// operations; call this now and then where there may be none for long.
func (m *Membership) EraseExpired(ctx context.Context) error {
	if err := m.use(); err != nil {
		return err
	}
	defer m.mu.Unlock()
	next := m.state
	next.group = m.state.group.fork()
	next.group.EraseExpiredKeys()
	next.past = nil
	for _, p := range m.client.keptPast(m.state.past, m.client.cfg.Now()) {
		p = p.fork()
		p.secrets.EraseExpired()
		next.past = append(next.past, p)
	}
	return m.move(ctx, next)
}

// ProtectTo encrypts data to one other member: see [Group.ProtectTo].
func (m *Membership) ProtectTo(recipient LeafIndex, data, authenticatedData []byte) ([]byte, error) {
	if err := m.use(); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	return m.state.group.ProtectTo(recipient, data, authenticatedData)
}

// ProtectToSeveral encrypts data to several members: see [Group.ProtectToSeveral].
func (m *Membership) ProtectToSeveral(recipients []LeafIndex, data, authenticatedData []byte) ([]byte, error) {
	if err := m.use(); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	return m.state.group.ProtectToSeveral(recipients, data, authenticatedData)
}

// AppAck returns what the client has received in the epoch: see [Group.AppAck].
func (m *Membership) AppAck() (AppAck, error) {
	if err := m.use(); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	return m.state.group.AppAck()
}

// CompareAppAck compares another member's AppAck of the epoch with what the client
// has sent and received: see [Group.CompareAppAck]. For those that a commit covers,
// that is done when it is processed (see [ReceivedCommit]).
func (m *Membership) CompareAppAck(member LeafIndex, ack AppAck) (AckReport, error) {
	if err := m.use(); err != nil {
		return AckReport{}, err
	}
	defer m.mu.Unlock()
	return m.state.group.CompareAppAck(member, ack)
}

// Export derives a secret from the epoch: see [Group.Export].
func (m *Membership) Export(label string, context []byte, length int) ([]byte, error) {
	if err := m.use(); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	return m.state.group.Export(label, context, length)
}

// GroupInfo returns a signed GroupInfo of the epoch: see [Group.GroupInfo].
func (m *Membership) GroupInfo(o GroupInfoOptions) ([]byte, error) {
	if err := m.use(); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	return m.state.group.GroupInfo(o)
}

// A View is what there is to see of a group in one epoch, at one moment.
type View struct {
	publicState
	own                LeafIndex
	epochAuthenticator []byte
	reInit             *ReInit
	joinedBy           Extensions
}

// OwnLeaf returns the index of the member who has this view.
func (v *View) OwnLeaf() LeafIndex { return v.own }

// EpochAuthenticator returns a value that all members share if they agree on the
// epoch. RFC 9420, Section 8.7.
func (v *View) EpochAuthenticator() []byte { return bytes.Clone(v.epochAuthenticator) }

// ReInit returns the proposal by which the group was closed, nil if it is open.
func (v *View) ReInit() *ReInit { return v.reInit }

// GroupInfoExtensions returns what those who came in this epoch were told: see
// [Group.GroupInfoExtensions].
func (v *View) GroupInfoExtensions() Extensions { return v.joinedBy.clone() }

// View returns what there is to see of the group now.
func (m *Membership) View() (*View, error) {
	if err := m.use(); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	g := m.state.group
	v := &View{g.publicState, g.own, g.EpochAuthenticator(), g.reInit, g.GroupInfoExtensions()}
	v.proposals = slices.Clone(v.proposals)
	return v, nil
}

// Process decrypts and verifies a message: see [Group.Process]. A commit takes
// effect at once, be it another member's or the pending one of this client that
// comes back. ([ReceivedCommit.Group] is nil therefore.) A commit that removes the
// client deletes the membership.
//
// Application messages and targeted messages of past epochs are read as long as these
// are kept (see [ClientOptions]).
func (m *Membership) Process(ctx context.Context, message []byte) (Received, error) {
	if err := m.use(); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	if p := m.state.pending; p != nil && p.Is(message) {
		own := p.contents
		var err error
		if own.AppAcks, err = m.state.group.compareAppAcks(own.Proposals); err != nil {
			return nil, err
		}
		if err := m.adopt(ctx, m.state.group, p.next); err != nil {
			return nil, err
		}
		return &own, nil
	}
	if h, err := ParseHeader(message); err == nil && bytes.Equal(h.GroupID, m.groupID) && h.Epoch < m.state.group.context.epoch {
		return m.processPast(ctx, h.Epoch, message)
	}
	next := m.state
	next.group = m.state.group.fork()
	received, err := next.group.Process(message)
	if _, targeted := received.(*ReceivedTargeted); err != nil || targeted { // nothing has changed
		next.group.Erase()
		return received, err
	}
	if c, ok := received.(*ReceivedCommit); ok {
		defer next.group.Erase()
		if err := m.follow(ctx, next.group, c); err != nil {
			return nil, err
		}
		c.next = nil // which is in use
		return c, nil
	}
	if err := m.move(ctx, next); err != nil {
		return nil, err
	}
	return received, nil
}

// follow goes where another member's commit leads. g is the state of the epoch in
// which it was sent.
func (m *Membership) follow(ctx context.Context, g *Group, c *ReceivedCommit) error {
	if m.client.review != nil {
		if err := m.client.review(c); err != nil {
			c.Erase()
			return fmt.Errorf("mls: commit was refused: %w", err)
		}
	}
	if c.next == nil {
		return m.delete(ctx, ErrRemoved)
	}
	return m.adopt(ctx, g, c.next)
}

// adopt goes on to the next epoch. g is the state that this one ends with.
func (m *Membership) adopt(ctx context.Context, g, next *Group) error {
	past, now := m.state.past, m.client.cfg.Now()
	if m.client.pastEpochs > 0 {
		past = append(slices.Clip(past), g.retire(now))
	}
	return m.move(ctx, memberState{group: next, past: m.client.keptPast(past, now)})
}

// keptPast returns the past epochs that the client's options keep at a time.
func (c *Client) keptPast(past []*pastEpoch, now time.Time) []*pastEpoch {
	surplus := max(0, len(past)-max(0, c.pastEpochs))
	kept := slices.Clone(past[surplus:])
	if c.pastAge >= 0 {
		oldest := now.Add(-c.pastAge).Unix()
		kept = slices.DeleteFunc(kept, func(p *pastEpoch) bool { return p.ended < oldest })
	}
	return kept
}

// processPast reads an application message or a targeted message of a past epoch.
func (m *Membership) processPast(ctx context.Context, epoch uint64, message []byte) (Received, error) {
	next := m.state
	next.past = m.client.keptPast(m.state.past, m.client.cfg.Now())
	i := slices.IndexFunc(next.past, func(p *pastEpoch) bool { return p.context.epoch == epoch })
	if i < 0 {
		return nil, fmt.Errorf("%w: %d, which is over", ErrWrongEpoch, epoch)
	}
	next.past[i] = next.past[i].fork()
	received, err := next.past[i].process(message)
	if _, targeted := received.(*ReceivedTargeted); err != nil || targeted { // nothing has changed
		next.past[i].erase()
		return received, err
	}
	if err := m.move(ctx, next); err != nil {
		return nil, err
	}
	return received, nil
}

// A CommitOutput is what a commit of the client's own has to send.
type CommitOutput struct {
	Commit  []byte // to the group, as an MLSMessage
	Welcome []byte // to the new members, as an MLSMessage; nil if there are none
	// RatchetTree is the new epoch's tree, for those who get it apart from the
	// Welcome.
	RatchetTree []byte
}

func (p *PendingCommit) output() *CommitOutput {
	return &CommitOutput{p.Message(), p.Welcome(), p.RatchetTree()}
}

// Commit makes a commit: see [Group.Commit]. It is pending, and the group stays in
// its epoch, until [Membership.Accept] or [Membership.Process] of the commit itself
// makes it effective, [Membership.Drop] drops it, or another member's commit of the
// epoch takes its place. A pending commit outlives a restart.
//
// Errors: [ErrCommitPending].
func (m *Membership) Commit(ctx context.Context, o CommitOptions) (*CommitOutput, error) {
	if err := m.use(); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	if m.state.pending != nil {
		return nil, ErrCommitPending
	}
	next := m.state
	next.group = m.state.group.fork()
	var err error
	if next.pending, err = next.group.Commit(o); err != nil {
		next.group.Erase()
		return nil, err
	}
	if err := m.move(ctx, next); err != nil {
		return nil, err
	}
	return next.pending.output(), nil
}

// CommitDetached makes a commit that the membership does not remember, so that
// several can be prepared and one be chosen. The caller keeps it, by
// [PendingCommit.Marshal] if need be, and hands it to [Membership.Adopt] once it
// was accepted, or erases it.
func (m *Membership) CommitDetached(ctx context.Context, o CommitOptions) (p *PendingCommit, err error) {
	err = m.try(ctx, func(g *Group) error {
		p, err = g.Commit(o)
		return err
	})
	if err != nil {
		if p != nil {
			p.Erase()
		}
		return nil, err
	}
	return p, nil
}

// Adopt makes a detached commit effective, and takes it over.
//
// Errors: [ErrNoCommitPending] if it was made in another epoch; [ErrErased] if it
// was erased, or adopted before.
func (m *Membership) Adopt(ctx context.Context, p *PendingCommit) error {
	if err := m.use(); err != nil {
		return err
	}
	defer m.mu.Unlock()
	if p.next.erased {
		return fmt.Errorf("mls: adopting a commit: %w", ErrErased)
	}
	if !bytes.Equal(p.base, m.state.group.interimTranscriptHash) {
		return fmt.Errorf("%w: the commit was made in another", ErrNoCommitPending)
	}
	next := p.next.fork() // so that p can be used again after an error
	if err := m.adopt(ctx, m.state.group, next); err != nil {
		return err
	}
	p.Erase()
	return nil
}

// Pending returns the pending commit, to be sent again after a restart. The result
// is nil if none is pending.
func (m *Membership) Pending() (*CommitOutput, error) {
	if err := m.use(); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	if m.state.pending == nil {
		return nil, nil
	}
	return m.state.pending.output(), nil
}

// Accept makes the pending commit effective: the group has accepted it. Errors:
// [ErrNoCommitPending].
func (m *Membership) Accept(ctx context.Context) error {
	if err := m.use(); err != nil {
		return err
	}
	defer m.mu.Unlock()
	if m.state.pending == nil {
		return ErrNoCommitPending
	}
	return m.adopt(ctx, m.state.group, m.state.pending.next)
}

// Drop drops the pending commit, if there is one: the group has not accepted it.
func (m *Membership) Drop(ctx context.Context) error {
	if err := m.use(); err != nil {
		return err
	}
	defer m.mu.Unlock()
	if m.state.pending == nil {
		return nil
	}
	next := m.state
	next.pending = nil
	return m.move(ctx, next)
}

// Branch makes a group of some of the members: see [Group.Branch]. The client is a
// member at once; the Welcome is for the others.
func (m *Membership) Branch(ctx context.Context, o SuccessorOptions) (*Membership, *CommitOutput, error) {
	return m.succeed(ctx, func(g *Group) (*PendingCommit, error) { return g.Branch(o) })
}

// ReInitialize makes the group that takes the place of this one, which has to be
// closed: see [Group.ReInitialize]. The client is a member at once; the Welcome is
// for the others.
func (m *Membership) ReInitialize(ctx context.Context, o SuccessorOptions) (*Membership, *CommitOutput, error) {
	return m.succeed(ctx, func(g *Group) (*PendingCommit, error) { return g.ReInitialize(o) })
}

func (m *Membership) succeed(ctx context.Context, found func(*Group) (*PendingCommit, error)) (*Membership, *CommitOutput, error) {
	if err := m.use(); err != nil {
		return nil, nil, err
	}
	defer m.mu.Unlock()
	p, err := found(m.state.group)
	if err != nil {
		return nil, nil, err
	}
	output := p.output()
	next := m.client.newMembership(p.next.context.groupID)
	if err := m.client.enter(ctx, m, next, p.next); err != nil {
		return nil, nil, err
	}
	return next, output, nil
}

// JoinSuccessor enters the group that continues this one, by branching or
// re-initialization: see [Client.Join]. This membership stays as it is.
func (m *Membership) JoinSuccessor(ctx context.Context, welcome, ratchetTree []byte) (*Membership, error) {
	if err := m.use(); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	return m.client.join(ctx, m, welcome, JoinOptions{RatchetTree: ratchetTree, Previous: m.state.group})
}
