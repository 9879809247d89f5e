package driver

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/mls"
)

const (
	// liveRetry is how long after an identity that could not be shown it is tried again.
	liveRetry = time.Second
	// longestWait is how long, at the most, nobody looks at whether the peer's credential has expired.
	longestWait = 30 * 24 * time.Hour
)

// live keeps up with what changes while the connection lives: the own identity, and
// whether the peer is still accepted. What is to be done is done by a goroutine that lives just for
// that; nobody waits for the peer in it. Before Establish nothing is done, and after Fail no more.
type live struct {
	driver  *Driver
	working sync.Mutex // held by the goroutine

	mu      sync.Mutex // guards what follows
	unwatch func()     // nil if there is nothing to watch
	running bool       // there is a goroutine that will look
	waiting bool       // the own identity is another, and its turn is yet to come
	ripe    bool       // its turn has come
	err     error      // why the own identity could not be shown
	expiry  time.Time  // of the peer's credential; zero: never

	expiring, retrying, spreading *time.Timer // nil if there was no need yet
}

// needLive returns d's live, which few connections need.
func (d *Driver) needLive() *live {
	if d.live.Load() == nil {
		d.live.CompareAndSwap(nil, &live{driver: d})
	}
	return d.live.Load()
}

// keepUp begins to keep up with what changes. The identities may be others already than when the
// handshake began.
func (d *Driver) keepUp() {
	if source := d.settings.Identities; source != nil {
		l := d.needLive()
		l.watch(source)
		l.changed()
	}
	if l := d.live.Load(); l != nil {
		l.armExpiry(time.Time{})
	}
}

func (l *live) watch(source channel.IdentitySource) {
	unwatch := source.Watch(l.changed)
	l.mu.Lock()
	ended := l.driver.Ended()
	if !ended {
		l.unwatch = unwatch
	}
	l.mu.Unlock()
	if ended {
		unwatch() // stop may have been called already
	}
}

// changed has a goroutine look, unless one is about to.
func (l *live) changed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.running && !l.driver.Ended() {
		l.running = l.driver.Spawn(l.follow)
	}
}

func (l *live) follow() {
	l.working.Lock()
	defer l.working.Unlock()
	l.mu.Lock()
	l.running = false // what changes from here on needs another look
	l.mu.Unlock()
	d := l.driver
	if d.Ended() {
		return
	}
	err := l.showIdentity()
	l.mu.Lock()
	l.err = err
	l.mu.Unlock()
	asked := d.settings.Now() // and not later: what expires while the validator is asked takes another look
	// Whether this is the end of the connection, and why, shows in its other methods; with
	// RefusalWarn the Trace is told.
	_ = d.revalidateBy(d.refused)
	if err != nil && err != d.settings.Errors.NoIdentityFits {
		l.after(&l.retrying, liveRetry)
	}
	l.armExpiry(asked)
}

// showIdentity has the peer see the identity of the moment, if it is another one and its turn has come.
func (l *live) showIdentity() error {
	id, err := l.identityToShow()
	if err != nil || id == nil {
		l.shown()
		return err
	}
	if !l.turn() {
		return nil
	}
	_, err = l.driver.Rotate(*id)
	if err == nil {
		l.shown()
	}
	return err
}

// identityToShow returns the identity of the moment if the peer sees another one, nil if it does not.
func (l *live) identityToShow() (*mls.Identity, error) {
	d := l.driver
	if d.settings.Identities == nil {
		return nil, nil
	}
	identities := d.settings.Identities.Identities()
	if len(identities) == 0 {
		return nil, nil // the source is for the validator alone
	}
	for _, id := range identities {
		switch fits, shown := d.shows(id); {
		case shown:
			return nil, nil
		case fits:
			return &id, nil
		}
	}
	return nil, d.settings.Errors.NoIdentityFits
}

// turn reports that it is this connection's turn to show another identity. Many have the same one, and
// hear at one moment that it has changed: so each draws when it follows.
func (l *live) turn() bool {
	spread := l.driver.settings.Spread
	l.mu.Lock()
	defer l.mu.Unlock()
	if spread <= 0 || l.ripe {
		return true
	}
	if !l.waiting && !l.driver.Ended() {
		l.waiting = true
		l.spreading = time.AfterFunc(rand.N(spread), l.ripen)
	}
	return false
}

// ripen says that it is this connection's turn.
func (l *live) ripen() {
	l.mu.Lock()
	l.ripe = l.waiting
	l.mu.Unlock()
	l.changed()
}

// shown says that there is nothing to show, or no more. What changes from here on has another turn.
func (l *live) shown() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting, l.ripe = false, false
	if l.spreading != nil {
		l.spreading.Stop()
		l.spreading = nil
	}
}

