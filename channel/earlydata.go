package channel

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls"
)

// Early data travels right before a ResumptionRequest, a round trip before the
// connection is complete:
//
//	struct {
//	  opaque nonce[32];
//	  opaque ciphertext<V>;
//	} EarlyData;
//
// It is encrypted under a secret of the epoch that the request's commit leads
// to, and a nonce that is fresh for each attempt, as the commit may be repeated.
// It is delivered only if the request's commit had not been applied before. A commit
// is applied once, which the store's compare-and-swap decides: so a replay delivers
// nothing. What became of it the peer says in a protected
//
//	struct {
//	  uint8 delivered;       /* 0: no, 1: on this connection, 2: on another */
//	  opaque digest[32];     /* of the data that was delivered */
//	} EarlyDataStatus;
//
// which is its first message. The EpochKeyUpdate before it holds the nonce. If that is
// not the one of the data that was delivered on this connection, somebody has put the data of
// another attempt there, and the connection ends: so the ends never differ about
// what there was on it.

// EarlyDataFate says what became of early data.
type EarlyDataFate uint8

// The fates of early data.
const (
	// EarlyDataDelivered: the peer has handed it to its application, once.
	EarlyDataDelivered EarlyDataFate = 1 + iota
	// EarlyDataRejected: the peer's application does not have it, and never will
	// have it from this attempt. It can be sent again as ordinary data.
	EarlyDataRejected
	// EarlyDataUnknown: nobody who can be trusted has said. Somebody on the network may yet
	// deliver it, once, as long as the peer keeps the session and does not move on.
	EarlyDataUnknown
)

func (f EarlyDataFate) String() string {
	switch f {
	case EarlyDataDelivered:
		return "delivered"
	case EarlyDataRejected:
		return "rejected"
	case EarlyDataUnknown:
		return "unknown"
	}
	return fmt.Sprintf("EarlyDataFate(%d)", uint8(f))
}

const (
	labelEarlyData  = "Mendlink early data"
	earlyNonceSize  = 32
	earlyDigestSize = 32
	// earlyOverhead is by how much an EarlyData is at most longer than the data.
	earlyOverhead = earlyNonceSize + 4 + 16
)

// earlyData is what an end knows of the early data of its connection.
type earlyData struct {
	// Of the end that sends it.
	data   []byte
	sent   bool
	nonce  []byte
	digest []byte
	fate   bool // wanted by the application, and not told yet

	// Of the end that receives it.
	received  []byte // the message, until the request comes
	seen      bool   // one such message came: there is one at most
	delivered []byte // nonce of what was delivered on this connection
}

// rejected takes note that the peer has acknowledged the commit of the request in an update, so that it never delivers what
// was sent with the request: that is delivered when the commit is first applied, or not at all.
func (e *earlyData) rejected() {
	e.sent, e.nonce, e.digest = false, nil, nil
}

func (e *earlyData) erase() {
	clear(e.data)
	*e = earlyData{}
}

// StartWithEarlyData is [Session.Start] with data that the peer's application
// gets in the first flight, if this session resumes and the peer accepts as
// much: see [Negotiated.SendEarlyData]. An [EarlyDataResult] before
// HandshakeComplete says what became of it. Data that was rejected is sent again by nobody but the caller.
//
// Early data has the secrecy of the epoch that the request begins: whoever steals
// this end's stored session before the peer has answered, or the peer's
// before the request arrives, reads it.
func (s *Session) StartWithEarlyData(ctx context.Context, data []byte) ([]Event, error) {
	s.early.fate = true
	if s.group != nil && s.state == StateIdle && !s.unbound && len(data) <= s.terms.SendEarlyData {
		s.early.data = bytes.Clone(data)
	}
	return s.Start(ctx)
}

// sendEarlyData returns the message with the early data for the pending commit,
// if there is any.
func (s *Session) sendEarlyData() ([]Event, error) {
	e := &s.early
	if e.data == nil {
		return nil, nil
	}
	defer func() { clear(e.data); e.data = nil }()
	g := s.pending.group
	secret, err := g.Export(labelEarlyData, s.binding, g.Suite().HashSize())
	if err != nil {
		return nil, because(AlertInternalError, fmt.Errorf("channel: drawing the secret of early data: %w", err))
	}
	defer clear(secret)
	if err := s.logEarlyData(g.Epoch(), secret); err != nil {
		return nil, err
	}
	e.nonce = make([]byte, earlyNonceSize)
	if _, err := io.ReadFull(s.mls.Rand, e.nonce); err != nil {
		return nil, because(AlertInternalError, fmt.Errorf("channel: drawing a nonce: %w", err))
	}
	var w wire.Writer
	w.Bytes(e.nonce)
	ciphertext, err := sealEarly(g, secret, e.nonce, hashCommit(s.pending.commit), e.data)
	if err != nil {
		return nil, because(AlertInternalError, err)
	}
	w.Opaque(ciphertext)
	e.sent, e.digest = true, earlyDigest(g, secret, e.data)
	return []Event{send(MessageEarlyData, w.Data())}, nil
}

// receiveEarlyData keeps early data for the request that follows, unless it is
// more than this end accepts.
func (s *Session) receiveEarlyData(_ context.Context, body []byte) ([]Event, error) {
	if s.early.seen {
		return nil, because(AlertUnexpectedMessage, fmt.Errorf("%w: a second EarlyData", ErrUnexpectedMessage))
	}
	s.early.seen = true
	if len(body) <= s.cfg.MaxEarlyData+earlyOverhead {
		s.early.received = bytes.Clone(body)
	}
	return nil, nil
}

