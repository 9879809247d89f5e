package identity

import (
	"crypto"
	"errors"
	"fmt"

	"github.com/mendlink/mendlink/mls"
)

// ErrUnknownPeer means that a peer showed a key that is not a permitted one.
var ErrUnknownPeer = errors.New("identity: unknown peer")

// An UnknownPeerError names the key that was refused. It wraps [ErrUnknownPeer].
type UnknownPeerError struct {
	Fingerprint string // of the refused key, as by [Fingerprint]
	Previous    string // of the key that it was to replace, empty for a new peer
}

func (e *UnknownPeerError) Error() string {
	if e.Previous != "" {
		return fmt.Sprintf("%v: key %s, which was to replace %s, is not pinned", ErrUnknownPeer, e.Fingerprint, e.Previous)
	}
	return fmt.Sprintf("%v: key %s is not pinned", ErrUnknownPeer, e.Fingerprint)
}

// Unwrap returns [ErrUnknownPeer].
func (e *UnknownPeerError) Unwrap() error { return ErrUnknownPeer }

// Pinned permits the peers that hold one of a fixed set of signature keys.
//
// A key alone is the identity: what name a peer's credential bears is not
// attested by anyone, so it is neither checked nor to be trusted beyond telling
// the peers apart in a log. A peer that changes its key within a session is
// permitted if the new key is pinned as well; to roll a key over, pin both for a
// while.
//
// A Pinned never changes after [NewPinned] and is safe for concurrent use. Its
// memory does not grow with the peers that it refuses.
type Pinned struct {
	keys map[string]struct{} // by encoded public key
}

var _ mls.AuthenticationService = (*Pinned)(nil)

// NewPinned returns the validator that permits the given keys: each an
// ed25519.PublicKey, an *ecdsa.PublicKey, or a []byte that is a SignaturePublicKey
// as MLS encodes it (RFC 9420, Section 5.1.1). Without any it permits nobody.
func NewPinned(keys ...crypto.PublicKey) (*Pinned, error) {
	p := &Pinned{keys: make(map[string]struct{}, len(keys))}
	for i, key := range keys {
		b, err := EncodePublicKey(key)
		if err != nil {
			return nil, fmt.Errorf("identity: pinned key %d: %w", i, err)
		}
		p.keys[string(b)] = struct{}{}
	}
	return p, nil
}

// ValidateLeaf permits a leaf whose signature key is pinned, and refuses every
// other with an [UnknownPeerError]. RFC 9420, Section 5.3.1.
func (p *Pinned) ValidateLeaf(leaf, previous *mls.LeafNode) error {
	if _, ok := p.keys[string(leaf.SignatureKey)]; ok {
		return nil
	}
	e := &UnknownPeerError{Fingerprint: Fingerprint(leaf.SignatureKey)}
	if previous != nil {
		e.Previous = Fingerprint(previous.SignatureKey)
	}
	return e
}