// shows reports that an identity's key fits the session, and that it is the one that the peer sees. A session
// that has ended needs no other.
func (d *Driver) shows(id mls.Identity) (fits, shown bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	suite := d.session.Suite()
	if suite == nil {
		return false, true
	}
	_, err := suite.SignaturePublicKey(id.Signer.Public())
	return err == nil, d.session.Shows(id)
}

// peerIs takes note of whom the peer shows: when that credential expires, the validator is
// asked again. d.mu is locked.
func (d *Driver) peerIs(leaf *mls.LeafNode) {
	d.state.peer = leaf
	// A validator that takes a credential which does not parse does not go by its dates.
	expiry, err := d.session.CredentialExpiry(leaf.Credential)
	if err != nil {
		expiry = time.Time{}
	}
	if expiry.IsZero() && d.live.Load() == nil {
		return
	}
	l := d.needLive()
	l.mu.Lock()
	l.expiry = expiry
	l.mu.Unlock()
	l.armExpiry(time.Time{})
}

// armExpiry sets the timer to just after the peer's credential has expired, unless the validator was asked
// about it since. asked is when it was; zero: in the handshake or with the credential, which may be a while ago. It keeps
// the lock, so that the time of a credential that is being replaced does not take the place of the other's.
func (l *live) armExpiry(asked time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.expiry.IsZero() || asked.After(l.expiry) {
		return
	}
	in := max(0, l.expiry.Sub(l.driver.settings.Now()))
	l.set(&l.expiring, min(in, longestWait)+time.Millisecond)
}

// after has a goroutine look after some time.
func (l *live) after(timer **time.Timer, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.set(timer, d)
}

// set is after with l.mu locked.
func (l *live) set(timer **time.Timer, d time.Duration) {
	switch {
	case !l.driver.Established() || l.driver.Ended():
	case *timer == nil:
		*timer = time.AfterFunc(d, l.changed)
	default:
		(*timer).Reset(d)
	}
}

func (l *live) lastError() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// stop ends it, after Fail: nothing begins any more.
func (l *live) stop() {
	l.mu.Lock()
	unwatch := l.unwatch
	l.unwatch = nil
	for _, timer := range []*time.Timer{l.expiring, l.retrying, l.spreading} {
		if timer != nil {
			timer.Stop()
		}
	}
	l.mu.Unlock()
	if unwatch != nil {
		unwatch()
	}
}

// Validator returns the one for the session of a connection whose configuration has v.
func (d *Driver) Validator(v mls.AuthenticationService) mls.AuthenticationService {
	if v == nil || d.settings.RefusedBy == nil && d.settings.Refused == channel.RefusalClose {
		return v
	}
	return tolerant{v, d}
}

// refused returns what becomes of the connection if its peer is not accepted any more.
func (d *Driver) refused() channel.RefusalAction {
	action := d.settings.Refused
	if d.settings.RefusedBy != nil {
		action = d.settings.RefusedBy()
	}
	if action < channel.RefusalKeep || action > channel.RefusalClose {
		return channel.RefusalClose
	}
	return action
}

// A tolerant validator lets a peer that is not accepted any more, but has not been cut off
// either, go on as who it is: it has to be able to update its keys. It comes in with no other
// credential or key, nor over another connection.
type tolerant struct {
	mls.AuthenticationService
	driver *Driver
}

// CredentialTypes returns those of the validator, if it says any.
func (v tolerant) CredentialTypes() []mls.CredentialType {
	if reader, ok := v.AuthenticationService.(mls.CredentialReader); ok {
		return reader.CredentialTypes()
	}
	return nil
}

// CredentialExpiry is asked only about credentials of these types.
func (v tolerant) CredentialExpiry(c *mls.Credential) (time.Time, error) {
	if reader, ok := v.AuthenticationService.(mls.CredentialReader); ok {
		return reader.CredentialExpiry(c)
	}
	return time.Time{}, nil
}

func (v tolerant) ValidateLeaf(leaf, previous *mls.LeafNode) error {
	err := v.AuthenticationService.ValidateLeaf(leaf, previous)
	if err != nil && v.driver.Established() && v.driver.refused() != channel.RefusalClose && previous != nil &&
		bytes.Equal(leaf.SignatureKey, previous.SignatureKey) && leaf.Credential.Equal(previous.Credential) {
		return nil
	}
	return err
}

// TakeIdentities puts the identities of the moment where a configuration has its own, if the source
// has any.
func TakeIdentities(source channel.IdentitySource, identity *mls.Identity, alternatives, previous *[]mls.Identity) {
	if source == nil {
		return
	}
	if all := source.Identities(); len(all) > 0 {
		*identity, *alternatives = all[0], all[1:]
		*previous = source.PreviousIdentities()
	}
}
