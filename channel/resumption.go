package channel

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/mendlink/mendlink/mls"
)

// RefusalReason is the body of a ResumptionRefused. Nobody has authenticated it.
type RefusalReason uint8

// The reasons for which a session is not resumed.
const (
	RefusedUnknown  RefusalReason = 1 // the session is not in the store, or of no use
	RefusedExpired  RefusalReason = 2 // it is too old
	RefusedOutdated RefusalReason = 3 // the request builds on another epoch
)

func (r RefusalReason) String() string {
	switch r {
	case RefusedUnknown:
		return "unknown session"
	case RefusedExpired:
		return "session expired"
	case RefusedOutdated:
		return "session outdated"
	}
	return fmt.Sprintf("RefusalReason(%d)", uint8(r))
}

// sendResumptionRequest begins a resumption: with the commit that is pending,
// as it is, or else with a fresh one. The save takes the session over from
// older connections, also where nothing else has changed.
func (s *Session) sendResumptionRequest(ctx context.Context) ([]Event, error) {
	var err error
	if s.pending != nil {
		err = s.save(ctx)
	} else {
		err = s.commit(ctx, purposeResumptionRequest, wish{})
	}
	if err != nil {
		return nil, err
	}
	early, err := s.sendEarlyData()
	if err != nil {
		return nil, err
	}
	return append(early, s.request()...), nil
}

// request asks the peer to resume, by the commit that is pending.
func (s *Session) request() []Event {
	s.leads = true
	s.enter(StateAwaitingResumptionResponse)
	return []Event{send(MessageResumptionRequest, s.pending.commit)}
}

// answerAttempts is how often a request is looked at if older connections move the
// session on meanwhile.
const answerAttempts = 4

// receiveResumptionRequest resumes the session that the peer asks for. The old
// connection may be busy with what came over it last, and save between our loading and
// our saving: as nothing has been said on this connection yet, we begin again.
func (s *Session) receiveResumptionRequest(ctx context.Context, body []byte) (events []Event, err error) {
	early, repeated := s.early, s.repeated
	for range answerAttempts {
		if events, err = s.resumeFor(ctx, body); !errors.Is(err, ErrSuperseded) {
			break
		}
		s.dropGroups()
		s.restart()
		s.role, s.early, s.repeated = RoleResponder, early, repeated
	}
	if errors.Is(err, ErrPeerRefused) {
		// The peer may have another identity by now, which a commit that is pending under the old one keeps it from showing.
		return s.refuse(RefusedUnknown), nil
	}
	return events, err
}

// resumeFor looks up the session that the peer wants to resume.
func (s *Session) resumeFor(ctx context.Context, body []byte) ([]Event, error) {
	header, err := mls.ParseAPQHeader(body)
	if err != nil {
		return nil, peerFault(AlertDecodeError, err)
	}
	if len(header.GroupID) != len(SessionID{}) {
		return s.refuse(RefusedUnknown), nil
	}
	err = s.load(ctx, SessionID(header.GroupID))
	switch {
	case errors.Is(err, ErrNoSession):
		return s.refuse(RefusedUnknown), nil
	case errors.Is(err, ErrSessionExpired):
		return s.refuse(RefusedExpired), nil
	case err != nil:
		return nil, err
	}
	if s.prevails && s.pending != nil && header.Epoch == s.group.Epoch() {
		return s.insist(ctx, body)
	}
	var events []Event
	if s.pending == nil && bytes.Equal(hashCommit(body), s.lastCommit) {
		events, err = s.acknowledgeAgain()
	} else {
		events, err = s.answer(ctx, header.Epoch, body)
	}
	if errors.Is(err, errOutdated) {
		return s.refuse(RefusedOutdated), nil
	}
	return events, err
}

// acknowledgeAgain deals with a request whose commit is applied and acknowledged
// already: the peer has not seen that, or somebody replays it. The acknowledgement
// is repeated, and nothing changes. The peer goes on with a fresh request,
// which nobody else can make; to answer this one would let a replay take the session
// over from a live connection.
//
// No early data was delivered with such a commit: that of a request, which brings some, is
// answered by a commit of ours and not acknowledged.
func (s *Session) acknowledgeAgain() ([]Event, error) {
	if s.lastAck == nil { // the commit is our own
		return nil, errOutdated
	}
	if s.repeated {
		return nil, because(AlertUnexpectedMessage, fmt.Errorf("%w: a second request that is acknowledged already", ErrUnexpectedMessage))
	}
	body := s.lastAck
	s.dropGroups()
	s.restart()
	s.repeated, s.role = true, RoleResponder
	s.enter(StateAwaitingHello)
	return []Event{send(MessageResumptionAcknowledged, body)}, nil
}

