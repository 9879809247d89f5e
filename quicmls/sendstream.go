package quicmls

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/mendlink/mendlink/channel/record"
)

// quicSender is what [quic.Stream] and [quic.SendStream] have in common.
type quicSender interface {
	StreamID() quic.StreamID
	Context() context.Context
	Write([]byte) (int, error)
	TryWriteAll([]byte) error
	Close() error
	CancelWrite(quic.StreamErrorCode)
	SetWriteDeadline(time.Time) error
	SetPriority(urgency int8, incremental bool)
}

// A SendStream is the sending direction of a stream, like a [quic.SendStream]. Its methods may be called by
// several goroutines at once.
//
// Octets go the way
//
//	Write -> seal, under mu -> left, in order -> the QUIC stream, under writeMu
//
// An epoch ends under mu alone, so that a Write that is blocked does not keep old keys alive:
// the record that says so waits in left until the Write, or else a goroutine, takes it along.
// So does what a Write has sealed that timed out: the QUIC stream has the deadline only while there is a Write.
type SendStream struct {
	conn *Conn
	quic quicSender

	writeMu sync.Mutex // held while octets are given to the QUIC stream
	mu      sync.Mutex // guards what follows

	protection *record.StreamProtection // nil until it is needed
	epoch      uint64                   // of key
	key        record.StreamKey         // from which protection will be made; nil before the first record
	begun      bool                     // there was a record
	left       []byte                   // sealed, and not taken by the QUIC stream yet
	closing    bool                     // the last record is sealed
	err        error                    // final; nothing is sealed or sent any more

	behind atomic.Bool // something is in left, or the stream has to be closed

	paceMu   sync.Mutex // guards what follows; no other lock comes behind it
	deadline time.Time  // of Write; zero: none
	applied  time.Time  // that of the QUIC stream
	closed   bool       // Writes under way shall end at once
	writers  int        // Writes under way, or that wait for writeMu
}

func (s *SendStream) init(c *Conn, q quicSender) {
	s.conn, s.quic = c, q
	c.sending.add(s)
}

func (s *SendStream) id() uint64 { return uint64(s.quic.StreamID()) }

// StreamID returns the QUIC stream's ID.
func (s *SendStream) StreamID() quic.StreamID { return s.quic.StreamID() }

// Context returns a context that ends when the direction does: see [quic.SendStream.Context].
func (s *SendStream) Context() context.Context { return s.quic.Context() }

// Write sends p in records of up to 16 KiB, or less if the peer wants, several in one write to
// the QUIC stream. The returned n octets are part of the stream: after a timeout they are sent as soon as the
// peer makes room, so that to go on with p[n:] is right. If the deadline has passed already, n is 0.
// Errors: [ErrStreamClosed], a [*quic.StreamError] if either end has cancelled the stream,
// those of the connection, and [record.ErrKeyExhausted] if an update is overdue that the
// peer does not confirm.
func (s *SendStream) Write(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, s.usable()
	}
	if s.late() {
		return 0, os.ErrDeadlineExceeded
	}
	s.lock()
	defer s.unlock()
	// What was left behind goes first, so that no more is ever left behind than one batch.
	if err := s.sendLeft(); err != nil {
		return 0, s.ended(err)
	}
	buf := getBuffer(s.pool(len(p)))
	defer buf.release()
	for n < len(p) {
		k, out, err := s.sealBatch(buf.data[:0], p[n:])
		n += k
		if err != nil {
			return n, err
		}
		if err := s.transmit(out); err != nil {
			return n, s.ended(err)
		}
		if n < len(p) && s.late() {
			return n, os.ErrDeadlineExceeded
		}
	}
	return n, nil
}

// Announce lets the peer accept the stream before there is data: it sends a record that holds nothing.
func (s *SendStream) Announce() error {
	s.lock()
	defer s.unlock()
	if err := s.sendLeft(); err != nil {
		return s.ended(err)
	}
	out, err := s.sealEmpty()
	if err != nil {
		return err
	}
	return s.ended(s.transmit(out))
}

// ended returns ErrStreamClosed if that is why a Write has timed out.
func (s *SendStream) ended(err error) error {
	if isTimeout(err) {
		if reason := s.usable(); reason != nil {
			return reason
		}
	}
	return err
}

func (s *SendStream) sealEmpty() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closing:
		return nil, ErrStreamClosed
	case s.err != nil:
		return nil, s.err
	}
	if err := s.ready(); err != nil {
		return nil, err
	}
	return s.protection.Seal(s.takeLeft(nil), record.ContentApplicationData, nil)
}

// late reports that the deadline has passed.
func (s *SendStream) late() bool {
	s.paceMu.Lock()
	defer s.paceMu.Unlock()
	return !s.deadline.IsZero() && !time.Now().Before(s.deadline)
}

