package netconn

import (
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/channel/record"
)

// sender is the half of a Conn that writes to the transport. What the session wants
// sent waits in a queue, in order, until somebody who holds mu takes it out: a
// Write between two batches of records, or else a goroutine that lives no longer than that.
type sender struct {
	conn  *Conn
	queue outQueue

	// deadline is the application's write deadline; nil: none.
	deadline  atomic.Pointer[time.Time]
	deadlines atomic.Uint32 // counts how often one was set
	closing   bool          // there is no other one any more
	setting   sync.Mutex    // guards closing, and that it and the transport's deadline agree
	// stalled says that something is left behind in out.
	stalled atomic.Bool

	mu         sync.Mutex         // guards what follows; never taken while session or queue are locked
	protection *record.Protection // nil: records are in the clear
	kept       kept               // waits for more, see Config.CoalesceDelay
	size       recordSizer
	buf        *buffer // of out, nil if that has none
	out        []byte  // sealed records that the transport has not taken yet
	sent       int     // how much of out it has taken
	ended      bool    // close_notify is on its way: no more application data
	err        error   // final
}

// An outItem is one thing to do for the sender: to send a message or data, to use other
// keys, or to end.
type outItem struct {
	message    channel.Message
	data       []byte
	protection *record.Protection
	step       bool // to the next key of the same epoch
	end        *outEnd
}

// An outEnd ends what this end has to say, with close_notify or with another alert.
type outEnd struct {
	alert  channel.Alert
	silent bool  // the peer need not be told
	err    error // what went wrong, nil for close_notify; nothing is sent after it
}

type outQueue struct {
	mu    sync.Mutex
	items []outItem
	busy  bool         // a goroutine is about to empty the queue
	n     atomic.Int32 // len(items), to look at without the lock
}

// push adds items that nothing else may come between. A step to the next key is not
// added behind one that waits, as that serves as well: so a peer that asks for steps and
// does not read cannot make the queue grow.
func (q *outQueue) push(items ...outItem) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n := len(q.items); n > 0 && q.items[n-1].step && isStep(items) {
		return
	}
	q.items = append(q.items, items...)
	q.n.Store(int32(len(q.items)))
}

// isStep reports that items are a step to the next key and ask nothing of the peer.
func isStep(items []outItem) bool {
	return len(items) == 2 && items[0].message.Type == channel.MessageKeyUpdate && items[0].message.Body[0] == 0 && items[1].step
}

// empty is asked for each Write, twice.
func (q *outQueue) empty() bool { return q.n.Load() == 0 }

func (q *outQueue) pop() (i outItem, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) == 0 {
		return outItem{}, false
	}
	i = q.items[0]
	if q.items = q.items[1:]; len(q.items) == 0 {
		q.items = nil
	}
	q.n.Store(int32(len(q.items)))
	return i, true
}

// wake sees to it that what is in the queue is sent, without waiting for it.
func (s *sender) wake() {
	q := &s.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.busy {
		return
	}
	q.busy = s.conn.driver.Spawn(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		q.mu.Lock()
		q.busy = false // what is pushed from now on needs another goroutine
		q.mu.Unlock()
		s.flushAll()
	})
}

// flushNow waits for its turn and flushes.
func (s *sender) flushNow() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flush()
}

// send is the body of [Conn.Write], for a p that is not empty.
func (s *sender) send(p []byte) (int, error) {
	if delay := s.conn.settings.coalesceDelay; delay > 0 {
		return s.coalesce(p, delay)
	}
	return s.write(p)
}

// write sends application data and returns how much of it is on its way.
func (s *sender) write(p []byte) (n int, err error) {
	if err := s.prepare(len(p)); err != nil {
		return 0, err
	}
	if s.conn.settings.pipelineWrites && len(p) > copySize {
		return s.writePipelined(p)
	}
	for {
		k, err := s.sealNext(p[n:])
		n += k
		if err != nil {
			return n, err
		}
		// Sealed records are part of the stream, whether or not the transport
		// takes them in time: they can be neither taken back nor sealed again.
		if err := s.flush(); err != nil {
			return n, err
		}
		if n == len(p) {
			return n, nil
		}
		if err := s.ready(); err != nil {
			return n, err
		}
	}
}

