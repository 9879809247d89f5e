package channel

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/mendlink/mendlink/mls"
)

// pendingUpdate is a commit of ours that the peer has not acknowledged.
type pendingUpdate struct {
	wish               // zero if it was made to resume
	commit  []byte     // repeated byte for byte as long as it is pending
	group   *mls.Group // the epoch that it leads to
	pair    *mls.APQGroup
	secrets *trafficSecrets
}

// A wish is what an update is for.
type wish struct {
	reason UpdateReason // zero: there is no wish
	psks   [][]byte     // identities of pre-shared keys to mix in
	full   bool         // in both groups, if there are two
}

// and returns a wish that serves both.
func (w wish) and(other wish) wish {
	return wish{w.reason.or(other.reason), slices.Concat(w.psks, other.psks), w.full || other.full}
}

// outlives reports whether w is still there once an update that was under way is
// done.
func (w wish) outlives(full bool) bool { return w.reason.needsLater() || w.full && !full }

// Update starts an update: new private keys for this end, and a new epoch. It
// is done once [Updated] says so. If an update is under way already, this one
// follows it, unless that one serves its reason as well.
//
// Errors: [ErrNotReady], [ErrClosed], and those of the store, after which the
// session can go on if they do not match [ErrSuperseded].
func (s *Session) Update(ctx context.Context, reason UpdateReason) ([]Event, error) {
	return s.update(ctx, wish{reason: reason, full: reason == ReasonFullAge})
}

// InjectPSK starts an update that mixes pre-shared keys, which both ends look up
// by [Config.PSK], into the next epoch. It is done once [Updated] says so. If the
// connection ends before, whether it took effect is not known, and it can be
// repeated. Errors are those of [Session.Update], and [mls.ErrUnknownPSK].
func (s *Session) InjectPSK(ctx context.Context, identities ...[]byte) ([]Event, error) {
	for _, id := range identities {
		if len(id) == 0 || len(id) > maxNameLength {
			return nil, fmt.Errorf("channel: PSK identity of %d octets, want 1 to %d", len(id), maxNameLength)
		}
		if s.psk == nil {
			return nil, fmt.Errorf("channel: Config has no PSK: %w", mls.ErrUnknownPSK)
		}
		if _, err := s.psk(id); err != nil {
			return nil, fmt.Errorf("channel: looking up a pre-shared key: %w", err)
		}
	}
	return s.update(ctx, wish{reason: ReasonRequested, psks: identities})
}

func (s *Session) update(ctx context.Context, w wish) ([]Event, error) {
	w.full = w.full && s.pair != nil
	switch s.state {
	case StateClosed:
		return nil, ErrClosed
	case StateSynced, StateAcknowledged:
		events, err := s.startUpdate(ctx, w)
		if AlertOf(err) == AlertUserCanceled {
			return nil, s.fail(ctx, Message{}, err)
		}
		s.trace.events(s, events)
		return events, err
	case StateUpdating, StateAcknowledgedUpdating:
		s.wanted = s.wanted.and(w)
		return nil, nil
	}
	return nil, ErrNotReady
}

// startUpdate commits, and tells the peer once the commit is in the store.
func (s *Session) startUpdate(ctx context.Context, w wish) ([]Event, error) {
	if err := s.commit(ctx, purposeConnectionUpdate, w); err != nil {
		return nil, err
	}
	s.wanted = wish{}
	if s.state == StateAcknowledged {
		s.enter(StateAcknowledgedUpdating)
	} else {
		s.enter(StateUpdating)
	}
	return []Event{send(MessageConnectionUpdate, s.pending.commit)}, nil
}

// commit makes a commit with a path and saves it as pending. If it fails, there
// is none.
func (s *Session) commit(ctx context.Context, p purpose, w wish) error {
	proposals, err := s.pskProposals(s.group, w.psks)
	if err != nil {
		return err
	}
	message, next, err := s.groups().commit(mls.CommitOptions{
		Proposals:         proposals,
		Leaf:              s.leafChanges(),
		AuthenticatedData: p.authenticatedData(),
	}, w.full)
	if breaks(err, mls.CheckLeafSignatureKeyUnique) { // the peer has taken the key that this end is to have
		err = fmt.Errorf("%w: %w", ErrSameSignatureKey, err)
	}
	if err != nil {
		return because(AlertInternalError, fmt.Errorf("channel: committing: %w", err))
	}
	s.pending = &pendingUpdate{wish: w, commit: message, group: next.Group, pair: next.pair}
	if err := s.save(ctx); err != nil {
		s.dropPending()
		return err
	}
	return nil
}