func (s *SendStream) pool(size int) *sync.Pool {
	if size <= smallSize-2*record.StreamOverhead {
		return smallBuffers
	}
	return batchBuffers
}

// usable reports why nothing can be written.
func (s *SendStream) usable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return ErrStreamClosed
	}
	return s.err
}

// lock takes writeMu for a Write. If something is being sent that was left behind, that has to be
// done by the deadline from now on.
func (s *SendStream) lock() {
	s.pace(1)
	s.writeMu.Lock()
}

// unlock gives writeMu back, and sees to it that what was left meanwhile is sent.
func (s *SendStream) unlock() {
	s.pace(-1)
	s.writeMu.Unlock()
	s.flush()
}

// pace says that there are so many more Writes, and gives the QUIC stream the deadline of these, if
// there are any.
func (s *SendStream) pace(more int) {
	s.paceMu.Lock()
	defer s.paceMu.Unlock()
	s.writers += more
	var d time.Time
	switch {
	case s.writers == 0:
	case s.closed:
		d = time.Unix(1, 0)
	default:
		d = s.deadline
	}
	if d != s.applied {
		s.applied = d
		s.quic.SetWriteDeadline(d) // always returns nil
	}
}

// paced reports that there is a Write. Behind it flush is called.
func (s *SendStream) paced() bool {
	s.paceMu.Lock()
	defer s.paceMu.Unlock()
	return s.writers > 0
}

// sealBatch seals the beginning of p, as much of it as dst has room for, behind what was left.
func (s *SendStream) sealBatch(dst, p []byte) (n int, out []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closing:
		return 0, dst, ErrStreamClosed
	case s.err != nil:
		return 0, dst, s.err
	}
	if err := s.ready(); err != nil {
		return 0, dst, err
	}
	dst = s.takeLeft(dst)
	records := 0
	for n < len(p) {
		k := min(len(p)-n, s.protection.MaxContent())
		if room := cap(dst) - len(dst) - record.StreamOverhead; k > room {
			if k = room; k < fillingSize {
				break
			}
		}
		if dst, err = s.protection.Seal(dst, record.ContentApplicationData, p[n:n+k]); err != nil {
			if n > 0 {
				err = nil // it comes again
			}
			break
		}
		records++
		n += k
	}
	s.conn.driver.Count(records, n, s.protection.NeedsUpdate())
	return n, dst, err
}

// ready sees to it that there is a protection, of the present epoch. s.mu is locked.
func (s *SendStream) ready() (err error) {
	switch {
	case s.protection != nil:
	case s.begun:
		s.protection, err = s.conn.sending.use(s.epoch, s.key)
		s.key = nil
	default:
		s.protection, err = s.conn.sending.begin(s.id())
		s.begun = err == nil
	}
	if errors.Is(err, record.ErrErased) {
		return s.conn.closedBy()
	}
	return err
}

// endEpoch says that there is another epoch: it seals the last record of the one before,
// whose key is erased with it.
func (s *SendStream) endEpoch() {
	ended, err := s.sealEpochEnd()
	switch {
	case err != nil:
		s.conn.abort(err)
	case ended:
		s.flush()
	}
}

func (s *SendStream) sealEpochEnd() (ended bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return false, nil
	}
	if err := context.Cause(s.quic.Context()); err != nil { // the peer wants no more, or the connection has ended
		s.giveUp(0, explain(err))
		return false, nil
	}
	if !s.begun || s.closing {
		return false, nil
	}
	epoch, key := s.conn.sending.next(s.id())
	if key == nil || s.protection != nil && s.protection.Epoch() == epoch { // it has begun in this one
		key.Erase()
		return false, nil
	}
	if err := s.ready(); err != nil {
		return false, err
	}
	s.left, err = s.protection.Seal(s.left, record.ContentEpochEnd, nil)
	s.protection.Erase()
	s.protection, s.epoch, s.key = nil, epoch, key
	s.behind.Store(true)
	if len(s.left) > maxLeft {
		// The peer has not read for more epochs than it keeps keys of: see ReceiveStream.keep.
		s.giveUp(ErrorCodeEpochGone, ErrEpochGone)
	}
	return true, err
}

// giveUp resets the QUIC stream, or lets it know that its reset was noticed. s.mu is locked.
func (s *SendStream) giveUp(code quic.StreamErrorCode, err error) {
	s.quic.CancelWrite(code)
	s.fail(err)
}

// takeLeft moves what is left to dst. s.mu is locked.
func (s *SendStream) takeLeft(dst []byte) []byte {
	if len(s.left) == 0 && !s.closing {
		return dst
	}
	dst = append(dst, s.left...)
	s.left = nil
	s.behind.Store(s.closing)
	return dst
}

