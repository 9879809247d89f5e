package channel

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// helloLifetime is how far from now, in either direction, the key package of a
// hello is valid. It is used at once: the time is for clocks that disagree.
const helloLifetime = 24 * time.Hour

// leafOptions returns how this end appears in its leaf.
func (s *Session) leafOptions(parameters []byte) mls.LeafOptions {
	return s.leafOptionsFor(s.cfg.Suites, parameters)
}

func (s *Session) leafOptionsFor(suites []ciphersuite.ID, parameters []byte) mls.LeafOptions {
	now := s.mls.Now()
	return mls.LeafOptions{
		Capabilities: mls.Capabilities{
			CipherSuites: suites,
			Credentials:  s.cfg.credentialTypes(),
			Proposals:    []mls.ProposalType{}, // of components: see there
		},
		Extensions: leafExtensions(parameters),
		Lifetime: mls.Lifetime{
			NotBefore: uint64(max(0, now.Add(-helloLifetime).Unix())),
			NotAfter:  uint64(max(0, now.Add(helloLifetime).Unix())),
		},
	}
}

// sendClientHello begins a full handshake.
func (s *Session) sendClientHello() ([]Event, error) {
	if s.cfg.APQ != nil {
		return s.sendPairedHello(s.cfg.APQ.Suites[0])
	}
	return s.sendClientHelloOf(s.cfg.Suites[0])
}

func (s *Session) sendClientHelloOf(suite ciphersuite.ID) ([]Event, error) {
	if err := s.appearFor(suite); err != nil {
		return nil, err
	}
	bundle, err := mls.NewKeyPackage(s.mls, mls.KeyPackageOptions{
		Suite:    suite,
		Identity: *s.identity,
		Leaf:     s.leafOptions(s.ownOffer().marshal()),

		OneSignature: s.cfg.OneSignature,
	})
	if err != nil {
		return nil, because(AlertInternalError, err)
	}
	s.bundle = bundle
	s.enter(StateAwaitingServerHello)
	return []Event{send(MessageClientHello, bundle.Message())}, nil
}

// receiveClientHello answers a full handshake: it makes a group with the two
// ends as its members. The responder is leaf 0, the initiator leaf 1. Whether
// the initiator is alive, or its hello a replay, shows in the next message.
func (s *Session) receiveClientHello(_ context.Context, body []byte) ([]Event, error) {
	if s.early.seen {
		return nil, because(AlertUnexpectedMessage, fmt.Errorf("%w: ClientHello behind EarlyData", ErrUnexpectedMessage))
	}
	if mls.IsAPQMessagePair(body) {
		return s.receivePairedHello(body)
	}
	unverified, err := mls.ParseKeyPackage(body)
	if err != nil {
		return nil, peerFault(AlertDecodeError, err)
	}
	if suite := unverified.CipherSuite(); !slices.Contains(s.cfg.Suites, suite) {
		return s.helloRetry(suite, body)
	}
	keyPackage, err := unverified.Verify(s.mls)
	if err != nil {
		return nil, peerFault(AlertIllegalParameter, err)
	}
	offered, err := offerOf(&keyPackage.LeafNode)
	if err != nil {
		return nil, peerFault(AlertIllegalParameter, err)
	}
	if err := s.verifyRetry(keyPackage, offered); err != nil {
		return nil, err
	}
	if err := s.selectConfig(&keyPackage.LeafNode, offered); err != nil {
		return nil, err
	}
	if suite := keyPackage.CipherSuite; !slices.Contains(s.cfg.Suites, suite) { // those of the chosen one may be others
		return nil, because(AlertHandshakeFailure, fmt.Errorf("%w: %v, want one of %v", ErrNoCommonSuite, suite, s.cfg.Suites))
	}
	if s.cfg.APQ != nil && s.cfg.APQ.Required {
		return nil, errWithoutAPQ()
	}
	chosen, err := s.chooseFor(&keyPackage.LeafNode, offered)
	if err != nil {
		return nil, err
	}
	if err := s.appearFor(keyPackage.CipherSuite); err != nil {
		return nil, err
	}
	groupID := make([]byte, len(s.id))
	if _, err := io.ReadFull(s.mls.Rand, groupID); err != nil {
		return nil, because(AlertInternalError, fmt.Errorf("channel: drawing a session ID: %w", err))
	}
	alone, err := mls.NewGroup(s.mls, mls.GroupOptions{
		Suite:      keyPackage.CipherSuite,
		Identity:   *s.identity,
		GroupID:    groupID,
		Extensions: contextExtensions(chosen.marshal()),
		Leaf:       s.leafOptions(nil),
	})
	if err != nil {
		return nil, because(AlertInternalError, err)
	}
	defer alone.Erase()
	proposals, err := s.pskProposals(alone, chosen.parameters.psks)
	if err != nil {
		return nil, err
	}
	// The group is a moment old: a path would renew keys that nobody has used.
	// The commit is sent to nobody: all of it that counts is in the Welcome.
	pair, err := alone.Commit(mls.CommitOptions{
		Proposals:         append(proposals, &mls.Add{KeyPackage: keyPackage}),
		OmitPath:          true,
		WelcomeOnly:       true,
		AuthenticatedData: noPurpose,
	})
	if err != nil {
		return nil, peerFault(AlertIllegalParameter, err)
	}
	return s.welcome(groups{Group: pair.Group()}, s.agreed(offered, chosen), pair.Welcome())
}

