package netconn

import (
	"context"
	"reflect"
	"sync"
	"weak"

	"github.com/mendlink/mendlink/channel"
)

// Two connections cannot go on from one session: the later takes it over and the
// earlier ends. So a connection holds the session that it has, and Dial passes over those that
// a living connection of this process holds. The responder holds nothing: if the peer resumes,
// its old connection is dead, whether or not this end has noticed.
var leases = struct {
	sync.Mutex
	holders map[lease]weak.Pointer[Conn]
}{holders: make(map[lease]weak.Pointer[Conn])}

// A lease is a session in a store.
type lease struct {
	store channel.Store
	id    channel.SessionID
}

// hold makes c the holder of a session, unless another living connection is.
func (c *Conn) hold(store channel.Store, id channel.SessionID) bool {
	if store == nil || !reflect.TypeOf(store).Comparable() {
		return true
	}
	l := lease{store, id}
	leases.Lock()
	defer leases.Unlock()
	if holder := leases.holders[l].Value(); holder != nil && holder != c && !holder.updates.ended() {
		return false
	}
	leases.holders[l] = weak.Make(c)
	c.held = &l
	return true
}

// A leasingStore makes its Conn the holder of a new session before others can find
// that in the store.
type leasingStore struct {
	channel.Store
	conn *Conn
}

func (s *leasingStore) Save(ctx context.Context, session channel.StoredSession) (version uint64, err error) {
	if isNew := session.Version == 0; isNew {
		s.conn.release() // one that could not be resumed
		s.conn.hold(s.Store, session.ID)
	}
	return s.Store.Save(ctx, session)
}

// release lets another connection resume the session of c.
func (c *Conn) release() {
	leases.Lock()
	defer leases.Unlock()
	if c.held != nil && leases.holders[*c.held].Value() == c {
		delete(leases.holders, *c.held)
	}
}