// receiveResumptionAcknowledged goes on to the epoch of our pending commit, which
// the peer has applied before, and asks to resume from there.
func (s *Session) receiveResumptionAcknowledged(ctx context.Context, body []byte) ([]Event, error) {
	if s.repeated {
		return nil, because(AlertUnexpectedMessage, fmt.Errorf("%w: a second acknowledgement", ErrUnexpectedMessage))
	}
	s.repeated = true
	if _, err := openAcknowledgement(s.pending.groups(), body); err != nil {
		return nil, err
	}
	s.early.rejected()
	if err := s.adoptPending(); err != nil {
		return nil, err
	}
	if err := s.commit(ctx, purposeResumptionRequest, wish{}); err != nil {
		return nil, err
	}
	return s.request(), nil
}

// insist deals with a request that conflicts with the pending commit of the
// end that prevails. That commit may be under way on another connection, where
// the peer yields to it; to yield here as well could leave the ends in different
// epochs. So it is repeated on this connection, and the peer yields here too.
//
// The save takes the session over from older connections, on which the commit
// might still be dropped. For that the request has to be the peer's: it is
// verified, on a copy, as the group must be able to receive it again.
func (s *Session) insist(ctx context.Context, body []byte) ([]Event, error) {
	state, err := s.groups().marshal(nil)
	if err != nil {
		return nil, because(AlertInternalError, err)
	}
	defer clear(state)
	copied, err := s.restoreGroups(s.pair != nil, nil, ownKey(s.group), state)
	if err != nil {
		return nil, because(AlertInternalError, err)
	}
	defer copied.erase()
	next, err := applyResumption(copied, body)
	if err != nil {
		return nil, err
	}
	next.erase()
	if err := s.save(ctx); err != nil {
		return nil, err
	}
	s.ignored = true
	return s.request(), nil
}

// refuse tells the peer that its session is not resumed. What is left is a full
// handshake.
func (s *Session) refuse(r RefusalReason) []Event {
	s.dropGroups()
	s.restart()
	s.role = RoleResponder
	s.enter(StateAwaitingClientHello)
	return []Event{send(MessageResumptionRefused, []byte{byte(r)})}
}

// receiveCrossingRequest deals with a ResumptionRequest that crossed ours. That
// of the end that prevails stands, whatever the other builds on; to look at
// that first can leave both ends with nothing.
func (s *Session) receiveCrossingRequest(ctx context.Context, body []byte) ([]Event, error) {
	if s.prevails {
		return nil, s.ignore(body)
	}
	header, err := mls.ParseAPQHeader(body)
	if err != nil {
		return nil, peerFault(AlertDecodeError, err)
	}
	events, err := s.answer(ctx, header.Epoch, body)
	if errors.Is(err, errOutdated) {
		return nil, because(AlertIllegalParameter, err)
	}
	return events, err
}

// errOutdated means that a request builds on none of the epochs that this end
// can go on from.
var errOutdated = fmt.Errorf("%w: request builds on another epoch", ErrProfile)

// answer applies the commit of a request that was made in the given epoch, and
// answers it with a commit of our own, which is the peer's to acknowledge.
func (s *Session) answer(ctx context.Context, epoch uint64, body []byte) ([]Event, error) {
	var err error
	duplicate := bytes.Equal(hashCommit(body), s.lastCommit)
	switch {
	case duplicate:
		err = s.verifyDuplicate()
	case s.pending != nil && epoch == s.group.Epoch()+1:
		err = s.applyBehindPending(body)
	case epoch == s.group.Epoch():
		err = s.applyInsteadOfPending(body)
	default:
		err = errOutdated
	}
	if err != nil {
		return nil, err
	}
	var early []Event
	if !duplicate {
		early = s.openEarlyData(body)
	}
	if s.pending == nil {
		if err := s.commit(ctx, purposeResumptionResponse, wish{}); err != nil {
			return nil, err
		}
	}
	s.leads = false
	s.enter(StateAwaitingResumptionAck)
	events := append(early, send(MessageResumptionResponse, s.pending.commit))
	if s.unbound { // the keys come with the binding
		return events, nil
	}
	if s.pending.secrets, err = s.drawSecrets(s.pending.group); err != nil {
		return nil, err
	}
	return append(events, s.switchReceive(s.pending.secrets)), nil
}

// verifyDuplicate deals with a request whose commit is applied already: the
// peer has not seen that, or the request is a replay. In both cases a commit of
// ours that is pending builds on the right epoch, and the peer may even have applied
// it, so it is repeated and never replaced.
func (s *Session) verifyDuplicate() error {
	if err := s.mls.AuthenticationService.ValidateLeaf(peerLeaf(s.group), nil); err != nil {
		return peerFault(AlertBadCertificate, err)
	}
	return nil
}

