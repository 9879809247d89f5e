package channel

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/mendlink/mendlink/mls"
)

// pendingUpdate is a commit of ours that the peer has not acknowledged.
type pendingUpdate struct {
	reason  UpdateReason // zero if it was made to resume
	commit  []byte       // repeated byte for byte as long as it is pending
	group   *mls.Group   // the epoch that it leads to
	secrets *trafficSecrets
}

// Update starts an update: new private keys for this end, and a new epoch. It
// is done once [Updated] says so. If an update is under way already, this one
// follows it, unless that one serves its reason as well.
//
// Errors: [ErrNotReady], [ErrClosed], and those of the store, after which the
// session can go on if they do not match [ErrSuperseded].
func (s *Session) Update(ctx context.Context, reason UpdateReason) ([]Event, error) {
	switch s.state {
	case StateClosed:
		return nil, ErrClosed
	case StateSynced, StateAcknowledged:
		events, err := s.startUpdate(ctx, reason)
		if AlertOf(err) == AlertUserCanceled {
			return nil, s.fail(ctx, Message{}, err)
		}
		return events, err
	case StateUpdating, StateAcknowledgedUpdating:
		s.wanted = max(s.wanted, reason)
		return nil, nil
	}
	return nil, ErrNotReady
}

// startUpdate commits, and tells the peer once the commit is in the store.
func (s *Session) startUpdate(ctx context.Context, reason UpdateReason) ([]Event, error) {
	if err := s.commit(ctx, purposeConnectionUpdate, reason); err != nil {
		return nil, err
	}
	s.wanted = 0
	if s.state == StateAcknowledged {
		s.state = StateAcknowledgedUpdating
	} else {
		s.state = StateUpdating
	}
	return []Event{send(MessageConnectionUpdate, s.pending.commit)}, nil
}

// commit makes a commit with a path and saves it as pending. If it fails, there
// is none.
func (s *Session) commit(ctx context.Context, p purpose, reason UpdateReason) error {
	c, err := s.group.Commit(mls.CommitOptions{AuthenticatedData: p.authenticatedData()})
	if err != nil {
		return because(AlertInternalError, fmt.Errorf("channel: committing: %w", err))
	}
	s.pending = &pendingUpdate{reason: reason, commit: c.Message(), group: c.Group()}
	if err := s.save(ctx); err != nil {
		s.dropPending()
		return err
	}
	return nil
}

// receiveUpdate applies the peer's update and acknowledges it, as the last
// message under the old keys. The peer's own switch is to come.
func (s *Session) receiveUpdate(ctx context.Context, body []byte) ([]Event, error) {
	if !s.updates.allow(s.cfg.Now(), s.cfg.MaxPeerUpdates) {
		return nil, because(AlertUnexpectedMessage, fmt.Errorf("%w: more than %d a second", ErrTooManyUpdates, s.cfg.MaxPeerUpdates))
	}
	next, err := applyCommit(s.group, body, purposeConnectionUpdate)
	if err != nil {
		return nil, err
	}
	if err := s.adopt(next, body); err != nil {
		return nil, err
	}
	acknowledgement, err := s.acknowledgement()
	if err != nil {
		return nil, err
	}
	if err := s.save(ctx); err != nil {
		return nil, err
	}
	s.state = StateAcknowledged
	events := []Event{acknowledgement, s.switchSend(s.secrets), Updated{Epoch: s.group.Epoch()}}
	return s.followUp(ctx, events)
}

// receiveCrossingUpdate deals with an update that crossed ours. That of the end
// which began the connection stands, and the other end drops its own.
func (s *Session) receiveCrossingUpdate(ctx context.Context, body []byte) ([]Event, error) {
	if s.leads {
		return nil, s.ignore(body)
	}
	// Fresh traffic keys come with any update, fresh private keys only
	// with our own.
	if dropped := s.pending.reason; dropped > ReasonBytes {
		s.wanted = max(s.wanted, dropped)
	}
	if s.wanted == ReasonBytes {
		s.wanted = 0
	}
	s.dropPending()
	return s.receiveUpdate(ctx, body)
}

// ignore passes over a commit that crossed ours. The peer is not at fault, and
// cannot cross the same commit twice.
func (s *Session) ignore(body []byte) error {
	if s.ignored {
		return because(AlertUnexpectedMessage, fmt.Errorf("%w: a second message crosses the same one of ours", ErrUnexpectedMessage))
	}
	header, err := mls.ParseHeader(body)
	if err != nil {
		return peerFault(AlertDecodeError, err)
	}
	if !bytes.Equal(header.GroupID, s.id[:]) {
		return because(AlertIllegalParameter, fmt.Errorf("%w: commit of another session", ErrProfile))
	}
	s.ignored = true
	return nil
}

// receiveEpochKeyUpdate completes our update: the peer has it, and holds the
// keys of the new epoch. KeySwitch is our last message under the old ones.
func (s *Session) receiveEpochKeyUpdate(ctx context.Context, body []byte) ([]Event, error) {
	if err := verifyAcknowledgement(s.pending.group, body); err != nil {
		return nil, err
	}
	reason := s.pending.reason
	if err := s.adoptPending(); err != nil {
		return nil, err
	}
	if err := s.save(ctx); err != nil {
		return nil, err
	}
	s.state = StateSynced
	events := []Event{
		s.switchReceive(s.secrets),
		send(MessageKeySwitch, epochBody(s.group.Epoch())),
		s.switchSend(s.secrets),
		Updated{Epoch: s.group.Epoch(), Own: true, Reason: reason},
	}
	if s.wanted < ReasonRequested {
		s.wanted = 0 // it has just been served
	}
	return s.followUp(ctx, events)
}