// prepare has sent what was left behind, so that no more is ever left behind than one batch (two if pipelined),
// and reports why nothing of so much application data may be sealed.
func (s *sender) prepare(size int) error {
	if err := s.ready(); err != nil {
		return err
	}
	if err := s.flush(); err != nil {
		return err
	}
	s.size.begin(size)
	return s.ready() // the end of the stream may have been in the queue
}

// ready reports why no application data may be sealed.
func (s *sender) ready() error {
	switch d := s.deadline.Load(); {
	case s.err != nil:
		return s.err
	case s.ended:
		return ErrWriteClosed
	case d != nil && !time.Now().Before(*d):
		return os.ErrDeadlineExceeded
	}
	return nil
}

// setDeadline sets the application's deadline.
func (s *sender) setDeadline(t time.Time) error {
	s.setting.Lock()
	defer s.setting.Unlock()
	if s.closing {
		return s.conn.opError("set", net.ErrClosed)
	}
	if t.IsZero() {
		s.deadline.Store(nil)
	} else {
		s.deadline.Store(&t)
	}
	if err := s.conn.transport.SetWriteDeadline(t); err != nil {
		return err
	}
	s.deadlines.Add(1)
	return nil
}

// setLastDeadline sets the one of Close, which nobody can change any more.
func (s *sender) setLastDeadline() error {
	s.setting.Lock()
	defer s.setting.Unlock()
	s.closing = true
	now := time.Now()
	limit := now.Add(closeTimeout)
	if d := s.deadline.Load(); d != nil && d.Before(limit) {
		limit = *d
	}
	if atLeast := now.Add(closeGrace); limit.Before(atLeast) {
		limit = atLeast
	}
	return s.conn.transport.SetWriteDeadline(limit)
}

// saveKey goes on to the next key of the same epoch before the present one is exhausted:
// an update that was to replace it has not come through. That is put into the queue,
// which must be emptied before anything else is sealed. A session that has ended does
// nothing, and the connection ends with it.
func (s *sender) saveKey() {
	if s.protection.NearlyExhausted() {
		s.conn.driver.Advance(func(session *channel.Session) ([]channel.Event, error) { return session.UpdateKeys(false) })
	}
}

// sealNext seals the beginning of p, a batch of it.
func (s *sender) sealNext(p []byte) (int, error) {
	n, records, err := s.sealBatch(p)
	if err != nil {
		s.fail(err)
		return 0, err
	}
	s.conn.driver.Count(records, n, s.protection.NeedsUpdate())
	s.saveKey()
	return n, nil
}

// sealBatch seals the beginning of p, as many records of it as a batch holds.
func (s *sender) sealBatch(p []byte) (n, records int, err error) {
	limit := s.size.limit(s.protection.MaxContent())
	s.room(len(p) + (len(p)+limit-1)/limit*record.Overhead)
	for {
		k := min(len(p)-n, s.size.limit(s.protection.MaxContent()))
		if room := batchSize - len(s.out) - record.Overhead; k > room {
			if k = room; k < fillingSize {
				return n, records, nil
			}
		}
		if s.out, err = s.protection.Seal(s.out, record.ContentApplicationData, p[n:n+k]); err != nil {
			return n, records, err
		}
		records++
		s.size.sealed(k)
		if n += k; n == len(p) {
			return n, records, nil
		}
	}
}

// room provides a buffer if there is none.
func (s *sender) room(size int) {
	if s.out != nil {
		return
	}
	pool := batchBuffers
	if size <= smallBatchSize {
		pool = smallBatchBuffers
	}
	s.buf = getBuffer(pool)
	s.out = s.buf.data[:0]
}

// flush carries out what is queued and gives all sealed records to the transport. After
// a timeout the rest is kept for the next call; every other error is final.
func (s *sender) flush() error {
	for {
		for len(s.out)-s.sent < batchSize && !s.queue.empty() {
			i, ok := s.queue.pop()
			if !ok {
				break
			}
			if err := s.carryOut(i); err != nil {
				s.fail(err)
				return err
			}
		}
		if s.err != nil || len(s.out) == 0 {
			return s.err
		}
		if err := s.transmit(); err != nil {
			return err
		}
	}
}

