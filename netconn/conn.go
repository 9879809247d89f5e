package netconn

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/channel/record"
	"github.com/mendlink/mendlink/internal/driver"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// How long Close tries to send close_notify: at most, and at least whatever the write deadline is.
const (
	closeTimeout = 5 * time.Second
	closeGrace   = time.Second / 2
)

var longAgo = time.Unix(1, 0)

// A Conn is a secure channel over a transport connection. It is a [net.Conn], all of
// whose methods may be called by several goroutines at once.
type Conn struct {
	transport net.Conn
	settings  settings
	life      life

	handshakeMu  sync.Mutex // guards the handshake as a whole
	handshakeErr error      // final
	opening      *opening   // nil once the handshake is complete
	initiator    bool

	// The order of locks: handshakeMu, receiver.mu, sender.mu, the driver's, abortMu, and last that
	// of the queue.
	receiver receiver
	sender   sender
	driver   driver.Driver

	// calls is twice the number of Writes under way, plus one once Close was called.
	calls      atomic.Int32
	aborted    atomic.Pointer[error] // what the connection was aborted for
	abortMu    sync.Mutex            // guards what follows, and that there is one abort
	abortTimer *time.Timer           // nil unless there was an abort before Close
}

var _ net.Conn = (*Conn)(nil)

// Client returns the initiator's end of a channel over transport, which the Conn owns
// from then on. The handshake takes place in the first Read, Write or HandshakeContext. If
// config is unusable, these say so.
func Client(transport net.Conn, config *Config) *Conn { return newConn(transport, config, true) }

// Server returns the responder's end of a channel over transport, like [Client].
func Server(transport net.Conn, config *Config) *Conn { return newConn(transport, config, false) }

func newConn(transport net.Conn, config *Config, initiator bool) *Conn {
	c := &Conn{transport: transport, initiator: initiator}
	config, err := config.withDefaults()
	c.opening = &opening{config: config, err: err}
	maxMessageSize := 0
	if err == nil {
		c.settings = config.settings()
		c.driver.Init(driven{c}, config.driverConfig())
		maxMessageSize = config.MaxMessageSize
	}
	c.receiver.init(c, maxMessageSize)
	c.sender.conn = c
	return c
}