// receiveKeySwitch completes the peer's update: what follows comes under the
// keys of the new epoch.
func (s *Session) receiveKeySwitch(_ context.Context, body []byte) ([]Event, error) {
	if want := epochBody(s.group.Epoch()); !bytes.Equal(body, want) {
		return nil, because(AlertIllegalParameter, fmt.Errorf("%w: KeySwitch %x, want %x", ErrProfile, body, want))
	}
	if s.state = StateUpdating; s.pending == nil {
		s.state = StateSynced
	}
	return []Event{s.switchReceive(s.secrets)}, nil
}

// followUp starts the update that is wanted, if there is one.
func (s *Session) followUp(ctx context.Context, events []Event) ([]Event, error) {
	if s.wanted == 0 {
		return events, nil
	}
	more, err := s.startUpdate(ctx, s.wanted)
	if err != nil {
		eraseSecrets(events) // nobody will carry them out
		return nil, err
	}
	return append(events, more...), nil
}

// acknowledgement returns the EpochKeyUpdate of the current epoch. It is an
// application message of that epoch, which only a member can make. The state
// has to be saved before it is sent, as it uses up a key.
func (s *Session) acknowledgement() (Send, error) {
	message, err := s.group.Protect(epochBody(s.group.Epoch()), purposeEpochKeyUpdate.authenticatedData())
	if err != nil {
		return Send{}, because(AlertInternalError, fmt.Errorf("channel: acknowledging epoch %d: %w", s.group.Epoch(), err))
	}
	return send(MessageEpochKeyUpdate, message), nil
}

// verifyAcknowledgement checks that an EpochKeyUpdate acknowledges g's epoch.
func verifyAcknowledgement(g *mls.Group, body []byte) error {
	received, err := g.Process(body)
	if err != nil {
		return peerFault(AlertDecryptError, err)
	}
	message, ok := received.(*mls.ReceivedApplication)
	if !ok {
		return because(AlertIllegalParameter, fmt.Errorf("%w: EpochKeyUpdate holds a %T", ErrProfile, received))
	}
	if err := verifyPurpose(message.AuthenticatedData, purposeEpochKeyUpdate); err != nil {
		return peerFault(AlertIllegalParameter, err)
	}
	if want := epochBody(g.Epoch()); !bytes.Equal(message.Data, want) {
		return because(AlertIllegalParameter, fmt.Errorf("%w: EpochKeyUpdate says %x, want %x", ErrProfile, message.Data, want))
	}
	return nil
}

// applyCommit returns the epoch that the peer's commit leads to. The profile
// wants commits that have a path and no proposals, from a member.
func applyCommit(g *mls.Group, body []byte, allowed ...purpose) (*mls.Group, error) {
	header, err := mls.ParseHeader(body)
	if err != nil {
		return nil, peerFault(AlertDecodeError, err)
	}
	if header.WireFormat != mls.WireFormatPrivateMessage || header.ContentType != mls.ContentCommit {
		return nil, because(AlertIllegalParameter, fmt.Errorf("%w: message is not a commit in a PrivateMessage", ErrProfile))
	}
	received, err := g.Process(body)
	if err != nil {
		return nil, peerFault(AlertDecryptError, err)
	}
	commit := received.(*mls.ReceivedCommit)
	if err := verifyCommit(commit, allowed); err != nil {
		commit.Erase()
		return nil, peerFault(AlertIllegalParameter, err)
	}
	return commit.Group(), nil
}

func verifyCommit(c *mls.ReceivedCommit, allowed []purpose) error {
	if err := verifyPurpose(c.AuthenticatedData, allowed...); err != nil {
		return err
	}
	if !c.HasPath || len(c.Proposals) > 0 || c.Sender.Type != mls.SenderMember {
		return fmt.Errorf("%w: commit with %d proposals, path: %t; want none and a path", ErrProfile, len(c.Proposals), c.HasPath)
	}
	return verifyPair(c.Group())
}

// adopt goes on to the epoch that a commit led to, and erases the one before.
func (s *Session) adopt(next *mls.Group, commit []byte) error {
	secrets, err := s.drawSecrets(next)
	if err != nil {
		next.Erase()
		return err
	}
	s.step(next, commit, secrets)
	return nil
}

// adoptPending goes on to the epoch of our own commit.
func (s *Session) adoptPending() error {
	p := s.pending
	if p.secrets == nil {
		var err error
		if p.secrets, err = s.drawSecrets(p.group); err != nil {
			return err
		}
	}
	s.pending = nil
	s.step(p.group, p.commit, p.secrets)
	return nil
}

func (s *Session) step(next *mls.Group, commit []byte, secrets *trafficSecrets) {
	s.group.Erase()
	s.secrets.erase()
	s.group, s.lastCommit, s.secrets = next, hashCommit(commit), secrets
	s.ignored = false
}

// dropPending gives our own commit up.
func (s *Session) dropPending() {
	if s.pending == nil {
		return
	}
	s.pending.secrets.erase()
	s.pending.group.Erase()
	s.pending = nil
}

func hashCommit(commit []byte) []byte {
	sum := sha256.Sum256(commit)
	return sum[:]
}

// epochBody is the body of a KeySwitch and the content of an EpochKeyUpdate:
// uint64 epoch.
func epochBody(epoch uint64) []byte { return binary.BigEndian.AppendUint64(nil, epoch) }
