package quicmls

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/quic-go/quic-go"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/channel/record"
)

// control is the stream of the two-party messages: the first bidirectional one that the
// initiator opens. It is a stream of TLS 1.3 records, as over TCP, without application data.
//
// What is to be sent waits in a queue, in order, until a goroutine that lives no longer than that
// takes it out. The keys of everything else that is sent change there as well, once the message
// behind which they do has room on its way: what is sealed with them must not take that room, as
// the peer can read it only when it has the message.
type control struct {
	conn  *Conn
	queue controlQueue

	writeMu    sync.Mutex         // guards the sending side
	out        io.Writer          // the stream
	protection *record.Protection // nil: records are in the clear

	// The receiving side belongs to the goroutine that performs the handshake, and later to serve.
	in       io.Reader          // the stream
	ctx      context.Context    // for what the session does when a message comes
	opener   *record.Protection // nil: records are in the clear
	keys     int                // how often the receiving keys have changed
	messages *channel.Assembler
	head     [record.HeaderSize]byte
}

// A controlItem is one thing to do for the sending side.
type controlItem struct {
	message channel.Message
	keys    *channel.SwitchSend
	step    bool   // to the next key of the same epoch
	confirm uint64 // an own update that is done
}

type controlQueue struct {
	mu    sync.Mutex
	items []controlItem
	busy  bool // a goroutine is about to empty the queue
}

// push adds items that nothing else may come between. A step to the next key is not added behind
// one that waits, as that serves as well: so a peer that asks for steps and does not read cannot
// make the queue grow.
func (q *controlQueue) push(items ...controlItem) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n := len(q.items); n > 0 && q.items[n-1].step && isStep(items) {
		return
	}
	q.items = append(q.items, items...)
}

// isStep reports that items are a step to the next key and ask nothing of the peer.
func isStep(items []controlItem) bool {
	return len(items) == 2 && items[0].message.Type == channel.MessageKeyUpdate && items[0].message.Body[0] == 0 && items[1].step
}

func (q *controlQueue) pop() (i controlItem, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) == 0 {
		return controlItem{}, false
	}
	i = q.items[0]
	if q.items = q.items[1:]; len(q.items) == 0 {
		q.items = nil
	}
	return i, true
}

// attach takes over the stream. Its messages go before all else that this end sends.
func (c *control) attach(s *quic.Stream) {
	c.in, c.out = s, s
	s.SetPriority(0, true)
}

// wake sees to it that what is in the queue is sent, without waiting for it.
func (c *control) wake() {
	q := &c.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.busy || len(q.items) == 0 {
		return
	}
	q.busy = c.conn.driver.Spawn(func() {
		c.writeMu.Lock()
		defer c.writeMu.Unlock()
		q.mu.Lock()
		q.busy = false // what is pushed from now on needs another goroutine
		q.mu.Unlock()
		if err := c.flushLocked(); err != nil {
			c.conn.abort(err)
		}
	})
}

// flush sends what is in the queue.
func (c *control) flush() error {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	return c.flushLocked()
}

func (c *control) flushLocked() error {
	defer c.rest()
	var out []byte
	for {
		i, ok := c.queue.pop()
		if !ok {
			return c.write(out)
		}
		switch {
		case i.confirm != 0:
			c.conn.driver.Confirm(i.confirm)
		case i.keys != nil:
			if err := c.write(out); err != nil {
				clear(i.keys.Secret)
				return err
			}
			out = nil
			if err := c.installSend(i.keys); err != nil {
				return err
			}
		case i.step:
			if err := c.protection.Update(); err != nil {
				return err
			}
		default:
			var err error
			if out, err = c.seal(out, i.message); err != nil {
				return err
			}
		}
	}
}

// seal appends a message to out, in as many records as it needs.
func (c *control) seal(out []byte, m channel.Message) (_ []byte, err error) {
	if m.Protected != (c.protection != nil) {
		return out, fmt.Errorf("quicmls: %v must not be sent with protection: %t", m.Type, c.protection != nil)
	}
	limit := record.MaxPlaintext
	if c.protection != nil {
		limit = c.protection.MaxContent()
	}
	for content := m.AppendTo(nil); len(content) > 0 && err == nil; {
		k := min(len(content), limit)
		if c.protection == nil {
			out, err = record.AppendPlaintext(out, record.ContentHandshake, content[:k])
		} else {
			out, err = c.protection.Seal(out, record.ContentHandshake, content[:k])
		}
		content = content[k:]
	}
	return out, err
}

// rest lets go of what is large, until the next message is sent. c.writeMu is locked.
func (c *control) rest() {
	if c.protection != nil {
		c.protection.Rest()
	}
}