// receiveUpdate applies the peer's update and acknowledges it, as the last
// message under the old keys. The peer's own switch is to come.
func (s *Session) receiveUpdate(ctx context.Context, body []byte) ([]Event, error) {
	next, err := applyCommit(s.groups(), body, purposeConnectionUpdate)
	if err != nil {
		return nil, err
	}
	changed := s.peerChange(next)
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
	s.confirm = confirmation(acknowledgement.Message.Body)
	s.enter(StateAcknowledged)
	events := []Event{acknowledgement, s.switchSend(s.secrets), Updated{Epoch: s.group.Epoch(), Full: s.groups().isFull()}}
	return s.followUp(ctx, append(events, changed...))
}

// receiveCrossingUpdate deals with an update that crossed ours. That of the end
// which began the connection stands, and the other end drops its own.
func (s *Session) receiveCrossingUpdate(ctx context.Context, body []byte) ([]Event, error) {
	if s.leads {
		return nil, s.ignore(body)
	}
	// Fresh traffic keys come with any update, fresh private keys only
	// with our own.
	s.wanted = s.pending.and(s.wanted)
	if s.wanted.reason.byTraffic() && !s.wanted.full {
		s.wanted = wish{}
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
	header, err := mls.ParseAPQHeader(body)
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
	if err := verifyAcknowledgement(s.pending.groups(), body); err != nil {
		return nil, err
	}
	reason := s.pending.reason
	if err := s.adoptPending(); err != nil {
		return nil, err
	}
	if err := s.save(ctx); err != nil {
		return nil, err
	}
	s.enter(StateSynced)
	events := []Event{
		s.switchReceive(s.secrets),
		send(MessageKeySwitch, append(epochBody(s.group.Epoch()), confirmation(body)...)),
		s.switchSend(s.secrets),
		Updated{Epoch: s.group.Epoch(), Own: true, Full: s.groups().isFull(), Reason: reason},
	}
	if !s.wanted.outlives(s.groups().isFull()) {
		s.wanted = wish{} // it has just been served
	}
	return s.followUp(ctx, events)
}

// receiveKeySwitch completes the peer's update: what follows comes under the
// keys of the new epoch. That the peer has seen the acknowledgement bounds how
// fast it can make this end work: an update takes it a round trip.
func (s *Session) receiveKeySwitch(_ context.Context, body []byte) ([]Event, error) {
	if want := append(epochBody(s.group.Epoch()), s.confirm...); !bytes.Equal(body, want) {
		return nil, because(AlertIllegalParameter, fmt.Errorf("%w: KeySwitch %s, want %x", ErrProfile, brief(body), want))
	}
	s.confirm = nil
	if s.pending == nil {
		s.enter(StateSynced)
	} else {
		s.enter(StateUpdating)
	}
	return []Event{s.switchReceive(s.secrets)}, nil
}

// followUp starts the update that is wanted, if there is one.
func (s *Session) followUp(ctx context.Context, events []Event) ([]Event, error) {
	if s.wanted.reason == 0 {
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
func (s *Session) acknowledgement(more ...byte) (Send, error) {
	content := append(s.groups().name(), more...)
	message, err := s.group.Protect(content, purposeEpochKeyUpdate.authenticatedData())
	if err != nil {
		return Send{}, because(AlertInternalError, fmt.Errorf("channel: acknowledging epoch %d: %w", s.group.Epoch(), err))
	}
	s.lastAck = message
	return send(MessageEpochKeyUpdate, message), nil
}

// verifyAcknowledgement checks that an EpochKeyUpdate acknowledges g's epoch.
func verifyAcknowledgement(g groups, body []byte) error {
	more, err := openAcknowledgement(g, body)
	if err == nil && len(more) > 0 {
		err = because(AlertIllegalParameter, fmt.Errorf("%w: EpochKeyUpdate goes on with %s", ErrProfile, brief(more)))
	}
	return err
}

// openAcknowledgement checks that an EpochKeyUpdate acknowledges g's epoch and
// returns what it says beyond. A commit in its place is not looked into: that would make an epoch, which nobody
// erases, and ask about a leaf that nobody adopts.
func openAcknowledgement(g groups, body []byte) (more []byte, err error) {
	if header, err := mls.ParseHeader(body); err == nil && header.ContentType != mls.ContentApplication {
		return nil, because(AlertIllegalParameter, fmt.Errorf("%w: EpochKeyUpdate holds a %v", ErrProfile, header.ContentType))
	}
	received, err := g.Group.Process(body)
	if err != nil {
		return nil, peerFault(AlertDecryptError, err)
	}
	message, ok := received.(*mls.ReceivedApplication)
	if !ok {
		return nil, because(AlertIllegalParameter, fmt.Errorf("%w: EpochKeyUpdate holds a %T", ErrProfile, received))
	}
	if err := verifyPurpose(message.AuthenticatedData, purposeEpochKeyUpdate); err != nil {
		return nil, peerFault(AlertIllegalParameter, err)
	}
	more, ok = bytes.CutPrefix(message.Data, g.name())
	if !ok {
		return nil, because(AlertIllegalParameter, fmt.Errorf("%w: EpochKeyUpdate says %s, want %x", ErrProfile, brief(message.Data), g.name()))
	}
	return more, nil
}

// applyCommit returns the epoch that the peer's commit leads to. The profile
// wants commits that have a path, from a member, and no proposals; those that
// inject pre-shared keys are allowed here.
func applyCommit(g groups, body []byte, allowed ...purpose) (groups, error) {
	header, err := mls.ParseAPQHeader(body)
	if err != nil {
		return groups{}, peerFault(AlertDecodeError, err)
	}
	if header.WireFormat != mls.WireFormatPrivateMessage || header.ContentType != mls.ContentCommit {
		return groups{}, because(AlertIllegalParameter, fmt.Errorf("%w: message is not a commit in a PrivateMessage", ErrProfile))
	}
	commit, err := g.process(body)
	if err != nil {
		return groups{}, peerFault(AlertDecryptError, err)
	}
	if err := commit.verify(g, allowed); err != nil {
		commit.erase()
		return groups{}, peerFault(AlertIllegalParameter, err)
	}
	return commit.next, nil
}

func (c *receivedCommit) verify(g groups, allowed []purpose) error {
	for _, half := range c.halves {
		if err := verifyPurpose(half.AuthenticatedData, allowed...); err != nil {
			return err
		}
		if !bytes.Equal(half.AuthenticatedData, c.halves[0].AuthenticatedData) {
			return fmt.Errorf("%w: the halves of a commit were made for different purposes", ErrProfile)
		}
		if !half.HasPath || half.Sender.Type != mls.SenderMember {
			return fmt.Errorf("%w: commit of a %v, path: %t; want a member's with a path", ErrProfile, half.Sender.Type, half.HasPath)
		}
	}
	if err := verifyOnlyPSKs(c.proposals(0)); err != nil {
		return err
	}
	if len(c.halves) > 1 && len(c.proposals(1)) > 0 {
		return fmt.Errorf("%w: commit to the post-quantum group with %d proposals of its own", ErrProfile, len(c.proposals(1)))
	}
	if err := c.next.verifyMembers(); err != nil {
		return err
	}
	return verifySameParameters(peerLeaf(g.Group), peerLeaf(c.next.Group))
}

// adopt goes on to the epoch that a commit led to, and erases the one before.
func (s *Session) adopt(next groups, commit []byte) error {
	secrets, err := s.drawSecrets(next.Group)
	if err != nil {
		next.erase()
		return err
	}
	s.step(next, commit, secrets)
	s.trace.epoch(s, false)
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
	if p.groups().isFull() {
		s.fullAt = s.mls.Now().Unix()
	}
	s.step(p.groups(), p.commit, p.secrets)
	s.trace.epoch(s, true)
	return nil
}

func (s *Session) step(next groups, commit []byte, secrets *trafficSecrets) {
	s.branches.leave(s.group)
	s.groups().erase()
	s.secrets.erase()
	s.group, s.pair, s.lastCommit, s.secrets = next.Group, next.pair, hashCommit(commit), secrets
	s.earlyDigest, s.lastAck, s.ignored = nil, nil, false
	s.labelPeer()
}

// dropPending gives our own commit up.
func (s *Session) dropPending() {
	if s.pending == nil {
		return
	}
	s.pending.secrets.erase()
	s.pending.groups().erase()
	s.pending = nil
}

func hashCommit(commit []byte) []byte {
	sum := sha256.Sum256(commit)
	return sum[:]
}

// confirmation names an EpochKeyUpdate: the first half of its SHA-256. Nobody
// can tell it without having seen the message.
func confirmation(epochKeyUpdate []byte) []byte {
	sum := sha256.Sum256(epochKeyUpdate)
	return sum[:hashSize/2]
}

// epochBody begins a KeySwitch and the content of an EpochKeyUpdate: uint64 epoch.
func epochBody(epoch uint64) []byte { return binary.BigEndian.AppendUint64(nil, epoch) }