// openEarlyData returns the early data that came with a request whose commit has
// just been applied for the first time, nil if there is none that can be opened:
// anybody can have put it there. The state is saved before it is delivered, as nobody may
// deliver it again.
func (s *Session) openEarlyData(commit []byte) []Event {
	message, secret := s.early.received, s.secrets.takeEarly()
	s.early.received = nil
	defer clear(secret)
	if message == nil || secret == nil {
		return nil
	}
	r := wire.NewReader(message)
	nonce, ciphertext := r.Bytes(earlyNonceSize), r.Opaque()
	if r.Finish() != nil {
		return nil
	}
	data, err := openEarly(s.group, secret, nonce, hashCommit(commit), ciphertext)
	if err != nil || len(data) > s.terms.ReceiveEarlyData {
		return nil
	}
	s.earlyDigest = earlyDigest(s.group, secret, data)
	s.early.delivered = bytes.Clone(nonce)
	return []Event{EarlyData{Data: data}}
}

// earlyDataStatus says which early data was delivered with the commit that led to
// the current epoch, on this connection or on one before.
func (s *Session) earlyDataStatus() Send {
	body := make([]byte, 1+earlyDigestSize)
	if s.earlyDigest != nil {
		body[0] = 1
		if s.early.delivered == nil {
			body[0] = 2
		}
		copy(body[1:], s.earlyDigest)
	}
	return send(MessageEarlyDataStatus, body)
}

// receiveEarlyDataStatus completes a resumption with early data.
func (s *Session) receiveEarlyDataStatus(ctx context.Context, body []byte) ([]Event, error) {
	if len(body) != 1+earlyDigestSize || body[0] > 2 {
		return nil, because(AlertDecodeError, fmt.Errorf("%w: EarlyDataStatus %s", ErrMalformed, brief(body)))
	}
	result := EarlyDataResult{Fate: EarlyDataRejected}
	if body[0] > 0 && bytes.Equal(body[1:], s.early.digest) {
		result = EarlyDataResult{Fate: EarlyDataDelivered, Elsewhere: body[0] == 2}
	}
	s.enter(StateSynced)
	return s.complete(ctx, s.withEarlyDataResult(result, []Event{
		PeerAuthenticated{peerLeaf(s.group)},
		HandshakeComplete{Resumed: true},
	}))
}

// withEarlyDataFate is withEarlyDataResult without an answer of the peer's.
func (s *Session) withEarlyDataFate(fate EarlyDataFate, events []Event) []Event {
	return s.withEarlyDataResult(EarlyDataResult{Fate: fate}, events)
}

// withEarlyDataResult puts what became of early data before the other events, if the
// application has given some and not been told yet. Data that was never sent is
// rejected, whatever else is known.
func (s *Session) withEarlyDataResult(result EarlyDataResult, events []Event) []Event {
	if !s.early.fate {
		return events
	}
	if !s.early.sent {
		result = EarlyDataResult{Fate: EarlyDataRejected}
	}
	s.early.erase()
	return slices.Insert(events, 0, Event(result))
}

// verifyEarlyNonce checks what the requester says of its early data. A nonce that does not
// fit the data which was delivered is not the peer's fault.
func (s *Session) verifyEarlyNonce(nonce []byte) error {
	switch {
	case len(nonce) != 0 && len(nonce) != earlyNonceSize:
		return because(AlertIllegalParameter, fmt.Errorf("%w: EpochKeyUpdate goes on with %s", ErrProfile, brief(nonce)))
	case s.early.delivered != nil && !bytes.Equal(s.early.delivered, nonce):
		return because(AlertUserCanceled, fmt.Errorf("%w: the early data is that of another attempt", ErrProfile))
	}
	return nil
}

// sealEarly encrypts early data, with the hash of the request's commit as
// associated data.
func sealEarly(g *mls.Group, secret, nonce, request, data []byte) ([]byte, error) {
	return cryptEarly(g, secret, nonce, func(aead aeadCipher, iv []byte) ([]byte, error) {
		return aead.Seal(nil, iv, data, request), nil
	})
}

func openEarly(g *mls.Group, secret, nonce, request, ciphertext []byte) ([]byte, error) {
	return cryptEarly(g, secret, nonce, func(aead aeadCipher, iv []byte) ([]byte, error) {
		return aead.Open(nil, iv, ciphertext, request)
	})
}

type aeadCipher interface {
	Seal(dst, nonce, plaintext, additionalData []byte) []byte
	Open(dst, nonce, ciphertext, additionalData []byte) ([]byte, error)
}

func cryptEarly(g *mls.Group, secret, nonce []byte, f func(aeadCipher, []byte) ([]byte, error)) ([]byte, error) {
	suite := g.Suite()
	attempt := suite.ExpandWithLabel(secret, "attempt", nonce, suite.HashSize())
	defer clear(attempt)
	key := suite.ExpandWithLabel(attempt, "key", nil, suite.KeySize())
	defer clear(key)
	aead, err := suite.NewAEAD(key)
	if err != nil {
		return nil, err
	}
	return f(aead, suite.ExpandWithLabel(attempt, "nonce", nil, suite.NonceSize()))
}

// earlyDigest names early data for those who have its secret.
func earlyDigest(g *mls.Group, secret, data []byte) []byte {
	sum := sha256.Sum256(data)
	return g.Suite().ExpandWithLabel(secret, "digest", sum[:], earlyDigestSize)
}
