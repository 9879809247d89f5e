package netconn

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/mendlink/mendlink/channel"
)

// Handshake performs the handshake if that has not been done yet. Read and Write do it by themselves.
func (c *Conn) Handshake() error {
	if c.driver.Established() {
		return nil
	}
	return c.handshake(context.Background(), false)
}

// HandshakeContext performs the handshake if that has not been done yet. When ctx
// ends, or Config.HandshakeTimeout has passed, before it is complete, the transport is closed.
//
// Its errors are final and end the connection, except for those of the
// application's own deadlines: after these it can be called again and goes on. It fails with a
// [*channel.Error] if the peer is refused or breaks the protocol, with an [*AlertError] if
// the peer refuses, with a [*record.ForeignProtocolError] if it speaks another protocol, with
// a [*HandshakeTimeoutError] or ctx's error, or with an error of the transport.
func (c *Conn) HandshakeContext(ctx context.Context) error {
	if c.driver.Established() {
		return nil
	}
	return c.handshake(ctx, false)
}

// handshake goes on with the handshake until it is complete or, if early is set, until
// early data is there.
func (c *Conn) handshake(ctx context.Context, early bool) (err error) {
	if !c.handshakeMu.TryLock() { // another call is at it
		interrupted := c.closeAfter(ctx)
		c.handshakeMu.Lock()
		if interrupted() {
			c.handshakeMu.Unlock()
			return c.opError("handshake", context.Cause(ctx))
		}
	}
	defer c.handshakeMu.Unlock()
	switch {
	case c.driver.Established():
		return nil
	case c.handshakeErr != nil:
		return c.handshakeErr
	case c.closed():
		return c.opError("handshake", net.ErrClosed)
	case c.opening.err != nil:
		c.opening.through()
		return c.opening.err
	}
	ctx, cancel := c.boundHandshake(ctx)
	defer cancel()
	interrupted := c.closeAfter(ctx)
	established, err := c.runHandshake(ctx, early)
	if interrupted() {
		err = context.Cause(ctx)
	} else if err != nil && isTimeout(err) && !c.driver.Ended() {
		return c.opError("handshake", err) // the application's deadline: not final
	}
	if err != nil {
		c.handshakeErr = c.opError("handshake", c.orClosed(err))
		c.driver.Fail(c.handshakeErr) // others may resume the session
		c.opening.through()
		return c.handshakeErr
	}
	if established {
		c.opening.through()
		c.opening = nil
		c.driver.Establish()
		c.receiver.pumpIfIdle() // an update may be under way already
	}
	return nil
}

// closeAfter has the transport closed when ctx ends before the handshake is complete. interrupted ends that, and
// reports whether ctx has ended.
func (c *Conn) closeAfter(ctx context.Context) (interrupted func() bool) {
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		if !c.driver.Established() {
			c.transport.Close()
		}
		close(closed)
	})
	return func() bool {
		if stop() {
			return false
		}
		<-closed
		return true
	}
}

// An opening is what a Conn needs only until its handshake is complete.
type opening struct {
	config  *Config               // Config.Select may put another one there
	err     error                 // why there is none
	end     time.Time             // when Config.HandshakeTimeout has passed; zero before the first step
	early   []byte                // own early data whose fate is open
	fate    channel.EarlyDataFate // what that is
	started bool                  // there is a session
	leave   func()                // gives the place at the listener's gate back; nil if there is none
}

// through says that the handshake is complete, or never will be.
func (o *opening) through() {
	if o.leave != nil {
		o.leave()
	}
}

// boundHandshake adds the configured timeout, counted from the first step.
func (c *Conn) boundHandshake(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	c.life.beforeEnd(func() { cancel(net.ErrClosed) })
	done := func() {
		c.life.beforeEnd(nil)
		cancel(nil)
	}
	o := c.opening
	timeout := o.config.HandshakeTimeout
	if timeout < 0 {
		return ctx, done
	}
	if o.end.IsZero() {
		o.end = time.Now().Add(timeout)
	}
	timed, release := context.WithDeadlineCause(ctx, o.end, &HandshakeTimeoutError{After: timeout})
	return timed, func() {
		release()
		done()
	}
}

// runHandshake drives the session until application data may flow, or early data is there.
func (c *Conn) runHandshake(ctx context.Context, early bool) (established bool, err error) {
	r := &c.receiver
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ctx = ctx
	defer func() { r.ctx = nil }()
	if !c.opening.started {
		if err := c.begin(ctx); err != nil {
			c.driver.Fail(err)
			return false, err
		}
	}
	for {
		if err := c.sender.flushNow(); err != nil {
			if isTimeout(err) {
				return false, err
			}
			return false, r.reasonFor(err)
		}
		if r.established || early && r.ahead.some.Load() {
			r.rest()
			return r.established, nil
		}
		if _, err := r.step(nil); err != nil {
			c.sender.flushNow() // the alert
			return false, err
		}
	}
}

// begin makes the session: the initiator resumes the one that it has, if any.
func (c *Conn) begin(ctx context.Context) error {
	cfg := c.sessionConfig()
	cfg.Select = c.selection()
	if !c.initiator {
		session, err := channel.NewResponder(cfg)
		if err != nil {
			return err
		}
		return c.start(ctx, session)
	}
	session, err := c.driver.Initiator(ctx, cfg)
	if err != nil {
		return err
	}
	err = c.start(ctx, session)
	if errors.Is(err, channel.ErrSuperseded) { // by another process, just now
		if session, err = c.driver.NewInitiator(cfg); err == nil {
			err = c.start(ctx, session)
		}
	}
	return err
}

func (c *Conn) start(ctx context.Context, session *channel.Session) error {
	c.opening.started = true
	return c.driver.Start(session, func(s *channel.Session) ([]channel.Event, error) {
		if early := c.opening.early; len(early) > 0 {
			return s.StartWithEarlyData(ctx, early)
		}
		return s.Start(ctx)
	})
}

// sessionConfig returns what the session needs of the configuration.
func (c *Conn) sessionConfig() *channel.Config {
	cfg := c.opening.config.channelConfig()
	cfg.Validator = c.driver.Validator(cfg.Validator)
	return cfg
}

// selection is Config.Select for the session. The Conn goes on with the configuration
// that is chosen as well.
func (c *Conn) selection() func(channel.ClientHello) (*channel.Config, error) {
	choose := c.opening.config.Select
	if choose == nil {
		return nil
	}
	return func(hello channel.ClientHello) (*channel.Config, error) {
		chosen, err := choose(hello)
		if chosen == nil || err != nil {
			return nil, err
		}
		if chosen, err = chosen.withDefaults(); err != nil {
			return nil, err
		}
		c.opening.config, c.settings = chosen, chosen.settings()
		c.driver.Configure(chosen.driverConfig())
		return c.sessionConfig(), nil
	}
}

// reasonFor looks for the alert of a peer that has closed the connection, as it says
// more than the error that this led to. r.mu is locked.
func (r *receiver) reasonFor(err error) error {
	var alert *AlertError
	for r.err == nil && !r.established {
		if _, err := r.step(nil); err != nil {
			break
		}
	}
	if errors.As(r.err, &alert) {
		return alert
	}
	return err
}
