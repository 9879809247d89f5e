package netconn

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mendlink/mendlink/channel"
)

// updates sees to the own end's updates: it begins them as the policy asks, and
// tells those who wait that they are done.
type updates struct {
	conn *Conn

	pending atomic.Bool  // an update, of either end, waits for the peer
	asked   atomic.Bool  // an update was asked for because of traffic, and has not begun yet
	bytes   atomic.Int64 // of application data since the last own update began

	mu        sync.Mutex // guards what follows
	timer     *time.Timer
	begun     uint64        // own updates, counted
	confirmed uint64        // the last one of them that is done
	changed   chan struct{} // closed when confirmed or err changes; nil if nobody waits
	err       error         // the connection has ended
	lastErr   error
}

// Update puts fresh key material into the connection, so that whoever has copied this end's
// secrets up to now cannot read on: it begins a new epoch and returns once the peer
// has confirmed it. An update that was under way at the time of the call does not count.
// Data flows on meanwhile. Update performs the handshake first if need be.
//
// It needs what the peer sends to be read. If nobody is in Read, the Conn
// reads up to 256 KiB of application data ahead; if that is full, the update waits for a Read.
// When ctx ends first, Update returns its error and the update goes on.
func (c *Conn) Update(ctx context.Context) error {
	if err := c.HandshakeContext(ctx); err != nil {
		return err
	}
	target, err := c.updates.begin(channel.ReasonRequested)
	if err == nil {
		err = c.updates.wait(ctx, target)
	}
	return c.opError("update", c.orClosed(err))
}

// start begins to follow the policy.
func (u *updates) start() {
	policy := u.conn.config.Rekey
	u.mu.Lock()
	defer u.mu.Unlock()
	first := policy.Every
	if !u.conn.initiator {
		first /= 2
		u.bytes.Store(policy.Bytes / 2)
	}
	if policy.Every > 0 {
		u.timer = time.AfterFunc(first, func() { u.spawn(channel.ReasonAge) })
	}
}

// stop ends it: no timer fires any more, and nobody waits.
func (u *updates) stop() {
	u.mu.Lock()
	if u.timer != nil {
		u.timer.Stop()
	}
	u.mu.Unlock()
	u.fail(net.ErrClosed)
}

// count takes note of n octets of application data; worn says that the keys that
// protect them have been used so much that they should be replaced.
func (u *updates) count(n int, worn bool) {
	limit := u.conn.config.Rekey.Bytes
	due := u.bytes.Add(int64(n)) >= limit && limit > 0
	if (due || worn) && !u.pending.Load() && u.asked.CompareAndSwap(false, true) {
		if !u.spawn(channel.ReasonBytes) {
			u.asked.Store(false)
		}
	}
}

// spawn begins an update in a goroutine of its own: a commit takes longer than a
// Read or a Write should.
func (u *updates) spawn(reason channel.UpdateReason) bool {
	return u.conn.spawn(func() {
		_, err := u.begin(reason)
		u.mu.Lock()
		u.lastErr = err
		u.rearm()
		u.mu.Unlock()
	})
}

// begin asks the session for an update and returns the number of the one that serves.
func (u *updates) begin(reason channel.UpdateReason) (target uint64, err error) {
	defer u.asked.Store(false)
	closed := false
	err = u.conn.advance(func(s *channel.Session) ([]channel.Event, error) {
		u.mu.Lock()
		target = u.begun + 1 // the next to begin: right now, unless one is under way
		err := u.err
		u.mu.Unlock()
		if err != nil {
			return nil, err
		}
		events, err := s.Update(u.conn.ctx, reason)
		closed = s.State() == channel.StateClosed
		return events, err
	})
	switch {
	case err != nil && closed:
		u.conn.abort(err)
		return 0, err
	case err != nil:
		u.bytes.Store(0) // try again, but not at once
		return 0, err
	}
	u.conn.receiver.pumpIfIdle()
	return target, nil
}

// began takes note of an own update that is on its way to the peer.
func (u *updates) began() {
	u.bytes.Store(0)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.begun++
	u.rearm()
}

// updated takes note of an update that is done.
func (u *updates) updated(e channel.Updated) {
	if !e.Own {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.confirmed = u.begun
	u.notify()
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

// fail ends all waiting: no update can be done any more.
func (u *updates) fail(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.err == nil {
		u.err = err
		u.notify()
	}
}

func (u *updates) lastError() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.lastErr
}

// notify wakes all who wait. u.mu is locked.
func (u *updates) notify() {
	if u.changed != nil {
		close(u.changed)
		u.changed = nil
	}
}

// rearm counts the policy's time from now on. u.mu is locked.
func (u *updates) rearm() {
	if u.timer != nil && u.err == nil {
		u.timer.Reset(u.conn.config.Rekey.Every)
	}
}
