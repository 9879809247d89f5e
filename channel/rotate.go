package channel

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/mendlink/mendlink/mls"
)

// Rotate gives this end another credential, another signature key, or both, by
// an update. The peer's validator sees the new leaf and the one before, and the
// connection lives on. It is done once an [Updated] says so; if the update is
// dropped for the peer's, it is made again by itself.
//
// From then on the stored session can be resumed only with a configuration that
// has the new identity as its Identity. Until then it is under either: have the other one
// among the PreviousIdentities.
//
// Errors: those of [Session.Update], one that matches [ErrSameSignatureKey], and one that says that the signer does not
// fit the cipher suite. After any of them this end is who it was.
func (s *Session) Rotate(ctx context.Context, identity mls.Identity) ([]Event, error) {
	if s.state == StateClosed {
		return nil, ErrClosed
	}
	if !s.state.complete() {
		return nil, ErrNotReady
	}
	if identity.Signer == nil {
		return nil, fmt.Errorf("channel: rotating to an identity without a signer")
	}
	key, err := s.Suite().SignaturePublicKey(identity.Signer.Public())
	if err != nil {
		return nil, fmt.Errorf("channel: rotating: %w", err)
	}
	if bytes.Equal(key, peerLeaf(s.group).SignatureKey) {
		return nil, fmt.Errorf("channel: rotating: %w", ErrSameSignatureKey)
	}
	before := s.identity
	s.identity = &identity
	events, err := s.update(ctx, wish{reason: ReasonIdentity})
	if err != nil {
		s.identity = before
	}
	return events, err
}

// newIdentity returns this end's identity if its leaf shows another one, else nil.
func (s *Session) newIdentity() *mls.Identity {
	if s.identity == nil {
		return nil
	}
	leaf := ownLeaf(s.group)
	key, err := s.group.Suite().SignaturePublicKey(s.identity.Signer.Public())
	if err != nil || bytes.Equal(key, leaf.SignatureKey) && leaf.Credential.Equal(s.identity.Credential) {
		return nil
	}
	return s.identity
}

// signer returns the private key to a signature key of this end.
func (s *Session) signer(publicKey []byte) (crypto.Signer, error) {
	identities := slices.Concat([]mls.Identity{s.cfg.Identity}, s.cfg.Alternatives, s.cfg.PreviousIdentities)
	if s.identity != nil {
		identities = append(identities, *s.identity)
	}
	for _, id := range identities {
		if id.Signer == nil {
			continue
		}
		for _, suite := range s.cfg.allSuites() {
			known, err := s.cfg.Registry.Lookup(suite)
			if err != nil {
				return nil, err
			}
			if key, err := known.SignaturePublicKey(id.Signer.Public()); err == nil && bytes.Equal(key, publicKey) {
				return id.Signer, nil
			}
		}
	}
	return nil, fmt.Errorf("channel: the configuration has no signer for the public key %x", publicKey)
}

// CredentialExpiry returns when a credential stops being valid: for a chain of
// certificates the earliest end of one, for others never, which is the zero time. Of other types
// [Session.CredentialExpiry] may know more.
func CredentialExpiry(c mls.Credential) (earliest time.Time, err error) {
	for _, der := range c.Certificates {
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return time.Time{}, fmt.Errorf("channel: parsing a certificate: %w", err)
		}
		if earliest.IsZero() || certificate.NotAfter.Before(earliest) {
			earliest = certificate.NotAfter
		}
	}
	return earliest, nil
}

// peerChange returns the event that tells of another credential or signature key
// of the peer in the next epoch, if it has one.
func (s *Session) peerChange(next groups) []Event {
	before, after := peerLeaf(s.group), peerLeaf(next.Group)
	if bytes.Equal(before.SignatureKey, after.SignatureKey) && before.Credential.Equal(after.Credential) {
		return nil
	}
	return []Event{PeerChanged{Leaf: after, Previous: before}}
}

// RefusalAction says what becomes of a connection whose peer is not accepted any more.
type RefusalAction uint8

// The actions.
const (
	// RefusalKeep keeps the connection and says nothing.
	RefusalKeep RefusalAction = 1 + iota
	// RefusalWarn keeps the connection and returns a [PeerRefused].
	RefusalWarn
	// RefusalClose ends the connection, and the session for good.
	RefusalClose
)

// Revalidate asks [Config.Validator] about the peer's present leaf once more, as
// if it were new: for when roots, pins or revocations have changed. What it says
// decides, with the action, about the connection: the error of RefusalClose
// matches [ErrPeerRefused] and is final. Other errors: [ErrNotReady], [ErrClosed].
func (s *Session) Revalidate(ctx context.Context, action RefusalAction) ([]Event, error) {
	return s.RevalidateBy(ctx, func() RefusalAction { return action })
}

// RevalidateBy is [Session.Revalidate] with an action that is asked for when the validator has refused the peer, and
// not before: for when a new configuration says at once who is accepted and what becomes of others.
func (s *Session) RevalidateBy(ctx context.Context, refused func() RefusalAction) ([]Event, error) {
	if s.state == StateClosed {
		return nil, ErrClosed
	}
	if !s.state.complete() {
		return nil, ErrNotReady
	}
	err := s.mls.AuthenticationService.ValidateLeaf(peerLeaf(s.group), nil)
	if err == nil {
		return nil, nil
	}
	switch refused() {
	case RefusalKeep:
		return nil, nil
	case RefusalWarn:
		events := []Event{PeerRefused{Err: err}}
		s.trace.events(s, events)
		return events, nil
	}
	if failure := s.discard(ctx, &s.entry); failure != nil {
		err = fmt.Errorf("%w; %w", err, failure)
	}
	return nil, s.fail(ctx, Message{}, peerFault(AlertBadCertificate, err))
}
