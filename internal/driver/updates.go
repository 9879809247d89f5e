package driver

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/mls"
)

// updates tells those who wait for this end's updates that they are done.
type updates struct {
	pending atomic.Bool // an update, of either end, waits for the peer
	own     atomic.Bool // one of this end's does

	mu        sync.Mutex    // guards what follows
	begun     uint64        // own updates, counted
	acked     uint64        // the last one of them that the peer has confirmed
	confirmed uint64        // acked, once the keys have changed: what those who wait may know
	changed   chan struct{} // closed when confirmed or err changes; nil if nobody waits
	err       error         // the connection has ended
}

// Update begins an update for a reason and returns its number, for Wait. The update is the
// next one to begin: right now, unless one is under way.
func (d *Driver) Update(reason channel.UpdateReason) (target uint64, err error) {
	return d.begin(func(s *channel.Session) ([]channel.Event, error) { return s.Update(d.transport.Context(), reason) })
}

// UpdateFull is Update with a full update, in a session of two groups.
func (d *Driver) UpdateFull(reason channel.UpdateReason) (target uint64, err error) {
	return d.begin(func(s *channel.Session) ([]channel.Event, error) { return s.UpdateFull(d.transport.Context(), reason) })
}

// InjectPSK is Update that mixes pre-shared keys in.
func (d *Driver) InjectPSK(identities ...[]byte) (target uint64, err error) {
	return d.begin(func(s *channel.Session) ([]channel.Event, error) {
		return s.InjectPSK(d.transport.Context(), identities...)
	})
}

// Rotate is Update to another identity.
func (d *Driver) Rotate(identity mls.Identity) (target uint64, err error) {
	return d.begin(func(s *channel.Session) ([]channel.Event, error) {
		expiry, err := d.policy.expiryOf(s, identity.Credential)
		if err != nil {
			return nil, err
		}
		events, err := s.Rotate(d.transport.Context(), identity)
		if err == nil { // here, so that of two rotations the later one counts
			d.policy.expires(expiry)
		}
		return events, err
	})
}

// Revalidate asks the validator about the peer once more, and returns its refusal.
func (d *Driver) Revalidate(action channel.RefusalAction) error {
	return d.revalidateBy(func() channel.RefusalAction { return action })
}

// revalidateBy is Revalidate with an action that is asked for if the peer is refused.
func (d *Driver) revalidateBy(action func() channel.RefusalAction) error {
	var refused error
	err := d.Drive(func(s *channel.Session) ([]channel.Event, error) {
		events, err := s.RevalidateBy(d.transport.Context(), action)
		for _, e := range events {
			if e, ok := e.(channel.PeerRefused); ok {
				refused = e.Err
			}
		}
		return events, err
	})
	if err != nil {
		return err
	}
	return refused
}

// begin takes a step that asks for an update.
func (d *Driver) begin(ask Step) (target uint64, err error) {
	err = d.Drive(func(s *channel.Session) ([]channel.Event, error) {
		u := &d.updates
		u.mu.Lock()
		target = u.begun + 1
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
	return target, nil
}

// Pending reports that an update, of either end, waits for the peer. It may be called from
// within Carry, where it goes by what the step has led to.
func (d *Driver) Pending() bool { return d.updates.pending.Load() }

// Acked returns the number of the last own update that the peer has confirmed. It may be
// called from within Carry.
func (d *Driver) Acked() uint64 {
	d.updates.mu.Lock()
	defer d.updates.mu.Unlock()
	return d.updates.acked
}

// Confirm says that all that is sent from now on is under the keys of the update of that
// number: only then do those who wait for it learn that it is done, as they may write
// at once. It may be called from within Carry.
func (d *Driver) Confirm(number uint64) {
	u := &d.updates
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.confirmed < number {
		u.confirmed = number
		u.notify()
	}
}

// Wait returns when the update of that number, or a later one, is done.
func (d *Driver) Wait(ctx context.Context, target uint64) error {
	u := &d.updates
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
// before Confirm.
func (u *updates) done() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.acked = u.begun
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

func (u *updates) ended() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err != nil
}
