package quicmls

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"

	"github.com/quic-go/quic-go"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/internal/driver"
	"github.com/mendlink/mendlink/mls"
)

// A Conn is a secure channel over a QUIC connection, whose API is that of a [quic.Conn]. All
// methods may be called by several goroutines at once. Those that need the session perform
// its handshake first, if that has not been done yet.
type Conn struct {
	quic      *quic.Conn
	transport *quic.Transport // that it was dialed on; nil if that is not the caller's
	redial    quicSettings    // for DialKeyed
	initiator bool

	ctx    context.Context // ends with the QUIC connection, or with the session
	cancel context.CancelCauseFunc

	handshakeMu  sync.Mutex      // guards the handshake as a whole
	handshakeErr error           // final
	handshake    *handshakeState // nil once it is complete
	complete     atomic.Bool
	served       chan struct{} // closed when serve has ended; nil before the handshake is complete

	// The order of locks: handshakeMu, the driver's, control.writeMu, SendStream.writeMu,
	// SendStream.mu, and last those of the queue and of the keys.
	driver    driver.Driver
	control   control
	sending   sendKeys
	receiving receiveKeys

	dialing   atomic.Pointer[keyedDialer] // nil before DialKeyed
	accepting *keyedAccepter              // nil if there are no keyed connections to accept
}

// Client returns the initiator's end of a channel over a QUIC connection, which the Conn owns from then
// on. The next stream that either end opens must be opened by this Conn; the peer calls [Server]. If config is unusable, the
// handshake says so.
func Client(q *quic.Conn, config *Config) *Conn {
	config, err := config.withDefaults()
	return newConn(q, config, err, true)
}

// Server returns the responder's end of a channel over a QUIC connection, like [Client].
func Server(q *quic.Conn, config *Config) *Conn {
	config, err := config.withDefaults()
	return newConn(q, config, err, false)
}

// newConn makes a Conn with a configuration in which nothing is left open, nil because of err.
func newConn(q *quic.Conn, config *Config, err error, initiator bool) *Conn {
	c := &Conn{quic: q, initiator: initiator, handshake: &handshakeState{config: config}, handshakeErr: err}
	c.ctx, c.cancel = context.WithCancelCause(q.Context())
	c.control.conn = c
	if config != nil {
		c.configure(config)
	}
	return c
}

func (c *Conn) configure(config *Config) {
	c.control.messages = channel.NewAssembler(config.MaxMessageSize)
	c.receiving.grace = config.EpochGrace
	c.driver.Init(transport{c}, config.driverConfig(config.Identity))
}

// transport is what the driver sees of a Conn.
type transport struct{ *Conn }

// Carry implements [driver.Transport].
func (t transport) Carry(events []channel.Event) error {
	c := t.Conn
	var out []controlItem
	for _, e := range events {
		switch e := e.(type) {
		case channel.Send:
			out = append(out, controlItem{message: e.Message})
		case channel.SwitchSend:
			out = append(out, controlItem{keys: &e})
		case channel.StepSend:
			out = append(out, controlItem{step: true})
		case channel.SwitchReceive:
			if err := c.control.installReceive(e); err != nil {
				return err
			}
		case channel.StepReceive:
			c.control.keys++
			if err := c.control.opener.Update(); err != nil {
				return err
			}
		case channel.HandshakeComplete:
			c.handshake.ready = true
		case channel.Updated:
			if e.Own {
				out = append(out, controlItem{confirm: c.driver.Acked()})
			}
		}
	}
	c.control.queue.push(out...)
	if c.served != nil {
		c.control.wake()
	}
	return nil
}

// Abort implements [driver.Transport].
func (t transport) Abort(err error) { t.abort(err) }

// comes reports that the epoch behind which wait is closed is on its way, or there. The peer
// cannot use one without an update that this end knows of.
func (c *Conn) comes(wait <-chan struct{}) bool {
	if c.driver.Pending() {
		return true
	}
	c.driver.Look(func(*channel.Session) {}) // a step that is not quite over may be what makes it come
	if c.driver.Pending() {
		return true
	}
	select {
	case <-wait:
		return true
	default:
		return false
	}
}

