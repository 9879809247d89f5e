package driver

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"weak"

	"github.com/mendlink/mendlink/channel"
)

// Two connections cannot go on from one session: the later takes it over and the
// earlier ends. So a connection holds the session that it has, and who dials passes over those that
// a living connection of this process holds. The responder holds nothing: if the peer resumes,
// its old connection is dead, whether or not this end has noticed.
var leases = struct {
	sync.Mutex
	holders map[lease]weak.Pointer[Driver]
}{holders: make(map[lease]weak.Pointer[Driver])}

// A lease is a session in a store.
type lease struct {
	store channel.Store
	id    channel.SessionID
}

// Initiator returns the session that the initiator of a connection begins with: the newest
// one with the peer that can still be resumed and that no living connection has, or a new one.
func (d *Driver) Initiator(ctx context.Context, cfg *channel.Config) (*channel.Session, error) {
	d.store = cfg.Store
	if cfg.Store == nil || cfg.PeerName == "" {
		return channel.NewInitiator(cfg)
	}
	ids, err := cfg.Store.FindByPeer(ctx, cfg.PeerName)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if !d.hold(id) {
			continue
		}
		session, err := channel.Resume(ctx, cfg, id)
		if err == nil {
			return session, nil
		}
		d.Release()
		switch {
		case errors.Is(err, channel.ErrNoSession), errors.Is(err, channel.ErrSessionExpired), errors.Is(err, channel.ErrConflict):
			continue
		}
		return nil, err
	}
	return channel.NewInitiator(cfg)
}

// hold makes d the holder of a session, unless another living connection is.
func (d *Driver) hold(id channel.SessionID) bool {
	if d.store == nil || !reflect.TypeOf(d.store).Comparable() {
		return true
	}
	l := lease{d.store, id}
	leases.Lock()
	defer leases.Unlock()
	if holder := leases.holders[l].Value(); holder != nil && holder != d && !holder.Ended() {
		return false
	}
	leases.holders[l] = weak.Make(d)
	d.held = l
	return true
}

// holdInstead makes d the holder of a session instead of the one that it held.
func (d *Driver) holdInstead(id channel.SessionID) {
	if d.store != nil && d.held.id != id {
		d.Release()
		d.hold(id)
	}
}

// Release lets another connection resume the session that d holds.
func (d *Driver) Release() {
	leases.Lock()
	defer leases.Unlock()
	if leases.holders[d.held].Value() == d {
		delete(leases.holders, d.held)
	}
}
