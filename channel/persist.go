package channel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls"
)

// stateVersion is the first octet of a stored session.
//
//	struct {
//	  uint8 version = 3;
//	  Role role;
//	  uint8 prevails;                /* 0 or 1 */
//	  uint64 created;                /* seconds since 1970-01-01T00:00:00Z */
//	  optional<uint64> full_at;      /* in a session of two groups: likewise, of this end's last full update */
//	  opaque last_commit<V>;         /* SHA-256, or empty */
//	  opaque early_digest<V>;        /* of the early data with that commit, or empty */
//	  opaque acknowledgement<V>;     /* the EpochKeyUpdate for that commit, or empty */
//	  Epoch current;
//	  optional<Pending> pending;
//	} StoredState;
//
//	struct {
//	  opaque signature_key<V>;       /* of this end's leaf */
//	  opaque group<V>;               /* mls.Group.Marshal; of two groups, mls.APQGroup.Marshal */
//	} Epoch;
//
//	struct { UpdateReason reason; opaque commit<V>; Epoch next; } Pending;
//
// The next epoch of two groups is as mls.APQGroup.MarshalAfter writes it.
// Sessions of one group are stored as version 2, which has no full_at: programs from
// before there were others share stores with this one.
const stateVersion = 3

// entry is a session's place in the store.
type entry struct {
	id      SessionID
	peer    string // label
	version uint64 // of what this end saved or loaded last
	kept    bool   // false if there is nothing to save, or nowhere
}

// marshal returns the session's state for the store, with all its secrets.
func (s *Session) marshal() ([]byte, error) {
	group, err := s.groups().marshal(nil)
	if err != nil {
		return nil, err
	}
	defer clear(group)
	var next []byte
	size := len(group) + len(ownKey(s.group)) + len(s.lastAck) + 128
	if p := s.pending; p != nil {
		if next, err = p.groups().marshal(s.pair); err != nil {
			return nil, err
		}
		defer clear(next)
		size += len(next) + len(ownKey(p.group)) + len(p.commit)
	}
	// The buffer must not grow: that would leave a copy behind.
	w := wire.NewWriter(make([]byte, 0, size))
	if s.pair == nil {
		w.Uint8(stateVersion - 1)
	} else {
		w.Uint8(stateVersion)
	}
	w.Uint8(uint8(s.role))
	w.Optional(s.prevails)
	w.Uint64(uint64(max(0, s.created.Unix())))
	if s.pair != nil {
		w.Optional(true)
		w.Uint64(uint64(max(0, s.fullAt)))
	}
	w.Opaque(s.lastCommit)
	w.Opaque(s.earlyDigest)
	w.Opaque(s.lastAck)
	w.Opaque(ownKey(s.group))
	w.Opaque(group)
	w.Optional(s.pending != nil)
	if p := s.pending; p != nil {
		w.Uint8(uint8(p.reason))
		w.Opaque(p.commit)
		w.Opaque(ownKey(p.group))
		w.Opaque(next)
	}
	return w.Data(), nil
}

// unmarshal takes over what marshal wrote.
func (s *Session) unmarshal(data []byte) error {
	r := wire.NewReader(data)
	version := r.Uint8()
	if r.Err() == nil && (version < 2 || version > stateVersion) {
		return fmt.Errorf("state version %d, want 2 or %d", version, stateVersion)
	}
	s.role = Role(r.Uint8())
	s.prevails = r.Optional()
	s.created = time.Unix(int64(r.Uint64()), 0)
	paired := version >= 3 && r.Optional()
	if paired {
		s.fullAt = int64(r.Uint64())
	}
	s.lastCommit = bytes.Clone(r.Opaque())
	s.earlyDigest, s.lastAck = cloneOrNil(r.Opaque()), cloneOrNil(r.Opaque())
	key, group := r.Opaque(), r.Opaque()
	var pending *pendingUpdate
	var nextKey, next []byte
	if r.Optional() {
		pending = &pendingUpdate{wish: wish{reason: UpdateReason(r.Uint8())}, commit: bytes.Clone(r.Opaque())}
		nextKey, next = r.Opaque(), r.Opaque()
	}
	if err := r.Finish(); err != nil {
		return err
	}
	if s.role != RoleInitiator && s.role != RoleResponder {
		return fmt.Errorf("role %d", s.role)
	}
	if paired && s.cfg.APQ == nil {
		return fmt.Errorf("%w: it has two groups", ErrNoCommonSuite)
	}
	restored, err := s.restoreGroups(paired, nil, key, group)
	if err != nil {
		return err
	}
	s.group, s.pair = restored.Group, restored.pair
	if pending != nil {
		if restored, err = s.restoreGroups(paired, s.pair, nextKey, next); err != nil {
			return err
		}
		pending.group, pending.pair = restored.Group, restored.pair
		pending.full = paired && restored.isFull()
		s.pending = pending
	}
	if !bytes.Equal(s.group.GroupID(), s.id[:]) {
		return fmt.Errorf("state of session %x", s.group.GroupID())
	}
	if id, pq := s.group.Suite().ID(), s.groups().pqSuite(); !s.cfg.acceptsSuite(id, pq) {
		return fmt.Errorf("%w: %v and %v", ErrNoCommonSuite, id, pq)
	}
	if err := s.appearFor(s.group.Suite().ID()); err != nil {
		return err
	}
	if err := s.verifyPendingCredential(); err != nil {
		return err
	}
	if err := s.groups().verifyMembers(); err != nil {
		return err
	}
	if s.terms, err = s.negotiated(s.group); err == nil && s.cfg.RequirePSK && len(s.terms.PSKs) == 0 {
		err = errNoPSK
	}
	return err
}