// serve takes in the two-party messages of a connection whose handshake is complete, until it ends.
func (c *Conn) serve() {
	defer close(c.served)
	var err error
	for err == nil {
		if err = c.control.wait(); err == nil {
			err = c.control.step()
		}
	}
	c.abort(err)
	c.end()
}

// abort ends the connection because of an error and tells the peer why.
func (c *Conn) abort(err error) {
	c.cancel(err)
	c.driver.Fail(c.closedBy())
	// If it has ended before, this does nothing.
	alert := alertFor(err)
	c.quic.CloseWithError(errorCodeAlert|quic.ApplicationErrorCode(alert), alert.String())
}

// end forgets everything. The QUIC connection has ended, so nobody waits for long.
func (c *Conn) end() {
	c.driver.Fail(c.closedBy())
	c.cancel(net.ErrClosed)
	c.driver.Close()
	c.control.erase()
	c.sending.erase()
	if c.accepting != nil {
		c.accepting.end()
	}
	for s := range c.receiving.erase() {
		s.retire()
	}
}

// closedBy returns why the connection has ended, and frees its session like [Conn.explain].
func (c *Conn) closedBy() error {
	err := context.Cause(c.ctx)
	if err == nil {
		return net.ErrClosed
	}
	err = explain(err)
	c.driver.Fail(err)
	return err
}

// CloseWithError closes the connection with an application's error code, which the peer gets together with the
// description, neither of them authenticated by the session, and erases all secrets in memory. The
// session stays in the store and can be resumed. What was written and not read by the peer
// is lost, as with [quic.Conn.CloseWithError]. Codes from 0x6d6c00 to 0x6d6cff have a meaning of their own.
func (c *Conn) CloseWithError(code quic.ApplicationErrorCode, description string) error {
	err := c.quic.CloseWithError(code, description)
	c.cancel(net.ErrClosed)
	c.handshakeMu.Lock()
	defer c.handshakeMu.Unlock()
	if c.handshakeErr == nil {
		c.handshakeErr = net.ErrClosed
	}
	if c.served != nil {
		<-c.served
	}
	return err
}

// Context returns a context that ends with the connection. Its cause says why. Calls under way may return
// a moment before; their errors match net.ErrClosed.
func (c *Conn) Context() context.Context { return c.ctx }

// LocalAddr returns the local address.
func (c *Conn) LocalAddr() net.Addr { return c.quic.LocalAddr() }

// RemoteAddr returns the peer's address of the moment.
func (c *Conn) RemoteAddr() net.Addr { return c.quic.RemoteAddr() }

// QUIC returns the QUIC connection, for its statistics, its qlog and its paths. To open or accept
// streams there, or to send datagrams, breaks the Conn. While quic.Path.Switch takes effect, quic-go (as of
// v0.65.0) guards its ConnectionState, LocalAddr and RemoteAddr by no lock: do not call them
// here or there until the peer has answered on the new path.
func (c *Conn) QUIC() *quic.Conn { return c.quic }

// A ConnectionState says how a connection is protected at one moment.
type ConnectionState struct {
	channel.ConnectionState
	QUIC quic.ConnectionState
}

// ConnectionState returns the state of the moment.
func (c *Conn) ConnectionState() ConnectionState {
	return ConnectionState{c.driver.State(), c.quic.ConnectionState()}
}

// Update puts fresh key material into the connection, so that whoever has copied this end's
// secrets up to now cannot read on: it begins a new epoch and returns once the peer has confirmed
// it. What is written afterwards, on any stream, is sealed with keys of that epoch or a later one. An update that was under way at the time of the
// call does not count. Data flows on meanwhile.
//
// It needs both ends to read: while all that QUIC's flow control allows for the connection is
// in the hands of an end that does not take it, updates wait. So a goroutine that is to read must not wait here. When ctx ends first, Update returns its error and the
// update goes on.
func (c *Conn) Update(ctx context.Context) error {
	return c.update(ctx, func() (uint64, error) { return c.driver.Update(channel.ReasonRequested) })
}

