package netconn

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/channel/record"
)

// receiver is the half of a Conn that reads: it cuts the transport's octets into
// records, opens them, and hands messages to the session and data to the
// application. It never writes to the transport and so never waits for the peer to read.
type receiver struct {
	conn *Conn

	// readers counts the calls of Read that hold or wait for mu. The pump gives way to them.
	readers atomic.Int32
	// pumping says that the pump is at work, or about to be.
	pumping atomic.Bool
	// ahead holds what the pump took in before anybody asked; it is older than unread. Filled
	// with mu locked, so that it stays empty for who finds it so then.
	ahead ahead
	// halfClosed says that the peer's data has ended; its two-party messages have not.
	halfClosed atomic.Bool
	// deadlines counts how often the read deadline was set.
	deadlines atomic.Uint32

	mu          sync.Mutex      // guards what follows
	established bool            // application data may come
	begun       bool            // the peer has been seen to speak our protocol
	ended       bool            // close_notify came
	ctx         context.Context // of the handshake, nil after it
	source      source
	protection  *record.Protection // nil: records are in the clear
	keys        int                // how often the keys have changed
	messages    *channel.Assembler
	unread      []byte // rest of the last record's content; lies in the source's buffer
	idle        int    // records in a row that brought nothing
	err         error  // final
}

func (r *receiver) init(c *Conn, maxMessageSize int) {
	r.conn = c
	r.source.init(c.transport)
	r.messages = channel.NewAssembler(maxMessageSize)
}

// context returns that of what the session does when a message comes.
func (r *receiver) context() context.Context {
	if r.ctx != nil {
		return r.ctx
	}
	return r.conn.life.context()
}

// read is the body of [Conn.Read], for a p that is not empty.
//
// A goroutine that does nothing but Read gets by with its first 2 KiB of stack, if what lies
// between Read and the AEAD needs little. So whatever goes before and after are functions apart.
func (r *receiver) read(p []byte) (n int, err error) {
	if n, err := r.enter(p); n > 0 || err != nil {
		return n, err
	}
	defer r.leave()
	for {
		n += r.takeUnread(p[n:])
		if n == len(p) || n > 0 && !r.recordBuffered() {
			return n, nil
		}
		k := 0
		if err = r.ready(); err == nil {
			k, err = r.step(p[n:])
			n += k
		}
		if err != nil && n > 0 {
			return n, nil // what is final comes again
		}
		if err != nil {
			return 0, err
		}
	}
}

// enter locks mu, unless there is something that was read ahead.
func (r *receiver) enter(p []byte) (n int, err error) {
	r.readers.Add(1)
	// Without the lock, which the pump may hold while it waits for the peer.
	if n, err = r.ahead.take(p); n > 0 || err != nil {
		r.readers.Add(-1)
		return n, err
	}
	r.mu.Lock()
	if n, err = r.ahead.take(p); n > 0 || err != nil {
		r.leave()
	}
	return n, err
}

func (r *receiver) leave() {
	r.rest()
	r.mu.Unlock()
	r.readers.Add(-1)
}

// takeUnread moves what is left of the last record to p.
func (r *receiver) takeUnread(p []byte) int {
	n := copy(p, r.unread)
	r.unread = r.unread[n:]
	return n
}

// ready reports why Read need not wait for more records.
func (r *receiver) ready() error {
	switch {
	case r.ended:
		return io.EOF
	case r.err != nil:
		return r.err
	}
	r.hurry()
	return nil
}

// step takes in one record. Application data goes to the beginning of p if all of
// it fits, else to r.unread, which must be empty. Errors other than timeouts are final and
// are remembered in r.err.
func (r *receiver) step(p []byte) (n int, err error) {
	if aborted := r.conn.aborted.Load(); aborted != nil {
		r.err = *aborted
		return 0, r.err
	}
	rec, err := r.nextRecord()
	if err != nil {
		return 0, err
	}
	if r.protection == nil || r.isAlertInTheClear(rec) {
		return r.opened(p, record.ContentType(rec[0]), rec[record.HeaderSize:], r.verifyClear(rec))
	}
	t, content, err := r.protection.Open(r.destination(p, rec), rec)
	return r.opened(p, t, content, err)
}

// opened deals with the content of a record. It returns how much of that is in p.
func (r *receiver) opened(p []byte, t record.ContentType, content []byte, err error) (n int, _ error) {
	if err == nil {
		n, err = r.handle(t, content)
	}
	if err != nil {
		return 0, r.refuse(err)
	}
	if n > 0 && (len(p) == 0 || &content[0] != &p[0]) {
		r.unread, n = content, 0
	}
	return n, nil
}

// refuse ends the connection because of what the peer sent.
func (r *receiver) refuse(err error) error {
	r.err = err
	r.conn.abort(err)
	return err
}

// lost takes note of an error of the transport.
func (r *receiver) lost(err error) error {
	switch aborted := r.conn.aborted.Load(); {
	case aborted != nil:
		err = *aborted
	case isTimeout(err):
		return err
	case err == io.EOF && !r.ended:
		err = io.ErrUnexpectedEOF
	}
	r.err = err
	r.conn.driver.Fail(fmt.Errorf("netconn: nothing more to read: %w", err))
	return err
}

