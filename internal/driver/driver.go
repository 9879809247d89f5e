package driver

import (
	"context"
	"io"
	"sync"
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
}

// A Step lets the session do something and returns what it asks for.
type Step = func(*channel.Session) ([]channel.Event, error)

// A Config says how a connection behaves. Nothing is left open in it.
type Config struct {
	Identity mls.Identity
	Rekey    channel.UpdatePolicy
	Renew    func(context.Context) (mls.Identity, error) // nil: credentials are not renewed
	Now      func() time.Time
	Rand     io.Reader
}

// A Driver runs one session for one connection. Its methods may be called by several
// goroutines at once.
type Driver struct {
	transport Transport
	ctx       context.Context // ends with the connection

	updates    updates
	policy     policy
	background background

	mu      sync.Mutex // guards what follows; the transport's own locks for Carry come behind it
	config  *Config
	session *channel.Session // nil before Start
	state   channel.ConnectionState
	store   channel.Store // the initiator's
	held    lease         // on the initiator's session
}

// Init makes d the driver of a connection that ends with ctx.
func (d *Driver) Init(ctx context.Context, t Transport, config *Config) {
	d.ctx, d.transport, d.config = ctx, t, config
	d.policy.driver = d
}

// Configure replaces the configuration, while the handshake is under way. It may be called
// from within a step.
func (d *Driver) Configure(config *Config) { d.config = config }

// Start makes s the session, in place of one before, and takes its first step.
func (d *Driver) Start(s *channel.Session, first Step) error {
	d.mu.Lock()
	d.session = s
	d.mu.Unlock()
	return d.Advance(first)
}

// Advance lets the session take a step and has the transport carry out what it asks for.
func (d *Driver) Advance(next Step) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	events, err := next(d.session)
	for i := 0; i < len(events) && err == nil; i++ {
		err = d.note(events[i])
	}
	if err == nil {
		err = d.transport.Carry(events)
	}
	d.updates.observe(d.session.State())
	if d.policy.begun() {
		d.policy.arm()
	}
	return err
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
		d.state.EarlyData = e.OnThisConnection()
	case channel.PeerAuthenticated:
		d.state.Peer = e.Leaf
	case channel.PeerChanged:
		d.state.Peer = e.Leaf
	case channel.HandshakeComplete:
		s := d.session
		d.state.HandshakeComplete, d.state.Resumed = true, e.Resumed
		d.state.SessionID, d.state.Role, d.state.Suite = s.ID(), s.Role(), s.Suite().ID()
		d.state.Epoch, d.state.Negotiated = s.Epoch(), s.Negotiated()
		d.holdInstead(d.state.SessionID)
		return d.policy.begin(s)
	case channel.Updated:
		d.state.Epoch = e.Epoch
		if !e.Own {
			return d.policy.updated(false)
		}
		d.updates.done()
	}
	return nil
}

// Established says that application data flows: from now on the policy is followed.
func (d *Driver) Established() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.policy.start()
	d.policy.arm()
}

// State returns the state of the moment, or the last one of a connection that has ended.
// Before the handshake is complete all of it is zero.
func (d *Driver) State() channel.ConnectionState {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.state.HandshakeComplete {
		return channel.ConnectionState{}
	}
	state := d.state
	state.LastUpdateError = d.policy.lastError()
	return state
}

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

// Close ends the driver after Fail: it waits for the connection's own goroutines and erases
// the session's secrets. The transport must not keep those goroutines waiting.
func (d *Driver) Close() {
	d.policy.stop()
	d.background.wait()
	d.Release()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.session != nil {
		d.session.Close()
	}
}

// Spawn runs f in a goroutine that Close waits for. After Close it does nothing and
// returns false.
func (d *Driver) Spawn(f func()) bool { return d.background.spawn(f) }

// background counts a connection's own goroutines.
type background struct {
	mu     sync.Mutex
	closed bool
	wg     sync.WaitGroup
}

func (b *background) spawn(f func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.wg.Go(f)
	return true
}

// wait lets no more begin and waits for those that did.
func (b *background) wait() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.wg.Wait()
}