// UpdateFull is [Conn.Update] that replaces the post-quantum keys as well, where Config.APQ has led
// to a session with such keys of its own. In other sessions it is Update.
func (c *Conn) UpdateFull(ctx context.Context) error {
	return c.update(ctx, func() (uint64, error) { return c.driver.UpdateFull(channel.ReasonRequested) })
}

// InjectPSK is [Conn.Update] that mixes pre-shared keys, which both ends look up by
// Config.PSK, into the keys. It returns an error that matches mls.ErrUnknownPSK if this end
// does not know them; if the peer does not, that ends the connection.
func (c *Conn) InjectPSK(ctx context.Context, identities ...[]byte) error {
	return c.update(ctx, func() (uint64, error) { return c.driver.InjectPSK(identities...) })
}

// Rotate gives this end another credential, another signature key, or both, by an update,
// and returns once the peer has confirmed it, like [Conn.Update]. The peer's validator sees the new
// leaf and the one before. If it refuses, the connection ends, with an [*AlertError] at this end.
// An error that says that the key does not fit the cipher suite leaves all as it was.
//
// The session can be resumed only with a Config whose Identity is the new one from then
// on. If the connection ends before Rotate returns, it is under either: have the other one
// among the PreviousIdentities.
func (c *Conn) Rotate(ctx context.Context, identity mls.Identity) error {
	return c.update(ctx, func() (uint64, error) { return c.driver.Rotate(identity) })
}

func (c *Conn) update(ctx context.Context, begin func() (uint64, error)) error {
	if err := c.handshaken(ctx); err != nil {
		return err
	}
	target, err := begin()
	if err == nil {
		err = c.driver.Wait(ctx, target)
	}
	return err
}

// Revalidate asks Config.Validator about the peer once more, as if it were new: for when
// pins, roots or revocations have changed. The error of a validator that refuses matches
// channel.ErrPeerRefused. What becomes of the connection then is up to action: with
// RefusalClose it ends, the peer is told, and the session is deleted from the store; with RefusalWarn it
// goes on; RefusalKeep does not even return the error.
func (c *Conn) Revalidate(action channel.RefusalAction) error {
	if err := c.handshaken(context.Background()); err != nil {
		return err
	}
	return c.driver.Revalidate(action)
}

// ExportKeyingMaterial returns length octets that both ends, and nobody else, can
// compute from label and context. They are bound to the epoch: both ends must call it
// in the same one (see ConnectionState), and another epoch gives other octets.
func (c *Conn) ExportKeyingMaterial(label string, context []byte, length int) (out []byte, err error) {
	err = c.look(func(s *channel.Session) (err error) {
		out, err = s.ExportKeyingMaterial(label, context, length)
		return err
	})
	return out, err
}

// ExportFrom is [Conn.ExportKeyingMaterial] for what the end of the given role alone
// sends: each role gives other octets, and they are bound to who has it.
func (c *Conn) ExportFrom(from channel.Role, label string, context []byte, length int) (out []byte, err error) {
	err = c.look(func(s *channel.Session) (err error) {
		out, err = s.ExportFrom(from, label, context, length)
		return err
	})
	return out, err
}

// EpochAuthenticator returns a value that both ends have in common in an epoch, and that
// says nothing about its keys: with somebody in the middle they see different ones. It is of
// the size of the suite's hash. Once the connection has ended there is none, but an error.
func (c *Conn) EpochAuthenticator() (out []byte, err error) {
	err = c.look(func(s *channel.Session) error {
		out = s.EpochAuthenticator()
		return nil
	})
	return out, err
}

// ShortFingerprint returns the EpochAuthenticator in a form for people to compare, six
// groups of five digits. Once the connection has ended there is none, but an error.
func (c *Conn) ShortFingerprint() (out string, err error) {
	err = c.look(func(s *channel.Session) error {
		out = s.ShortFingerprint()
		return nil
	})
	return out, err
}

func (c *Conn) look(f func(*channel.Session) error) (err error) {
	if err := c.handshaken(context.Background()); err != nil {
		return err
	}
	c.driver.Look(func(s *channel.Session) {
		if err = channel.ErrClosed; s.State() != channel.StateClosed {
			err = f(s)
		}
	})
	if errors.Is(err, channel.ErrClosed) {
		return c.closedBy()
	}
	return err
}