// welcome answers a ClientHello with what it has led to.
func (s *Session) welcome(g groups, terms Negotiated, welcome []byte) ([]Event, error) {
	if err := s.establish(g, terms); err != nil {
		return nil, err
	}
	s.enter(StateAwaitingHandshakeDone)
	return []Event{
		send(MessageServerHello, welcome),
		s.switchSend(s.secrets),
		s.switchReceive(s.secrets),
	}, nil
}

// receiveServerHello completes the initiator's handshake.
func (s *Session) receiveServerHello(ctx context.Context, body []byte) ([]Event, error) {
	joined, err := s.join(body)
	if err != nil {
		return nil, peerFault(AlertIllegalParameter, err)
	}
	terms, err := s.verifyWelcome(joined)
	if err != nil {
		joined.erase()
		return nil, peerFault(AlertIllegalParameter, err)
	}
	if err := s.establish(joined, terms); err != nil {
		return nil, err
	}
	s.kept = s.store != nil
	if err := s.save(ctx); err != nil {
		return nil, err
	}
	s.dropBundles()
	s.deleteReplaced(ctx)
	s.enter(StateSynced)
	return append([]Event{
		s.switchSend(s.secrets),
		s.switchReceive(s.secrets),
		send(MessageHandshakeDone, nil),
	}, s.withEarlyDataFate(EarlyDataUnknown, []Event{
		PeerAuthenticated{peerLeaf(s.group)},
		HandshakeComplete{},
	})...), nil
}

// verifyWelcome checks the group that the responder has made, and returns what the
// ends have agreed on by it.
func (s *Session) verifyWelcome(g groups) (Negotiated, error) {
	if err := g.verifyMembers(); err != nil {
		return Negotiated{}, err
	}
	if g.OwnLeaf() != 1 || len(g.GroupID()) != len(SessionID{}) || g.Epoch() != 1 {
		return Negotiated{}, fmt.Errorf("%w: own leaf %d, epoch %d, a group ID of %d octets; want leaf 1, epoch 1 and %d octets",
			ErrProfile, g.OwnLeaf(), g.Epoch(), len(g.GroupID()), len(SessionID{}))
	}
	data, err := g.verifyContext()
	if err != nil {
		return Negotiated{}, err
	}
	chosen, err := parseChoice(data)
	if err != nil {
		return Negotiated{}, err
	}
	offered := s.ownOffer()
	if err := s.cfg.verifyChoice(offered, chosen); err != nil {
		return Negotiated{}, err
	}
	if err := g.verifyChosenPair(&chosen.parameters); err != nil {
		return Negotiated{}, err
	}
	return s.agreed(offered, chosen), s.verifyUsedPSKs(chosen)
}

// establish takes over the group of a full handshake. The commit that led to
// it was sent to nobody, so lastCommit stays empty and equals no hash.
func (s *Session) establish(g groups, terms Negotiated) (err error) {
	s.group, s.pair, s.id, s.created, s.terms = g.Group, g.pair, SessionID(g.GroupID()), s.mls.Now(), terms
	s.fullAt = s.created.Unix()
	s.labelPeer()
	own, peer := ownLeaf(g.Group), peerLeaf(g.Group)
	s.prevails = s.role == RoleInitiator
	if s.terms.Features&FeatureTieBreakByKey != 0 {
		s.prevails = bytes.Compare(own.SignatureKey, peer.SignatureKey) > 0
	}
	s.secrets, err = s.drawSecrets(g.Group)
	s.trace.epoch(s, false)
	return err
}

// labelPeer gives the stored session of a responder the name of the peer's
// signature key.
func (s *Session) labelPeer() {
	if s.role == RoleResponder {
		s.peer = Fingerprint(peerLeaf(s.group).SignatureKey)
	}
}

// receiveHandshakeDone completes the responder's handshake: what came under the
// keys of epoch 1 can only be from who joined by this ServerHello. The
// session is worth keeping from now on.
func (s *Session) receiveHandshakeDone(ctx context.Context, body []byte) ([]Event, error) {
	if len(body) != 0 {
		return nil, because(AlertDecodeError, fmt.Errorf("%w: body of %d octets, want none", ErrMalformed, len(body)))
	}
	s.kept = s.store != nil
	if err := s.save(ctx); err != nil {
		return nil, err
	}
	s.enter(StateSynced)
	return []Event{PeerAuthenticated{peerLeaf(s.group)}, HandshakeComplete{}}, nil
}

// send returns the event that sends a message.
func send(t MessageType, body []byte) Send {
	return Send{Message{Type: t, Body: body, Protected: t.Protected()}}
}
