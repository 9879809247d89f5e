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
	if cfg.Store == nil || cfg.PeerName == "" {
		return d.NewInitiator(cfg)
	}
	ids, err := cfg.Store.FindByPeer(ctx, cfg.PeerName)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if !d.hold(cfg.Store, id) {
			continue
		}
		session, err := channel.Resume(ctx, d.leasing(cfg), id)
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
	return d.NewInitiator(cfg)
}

// NewInitiator returns a session that begins with a full handshake, in place of one that d
// may hold.
func (d *Driver) NewInitiator(cfg *channel.Config) (*channel.Session, error) {
	d.Release()
	return channel.NewInitiator(d.leasing(cfg))
}

// leasing returns cfg with a store that keeps the leases right.
func (d *Driver) leasing(cfg *channel.Config) *channel.Config {
	if cfg.Store == nil {
		return cfg
	}
	leased := *cfg
	leased.Store = &leasingStore{cfg.Store, d}
	return &leased
}

// A leasingStore makes its driver the holder of a new session before others can find
// that in the store.
type leasingStore struct {
	channel.Store
	driver *Driver
}

func (s *leasingStore) Save(ctx context.Context, session channel.StoredSession) (version uint64, err error) {
	if isNew := session.Version == 0; isNew {
		s.driver.Release() // one that could not be resumed
		s.driver.hold(s.Store, session.ID)
	}
	return s.Store.Save(ctx, session)
}

// hold makes d the holder of a session, unless another living connection is.
func (d *Driver) hold(store channel.Store, id channel.SessionID) bool {
	if !reflect.TypeOf(store).Comparable() {
		return true
	}
	l := lease{store, id}
	leases.Lock()
	defer leases.Unlock()
	if holder := leases.holders[l].Value(); holder != nil && holder != d && !holder.Ended() {
		return false
	}
	leases.holders[l] = weak.Make(d)
	d.held = &l
	return true
}

// Release lets another connection resume the session that d holds.
func (d *Driver) Release() {
	leases.Lock()
	defer leases.Unlock()
	if d.held != nil && leases.holders[*d.held].Value() == d {
		delete(leases.holders, *d.held)
	}
}
