package channel

// A Trace has functions that a session calls as it goes, for logs, metrics and
// debugging. Each may be nil. None is given a secret. They are called in order, from
// within the session's methods, and must not call these. A Trace may be shared by
// sessions; it is called by all who drive them.
type Trace struct {
	// Transition: the session waits for something else now.
	Transition func(id SessionID, from, to State)
	// Sent and Received: a two-party message, with the size of its body. One that is
	// sent is on its way only once the driver has carried out the event.
	Sent, Received func(id SessionID, t MessageType, size int)
	// Epoch: the session has gone on to an epoch, by a commit of its own or of the
	// peer's.
	Epoch func(id SessionID, epoch uint64, own bool)
	// Keys: a direction changes its keys, at this point of the stream: to those of
	// an epoch or, if step is set, to the next of the same epoch.
	Keys func(id SessionID, d Direction, epoch uint64, step bool)
	// Saved: the state is in the store, under this version.
	Saved func(id SessionID, version uint64)
	// Event: any other event that the driver gets, such as [Updated] or
	// [PeerChanged]. It does not tell of [EarlyData], which is the application's.
	Event func(id SessionID, e Event)
	// Failed: the session has ended on an error, and the peer is told this alert.
	Failed func(id SessionID, err *Error)
}

// A Direction is one of a connection's two.
type Direction uint8

// The directions, as this end sees them.
const (
	Sending   Direction = 1
	Receiving Direction = 2
)

func (d Direction) String() string {
	if d == Sending {
		return "sending"
	}
	return "receiving"
}

func (t *Trace) transition(s *Session, from State) {
	if t != nil && t.Transition != nil && s.state != from {
		t.Transition(s.id, from, s.state)
	}
}

func (t *Trace) received(s *Session, m Message) {
	if t != nil && t.Received != nil {
		t.Received(s.id, m.Type, len(m.Body))
	}
}

func (t *Trace) epoch(s *Session, own bool) {
	if t != nil && t.Epoch != nil {
		t.Epoch(s.id, s.group.Epoch(), own)
	}
}

func (t *Trace) saved(s *Session) {
	if t != nil && t.Saved != nil {
		t.Saved(s.id, s.version)
	}
}

func (t *Trace) failed(s *Session, err *Error) {
	if t != nil && t.Failed != nil {
		t.Failed(s.id, err)
	}
}

// events tells of what the driver is about to carry out.
func (t *Trace) events(s *Session, events []Event) {
	if t == nil {
		return
	}
	for _, e := range events {
		t.event(s, e)
	}
}

func (t *Trace) event(s *Session, e Event) {
	keys := func(d Direction, epoch uint64, step bool) {
		if t.Keys != nil {
			t.Keys(s.id, d, epoch, step)
		}
	}
	switch e := e.(type) {
	case Send:
		if t.Sent != nil {
			t.Sent(s.id, e.Message.Type, len(e.Message.Body))
		}
	case SwitchSend:
		keys(Sending, e.Epoch, false)
	case SwitchReceive:
		keys(Receiving, e.Epoch, false)
	case StepSend:
		keys(Sending, s.Epoch(), true)
	case StepReceive:
		keys(Receiving, s.Epoch(), true)
	case EarlyData:
	default:
		if t.Event != nil {
			t.Event(s.id, e)
		}
	}
}
