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
	c.handshakeMu.Lock()
	defer c.handshakeMu.Unlock()
	switch {
	case c.served != nil:
		return nil
	case c.handshakeErr != nil:
		return c.handshakeErr
	case c.configErr != nil:
		return c.configErr
	}
	ctx, cancel := c.boundHandshake(ctx)
	defer cancel()
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		c.abort(context.Cause(ctx))
		close(interrupted)
	})
	err := c.runHandshake(ctx)
	if !stop() {
		<-interrupted
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

// established begins what goes on for as long as the connection lives.
func (c *Conn) established() {
	c.driver.Look(func(*channel.Session) { c.served = make(chan struct{}) })
	c.driver.Established()
	c.complete.Store(true)
	go c.serve()
	c.control.wake() // an update may be under way already
}

// boundHandshake adds the configured timeout.
func (c *Conn) boundHandshake(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.config.HandshakeTimeout < 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, c.config.HandshakeTimeout, &HandshakeTimeoutError{After: c.config.HandshakeTimeout})
}

// runHandshake drives the session until application data may flow.
func (c *Conn) runHandshake(ctx context.Context) error {
	select {
	case <-c.quic.HandshakeComplete():
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-c.ctx.Done():
		return c.closedBy()
	}
	if err := c.begin(ctx); err != nil {
		return err
	}
	for {
		if err := c.control.flush(); err != nil {
			return err
		}
		if c.ready {
			return nil
		}
		if err := c.control.step(); err != nil {
			return err
		}
	}
}

// begin opens or accepts the control stream and makes the session.
func (c *Conn) begin(ctx context.Context) error {
	cfg, err := c.channelConfig()
	if err != nil {
		return err
	}
	var stream *quic.Stream
	if c.initiator {
		stream, err = c.quic.OpenStreamSync(ctx)
	} else {
		stream, err = c.quic.AcceptStream(ctx)
	}
	if err != nil {
		return err
	}
	c.control.attach(stream)
	start := func(s *channel.Session) ([]channel.Event, error) { return s.Start(ctx) }
	if !c.initiator {
		session, err := channel.NewResponder(cfg)
		if err != nil {
			return err
		}
		return c.driver.Start(session, start)
	}
	session, err := c.driver.Initiator(ctx, cfg)
	if err != nil {
		return err
	}
	err = c.driver.Start(session, start)
	if errors.Is(err, channel.ErrSuperseded) { // by another process, just now
		c.driver.Release()
		if session, err = channel.NewInitiator(cfg); err == nil {
			err = c.driver.Start(session, start)
		}
	}
	return err
}

// channelConfig returns the configuration of a session that is bound to the TLS connection beneath.
func (c *Conn) channelConfig() (*channel.Config, error) {
	state := c.quic.ConnectionState().TLS
	exported, err := state.ExportKeyingMaterial(exporterLabel, nil, exporterSize)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoBinding, err)
	}
	cfg := c.config.Config
	cfg.TransportBinding = slices.Concat(exported, cfg.TransportBinding)
	if choose := cfg.Select; choose != nil {
		cfg.Select = func(hello channel.ClientHello) (*channel.Config, error) {
			chosen, err := choose(hello)
			if chosen == nil || err != nil {
				return nil, err
			}
			d := *chosen
			d.TransportBinding = slices.Concat(exported, d.TransportBinding)
			d.MaxEarlyData = 0
			if d.Now == nil {
				d.Now = time.Now
			}
			c.driver.Configure(c.config.driverConfig(d.Identity))
			return &d, nil
		}
	}
	return &cfg, nil
}

// hostName returns the name of the host in an address, empty if there is none.
func hostName(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil || net.ParseIP(host) != nil {
		return ""
	}
	return host
}