// carryOut does what an item of the queue asks for.
func (s *sender) carryOut(i outItem) error {
	switch {
	case s.err != nil:
		return s.err
	case i.protection != nil:
		s.erase()
		s.protection = i.protection
		return nil
	case i.step:
		return s.protection.Update()
	case i.end != nil:
		return s.carryOutEnd(i.end)
	}
	if (i.message.Protected || i.data != nil) != (s.protection != nil) {
		return fmt.Errorf("netconn: %v must not be sent with protection: %t", i.message.Type, s.protection != nil)
	}
	if i.data != nil {
		records, err := s.sealAll(record.ContentApplicationData, i.data)
		s.conn.driver.Count(records, len(i.data), false)
		return err
	}
	_, err := s.sealAll(record.ContentHandshake, i.message.AppendTo(nil))
	return err
}

// sealAll appends content to the output, in as many records as it needs.
func (s *sender) sealAll(t record.ContentType, content []byte) (records int, err error) {
	limit := record.MaxPlaintext
	if s.protection != nil {
		limit = s.protection.MaxContent()
	}
	s.room(len(content) + record.Overhead)
	for len(content) > 0 && err == nil {
		k := min(len(content), limit)
		err = s.seal(t, content[:k])
		content = content[k:]
		records++
	}
	return records, err
}

// carryOutEnd ends the flow of application data, and if there was an error
// everything else too.
func (s *sender) carryOutEnd(e *outEnd) error {
	if e.err == nil && s.kept.n > 0 {
		records, err := s.sealAll(record.ContentApplicationData, s.kept.data())
		if err != nil {
			return err
		}
		s.conn.driver.Count(records, s.kept.n, false)
		s.kept.sent(s.kept.n)
	}
	if !e.silent && (!s.ended || e.err != nil) {
		const fatal = 2 // the level, which TLS 1.3 does not look at
		s.room(record.Overhead + alertSize)
		if err := s.seal(record.ContentAlert, []byte{fatal, byte(e.alert)}); err != nil {
			return err
		}
	}
	s.ended = true
	if e.err != nil {
		s.transmit()
		return e.err
	}
	return nil
}

// seal appends a record to the output, under the keys of the moment.
func (s *sender) seal(t record.ContentType, content []byte) (err error) {
	if s.protection == nil {
		s.out, err = record.AppendPlaintext(s.out, t, content)
	} else {
		s.out, err = s.protection.Seal(s.out, t, content)
	}
	return err
}

// transmit gives the output to the transport.
func (s *sender) transmit() error {
	if s.err != nil {
		return s.err
	}
	n, err := s.give(s.out[s.sent:])
	s.sent += n
	return s.given(err)
}

// give gives octets to the transport and returns how many it has taken. It touches nothing that
// mu guards.
func (s *sender) give(octets []byte) (n int, err error) {
	for n < len(octets) {
		deadlines := s.deadlines.Load()
		k, err := s.conn.transport.Write(octets[n:])
		if n += k; err == nil {
			continue
		}
		// If another deadline was set meanwhile, nobody else may know that something is left.
		if s.stalled.Store(true); !isTimeout(err) || deadlines == s.deadlines.Load() {
			return n, err
		}
	}
	return n, nil
}

// given deals with the outcome of give for all that there is.
func (s *sender) given(err error) error {
	switch {
	case err == nil:
		s.stalled.Store(false)
		s.rest()
	case !isTimeout(err):
		s.fail(err)
	}
	return err
}

// rest gives back the buffer, and the key that is expanded.
func (s *sender) rest() {
	if s.buf != nil {
		s.buf.release()
	}
	if s.protection != nil {
		s.protection.Rest()
	}
	s.buf, s.out, s.sent = nil, nil, 0
}

// fail makes an error final.
func (s *sender) fail(err error) {
	if s.err == nil {
		s.err = err
		s.conn.driver.Fail(err)
	}
	s.kept.drop()
	s.rest()
}

// close forgets everything; s.mu is locked.
func (s *sender) close() {
	s.fail(net.ErrClosed)
	for i, ok := s.queue.pop(); ok; i, ok = s.queue.pop() {
		if i.protection != nil {
			i.protection.Erase()
		}
	}
	s.erase()
}

func (s *sender) erase() {
	if s.protection != nil {
		s.protection.Erase()
	}
}
