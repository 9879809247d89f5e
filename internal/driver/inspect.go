package driver

import (
	"time"

	"github.com/mendlink/mendlink/channel"
)

// What follows is for the tests of transports, whose clocks move by hand.

// FollowPolicy does now what the policy's timer would have done, once what that has begun is done.
func (d *Driver) FollowPolicy() {
	for !d.policy.asked.CompareAndSwap(false, true) {
		time.Sleep(time.Millisecond)
	}
	d.policy.follow(false)
}

// KeepUp does now what is done when something has changed, once what that has begun is done.
func (d *Driver) KeepUp() {
	l := d.needLive()
	for l.looks() {
		time.Sleep(time.Millisecond)
	}
	l.follow()
}

// looks reports that a goroutine is about to look.
func (l *live) looks() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.running
}

// Schedule returns that of the update policy.
func (d *Driver) Schedule() *channel.Schedule { return d.policy.schedule }

// HasTimer reports that the policy needed one.
func (d *Driver) HasTimer() bool {
	d.policy.mu.Lock()
	defer d.policy.mu.Unlock()
	return d.policy.timer != nil
}

// PeerExpiry returns when the peer's credential is taken to expire, the zero time for never.
func (d *Driver) PeerExpiry() time.Time {
	l := d.needLive()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.expiry
}

// Leased returns how many sessions of a store living connections hold.
func Leased(store channel.Store) (n int) {
	leases.Lock()
	defer leases.Unlock()
	for l := range leases.holders {
		if l.store == store {
			n++
		}
	}
	return n
}
