package channels

import (
	"context"
	"fmt"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/channel/record"
)

var ctx = context.Background()

// An end drives a session as a connection would, but what it sends goes into a
// buffer of its peer.
type end struct {
	session       *channel.Session
	peer          *end
	assembler     channel.Assembler
	in            []byte // records that are on the way to this end
	send, receive *record.Protection
	complete      bool
	flights       *[]Flight
	spent         time.Duration // by the clock on the wall
}

// timed does something that is this end's part.
func (e *end) timed(f func() error) error {
	start := time.Now()
	err := f()
	e.spent += time.Since(start)
	return err
}

// A Flight is a message on the wire, as the records that it takes.
type Flight struct {
	Type   channel.MessageType
	Octets int
}

// carryOut does what a session asks for.
func (e *end) carryOut(events []channel.Event, err error) error {
	if err != nil {
		return err
	}
	for _, event := range events {
		switch event := event.(type) {
		case channel.Send:
			err = e.write(event.Message)
		case channel.SwitchSend:
			err = install(&e.send, event.Secret, event)
		case channel.SwitchReceive:
			err = install(&e.receive, event.Secret, channel.SwitchSend(event))
		case channel.HandshakeComplete:
			e.complete = true
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// install puts the keys of an epoch in the place of those before.
func install(p **record.Protection, secret []byte, s channel.SwitchSend) error {
	next, err := record.NewProtection(s.Suite, secret)
	clear(secret)
	if err != nil {
		return err
	}
	if *p != nil {
		(*p).Erase()
	}
	*p = next
	return nil
}

// write sends a message, under the keys of the moment.
func (e *end) write(m channel.Message) (err error) {
	content := m.AppendTo(make([]byte, 0, len(m.Body)+4))
	before := len(e.peer.in)
	for len(content) > 0 && err == nil {
		part := content[:min(len(content), record.MaxPlaintext)]
		content = content[len(part):]
		if e.send == nil {
			e.peer.in, err = record.AppendPlaintext(e.peer.in, record.ContentHandshake, part)
		} else {
			e.peer.in, err = e.send.Seal(e.peer.in, record.ContentHandshake, part)
		}
	}
	if e.flights != nil {
		*e.flights = append(*e.flights, Flight{m.Type, len(e.peer.in) - before})
	}
	return err
}

// read takes all that is on the way to e.
func (e *end) read() error {
	in := e.in
	e.in = nil
	for len(in) > 0 {
		h, err := record.ParseHeader(in)
		if err != nil {
			return err
		}
		whole := in[:record.HeaderSize+h.Length]
		in = in[len(whole):]
		content, protected := whole[record.HeaderSize:], e.receive != nil
		if protected {
			if _, content, err = e.receive.Open(content[:0], whole); err != nil {
				return err
			}
		}
		if err := e.take(content, protected); err != nil {
			return err
		}
	}
	return nil
}

// take hands the messages in a record's content to the session.
func (e *end) take(content []byte, protected bool) error {
	e.assembler.Feed(content)
	for {
		m, ok, err := e.assembler.Next()
		if err != nil || !ok {
			return err
		}
		m.Protected = protected
		if err := e.carryOut(e.session.Receive(ctx, m)); err != nil {
			return fmt.Errorf("%v: %w", m.Type, err)
		}
	}
}

// settle carries messages to and fro until none is on the way.
func settle(a, b *end) error {
	for len(a.in)+len(b.in) > 0 {
		if err := b.timed(b.read); err != nil {
			return err
		}
		if err := a.timed(a.read); err != nil {
			return err
		}
	}
	return nil
}
