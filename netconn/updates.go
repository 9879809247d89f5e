package netconn

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/mendlink/mendlink/channel"
)

// A step lets the session do something and returns what it asks for.
type step = func(*channel.Session) ([]channel.Event, error)

// Update puts fresh key material into the connection, so that whoever has copied this end's
// secrets up to now cannot read on: it begins a new epoch and returns once the peer
// has confirmed it. An update that was under way at the time of the call does not count.
// Data flows on meanwhile. Update performs the handshake first if need be.
//
// It needs what the peer sends to be read. If nobody is in Read, the Conn
// reads up to 256 KiB of application data ahead; if that is full, the update waits for a Read.
// When ctx ends first, Update returns its error and the update goes on.
func (c *Conn) Update(ctx context.Context) error {
	return c.update(ctx, func(s *channel.Session) ([]channel.Event, error) {
		return s.Update(c.life.context(), channel.ReasonRequested)
	})
}

// InjectPSK is [Conn.Update] that mixes pre-shared keys, which both ends look up by
// Config.PSK, into the keys. It returns an error that matches mls.ErrUnknownPSK if this end
// does not know them; if the peer does not, that ends the connection.
func (c *Conn) InjectPSK(ctx context.Context, identities ...[]byte) error {
	return c.update(ctx, func(s *channel.Session) ([]channel.Event, error) {
		return s.InjectPSK(c.life.context(), identities...)
	})
}

// UpdateKeys goes on to the next sending key of the same epoch, and asks the peer for
// the same if request is set. Unlike [Conn.Update] it does not wait for the peer, costs next to
// nothing, and does not heal: whoever has the key has the next one too. What was sent
// before cannot be read with it. The old key is erased once what goes before is sent. UpdateKeys
// performs the handshake first if need be.
func (c *Conn) UpdateKeys(request bool) error {
	if err := c.Handshake(); err != nil {
		return err
	}
	return c.opError("update", c.orClosed(c.drive(func(s *channel.Session) ([]channel.Event, error) {
		return s.UpdateKeys(request)
	})))
}

// update begins an update by the step and returns once the peer has confirmed it.
func (c *Conn) update(ctx context.Context, begin step) error {
	if err := c.HandshakeContext(ctx); err != nil {
		return err
	}
	target, err := c.updates.begin(begin)
	if err == nil {
		err = c.updates.wait(ctx, target)
	}
	return c.opError("update", c.orClosed(err))
}

// updates tells those who wait for this end's updates that they are done.
type updates struct {
	conn *Conn

	pending atomic.Bool // an update, of either end, waits for the peer
	own     atomic.Bool // one of this end's does

	mu        sync.Mutex    // guards what follows
	begun     uint64        // own updates, counted
	acked     uint64        // the last one of them that the peer has confirmed
	confirmed uint64        // acked, once the keys have changed: what those who wait may know
	changed   chan struct{} // closed when confirmed or err changes; nil if nobody waits
	err       error         // the connection has ended
}

// begin takes a step that asks for an update and returns the number of the one that serves.
func (u *updates) begin(ask step) (target uint64, err error) {
	err = u.conn.drive(func(s *channel.Session) ([]channel.Event, error) {
		u.mu.Lock()
		target = u.begun + 1 // the next to begin: right now, unless one is under way
		err := u.err
		u.mu.Unlock()
		if err != nil {
			return nil, err
		}
		return ask(s)
	})
	if err != nil {
		return 0, err
	}
	u.conn.receiver.pumpIfIdle()
	return target, nil
}

// observe takes note of the state that the session has come to.
func (u *updates) observe(s channel.State) {
	u.own.Store(s == channel.StateUpdating || s == channel.StateAcknowledgedUpdating)
	u.pending.Store(u.own.Load() || s == channel.StateAcknowledged)
}

// began takes note of an own update that is on its way to the peer.
func (u *updates) began() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.begun++
}

// done takes note of an own update that the peer has confirmed. Nobody learns of it
// before publish.
func (u *updates) done() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.acked = u.begun
}

// publish tells those who wait what done has noted, now that the change of keys is queued.
func (u *updates) publish() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.confirmed != u.acked {
		u.confirmed = u.acked
		u.notify()
	}
}

// wait returns when the update of that number, or a later one, is done.
func (u *updates) wait(ctx context.Context, target uint64) error {
	for {
		u.mu.Lock()
		if u.confirmed >= target || u.err != nil {
			defer u.mu.Unlock()
			if u.confirmed >= target {
				return nil
			}
			return u.err
		}
		if u.changed == nil {
			u.changed = make(chan struct{})
		}
		changed := u.changed
		u.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// waiting reports that no other update can begin: one is under way, or the connection
// has ended.
func (u *updates) waiting() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.own.Load() || u.err != nil
}

// fail ends all waiting: no update can be done any more.
func (u *updates) fail(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.err == nil {
		u.err = err
		u.notify()
	}
}

// notify wakes all who wait. u.mu is locked.
func (u *updates) notify() {
	if u.changed != nil {
		close(u.changed)
		u.changed = nil
	}
}

// ended reports that the connection has.
func (u *updates) ended() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err != nil
}