// verifyPendingCredential refuses a session whose pending commit shows a credential of
// this end that has expired: the commit would have to be repeated as it is, and the peer
// refuse it, for ever. Without one, the next commit shows the identity of today.
func (s *Session) verifyPendingCredential() error {
	if s.pending == nil {
		return nil
	}
	expiry, err := s.CredentialExpiry(ownLeaf(s.pending.group).Credential)
	if err == nil && !expiry.IsZero() && s.cfg.Now().After(expiry) {
		err = fmt.Errorf("the update that is under way shows a credential that expired at %v", expiry)
	}
	return err
}

func (s *Session) restoreGroup(signatureKey, state []byte) (*mls.Group, error) {
	signer, err := s.signer(signatureKey)
	if err != nil {
		return nil, err
	}
	return mls.RestoreGroup(s.mls, signer, state)
}

// cloneOrNil returns a copy of b, nil if b is empty.
func cloneOrNil(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return bytes.Clone(b)
}

// ownKey returns this end's public signature key in an epoch.
func ownKey(g *mls.Group) []byte { return ownLeaf(g).SignatureKey }

// load takes a stored session over. If it returns an error, the session is as
// it was.
func (s *Session) load(ctx context.Context, id SessionID) error {
	if s.store == nil {
		return fmt.Errorf("%w: there is no store", ErrNoSession)
	}
	before := *s
	stored, err := s.store.Load(ctx, id)
	if err != nil {
		return because(AlertInternalError, fmt.Errorf("channel: loading session %v: %w", id, err))
	}
	defer clear(stored.Data)
	s.entry, s.resumed = entry{id: id, peer: stored.Peer, version: stored.Version, kept: true}, true
	if err := s.unmarshal(stored.Data); err != nil {
		s.dropGroups()
		*s = before
		return because(AlertInternalError, fmt.Errorf("%w: session %v cannot be used: %w", ErrNoSession, id, err))
	}
	if age := s.mls.Now().Sub(s.created); age > s.cfg.MaxSessionAge {
		err := errors.Join(fmt.Errorf("%w: %v is %v old, the limit is %v", ErrSessionExpired, id, age, s.cfg.MaxSessionAge), s.discard(ctx, &s.entry))
		s.dropGroups()
		*s = before
		return because(AlertInternalError, err)
	}
	return nil
}

// save puts the session's present state into the store, if it is kept there, in
// the place of what this end saved or loaded last. The error matches
// [ErrSuperseded] if another connection has moved the session on.
func (s *Session) save(ctx context.Context) error {
	if !s.kept {
		return nil
	}
	data, err := s.marshal()
	if err != nil {
		return because(AlertInternalError, err)
	}
	defer clear(data)
	version, err := s.store.Save(ctx, StoredSession{ID: s.id, Peer: s.peer, Version: s.version, Data: data})
	switch {
	case errors.Is(err, ErrConflict):
		return because(AlertUserCanceled, ErrSuperseded)
	case err != nil:
		return because(AlertInternalError, fmt.Errorf("channel: saving session %v: %w", s.id, err))
	}
	s.version = version
	s.trace.saved(s)
	return nil
}

// discard deletes a session from the store, unless another connection has moved
// it on. An empty state takes its place first, which settles whose it is.
func (s *Session) discard(ctx context.Context, e *entry) error {
	if !e.kept {
		return nil
	}
	e.kept = false
	_, err := s.store.Save(ctx, StoredSession{ID: e.id, Peer: e.peer, Version: e.version})
	if errors.Is(err, ErrConflict) {
		return nil
	}
	if err == nil {
		err = s.store.Delete(ctx, e.id)
	}
	if err != nil {
		return fmt.Errorf("channel: deleting session %v: %w", e.id, err)
	}
	return nil
}
