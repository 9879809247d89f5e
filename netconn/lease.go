package netconn

import (
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
	c.held = l
	return true
}

// release lets another connection resume the session of c.
func (c *Conn) release() {
	leases.Lock()
	defer leases.Unlock()
	if leases.holders[c.held].Value() == c {
		delete(leases.holders, c.held)
	}
}
