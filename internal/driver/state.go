package driver

import (
	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// state is what a driver notes of its ConnectionState: the rest its session knows to the end.
type state struct {
	complete bool
	early    channel.EarlyDataFate
	suite    ciphersuite.ID
	epoch    uint64
	peer     *mls.LeafNode
}

// begin takes note of a session whose handshake is complete.
func (s *state) begin(session *channel.Session) {
	s.complete, s.suite, s.epoch = true, session.Suite().ID(), session.Epoch()
}

// State returns the state of the moment, or the last one of a connection that has ended.
// Before the handshake is complete all of it is zero.
func (d *Driver) State() channel.ConnectionState {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.state.complete {
		return channel.ConnectionState{}
	}
	return channel.ConnectionState{
		HandshakeComplete: true,
		Resumed:           d.session.Resumed(),
		SessionID:         d.session.ID(),
		Epoch:             d.state.epoch,
		Suite:             d.state.suite,
		Role:              d.session.Role(),
		Peer:              d.state.peer,
		Negotiated:        d.session.Negotiated(),
		EarlyData:         d.state.early,
		LastUpdateError:   d.lastError(),
	}
}

// lastError is why what was to be done could not be begun.
func (d *Driver) lastError() error {
	if l := d.live.Load(); l != nil {
		if err := l.lastError(); err != nil {
			return err
		}
	}
	return d.policy.lastError()
}
