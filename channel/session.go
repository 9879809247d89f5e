package channel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// A Session is one end of a two-party session, as a value: it does no I/O,
// starts no goroutine and has no clock of its own. Its driver hands it the
// messages that arrive, each complete and in order, and carries out the events
// that its methods return, in order and before the next call of a method.
//
// A Session lives as long as one connection. [Resume] makes one from what the
// connection before has left in the [Store].
//
// A Session is not safe for concurrent use.
type Session struct {
	*opening // nil once the handshake is complete
	services
	mls   *mls.Config
	state State
	role  Role // in the full handshake
	// leads says that this end began the connection, by a ClientHello or a
	// ResumptionRequest: its updates stand when two cross.
	leads    bool
	resumed  bool
	unbound  bool // the transport's binding is yet to come
	ignored  bool // a message that crossed ours: there can be one at most
	repeated bool // an acknowledgement, on this connection: likewise

	entry                       // in the store
	created     time.Time       // of the full handshake
	identity    *mls.Identity   // that this end is to have; nil if its leaf is known to show it
	terms       Negotiated      // in the full handshake
	prevails    bool            // where two resumptions cross; settled by the full handshake
	group       *mls.Group      // the current epoch
	pair        *mls.APQGroup   // that group is the traditional one of; nil: the session has one group
	fullAt      int64           // when this end has made its last full update, or else the full handshake, in seconds of Unix time
	lastCommit  []byte          // hash of the commit that led to it, ours or the peer's
	earlyDigest []byte          // of the early data that came with that commit, if any did
	lastAck     []byte          // the EpochKeyUpdate for that commit, nil if it is ours or pending has answered it
	secrets     *trafficSecrets // of the current epoch, nil before they are needed
	pending     *pendingUpdate  // our commit that is not acknowledged, if there is one
	wanted      wish            // an update to start once that is done
	confirm     []byte          // what a KeySwitch has to hold
	branches    *branches       // that this end waits to join, nil if it never did

	transitions map[State]map[MessageType]handler // the package's, but for tests
}

// An opening is what a session needs until its handshake, full or not, is complete.
type opening struct {
	cfg      *Config
	bundle   *mls.KeyPackageBundle
	pairs    *mls.APQKeyPackageBundle // of a hello that asks for two groups
	retry    []byte                   // hash of a first exchange that found no suite
	usedPSKs [][]byte                 // in the Welcome
	early    earlyData
	replaces entry // of the session that could not be resumed
}

// services are what a session needs of its Config, besides that of its groups, all its life.
type services struct {
	store          Store
	trace          *Trace
	keyLog         io.Writer
	psk            func(identity []byte) ([]byte, error)
	binding        []byte // hash of the TransportBinding
	maxMessageSize int
}

// NewInitiator returns a session that begins with a full handshake.
func NewInitiator(cfg *Config) (*Session, error) {
	s, err := newSession(cfg)
	if err != nil {
		return nil, err
	}
	s.becomeInitiator()
	return s, nil
}

// NewResponder returns a session in which the peer begins: with a full
// handshake, or by resuming a session that the store holds.
func NewResponder(cfg *Config) (*Session, error) {
	s, err := newSession(cfg)
	if err != nil {
		return nil, err
	}
	s.role, s.state = RoleResponder, StateAwaitingHello
	return s, nil
}

// Resume returns a session that resumes a stored one, whichever role this end
// had in it. It returns an error that matches [ErrNoSession] if the store does
// not hold it, or if it fits the configuration no more, and one that
// matches [ErrSessionExpired] if it is too old, and then deletes it.
func Resume(ctx context.Context, cfg *Config, id SessionID) (*Session, error) {
	s, err := newSession(cfg)
	if err != nil {
		return nil, err
	}
	if err := s.load(ctx, id); err != nil {
		return nil, err
	}
	return s, nil
}

func newSession(cfg *Config) (*Session, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Session{opening: new(opening), state: StateIdle, transitions: transitions, unbound: cfg.LateBinding}
	return s, s.configure(cfg)
}

// configure makes cfg, in which nothing is left open, that of the session.
func (s *Session) configure(cfg *Config) (err error) {
	s.cfg, s.identity = cfg, &cfg.Identity
	s.services = services{cfg.Store, cfg.Trace, cfg.KeyLogWriter, cfg.PSK, cfg.bindingHash(), cfg.MaxMessageSize}
	groups := cfg.mls()
	groups.PSK = s.lookUpPSK
	s.mls, err = groups.WithDefaults()
	return err
}

// restart makes s a session that has not begun, of the same configuration.
func (s *Session) restart() {
	*s = Session{opening: &opening{cfg: s.cfg}, services: s.services, mls: s.mls, transitions: s.transitions, state: s.state, identity: &s.cfg.Identity, unbound: s.unbound}
}

