package channel

import (
	"context"
	"fmt"
)

// UpdateKeys goes on to the next sending key of the same epoch, and asks the peer
// for the same if request is set. It needs no answer and costs next to nothing. The
// step cannot be undone, so a later theft does not reveal what was sent before;
// but whoever has the key has the next one too: it does not heal. On the wire it is
//
//	struct { uint8 request; } KeyUpdate;    /* 0 or 1 */
//
// the last message under the old key. RFC 8446, Section 4.6.3. Errors:
// [ErrNotReady], [ErrClosed].
func (s *Session) UpdateKeys(request bool) ([]Event, error) {
	switch {
	case s.state == StateClosed:
		return nil, ErrClosed
	case !s.state.complete():
		return nil, ErrNotReady
	}
	events := s.updateKeys(request)
	s.trace.events(s, events)
	return events, nil
}

func (s *Session) updateKeys(request bool) []Event {
	body := []byte{0}
	if request {
		body[0] = 1
	}
	return []Event{send(MessageKeyUpdate, body), StepSend{}}
}

// receiveKeyUpdate follows the peer to its next key.
func (s *Session) receiveKeyUpdate(_ context.Context, body []byte) ([]Event, error) {
	if len(body) != 1 || body[0] > 1 {
		return nil, because(AlertDecodeError, fmt.Errorf("%w: KeyUpdate %s", ErrMalformed, brief(body)))
	}
	events := []Event{StepReceive{}}
	if body[0] == 1 {
		events = append(events, s.updateKeys(false)...)
	}
	return events, nil
}
