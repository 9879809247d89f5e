package mls

import (
	"bytes"
	"crypto"
	"fmt"

	"github.com/mendlink/mendlink/internal/wire"
)

// apqStateVersion is the first field of a marshalled APQGroup.
const apqStateVersion uint16 = 1

// Marshal returns the state of both groups, secrets included, for
// [RestoreAPQGroup].
//
//	struct {
//	    uint16 version = 1;
//	    uint8 owes;          /* a full commit */
//	    opaque t<V>;         /* Group.Marshal */
//	    opaque pq<V>;        /* Group.Marshal; empty: that of the epoch before */
//	} APQGroup;
func (g *APQGroup) Marshal() ([]byte, error) { return g.marshalBut(nil) }

// MarshalAfter is Marshal for what is kept beside the epoch before: a
// post-quantum group that both share is left out. [APQGroup.RestoreAfter]
// restores it.
func (g *APQGroup) MarshalAfter(before *APQGroup) ([]byte, error) { return g.marshalBut(before.pq) }

func (g *APQGroup) marshalBut(shared *sharedGroup) ([]byte, error) {
	t, err := g.t.Marshal()
	if err != nil {
		return nil, err
	}
	defer clear(t)
	var pq []byte
	if g.pq != shared {
		if pq, err = g.pq.Marshal(); err != nil {
			return nil, err
		}
		defer clear(pq)
	}
	return wire.Encode(func(w *wire.Writer) {
		w.Uint16(apqStateVersion)
		w.Optional(g.owes)
		w.Opaque(t)
		w.Opaque(pq)
	}), nil
}

// RestoreAPQGroup returns the pair of groups that [APQGroup.Marshal] wrote. t and
// pq are the private keys to the signature keys of the member's leaves. See
// [RestoreGroup].
func RestoreAPQGroup(cfg *Config, t, pq crypto.Signer, state []byte) (*APQGroup, error) {
	cfg, err := cfg.withAPQ()
	if err != nil {
		return nil, err
	}
	return restoreAPQGroup(cfg, t, pq, state, nil)
}

// RestoreAfter returns the pair of groups that [APQGroup.MarshalAfter] wrote with g
// as the epoch before.
func (g *APQGroup) RestoreAfter(t, pq crypto.Signer, state []byte) (*APQGroup, error) {
	return restoreAPQGroup(g.t.cfg, t, pq, state, g.pq)
}

// restoreAPQGroup takes shared for the post-quantum group if the state has none.
func restoreAPQGroup(cfg *Config, t, pq crypto.Signer, state []byte, shared *sharedGroup) (*APQGroup, error) {
	r := wire.NewReader(bytes.Clone(state))
	if v := r.Uint16(); r.Err() == nil && v != apqStateVersion {
		return nil, fmt.Errorf("mls: restoring a pair of groups: version %d, want %d: %w", v, apqStateVersion, ErrUnsupported)
	}
	g := &APQGroup{owes: r.Optional()}
	tState, pqState := r.Opaque(), r.Opaque()
	if err := r.Finish(); err != nil {
		return nil, fmt.Errorf("mls: restoring a pair of groups: %w", err)
	}
	var err error
	if g.t, err = restoreGroup(cfg, OnlySigner(t), wire.NewReaderWithContext(tState, cfg.proposals)); err != nil {
		return nil, fmt.Errorf("mls: restoring the traditional group: %w", err)
	}
	if len(pqState) == 0 && shared != nil {
		g.pq = shared.share()
	} else {
		restored, err := restoreGroup(cfg, OnlySigner(pq), wire.NewReaderWithContext(pqState, cfg.proposals))
		if err != nil {
			g.t.Erase()
			return nil, fmt.Errorf("mls: restoring the post-quantum group: %w", err)
		}
		g.pq = newSharedGroup(restored)
	}
	if _, err := verifyAPQ(&g.t.publicState, &g.pq.publicState); err != nil {
		g.Erase()
		return nil, fmt.Errorf("mls: restoring a pair of groups: %w", err)
	}
	return g, nil
}

// RestorePending returns the commit of g's member that [APQPendingCommit.Marshal]
// wrote, when g was in the present epochs. t and pq are the private keys
// to the signature keys of the leaves that it leads to. A partial one shares g's
// post-quantum group.
func (g *APQGroup) RestorePending(t, pq crypto.Signer, state []byte) (*APQPendingCommit, error) {
	cfg := g.t.cfg
	r := wire.NewReader(bytes.Clone(state))
	if v := r.Uint16(); r.Err() == nil && v != apqPendingVersion {
		return nil, fmt.Errorf("mls: restoring a pending commit: version %d, want %d: %w", v, apqPendingVersion, ErrUnsupported)
	}
	p := &APQPendingCommit{message: r.Opaque(), welcome: r.Opaque(), next: new(APQGroup)}
	tState := r.Opaque()
	var pqState []byte
	if r.Optional() {
		pqState = r.Opaque()
	}
	if err := r.Finish(); err != nil {
		return nil, fmt.Errorf("mls: restoring a pending commit: %w", err)
	}
	var err error
	if p.t, err = restorePendingCommit(cfg, OnlySigner(t), tState); err != nil {
		return nil, fmt.Errorf("mls: restoring a pending commit: %w", err)
	}
	p.next.t = p.t.next
	if !bytes.Equal(p.t.base, g.t.interimTranscriptHash) {
		p.t.Erase()
		return nil, fmt.Errorf("mls: restoring a pending commit: %w", ErrWrongEpoch)
	}
	if pqState == nil {
		p.next.pq = g.pq.share()
		return p, nil
	}
	if p.pq, err = restorePendingCommit(cfg, OnlySigner(pq), pqState); err != nil {
		p.t.Erase()
		return nil, fmt.Errorf("mls: restoring a pending commit: %w", err)
	}
	p.next.pq = newSharedGroup(p.pq.next)
	return p, nil
}