func (c *control) write(out []byte) error {
	if len(out) == 0 {
		return nil
	}
	h := c.conn.handshake
	early := h != nil && h.unbound
	if early && c.conn.initiator {
		h.early = append(h.early, out...)
	}
	_, err := c.out.Write(out)
	if early && errors.Is(err, quic.Err0RTTRejected) {
		return nil // it will be repeated
	}
	return c.given(err)
}

// repeat sends once more what was sent on 0-RTT and rejected there.
func (c *control) repeat() error {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	h := c.conn.handshake
	_, err := c.out.Write(h.early)
	h.early = nil
	return c.given(err)
}

// given returns what an error of the stream means.
func (c *control) given(err error) error {
	if _, ok := errors.AsType[*quic.StreamError](err); ok {
		return fmt.Errorf("%w: %w", ErrControl, err)
	}
	return c.conn.explain(err)
}

// installSend changes the keys of all that follows, on this stream and on all others.
func (c *control) installSend(e *channel.SwitchSend) error {
	p, secret, err := epochKeys(channel.SwitchReceive(*e))
	if err != nil {
		return err
	}
	if c.protection != nil {
		c.protection.Erase()
	}
	c.protection = p
	c.conn.sending.install(secret)
	return nil
}

// installReceive takes over the keys under which everything that follows was sealed.
func (c *control) installReceive(e channel.SwitchReceive) error {
	p, secret, err := epochKeys(e)
	if err != nil {
		return err
	}
	if c.opener != nil {
		c.opener.Erase()
	}
	p.Rest()
	c.opener = p
	c.keys++
	c.conn.receiving.install(secret)
	return nil
}

// epochKeys derives a direction's keys of an epoch: those of the control stream, and what gives those of all
// else. It uses up the traffic secret.
func epochKeys(e channel.SwitchReceive) (*record.Protection, *record.EpochSecret, error) {
	defer clear(e.Secret)
	p, err := record.NewProtection(e.Suite, e.Secret)
	if err != nil {
		return nil, nil, err
	}
	p.LimitContent(e.RecordSize)
	secret, err := record.NewEpochSecret(e.Suite, e.Epoch, e.Secret, e.RecordSize)
	return p, secret, err
}

// wait waits for the header of a record. A goroutine is here for as long as a connection lives, and
// so little deep that the smallest of stacks does.
func (c *control) wait() error {
	for n := 0; n < len(c.head); {
		k, err := c.in.Read(c.head[n:])
		if n += k; err != nil && n < len(c.head) {
			return c.lost(err)
		}
	}
	return nil
}

// step takes in one record, whose header wait has read.
func (c *control) step() error {
	h, err := record.ParseHeader(c.head[:])
	if err != nil {
		return err
	}
	buf := getBuffer(controlBuffers)
	defer buf.release()
	rec := append(buf.data[:0], c.head[:]...)[:record.HeaderSize+h.Length]
	if _, err := io.ReadFull(c.in, rec[record.HeaderSize:]); err != nil {
		return c.lost(err)
	}
	t, content := h.Type, rec[record.HeaderSize:]
	switch {
	case c.opener != nil:
		if t, content, err = c.opener.Open(content[:0], rec); err != nil {
			return err
		}
		c.opener.Rest()
	case t == record.ContentApplicationData:
		return fmt.Errorf("%w: protected record before keys were installed", record.ErrUnexpected)
	}
	if t != record.ContentHandshake || len(content) == 0 {
		return fmt.Errorf("%w: %v record of %d octets on the control stream", record.ErrUnexpected, t, len(content))
	}
	return c.handle(content)
}

// handle feeds two-party messages to the session.
func (c *control) handle(content []byte) error {
	protected := c.opener != nil
	c.messages.Feed(content)
	for {
		m, ok, err := c.messages.Next()
		if err != nil || !ok {
			return err
		}
		m.Protected = protected
		before := c.keys
		if err := c.conn.receive(c.ctx, m); err != nil {
			return err
		}
		if c.keys != before && !c.messages.Empty() {
			return fmt.Errorf("%w: %v is not the last message of its record, as it changes the keys", record.ErrUnexpected, m.Type)
		}
	}
}

// lost returns what the end of the stream means. The QUIC connection's own errors say more.
func (c *control) lost(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return ErrControl
	}
	return c.given(err)
}

// erase forgets the keys.
func (c *control) erase() {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	for {
		i, ok := c.queue.pop()
		if !ok {
			break
		}
		if i.keys != nil {
			clear(i.keys.Secret)
		}
	}
	for _, p := range []*record.Protection{c.protection, c.opener} {
		if p != nil {
			p.Erase()
		}
	}
}
