package driver

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/mls"
)

// wornRetry is how long worn keys ask for no other update after one that could not be begun.
const wornRetry = time.Second

// policy follows the update policy: it counts what flows, has one timer for what time
// brings, and begins updates in goroutines that live just for that.
type policy struct {
	driver   *Driver
	schedule *channel.Schedule // nil before the handshake is complete

	asked atomic.Bool  // a goroutine looks at what is due
	later atomic.Int64 // when worn keys may ask again, in nanoseconds of Unix time

	mu       sync.Mutex // guards what follows
	timer    *time.Timer
	expiry   time.Time // of the own credential, if it is to be renewed; zero: never
	renewing bool      // another credential is being made; until that is settled none expires
	lastErr  error
}

// begin makes the schedule of a session whose handshake is complete, and forgets the
// configuration. Nothing is done before Establish.
func (p *policy) begin(s *channel.Session) (err error) {
	config := p.driver.config
	p.driver.config = nil
	if p.schedule, err = channel.NewSchedule(config.Rekey, s.Role(), config.Now(), config.Rand); err != nil {
		return err
	}
	if err := p.fullSince(s.FullSince()); err != nil {
		return err
	}
	expiry, err := p.expiryOf(s, config.Identity.Credential)
	p.expires(expiry)
	return err
}

// fullSince takes note of when the post-quantum keys were made, zero if there are none.
func (p *policy) fullSince(then time.Time) error {
	if then.IsZero() {
		return nil
	}
	return p.schedule.FullSince(then)
}

// Count takes note of records of application data, in either direction. worn says that the
// key that protects them has been used so much that it should be replaced.
func (d *Driver) Count(records, octets int, worn bool) {
	p := &d.policy
	worn = worn && d.settings.Now().UnixNano() >= p.later.Load()
	if (p.schedule.Count(records, octets) || worn) && !d.updates.pending.Load() {
		p.ask(worn)
	}
}

// ask looks at what is due in a goroutine of its own: a commit takes longer than
// a Read or a Write should.
func (p *policy) ask(worn bool) {
	if p.asked.CompareAndSwap(false, true) && !p.driver.Spawn(func() { p.follow(worn) }) {
		p.asked.Store(false)
	}
}

func (p *policy) follow(worn bool) {
	d := p.driver
	now := d.settings.Now()
	reason := p.schedule.Due(now)
	if reason == 0 && worn && now.UnixNano() >= p.later.Load() { // or one has failed since Count looked
		reason = channel.ReasonRecords
	}
	switch {
	case reason == 0 || d.updates.waiting():
	case reason == channel.ReasonExpiry:
		if p.startRenewal() {
			go p.renew() // Close does not wait for the application
		}
	default:
		_, err := d.Update(reason)
		p.tried(err)
	}
	p.asked.Store(false)
	p.arm()
}

// startRenewal says that another credential is being made, if none is yet. The other reasons for an update
// count meanwhile.
func (p *policy) startRenewal() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.renewing {
		return false
	}
	p.renewing = true
	p.schedule.Expires(time.Time{})
	return true
}

// renew has another credential made in place of one that expires soon.
func (p *policy) renew() {
	d := p.driver
	identity, err := d.settings.Renew(d.transport.Context())
	if err == nil {
		_, err = d.Rotate(identity)
	}
	p.renewed(err)
	p.arm()
}

// renewed takes note of what came of a renewal.
func (p *policy) renewed(err error) {
	d := p.driver
	p.mu.Lock()
	defer p.mu.Unlock()
	p.schedule.Expires(p.expiry)
	if err == nil && p.schedule.Due(d.settings.Now()) == channel.ReasonExpiry {
		err = d.settings.Errors.ExpiresTooSoon
	}
	p.note(err)
	p.renewing = false
}

// expiryOf returns when a credential expires, if that is of interest; zero: never.
func (p *policy) expiryOf(s *channel.Session, credential mls.Credential) (time.Time, error) {
	if p.driver.settings.Renew == nil {
		return time.Time{}, nil
	}
	return s.CredentialExpiry(credential)
}

// expires takes note of when this end's credential does.
func (p *policy) expires(at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expiry = at
	if !p.renewing {
		p.schedule.Expires(at)
	}
}

// updated takes note of an update that has begun, of this end's own or of the peer's.
func (p *policy) updated(own bool) error {
	return p.schedule.Updated(p.driver.settings.Now(), own)
}

// tried takes note of what came of what was due. After an error it is tried again later.
func (p *policy) tried(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note(err)
}

// note is tried with p.mu locked.
func (p *policy) note(err error) {
	if err != nil {
		now := p.driver.settings.Now()
		p.schedule.Defer(now)
		p.later.Store(now.Add(wornRetry).UnixNano())
	}
	p.lastErr = err
}

// arm sets the timer to when something is due because of time. While an own update
// waits for the peer, nothing can be.
func (p *policy) arm() {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := p.schedule.Next()
	if next.IsZero() || p.driver.updates.waiting() {
		p.stopTimer()
		return
	}
	in := max(0, next.Sub(p.driver.settings.Now()))
	if p.timer == nil {
		p.timer = time.AfterFunc(in, func() { p.ask(false) })
	} else {
		p.timer.Reset(in)
	}
}

// stop ends it: the timer does not fire any more. Updates must have ended before.
func (p *policy) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopTimer()
}

func (p *policy) stopTimer() {
	if p.timer != nil {
		p.timer.Stop()
	}
}

func (p *policy) lastError() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lastErr
}
