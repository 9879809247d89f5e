package netconn

import (
	"bytes"
	"errors"
	"sync"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/mls"
)

// An IdentitySource has identities that change while connections live, such as
// identity.Live, which reads them from files. Its methods are called by several goroutines at
// once, and must neither wait nor call those of a Conn.
type IdentitySource interface {
	// Identities returns those of the moment, in the order of Config.Identity and
	// Config.Alternatives.
	Identities() []mls.Identity
	// PreviousIdentities returns those under which stored sessions may still be.
	PreviousIdentities() []mls.Identity
	// Watch has changed called after each change of the identities, and of whatever
	// the validator goes by, until stop is called.
	Watch(changed func()) (stop func())
}

var errNoIdentityFits = errors.New("netconn: Config.Identities has none for the cipher suite any more")

const (
	// liveRetry is how long after an identity that could not be shown it is tried again.
	liveRetry = time.Second
	// longestWait is how long, at the most, nobody looks at whether the peer's credential has expired.
	longestWait = 30 * 24 * time.Hour
)

// live keeps up with what changes while the connection lives: the own identity, and
// whether the peer is still accepted. What is to be done is done by a goroutine that lives just for
// that; nobody waits for the peer in it.
type live struct {
	conn    *Conn
	working sync.Mutex // held by the goroutine

	mu      sync.Mutex // guards what follows
	unwatch func()     // nil if there is nothing to watch
	ready   bool       // the handshake is complete
	dirty   bool       // something has changed since the goroutine last looked
	running bool       // there is a goroutine that will look
	stopped bool
	err     error     // why the own identity could not be shown
	expiry  time.Time // of the peer's credential; zero: never

	expiring, retrying *time.Timer // nil if there was no need yet
}

// watch begins to watch the source of the configuration, in place of another. What changes from then on is
// dealt with once the handshake is complete.
func (l *live) watch() {
	var unwatch func()
	if source := l.conn.settings.identities; source != nil {
		unwatch = source.Watch(l.changed)
	}
	l.mu.Lock()
	before := l.unwatch
	stopped := l.stopped
	if !stopped {
		l.unwatch = unwatch
	}
	l.mu.Unlock()
	if before != nil {
		before()
	}
	if stopped && unwatch != nil {
		unwatch()
	}
}

// begin is called when the handshake is complete. The identities may be others than when the Conn
// was made.
func (l *live) begin() {
	l.mu.Lock()
	l.ready = true
	l.dirty = l.dirty || l.conn.settings.identities != nil
	l.mu.Unlock()
	l.start()
}

// changed takes note of a change of anything.
func (l *live) changed() {
	l.mu.Lock()
	l.dirty = true
	l.mu.Unlock()
	l.start()
}

// start has a goroutine look, if there is reason to and none is about to.
func (l *live) start() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ready || !l.dirty || l.running || l.stopped {
		return
	}
	l.running = l.conn.spawn(l.follow)
}

func (l *live) follow() {
	l.working.Lock()
	defer l.working.Unlock()
	l.mu.Lock()
	l.running, l.dirty = false, false // what changes from here on needs another look
	l.mu.Unlock()
	c := l.conn
	if c.updates.ended() {
		return
	}
	err := l.showIdentity()
	l.mu.Lock()
	l.err = err
	l.mu.Unlock()
	// Whether this is the end of the connection, and why, shows in its other methods; with
	// RefusalWarn the Trace is told.
	_ = c.Revalidate(c.settings.refused)
	if err != nil && !errors.Is(err, errNoIdentityFits) {
		l.after(&l.retrying, liveRetry)
	}
	l.armExpiry()
}

// showIdentity has the peer see the identity of the moment, if it is another one.
func (l *live) showIdentity() error {
	c := l.conn
	if c.settings.identities == nil {
		return nil
	}
	identities := c.settings.identities.Identities()
	if len(identities) == 0 {
		return nil // the source is for the validator alone
	}
	for _, id := range identities {
		switch fits, shown := c.shows(id); {
		case shown:
			return nil
		case fits:
			_, err := c.rotate(id)
			return err
		}
	}
	return errNoIdentityFits
}

// shows reports that an identity's key fits the session, and that it is the one that the peer sees. A session
// that has ended needs no other.
func (c *Conn) shows(id mls.Identity) (fits, shown bool) {
	c.sessionMu.Lock()
	defer c.sessionMu.Unlock()
	suite := c.session.Suite()
	if suite == nil {
		return false, true
	}
	_, err := suite.SignaturePublicKey(id.Signer.Public())
	return err == nil, c.session.Shows(id)
}

// peerIs takes note of the credential that the peer shows: when it expires, the validator is
// asked again.
func (l *live) peerIs(credential mls.Credential) {
	// A validator that takes a certificate which does not parse does not go by its dates.
	expiry, err := channel.CredentialExpiry(credential)
	if err != nil {
		expiry = time.Time{}
	}
	l.mu.Lock()
	l.expiry = expiry
	l.mu.Unlock()
	l.armExpiry()
}

// armExpiry sets the timer to just after the peer's credential has expired, unless that has
// happened already.
func (l *live) armExpiry() {
	l.mu.Lock()
	expiry := l.expiry
	l.mu.Unlock()
	if in := expiry.Sub(l.conn.settings.now()); !expiry.IsZero() && in >= 0 {
		l.after(&l.expiring, min(in, longestWait)+time.Millisecond)
	}
}

// after has a goroutine look after some time.
func (l *live) after(timer **time.Timer, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.stopped:
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

// stop ends it: nothing begins any more.
func (l *live) stop() {
	l.mu.Lock()
	unwatch := l.unwatch
	l.stopped, l.unwatch = true, nil
	for _, timer := range []*time.Timer{l.expiring, l.retrying} {
		if timer != nil {
			timer.Stop()
		}
	}
	l.mu.Unlock()
	if unwatch != nil {
		unwatch()
	}
}

// A tolerant validator lets a peer that is not accepted any more, but has not been cut off
// either, go on as who it is: it has to be able to update its keys. It comes in with no other
// credential or key, nor over another connection.
type tolerant struct {
	mls.AuthenticationService
	conn *Conn
}

func (v tolerant) ValidateLeaf(leaf, previous *mls.LeafNode) error {
	err := v.AuthenticationService.ValidateLeaf(leaf, previous)
	if err != nil && v.conn.complete.Load() && previous != nil &&
		bytes.Equal(leaf.SignatureKey, previous.SignatureKey) && leaf.Credential.Equal(previous.Credential) {
		return nil
	}
	return err
}

// sessionConfig returns what the session needs of c.config.
func (c *Conn) sessionConfig() *channel.Config {
	cfg := c.opening.config.channelConfig()
	if c.settings.refused != channel.RefusalClose {
		cfg.Validator = tolerant{cfg.Validator, c}
	}
	return cfg
}

// refusal returns what becomes of a connection whose peer is not accepted any more.
func (c *Config) refusal() channel.RefusalAction {
	if c.Refused == 0 {
		return channel.RefusalClose
	}
	return c.Refused
}

// takeIdentities takes the identities of the moment from their source, if it has any.
func (c *Config) takeIdentities() {
	if c.Identities == nil {
		return
	}
	if all := c.Identities.Identities(); len(all) > 0 {
		c.Identity, c.Alternatives = all[0], all[1:]
		c.PreviousIdentities = c.Identities.PreviousIdentities()
	}
}