// appearFor makes this end appear under the identity that goes with a suite.
func (s *Session) appearFor(id ciphersuite.ID) error {
	suite, err := s.cfg.Registry.Lookup(id)
	var identity mls.Identity
	if err == nil {
		identity, err = s.cfg.identityFor(suite)
	}
	if s.identity = &identity; err != nil {
		return because(AlertInternalError, fmt.Errorf("channel: an identity for %v: %w", id, err))
	}
	return nil
}

func (s *Session) becomeInitiator() {
	s.role, s.leads, s.peer = RoleInitiator, true, s.cfg.PeerName
}

// enter goes on to another state.
func (s *Session) enter(to State) {
	from := s.state
	s.state = to
	s.trace.transition(s, from)
}

// Start begins: an initiator sends a ClientHello, a session that resumes a
// ResumptionRequest, a responder nothing. An error is final.
func (s *Session) Start(ctx context.Context) (events []Event, err error) {
	switch {
	case s.state == StateClosed:
		return nil, ErrClosed
	case s.state == StateAwaitingHello:
		return nil, nil
	case s.state != StateIdle:
		return nil, ErrStarted
	case s.unbound && s.group == nil:
		return nil, ErrNotBound
	case s.group != nil:
		events, err = s.sendResumptionRequest(ctx)
	default:
		events, err = s.sendClientHello()
	}
	if err != nil {
		return nil, s.fail(ctx, Message{}, err)
	}
	s.trace.events(s, events)
	return events, nil
}

// A handler deals with the body of one message.
type handler func(*Session, context.Context, []byte) ([]Event, error)

// transitions lists the messages that each state takes.
var transitions = map[State]map[MessageType]handler{
	StateAwaitingHello: {
		MessageClientHello:       (*Session).receiveClientHello,
		MessageResumptionRequest: (*Session).receiveResumptionRequest,
		MessageEarlyData:         (*Session).receiveEarlyData,
	},
	StateAwaitingClientHello: {MessageClientHello: (*Session).receiveClientHello},
	StateAwaitingServerHello: {
		MessageServerHello: (*Session).receiveServerHello,
		MessageHelloRetry:  (*Session).receiveHelloRetry,
	},
	StateAwaitingHandshakeDone: {MessageHandshakeDone: (*Session).receiveHandshakeDone},
	StateSynced: {
		MessageConnectionUpdate: (*Session).receiveUpdate,
		MessageKeyUpdate:        (*Session).receiveKeyUpdate,
	},
	StateAcknowledged: {
		MessageKeySwitch: (*Session).receiveKeySwitch,
		MessageKeyUpdate: (*Session).receiveKeyUpdate,
	},
	StateUpdating: {
		MessageEpochKeyUpdate:   (*Session).receiveEpochKeyUpdate,
		MessageConnectionUpdate: (*Session).receiveCrossingUpdate,
		MessageKeyUpdate:        (*Session).receiveKeyUpdate,
	},
	StateAcknowledgedUpdating: {
		MessageKeySwitch: (*Session).receiveKeySwitch,
		MessageKeyUpdate: (*Session).receiveKeyUpdate,
	},
	StateAwaitingResumptionResponse: {
		MessageResumptionResponse: (*Session).receiveResumptionResponse,
		MessageResumptionRequest:  (*Session).receiveCrossingRequest,
		MessageResumptionRefused:  (*Session).receiveResumptionRefused,
		MessageEarlyData:          (*Session).receiveEarlyData,

		MessageResumptionAcknowledged: (*Session).receiveResumptionAcknowledged,
	},
	StateAwaitingResumptionAck:   {MessageEpochKeyUpdate: (*Session).receiveResumptionAck},
	StateAwaitingEarlyDataStatus: {MessageEarlyDataStatus: (*Session).receiveEarlyDataStatus},
}

// Receive takes a message from the peer. Message.Protected has to say whether it
// came under the keys of an epoch. The body is not kept.
//
// Any error is final: the session is closed then, and [AlertOf] says what to
// tell the peer. If the fault is the peer's and came through an authenticated
// channel, the stored session is deleted; anything that came in the clear
// leaves it alone, as anybody could have sent that.
func (s *Session) Receive(ctx context.Context, m Message) ([]Event, error) {
	switch {
	case s.state == StateClosed:
		return nil, ErrClosed
	case !s.mayReceive(m.Type):
		return nil, ErrNotBound
	}
	s.trace.received(s, m)
	events, err := s.receive(ctx, m)
	if err != nil {
		return nil, s.fail(ctx, m, err)
	}
	if s.opening != nil && s.state.complete() {
		s.opened()
	}
	s.trace.events(s, events)
	return events, nil
}

