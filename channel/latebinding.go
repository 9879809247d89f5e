package channel

import (
	"context"
	"slices"
)

// Where a resumption travels with the first flight of the transport beneath, as on QUIC 0-RTT, nobody has
// the transport's binding yet. Its messages do not need it: that binding goes into the keys alone.
// So a session can begin without, and gets it before there are keys:
//
//	requester                                      other end
//	  Start            ResumptionRequest  -->
//	                                      <--      ResumptionResponse    Receive
//	  BindTransport    (the transport's handshake is complete)           BindTransport
//	  Receive          EpochKeyUpdate     -->      under bound keys      Receive
//
// A request that is replayed on another transport gets a response, as it does at any time,
// and nothing more.

// BindTransport gives a session of a Config with LateBinding its transport's binding, on top of what
// [Config.TransportBinding] has, and returns the events that had to wait for it. Until then Start begins no full
// handshake, and Receive takes nothing but a ResumptionRequest: all else fails with [ErrNotBound] and
// changes nothing. Early data stays behind, as if the peer accepted none. It fails with
// [ErrStarted] if the session has a binding.
func (s *Session) BindTransport(ctx context.Context, binding []byte) ([]Event, error) {
	switch {
	case s.state == StateClosed:
		return nil, ErrClosed
	case !s.unbound:
		return nil, ErrStarted
	}
	s.cfg.TransportBinding = slices.Concat(binding, s.cfg.TransportBinding)
	s.binding = s.cfg.bindingHash()
	s.unbound = false
	if s.state != StateAwaitingResumptionAck {
		return nil, nil
	}
	var err error
	if s.pending.secrets, err = s.drawSecrets(s.pending.group); err != nil {
		return nil, s.fail(ctx, Message{}, err)
	}
	events := []Event{s.switchReceive(s.pending.secrets)}
	s.trace.events(s, events)
	return events, nil
}

// mayReceive reports that a session without a binding takes a message of this type.
func (s *Session) mayReceive(t MessageType) bool {
	return !s.unbound || t == MessageResumptionRequest && s.state == StateAwaitingHello
}