// sendLeft sends what was left behind. s.writeMu is locked.
func (s *SendStream) sendLeft() error {
	if !s.behind.Load() {
		return nil
	}
	s.mu.Lock()
	out := s.takeLeft(nil)
	s.mu.Unlock()
	return s.transmit(out)
}

// transmit gives records to the QUIC stream, and closes it behind the last one. What that does
// not take in time is left behind. s.writeMu is locked.
func (s *SendStream) transmit(out []byte) error {
	n := 0
	var err error
	if len(out) > 0 {
		n, err = s.quic.Write(out)
	}
	if err == nil && !s.behind.Load() {
		return nil // what comes behind from now on is up to unlock
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		if isTimeout(err) {
			// Before what has been sealed meanwhile.
			s.left = append(append([]byte(nil), out[n:]...), s.left...)
			s.behind.Store(true)
			return err
		}
		return s.fail(s.conn.explain(err))
	}
	if s.closing && len(s.left) == 0 && s.err == nil {
		s.fail(ErrStreamClosed)
		return s.conn.explain(s.quic.Close())
	}
	return nil
}

// flush sends what is left behind, unless a Write is under way, which does so. It does not wait.
func (s *SendStream) flush() {
	for s.behind.Load() && s.writeMu.TryLock() {
		done := s.tryLeft()
		s.writeMu.Unlock()
		if !done {
			s.conn.driver.Spawn(func() {
				s.writeMu.Lock()
				err := s.sendLeft()
				s.writeMu.Unlock()
				if err == nil || isTimeout(err) && !s.paced() {
					s.flush()
				}
			})
			return
		}
	}
}

// tryLeft sends what is left behind if there is room for it at once. s.writeMu is locked.
func (s *SendStream) tryLeft() (done bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		s.behind.Store(false)
		return true
	}
	if len(s.left) > 0 {
		if err := s.quic.TryWriteAll(s.left); err != nil {
			if errors.Is(err, quic.ErrWouldBlock) {
				return false
			}
			s.fail(s.conn.explain(err))
			return true
		}
		s.left = nil
	}
	s.behind.Store(false)
	if s.closing {
		s.fail(ErrStreamClosed)
		s.quic.Close()
	}
	return true
}

// fail ends the direction. s.mu is locked.
func (s *SendStream) fail(err error) error {
	if s.err == nil {
		s.err = err
	}
	s.left = nil
	s.behind.Store(false)
	s.eraseLocked()
	s.conn.sending.remove(s)
	return s.err
}

// Close says that no more follows: the peer reads io.EOF behind what was written. It does not
// wait for the peer. A Write that is blocked returns [ErrStreamClosed]; what it counts is sent. Reading
// goes on.
func (s *SendStream) Close() error {
	s.mu.Lock()
	if s.closing || s.err != nil {
		err := s.err
		s.mu.Unlock()
		if err == ErrStreamClosed {
			return nil
		}
		return err
	}
	err := s.ready()
	if err == nil {
		s.left, err = s.protection.Seal(s.left, record.ContentAlert, closeNotify)
	}
	if err != nil {
		defer s.mu.Unlock()
		return s.fail(err)
	}
	s.closing = true
	s.eraseLocked()
	s.behind.Store(true)
	s.mu.Unlock()
	s.paceMu.Lock()
	s.closed = true
	s.paceMu.Unlock()
	s.pace(0)
	s.flush()
	return nil
}

// closeNotify is the content of the last record of a stream, of type alert: a level, which means nothing,
// and the description. RFC 8446, Section 6.1.
var closeNotify = []byte{2, 0}

// CancelWrite gives the direction up: what the peer has not read is lost, and it
// gets the code. See [quic.SendStream.CancelWrite].
func (s *SendStream) CancelWrite(code quic.StreamErrorCode) {
	s.quic.CancelWrite(code)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail(&quic.StreamError{StreamID: s.quic.StreamID(), ErrorCode: code})
}

// SetWriteDeadline sets the deadline of Write. The zero time means none.
func (s *SendStream) SetWriteDeadline(t time.Time) error {
	s.paceMu.Lock()
	s.deadline = t
	s.paceMu.Unlock()
	s.pace(0)
	return nil
}

// SetPriority says which streams go first where several have something to send: see [quic.SendStream.SetPriority]. An urgency
// of 0 counts as 1, as updates must not wait for a stream.
func (s *SendStream) SetPriority(urgency int8, incremental bool) {
	s.quic.SetPriority(max(1, urgency), incremental)
}

// erase forgets the keys of a connection that has ended.
func (s *SendStream) erase() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.eraseLocked()
}

func (s *SendStream) eraseLocked() {
	if s.protection != nil {
		s.protection.Erase()
		s.protection = nil
	}
	s.key.Erase()
	s.key = nil
}
