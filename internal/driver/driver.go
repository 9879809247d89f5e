package driver

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/mls"
)

// A Transport carries out what a session asks for.
type Transport interface {
	// Carry carries out events, in order and with nothing between them. The driver is
	// locked meanwhile: it must not call its methods, but for those that say so, nor wait for the peer.
	Carry(events []channel.Event) error
	// Abort ends the connection because of an error, and tells the peer why.
	Abort(err error)
	// Context returns one that ends with the connection. Nobody asks for it before it is
	// needed, so it need not be there earlier.
	Context() context.Context
}

// A Step lets the session do something and returns what it asks for.
type Step = func(*channel.Session) ([]channel.Event, error)

// A Config says how a connection behaves. The driver keeps its Settings, and forgets the rest with the
// handshake.
type Config struct {
	Identity mls.Identity
	Rekey    channel.UpdatePolicy
	Rand     io.Reader
	Settings
}

// Errors are those that a driver finds by itself, as the transport's package calls them.
type Errors struct {
	// NoIdentityFits means that Identities have none for the session's cipher suite any more.
	NoIdentityFits error
	// ExpiresTooSoon means that Renew returned a credential that would have to be
	// replaced at once.
	ExpiresTooSoon error
}

// Settings are what a driver goes by for as long as the connection lives.
type Settings struct {
	Now        func() time.Time
	Renew      func(context.Context) (mls.Identity, error) // nil: credentials are not renewed
	Identities channel.IdentitySource                      // nil: nothing changes by itself
	Spread     time.Duration                               // over how long Identities that change are shown; 0 or less: at once
	Refused    channel.RefusalAction                       // zero: RefusalClose
	RefusedBy  func() channel.RefusalAction                // asked in place of Refused each time; nil: nobody is
	Errors     *Errors
}

// A Driver runs one session for one connection. Its methods may be called by several
// goroutines at once.
type Driver struct {
	transport   Transport
	settings    Settings
	established atomic.Bool // application data flows

	updates    updates
	policy     policy
	live       atomic.Pointer[live] // nil: nothing that could change so far
	background background
	held       *lease // on the initiator's session; guarded by leases

	mu      sync.Mutex // guards what follows; the transport's own locks for Carry come behind it
	config  *Config    // nil once the handshake is complete
	session *channel.Session
	closed  error // that closed the session, nil before
	state   state
}

// Init makes d the driver of a connection.
func (d *Driver) Init(t Transport, config *Config) {
	d.transport = t
	d.policy.driver = d
	d.Configure(config)
}

// Configure replaces the configuration, while the handshake is under way. It may be called
// from within a step.
func (d *Driver) Configure(config *Config) {
	d.config, d.settings = config, config.Settings
	if d.settings.Refused == 0 {
		d.settings.Refused = channel.RefusalClose
	}
}

// Start makes s the session, in place of one before, and takes its first step.
func (d *Driver) Start(s *channel.Session, first Step) error {
	d.mu.Lock()
	d.session, d.closed = s, nil
	d.mu.Unlock()
	return d.Advance(first)
}

// Advance lets the session take a step and has the transport carry out what it asks for.
func (d *Driver) Advance(next Step) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	events, err := d.step(next)
	n := 0
	for ; n < len(events) && err == nil; n++ {
		err = d.note(events[n])
	}
	d.updates.observe(d.session.State())
	// After an error as well: the peer may have to open what says so with the keys that came before it.
	if carried := d.transport.Carry(events[:n]); err == nil {
		err = carried
	}
	if d.established.Load() {
		d.policy.arm()
	}
	return err
}

// step takes a step. Whoever finds the session closed learns of what closed it, and tells the peer that: it may
// come before the one who closed it gets to say so. d.mu is locked.
func (d *Driver) step(next Step) (events []channel.Event, err error) {
	events, err = next(d.session)
	switch {
	case d.closed != nil && errors.Is(err, channel.ErrClosed):
		err = d.closed
	case d.closed == nil && d.session.State() == channel.StateClosed:
		d.closed = err
	}
	return events, err
}

// Drive is Advance for what the peer has not asked for. If the session ends by it, the
// connection does.
func (d *Driver) Drive(next Step) error {
	ended := false
	err := d.Advance(func(s *channel.Session) ([]channel.Event, error) {
		before := s.State()
		events, err := next(s)
		ended = s.State() == channel.StateClosed && before != channel.StateClosed
		return events, err
	})
	if ended {
		d.transport.Abort(err)
	}
	return err
}

// note takes note of an event before it is carried out.
func (d *Driver) note(e channel.Event) error {
	switch e := e.(type) {
	case channel.Send:
		if e.Message.Type == channel.MessageConnectionUpdate {
			d.updates.began()
			return d.policy.updated(true)
		}
	case channel.EarlyDataResult:
		d.state.early = e.OnThisConnection()
	case channel.PeerAuthenticated:
		d.peerIs(e.Leaf)
	case channel.PeerChanged:
		d.peerIs(e.Leaf)
	case channel.HandshakeComplete:
		d.state.begin(d.session)
		return d.policy.begin(d.session)
	case channel.Updated:
		d.state.epoch = e.Epoch
		if !e.Own {
			d.state.peer = d.session.Peer() // another leaf; the one of before is not kept
			return d.policy.updated(false)
		}
		d.updates.done()
		if e.Full {
			return d.policy.fullSince(d.session.FullSince())
		}
	}
	return nil
}

// Establish says that application data flows: from now on the policy is followed, and so is
// what changes.
func (d *Driver) Establish() {
	d.established.Store(true)
	d.policy.arm()
	d.keepUp()
}

// Established reports that Establish was called.
func (d *Driver) Established() bool { return d.established.Load() }

// Look lets f look at the session, nil before Start.
func (d *Driver) Look(f func(*channel.Session)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f(d.session)
}

// Fail says that the connection has ended: nobody waits any longer.
func (d *Driver) Fail(err error) { d.updates.fail(err) }

// Ended reports that Fail was called.
func (d *Driver) Ended() bool { return d.updates.ended() }

// Stop ends, after Fail, what the connection does by itself, and waits for its goroutines. The
// transport must not keep those waiting.
func (d *Driver) Stop() {
	d.policy.stop()
	if l := d.live.Load(); l != nil {
		l.stop()
	}
	d.background.wait()
}

// Close ends the driver after Fail: it is Stop that lets others resume the session and erases
// its secrets.
func (d *Driver) Close() {
	d.Stop()
	d.Release()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.session != nil {
		d.session.Close()
	}
}
