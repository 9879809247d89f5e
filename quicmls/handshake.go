package quicmls

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/mendlink/mendlink/channel"
)

// HandshakeContext performs the handshake if that has not been done yet. When ctx ends, or
// Config.HandshakeTimeout has passed, before it is complete, the connection is closed. Its errors are final: a
// [*channel.Error] if the peer is refused or breaks the protocol, an [*AlertError] if the peer
// refuses, a [*HandshakeTimeoutError], ctx's error, or those of the QUIC connection.
func (c *Conn) HandshakeContext(ctx context.Context) error {
	if c.complete.Load() {
		return nil
	}
	stopWaiting := context.AfterFunc(ctx, func() { // while another call performs it
		if !c.complete.Load() {
			c.abort(context.Cause(ctx))
		}
	})
	c.handshakeMu.Lock()
	defer c.handshakeMu.Unlock()
	stopWaiting()
	switch {
	case c.served != nil:
		return nil
	case c.handshakeErr != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	case c.handshakeErr != nil:
		return c.handshakeErr
	}
	return c.performHandshake(ctx)
}

// performHandshake is HandshakeContext where nobody has called that before. c.handshakeMu is locked.
func (c *Conn) performHandshake(ctx context.Context) error {
	ctx, cancel := c.boundHandshake(ctx)
	defer cancel()
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		c.abort(context.Cause(ctx))
		close(interrupted)
	})
	c.control.ctx = ctx
	err := c.runHandshake(ctx)
	if !stop() {
		<-interrupted
		err = context.Cause(ctx)
	} else if ctx.Err() != nil && errors.Is(err, ctx.Err()) { // noticed before the function above was called
		err = context.Cause(ctx)
	}
	if err != nil {
		if c.ctx.Err() == nil {
			c.abort(err)
		}
		c.handshakeErr = explain(err)
		c.end()
		return c.handshakeErr
	}
	c.established()
	return nil
}

// handshaken is HandshakeContext for those who need its result: where their ctx ends, the
// handshake goes on.
func (c *Conn) handshaken(ctx context.Context) error {
	if c.complete.Load() {
		return nil
	}
	if ctx.Done() == nil {
		return c.HandshakeContext(ctx)
	}
	done := make(chan error, 1)
	go func() { done <- c.HandshakeContext(context.Background()) }() // ends with the connection at the latest
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// A handshakeState is what a Conn has only until its handshake is complete.
type handshakeState struct {
	config   *Config // nil if it was unusable
	leave    func()  // gives the place at the listener's gate back; nil if there is none
	exported []byte  // what binds the session to QUIC's handshake
	unbound  bool    // that is not complete, so that the session is not bound to it yet
	early    []byte  // what the control stream has sent meanwhile
	heard    bool    // a message has come
	ready    bool    // the session is complete
	trace    *channel.Trace
}

// established begins what goes on for as long as the connection lives.
func (c *Conn) established() {
	h := c.handshake
	c.driver.Look(func(*channel.Session) { c.served, c.handshake = make(chan struct{}), nil })
	c.control.ctx = c.ctx
	if c.initiator {
		c.redial = h.config.quicSettings()
	}
	c.driver.Establish()
	c.complete.Store(true)
	if h.leave != nil {
		h.leave()
	}
	go c.serve()
	c.control.wake() // an update may be under way already
}

// boundHandshake adds the configured timeout.
func (c *Conn) boundHandshake(ctx context.Context) (context.Context, context.CancelFunc) {
	timeout := c.handshake.config.HandshakeTimeout
	if timeout < 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, timeout, &HandshakeTimeoutError{After: timeout})
}

// runHandshake drives the session until application data may flow.
func (c *Conn) runHandshake(ctx context.Context) error {
	if err := c.begin(ctx); err != nil {
		return err
	}
	for {
		if err := c.control.flush(); err != nil {
			return err
		}
		if c.handshake.ready {
			return nil
		}
		if c.handshake.unbound && (c.initiator || c.handshake.heard) {
			if err := c.bindLate(ctx); err != nil {
				return err
			}
		}
		err := c.control.wait()
		if err == nil {
			err = c.control.step()
		}
		if err != nil {
			return err
		}
	}
}

// begin makes the session and opens or accepts the control stream. Where QUIC's own handshake is not
// complete yet, it begins with a resumption or not before that is.
func (c *Conn) begin(ctx context.Context) error {
	if c.quicComplete() {
		if _, err := c.awaitQUIC(ctx); err != nil {
			return err
		}
	}
	cfg := c.channelConfig()
	c.handshake.unbound = cfg.LateBinding
	if !c.initiator {
		session, err := channel.NewResponder(cfg)
		if err != nil {
			return err
		}
		if err := c.attach(ctx, c.quic.AcceptStream); err != nil {
			return err
		}
		return c.start(ctx, session)
	}
	session, err := c.driver.Initiator(ctx, cfg)
	if err != nil {
		return err
	}
	if c.handshake.unbound && !session.Resumed() {
		if session, err = c.newInitiator(ctx); err != nil {
			return err
		}
	}
	err = c.attach(ctx, c.quic.OpenStreamSync)
	if errors.Is(err, quic.Err0RTTRejected) {
		if _, err = c.awaitQUIC(ctx); err == nil {
			err = c.attach(ctx, c.quic.OpenStreamSync)
		}
	}
	if err != nil {
		session.Close() // the driver does not have it yet
		return err
	}
	err = c.start(ctx, session)
	if errors.Is(err, channel.ErrSuperseded) { // by another process, just now
		if session, err = c.newInitiator(ctx); err == nil {
			err = c.start(ctx, session)
		}
	}
	return err
}