// nextRecord returns the next whole record, which stays valid until the next call. It
// reads no more than once if it can help it, but as much as there is.
func (r *receiver) nextRecord() ([]byte, error) {
	for {
		have, size := r.source.buffered(), record.MaxRecord
		if len(have) >= record.HeaderSize {
			if !r.begun {
				if err := record.CheckProtocol(have); err != nil {
					return nil, r.refuse(err)
				}
			}
			h, err := record.ParseHeader(have)
			if err != nil {
				return nil, r.refuse(err)
			}
			if size = record.HeaderSize + h.Length; len(have) >= size {
				r.begun = true
				return r.source.take(size), nil
			}
		}
		if len(have) == 0 {
			r.source.release() // a message may be all that came, and nothing may come for long
			if r.protection != nil {
				r.protection.Rest()
			}
		}
		if err := r.source.fill(size); err != nil {
			return nil, r.lost(err)
		}
	}
}

// recordBuffered reports that step would not have to wait.
func (r *receiver) recordBuffered() bool {
	have := r.source.buffered()
	if len(have) < record.HeaderSize {
		return false
	}
	h, err := record.ParseHeader(have)
	return err != nil || len(have) >= record.HeaderSize+h.Length
}

// verifyClear checks a record that has no protection.
func (r *receiver) verifyClear(rec []byte) error {
	if record.ContentType(rec[0]) == record.ContentApplicationData {
		return fmt.Errorf("%w: protected record before keys were installed", record.ErrUnexpected)
	}
	return nil
}

// destination returns where a record is to be opened: straight in p if there is room.
func (r *receiver) destination(p, rec []byte) []byte {
	if inner := len(rec) - record.HeaderSize - record.TagSize; inner <= len(p) {
		return p[:0:len(p)]
	}
	return rec[record.HeaderSize:record.HeaderSize]
}

// isAlertInTheClear reports that a peer gives up a handshake in which it
// has no keys yet, while this end has them already. Such an alert only
// ends the handshake, which whoever can write to the transport could do anyway.
func (r *receiver) isAlertInTheClear(rec []byte) bool {
	return record.ContentType(rec[0]) == record.ContentAlert && !r.established
}

// handle acts on a record's content. It returns how much of that is for the application.
func (r *receiver) handle(t record.ContentType, content []byte) (int, error) {
	protected := r.protection != nil
	if len(content) > 0 {
		r.idle = 0
	} else if r.idle++; r.idle > maxIdleRecords {
		return 0, ErrIdleRecords
	}
	switch {
	case t == record.ContentApplicationData && r.established && r.messages.Empty():
		if r.ended && len(content) > 0 {
			return 0, fmt.Errorf("%w: application data after close_notify", record.ErrUnexpected)
		}
		r.conn.driver.Count(1, len(content), r.protection.NeedsUpdate())
		return len(content), nil
	case t == record.ContentHandshake && len(content) > 0:
		return 0, r.handleMessages(content, protected)
	case t == record.ContentAlert && len(content) == alertSize && r.messages.Empty():
		return 0, r.handleAlert(channel.Alert(content[1]), protected)
	}
	return 0, fmt.Errorf("%w: %v record of %d octets", record.ErrUnexpected, t, len(content))
}

// handleMessages feeds two-party messages to the session and carries out what it asks for.
func (r *receiver) handleMessages(content []byte, protected bool) error {
	r.messages.Feed(content)
	for {
		m, ok, err := r.messages.Next()
		if err != nil || !ok {
			return err
		}
		m.Protected = protected
		before := r.keys
		if err := r.conn.driver.Advance(func(s *channel.Session) ([]channel.Event, error) {
			return s.Receive(r.context(), m)
		}); err != nil {
			return err
		}
		if r.keys != before && !r.messages.Empty() {
			return fmt.Errorf("%w: %v is not the last message of its record, as it changes the keys", record.ErrUnexpected, m.Type)
		}
	}
}

const alertSize = 2 // level and description; the level means nothing (RFC 8446, Section 6)

func (r *receiver) handleAlert(a channel.Alert, protected bool) error {
	if a == channel.AlertCloseNotify && protected && r.established {
		if r.ended {
			return fmt.Errorf("%w: close_notify comes twice", record.ErrUnexpected)
		}
		r.ended = true
		r.halfClosed.Store(true)
		return nil
	}
	return &AlertError{Alert: a, Authenticated: protected}
}

// install takes over the keys under which everything that follows was sealed.
func (r *receiver) install(p *record.Protection) {
	r.erase()
	r.protection = p
	r.keys++
}

// stepKeys goes on to the next key of the same epoch, at this point of the stream.
func (r *receiver) stepKeys() error {
	r.keys++
	return r.protection.Update()
}

// close forgets everything; r.mu is locked.
func (r *receiver) close() {
	if r.err == nil {
		r.err = net.ErrClosed
	}
	r.erase()
	r.ahead.drop()
	r.unread = nil
	r.source.discard()
}

func (r *receiver) erase() {
	if r.protection != nil {
		r.protection.Erase()
	}
}

// rest gives the buffer back once nothing in it is needed any more.
func (r *receiver) rest() {
	if len(r.unread) == 0 {
		r.unread = nil
		r.source.release()
	}
}