// applyBehindPending deals with a request that builds on our own pending commit:
// the peer has applied that.
func (s *Session) applyBehindPending(body []byte) error {
	next, err := applyResumption(s.pending.groups(), body)
	if err != nil {
		return err
	}
	if err := s.adoptPending(); err != nil {
		next.erase()
		return err
	}
	return s.adopt(next, body)
}

// applyInsteadOfPending deals with a request that builds on the current epoch:
// the peer has not applied a pending commit of ours, and will not.
func (s *Session) applyInsteadOfPending(body []byte) error {
	next, err := applyResumption(s.groups(), body)
	if err != nil {
		return err
	}
	s.dropPending()
	return s.adopt(next, body)
}

// applyResumption applies the commit of a request or a response. Either may be
// a repetition of one that was made for something else.
func applyResumption(g groups, body []byte) (groups, error) {
	return applyCommit(g, body, purposeConnectionUpdate, purposeResumptionRequest, purposeResumptionResponse)
}

// receiveResumptionResponse completes the resumption at the end that began it,
// two epochs on.
func (s *Session) receiveResumptionResponse(ctx context.Context, body []byte) ([]Event, error) {
	if err := s.applyBehindPending(body); err != nil {
		if errors.Is(err, ErrPeerRefused) { // which it would be for ever: a commit of the peer's that is pending does not change
			err = errors.Join(err, s.discard(ctx, &s.entry))
		}
		return nil, err
	}
	acknowledgement, err := s.acknowledgement(s.early.nonce...)
	if err != nil {
		return nil, err
	}
	if err := s.save(ctx); err != nil {
		return nil, err
	}
	events := []Event{s.switchSend(s.secrets), s.switchReceive(s.secrets), acknowledgement}
	if s.early.sent {
		s.enter(StateAwaitingEarlyDataStatus)
		return events, nil
	}
	s.enter(StateSynced)
	return s.complete(ctx, append(events, s.withEarlyDataFate(EarlyDataRejected, []Event{
		PeerAuthenticated{peerLeaf(s.group)},
		HandshakeComplete{Resumed: true},
	})...))
}

// complete makes up for an identity that has changed while there was no
// connection, once a resumption is complete.
func (s *Session) complete(ctx context.Context, events []Event) ([]Event, error) {
	if s.newIdentity() != nil {
		s.wanted = s.wanted.and(wish{reason: ReasonIdentity})
	}
	return s.followUp(ctx, events)
}

// receiveResumptionAck completes the resumption at the end that answered.
func (s *Session) receiveResumptionAck(ctx context.Context, body []byte) ([]Event, error) {
	nonce, err := openAcknowledgement(s.pending.groups(), body)
	if err != nil {
		return nil, err
	}
	if err := s.verifyEarlyNonce(nonce); err != nil {
		return nil, err
	}
	status := s.earlyDataStatus()
	if err := s.adoptPending(); err != nil {
		return nil, err
	}
	if err := s.save(ctx); err != nil {
		return nil, err
	}
	events := []Event{s.switchSend(s.secrets)}
	if len(nonce) > 0 {
		events = append(events, status)
	}
	s.enter(StateSynced)
	return s.complete(ctx, append(events, s.withEarlyDataFate(EarlyDataUnknown, []Event{
		PeerAuthenticated{peerLeaf(s.group)},
		HandshakeComplete{Resumed: true},
	})...))
}

// receiveResumptionRefused goes on to a full handshake. The refusal could be
// anybody's, so the stored session is deleted only once that is complete.
func (s *Session) receiveResumptionRefused(_ context.Context, body []byte) ([]Event, error) {
	if len(body) != 1 {
		return nil, because(AlertDecodeError, fmt.Errorf("%w: body of %d octets, want 1", ErrMalformed, len(body)))
	}
	if s.cfg.ResumeOnly {
		return nil, because(AlertUserCanceled, fmt.Errorf("%w: %v", ErrResumptionRefused, RefusalReason(body[0])))
	}
	early := s.early
	replaced := s.entry
	s.dropGroups()
	s.restart()
	s.early, s.replaces = early, replaced
	s.becomeInitiator()
	return s.sendClientHello()
}

// deleteReplaced deletes the stored session in whose place this one came.
// Should that fail, the next attempt to resume it is refused once more.
func (s *Session) deleteReplaced(ctx context.Context) {
	_ = s.discard(ctx, &s.replaces)
}