// newInitiator returns a session that begins with a full handshake, which QUIC's own has to precede.
func (c *Conn) newInitiator(ctx context.Context) (*channel.Session, error) {
	if _, err := c.awaitQUIC(ctx); err != nil {
		return nil, err
	}
	c.handshake.unbound = false
	return c.driver.NewInitiator(c.channelConfig())
}

func (c *Conn) start(ctx context.Context, session *channel.Session) error {
	return c.driver.Start(session, func(s *channel.Session) ([]channel.Event, error) { return s.Start(ctx) })
}

// attach gets the control stream.
func (c *Conn) attach(ctx context.Context, get func(context.Context) (*quic.Stream, error)) error {
	stream, err := get(ctx)
	if err != nil {
		return err
	}
	c.control.attach(stream)
	return nil
}

// quicComplete reports that QUIC's own handshake is.
func (c *Conn) quicComplete() bool {
	select {
	case <-c.quic.HandshakeComplete():
		return true
	default:
		return false
	}
}

// awaitQUIC waits for QUIC's own handshake, and for what it exports. It reports that what was sent
// on 0-RTT is lost, and the control stream another one.
func (c *Conn) awaitQUIC(ctx context.Context) (lost bool, err error) {
	if c.handshake.exported != nil {
		return false, nil
	}
	select {
	case <-c.quic.HandshakeComplete():
	case <-ctx.Done():
		return false, context.Cause(ctx)
	case <-c.ctx.Done():
		return false, c.closedBy()
	}
	if c.initiator && !c.quic.ConnectionState().Used0RTT { // perhaps it was tried
		if _, err := c.quic.NextConnection(ctx); err != nil {
			return false, err
		}
		if lost = c.control.out != nil; lost {
			if err := c.attach(ctx, c.quic.OpenStreamSync); err != nil {
				return true, err
			}
		}
	}
	return lost, c.export()
}

// export asks the TLS connection for what the session is bound to.
func (c *Conn) export() (err error) {
	state := c.quic.ConnectionState().TLS
	if c.handshake.exported, err = state.ExportKeyingMaterial(exporterLabel, nil, exporterSize); err != nil {
		return fmt.Errorf("%w: %w", ErrNoBinding, err)
	}
	return nil
}

// bindLate binds a session that has begun on QUIC 0-RTT to the TLS connection.
func (c *Conn) bindLate(ctx context.Context) error {
	lost, err := c.awaitQUIC(ctx)
	if err != nil {
		return err
	}
	c.handshake.unbound = false
	if lost {
		if err := c.control.repeat(); err != nil {
			return err
		}
	}
	return c.driver.Advance(func(s *channel.Session) ([]channel.Event, error) { return s.BindTransport(ctx, c.handshake.exported) })
}

// receive hands a message to the session. A resumption needs no binding yet.
func (c *Conn) receive(ctx context.Context, m channel.Message) error {
	h := c.handshake
	if h != nil {
		h.heard = true
	}
	if h != nil && h.unbound && (m.Type != channel.MessageResumptionRequest || c.quicComplete()) {
		if err := c.bindLate(ctx); err != nil {
			return err
		}
	}
	return c.driver.Advance(func(s *channel.Session) ([]channel.Event, error) {
		events, err := s.Receive(ctx, m)
		if err == nil {
			err = c.drawKeys(s, events)
		}
		return events, err
	})
}

// channelConfig returns the configuration of the session. It is bound to the TLS connection
// beneath if that has exported something already.
func (c *Conn) channelConfig() *channel.Config {
	h := c.handshake
	cfg := h.config.sessions()
	c.driver.Configure(h.config.driverConfig(cfg.Identity))
	cfg.Validator = c.driver.Validator(cfg.Validator)
	if h.config.TraceFor != nil {
		if h.trace == nil {
			h.trace = h.config.TraceFor(traceID(c.quic))
		}
		cfg.Trace = h.trace
	}
	cfg.LateBinding = h.exported == nil
	cfg.TransportBinding = slices.Concat(h.exported, cfg.TransportBinding)
	if choose := cfg.Select; choose != nil {
		cfg.Select = func(hello channel.ClientHello) (*channel.Config, error) {
			chosen, err := choose(hello)
			if chosen == nil || err != nil {
				return nil, err
			}
			d := *chosen
			d.TransportBinding = slices.Concat(h.exported, d.TransportBinding)
			d.MaxEarlyData = 0
			if h.config.TraceFor != nil {
				d.Trace = cfg.Trace // it is of the connection
			}
			if d.Now == nil {
				d.Now = time.Now
			}
			d.Validator = c.driver.Validator(d.Validator)
			c.driver.Configure(h.config.chosenConfig(d.Identity))
			return &d, nil
		}
	}
	return &cfg
}

// hostName returns the name of the host in an address, empty if there is none.
func hostName(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil || net.ParseIP(host) != nil {
		return ""
	}
	return host
}