func (s *Session) receive(ctx context.Context, m Message) ([]Event, error) {
	if len(m.Body) > s.maxMessageSize {
		return nil, because(AlertRecordOverflow, fmt.Errorf("%w: %d octets, the limit is %d", ErrMessageSize, len(m.Body), s.maxMessageSize))
	}
	handle, ok := s.transitions[s.state][m.Type]
	if !ok || m.Protected != m.Type.Protected() {
		return nil, because(AlertUnexpectedMessage, fmt.Errorf("%w: %v, protected: %t", ErrUnexpectedMessage, m.Type, m.Protected))
	}
	return handle(s, ctx, m.Body)
}

// opened forgets what only the handshake needed.
func (s *Session) opened() {
	s.opening = nil
	if s.identity = s.newIdentity(); s.identity != nil {
		identity := *s.identity
		s.identity = &identity // the other one would keep the Config
	}
}

// fail closes the session on an error, and returns what the caller gets to see.
func (s *Session) fail(ctx context.Context, m Message, err error) error {
	e := &Error{Alert: AlertInternalError, State: s.state, Type: m.Type, Err: err}
	if known := (*Error)(nil); errors.As(err, &known) {
		e.Alert = known.Alert
		if known == err {
			e.Err = known.Err
		}
	}
	// What is ours to answer for, such as a store that cannot be reached,
	// says nothing against the session.
	ours := e.Alert == AlertInternalError || e.Alert == AlertUserCanceled
	if m.Protected && s.state.receivesProtected() && !ours {
		if err := s.discard(ctx, &s.entry); err != nil {
			e.Err = errors.Join(e.Err, err)
		}
	}
	s.trace.failed(s, e)
	s.Close()
	return e
}

// State returns what the session waits for.
func (s *Session) State() State { return s.state }

// Role returns the part that this end had in the full handshake.
func (s *Session) Role() Role { return s.role }

// Resumed reports whether the session was resumed, or is about to be.
func (s *Session) Resumed() bool { return s.resumed }

// ID returns the session's name. It is zero before the ServerHello.
func (s *Session) ID() SessionID { return s.id }

// Epoch returns the number of the current epoch, 0 before there is one.
func (s *Session) Epoch() uint64 {
	if s.group == nil {
		return 0
	}
	return s.group.Epoch()
}

// Suite returns the session's cipher suite, nil before there is one.
func (s *Session) Suite() *ciphersuite.Suite {
	if s.group == nil {
		return nil
	}
	return s.group.Suite()
}

// Shows reports that this end shows an identity, or will with its next update. It is false before
// the handshake is complete.
func (s *Session) Shows(identity mls.Identity) bool {
	if !s.state.complete() {
		return false
	}
	suite, leaf := s.Suite(), ownLeaf(s.group)
	key, err := suite.SignaturePublicKey(identity.Signer.Public())
	if err != nil {
		return false
	}
	if s.identity == nil {
		return bytes.Equal(key, leaf.SignatureKey) && leaf.Credential.Equal(identity.Credential)
	}
	own, err := suite.SignaturePublicKey(s.identity.Signer.Public())
	return err == nil && bytes.Equal(key, own) && s.identity.Credential.Equal(identity.Credential)
}

// Peer returns the peer's leaf, nil before the handshake is complete. It must
// not be changed.
func (s *Session) Peer() *mls.LeafNode {
	if !s.state.complete() {
		return nil
	}
	return peerLeaf(s.group)
}

// Close ends the session and erases what it holds in memory. What is in the
// store stays there, for the session to be resumed.
func (s *Session) Close() {
	if s.state != StateClosed {
		s.enter(StateClosed)
	}
	s.dropGroups()
	if s.opening == nil {
		return
	}
	s.early.erase()
	s.dropBundles()
}

// dropBundles erases the key packages of a hello.
func (s *Session) dropBundles() {
	if s.bundle != nil {
		s.bundle.Erase()
	}
	if s.pairs != nil {
		s.pairs.Erase()
	}
	s.bundle, s.pairs = nil, nil
}

// Abort ends the session for good: it is deleted from the store as well, unless
// another connection has resumed it.
func (s *Session) Abort(ctx context.Context) error {
	err := s.discard(ctx, &s.entry)
	s.Close()
	return err
}

// dropGroups erases the epochs and all that belongs to them.
func (s *Session) dropGroups() {
	s.ForgetBranches()
	s.dropPending()
	s.secrets.erase()
	s.secrets = nil
	if s.group != nil {
		s.groups().erase()
		s.group, s.pair = nil, nil
	}
}