// Read reads application data, and before all other what came early. It returns io.EOF only after the peer said
// authentically that no more follows; a transport that ends before that is
// io.ErrUnexpectedEOF. Other errors are a [*channel.Error] or [*AlertError] if the protocol
// failed, or those of the transport: they wrap os.ErrDeadlineExceeded, after which
// Read can be called again and nothing is lost, and net.ErrClosed.
//
// Read never waits for the peer to read. It may use all of p as scratch space.
func (c *Conn) Read(p []byte) (int, error) {
	if err := c.Handshake(); err != nil {
		return 0, err
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := c.receiver.read(p)
	return n, c.hasRead(err)
}

// hasRead ends a Read.
func (c *Conn) hasRead(err error) error {
	if c.receiver.needed() {
		c.receiver.pumpIfIdle()
	}
	if err != nil {
		return c.opError("read", c.orClosed(err))
	}
	return nil
}

// Write sends p in records of up to 16 KiB, or less if the peer wants, many in one system call.
// A flow of data begins with small records, so that the peer can use what it has. With
// Config.CoalesceDelay small amounts are kept back for a while.
//
// After a timeout the Conn stays usable. The returned n octets are part of the
// stream: they are sent before anything else, by the next Write, by Close, or as soon
// as a later write deadline is set. So to go on with p[n:] is right, and nothing is lost
// or sent twice. If the deadline has passed already when Write is called, n is 0.
func (c *Conn) Write(p []byte) (int, error) {
	if !c.enterWrite() {
		return 0, c.opError("write", net.ErrClosed)
	}
	defer c.calls.Add(-2)
	if err := c.Handshake(); err != nil {
		return 0, err
	}
	if len(p) == 0 {
		return 0, nil
	}
	c.sender.mu.Lock()
	n, err := c.sender.send(p)
	c.sender.mu.Unlock()
	if err != nil {
		return n, c.opError("write", c.orClosed(err))
	}
	return n, nil
}

// enterWrite counts a Write, unless Close was called.
func (c *Conn) enterWrite() bool {
	for {
		x := c.calls.Load()
		if x&1 != 0 {
			return false
		}
		if c.calls.CompareAndSwap(x, x+2) {
			return true
		}
	}
}

func (c *Conn) closed() bool { return c.calls.Load()&1 != 0 }

// orClosed returns net.ErrClosed in place of what the closing of the transport led to.
func (c *Conn) orClosed(err error) error {
	if err != nil && c.closed() {
		return net.ErrClosed
	}
	return err
}

// CloseWrite says that no more application data follows: the peer reads io.EOF after
// what was written. Reading goes on, and so do updates: two-party messages may follow
// in both directions, so that a half-closed connection still heals.
func (c *Conn) CloseWrite() error {
	if !c.enterWrite() {
		return c.opError("close", net.ErrClosed)
	}
	defer c.calls.Add(-2)
	if err := c.Handshake(); err != nil {
		return err
	}
	c.sender.queue.push(outItem{end: &outEnd{alert: channel.AlertCloseNotify}})
	return c.opError("close", c.sender.flushNow())
}

// Close says that no more follows, closes the transport and erases all
// secrets in memory. The session stays in the store and can be resumed.
//
// To send what was left behind and close_notify takes it no time if the transport has room. If it
// has none, because the peer does not read, Close gives up after 5 seconds, or at an earlier write
// deadline, but not within half a second: who sets a deadline in the past before closing, as crypto/tls
// does with the connection beneath, still says goodbye. It does not wait for a Write that is blocked
// but interrupts it; the peer then sees a truncated stream. Read and Write under way return an error
// that wraps net.ErrClosed, and so do later calls of all that needs the connection or its keys.
//
// As always with TCP, what the peer has not received yet is lost if something of the peer's own comes
// after Close or was not read before: data, or a message of an update. To be sure that all
// arrives, call CloseWrite, and Close once Read has returned io.EOF; if the peer is one that may
// update its keys behind its own end, once it has closed as well, or has answered.
func (c *Conn) Close() error {
	var writes int32
	for {
		writes = c.calls.Load()
		if writes&1 != 0 {
			return c.opError("close", net.ErrClosed)
		}
		if c.calls.CompareAndSwap(writes, writes|1) {
			break
		}
	}
	var notifyErr error
	if writes == 0 && c.driver.Established() {
		notifyErr = c.closeNotify()
	}
	c.life.end()
	err := c.transport.Close()
	if errors.Is(err, net.ErrClosed) { // the end of the handshake's context, or an abort, came first
		err = nil
	}
	c.driver.Fail(net.ErrClosed)
	c.driver.Stop()
	c.abortMu.Lock()
	if c.abortTimer != nil {
		c.abortTimer.Stop()
	}
	c.abortMu.Unlock()
	c.erase()
	if err == nil {
		err = notifyErr
	}
	return c.opError("close", err)
}

// closeNotify sends what was left behind and close_notify. A peer that is gone already
// is no error, unless something is left behind that it was to have.
func (c *Conn) closeNotify() error {
	// This also bounds whoever holds the sender's lock.
	if err := c.sender.setLastDeadline(); err != nil {
		return nil
	}
	c.sender.mu.Lock()
	defer c.sender.mu.Unlock()
	if c.sender.err != nil {
		return nil // Read or Write has said so, or will
	}
	leftBehind := c.sender.stalled.Load() || c.sender.kept.some.Load()
	c.sender.queue.push(outItem{end: &outEnd{alert: channel.AlertCloseNotify}})
	if err := c.sender.flush(); leftBehind || isTimeout(err) {
		return err
	}
	return nil
}

// erase forgets all secrets. The transport is closed, so nobody holds the locks for long.
func (c *Conn) erase() {
	c.handshakeMu.Lock()
	defer c.handshakeMu.Unlock()
	if c.opening != nil {
		c.opening.through()
	}
	c.receiver.mu.Lock()
	c.receiver.close()
	c.receiver.mu.Unlock()
	c.sender.mu.Lock()
	c.sender.close()
	c.sender.mu.Unlock()
	c.driver.Close()
}

// abort ends the connection because of an error and tells the peer why. Nothing is read
// any more.
func (c *Conn) abort(err error) {
	c.abortMu.Lock()
	defer c.abortMu.Unlock()
	if c.aborted.Load() != nil {
		return
	}
	// First of all what keeps a Write from going on: who hears of the error may try one.
	_, told := errors.AsType[*AlertError](err)
	c.sender.queue.push(outItem{end: &outEnd{alert: alertFor(err), silent: told, err: err}})
	c.aborted.Store(&err)
	c.driver.Fail(err)
	c.sender.wake()
	c.transport.SetReadDeadline(longAgo) // wakes a Read
	// A Write that is blocked, and the alert behind it, shall not stay so. After Close the transport is closed already:
	// to do so once more would cut one that still sends what it has.
	if !c.closed() {
		c.abortTimer = time.AfterFunc(closeTimeout, func() { c.transport.Close() })
	}
}

// driven is what the driver sees of a Conn.
type driven struct{ *Conn }

// Context implements [driver.Transport].
func (d driven) Context() context.Context { return d.life.context() }

// Abort implements [driver.Transport].
func (d driven) Abort(err error) { d.abort(err) }

// Carry implements [driver.Transport]. Events that switch the receiving keys come only from
// steps that the receiver takes.
func (d driven) Carry(events []channel.Event) (err error) {
	c := d.Conn
	var out []outItem
	for i := 0; i < len(events) && err == nil; i++ {
		err = c.carryOut(events[i], &out)
	}
	// All at once: no data may get between a message and the change of keys behind it.
	c.sender.queue.push(out...)
	// Only now: who waits for an update may write as soon as it knows of it, and that must
	// not leave under the keys of before.
	c.driver.Confirm(c.driver.Acked())
	if c.driver.Established() {
		if !c.sender.queue.empty() {
			c.sender.wake()
		}
		c.receiver.pumpIfIdle()
	}
	return err
}

// carryOut does what an event asks for, and adds to out what the sender has to do.
func (c *Conn) carryOut(e channel.Event, out *[]outItem) error {
	switch e := e.(type) {
	case channel.Send:
		*out = append(*out, outItem{message: e.Message})
	case channel.SwitchSend:
		p, err := c.newProtection(e.Suite, e.Secret, e.RecordSize)
		if err != nil {
			return err
		}
		*out = append(*out, outItem{protection: p})
	case channel.SwitchReceive:
		p, err := c.newProtection(e.Suite, e.Secret, e.RecordSize)
		if err != nil {
			return err
		}
		c.receiver.install(p)
	case channel.StepSend:
		*out = append(*out, outItem{step: true})
	case channel.StepReceive:
		return c.receiver.stepKeys()
	case channel.EarlyData:
		c.receiver.ahead.putEarly(e.Data)
	case channel.EarlyDataResult:
		c.opening.fate = e.OnThisConnection()
	case channel.HandshakeComplete:
		c.receiver.established, c.receiver.source.pool = true, readBuffers
		*out = append(*out, c.takeEarly()...)
	}
	return nil
}

// newProtection uses up the secret.
func (c *Conn) newProtection(suite *ciphersuite.Suite, secret []byte, recordSize int) (*record.Protection, error) {
	defer clear(secret)
	p, err := record.NewProtection(suite, secret)
	if err != nil {
		return nil, err
	}
	p.LimitContent(recordSize)
	if n := c.settings.keyRecords; n > 0 {
		p.LimitRecords(n)
	}
	p.Rest()
	return p, nil
}

// LocalAddr returns the transport's local address.
func (c *Conn) LocalAddr() net.Addr { return c.transport.LocalAddr() }

// RemoteAddr returns the transport's remote address.
func (c *Conn) RemoteAddr() net.Addr { return c.transport.RemoteAddr() }

// NetConn returns the transport. To read from it, write to it or close it breaks the Conn.
func (c *Conn) NetConn() net.Conn { return c.transport }

// SetDeadline sets the deadlines of Read and Write. An operation that exceeds its
// deadline fails with an error that wraps os.ErrDeadlineExceeded and can be repeated
// under a later deadline. The zero time means none.
func (c *Conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline sets the deadline of Read. While it has passed, updates wait too.
func (c *Conn) SetReadDeadline(t time.Time) error {
	if err := c.transport.SetReadDeadline(t); err != nil {
		return err
	}
	if c.aborted.Load() != nil {
		c.transport.SetReadDeadline(longAgo) // a Read may not have been woken yet
	}
	c.receiver.deadlines.Add(1)
	if c.receiver.needed() {
		c.receiver.pumpIfIdle()
	}
	return nil
}

// SetWriteDeadline sets the deadline of Write. While it has passed, updates wait too.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	if err := c.sender.setDeadline(t); err != nil {
		return err
	}
	if c.driver.Established() && (c.sender.stalled.Load() || c.sender.kept.some.Load() || !c.sender.queue.empty()) {
		c.sender.wake()
	}
	return nil
}
