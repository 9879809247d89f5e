package channel

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"slices"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// A key package is of one cipher suite. A responder that does not have it
// answers with a HelloRetry, and the initiator with a second ClientHello:
//
//	struct { CipherSuite suites<V>; } HelloRetry;
//
// Nobody authenticates a HelloRetry. So the second ClientHello has the hash of
// both messages in its signed leaf, and a responder refuses a key package whose
// leaf shows that the initiator would have preferred another suite that both
// have: an attacker can lead the ends neither to a suite that is not their best
// nor to one that they have not.

// helloRetry asks for a key package of a suite that this end has.
func (s *Session) helloRetry(offered ciphersuite.ID, hello []byte) ([]Event, error) {
	if s.retry != nil {
		return nil, because(AlertHandshakeFailure, fmt.Errorf("%w: peer offers %v again, want one of %v", ErrNoCommonSuite, offered, s.cfg.Suites))
	}
	var w wire.Writer
	w.Vector(func() {
		for _, id := range s.cfg.Suites {
			w.Uint16(uint16(id))
		}
	})
	return s.sendHelloRetry(hello, w.Data()), nil
}

func (s *Session) sendHelloRetry(hello, retry []byte) []Event {
	s.retry = retryHash(hello, retry)
	return []Event{send(MessageHelloRetry, retry)}
}

// receiveHelloRetry begins again with the best suite that the responder has too.
func (s *Session) receiveHelloRetry(_ context.Context, body []byte) ([]Event, error) {
	if s.retry != nil {
		return nil, because(AlertUnexpectedMessage, fmt.Errorf("%w: a second HelloRetry", ErrUnexpectedMessage))
	}
	if s.pairs != nil {
		return s.receivePairedRetry(body)
	}
	r := wire.NewReader(body)
	var theirs []ciphersuite.ID
	r.Vector(func(r *wire.Reader) { theirs = append(theirs, ciphersuite.ID(r.Uint16())) })
	if err := r.Finish(); err != nil {
		return nil, peerFault(AlertDecodeError, err)
	}
	i := slices.IndexFunc(s.cfg.Suites, func(id ciphersuite.ID) bool { return slices.Contains(theirs, id) })
	switch {
	case i < 0:
		return nil, because(AlertHandshakeFailure, fmt.Errorf("%w: peer has %s, want one of %v", ErrNoCommonSuite, few("%v", theirs), s.cfg.Suites))
	case i == 0:
		return nil, because(AlertIllegalParameter, fmt.Errorf("%w: HelloRetry names %v, which was offered", ErrProfile, s.cfg.Suites[0]))
	}
	s.retry = retryHash(s.bundle.Message(), body)
	s.dropBundles()
	return s.sendClientHelloOf(s.cfg.Suites[i])
}

// verifyRetry checks that a ClientHello follows what this end said before it,
// and that nobody made the initiator offer a suite that is not the best.
func (s *Session) verifyRetry(k *mls.KeyPackage, o offer) error {
	if err := s.verifyExchange(o); err != nil {
		return err
	}
	if err := s.verifyPairs(APQSuites{}, o); err != nil {
		return err
	}
	for _, id := range k.LeafNode.Capabilities.CipherSuites {
		if !slices.Contains(s.cfg.Suites, id) {
			continue
		}
		if id != k.CipherSuite {
			return because(AlertInsufficientSecurity, fmt.Errorf("%w: peer offers %v but prefers %v, which both have", ErrDowngrade, k.CipherSuite, id))
		}
		return nil
	}
	return because(AlertIllegalParameter, fmt.Errorf("%w: the leaf does not list %v, the suite of its key package", ErrProfile, k.CipherSuite))
}

// verifyExchange checks that a ClientHello follows what this end said before it.
func (s *Session) verifyExchange(o offer) error {
	if subtle.ConstantTimeCompare(o.parameters.retry, s.retry) != 1 {
		return because(AlertIllegalParameter, fmt.Errorf("%w: ClientHello continues the exchange %x, want %x", ErrDowngrade, o.parameters.retry, s.retry))
	}
	return nil
}

// retryHash names a first exchange: SHA-256(ClientHello || HelloRetry), both
// with their headers.
func retryHash(clientHello, helloRetry []byte) []byte {
	h := sha256.New()
	h.Write(Message{Type: MessageClientHello, Body: clientHello}.AppendTo(nil))
	h.Write(Message{Type: MessageHelloRetry, Body: helloRetry}.AppendTo(nil))
	return h.Sum(nil)
}
