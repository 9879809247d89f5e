package quicmls

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/mendlink/mendlink/channel/record"
)

// quicReceiver is what [quic.Stream] and [quic.ReceiveStream] have in common.
type quicReceiver interface {
	StreamID() quic.StreamID
	Read([]byte) (int, error)
	CancelRead(quic.StreamErrorCode)
	SetReadDeadline(time.Time) error
}

// A ReceiveStream is the receiving direction of a stream, like a [quic.ReceiveStream]. A Read that
// waits for the peer holds a buffer of 2 KiB, and a stream without a Read and without data none. Its methods may be called by several goroutines at once.
type ReceiveStream struct {
	conn *Conn
	quic quicReceiver

	deadline  atomic.Pointer[time.Time] // of Read; nil: none
	cancelled atomic.Pointer[quic.StreamError]
	poke      chan struct{} // a Read that waits for an epoch shall look again; of capacity 1

	readMu     sync.Mutex               // guards what follows
	protection *record.StreamProtection // nil where an epoch begins
	begun      bool                     // there was a header, and so there are keys
	opened     bool                     // there was a record
	buf        *buffer                  // nil if nothing is buffered
	data       []byte                   // of buf: octets of the QUIC stream
	unread     []byte                   // of buf: rest of the last record's content
	idle       int                      // records in a row that brought nothing
	ended      bool                     // the last record came
	more       [1]byte                  // what comes behind it; here so that it need not escape to the heap
	err        error                    // final

	// What follows is guarded by the lock of receiveKeys.
	epoch uint64             // of the records to come
	keyed bool               // its key is in use
	keys  []record.StreamKey // of this epoch, or if that is in use of the next, and of those behind, up to the one before the present
	lost  bool               // keys would have grown without bound
}

func (s *ReceiveStream) init(c *Conn, q quicReceiver) {
	s.conn, s.quic, s.poke = c, q, make(chan struct{}, 1)
}

func (s *ReceiveStream) id() uint64 { return uint64(s.quic.StreamID()) }

// keep keeps the key of an epoch that the reader has yet to come to.
func (s *ReceiveStream) keep(key record.StreamKey) {
	if s.lost = s.lost || len(s.keys) >= maxEpochLag; s.lost {
		key.Erase()
		return
	}
	s.keys = append(s.keys, key)
}

// StreamID returns the QUIC stream's ID.
func (s *ReceiveStream) StreamID() quic.StreamID { return s.quic.StreamID() }

// Read reads application data. It returns io.EOF only after the peer said authentically that no more
// follows; a stream that ends before that is io.ErrUnexpectedEOF. Other errors are [ErrEpochGone],
// a [*quic.StreamError] if either end has cancelled the stream, those of the connection, and
// os.ErrDeadlineExceeded, after which Read can be called again and nothing is lost. It may use all
// of p as scratch space.
func (s *ReceiveStream) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	s.readMu.Lock()
	defer s.unlock()
	if c := s.cancelled.Load(); c != nil && s.err == nil {
		s.broken(c)
	}
	for {
		k := copy(p[n:], s.unread)
		s.unread = s.unread[k:]
		n += k
		if n == len(p) || n > 0 && !s.recordBuffered() {
			return n, nil
		}
		switch {
		case s.err != nil:
			err = s.err
		case s.ended:
			err = s.awaitEnd()
		default:
			k, err = s.step(p[n:])
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

// step takes in one record. Application data goes to the beginning of p if all of it fits, else to
// s.unread, which must be empty.
func (s *ReceiveStream) step(p []byte) (n int, err error) {
	rec, err := s.nextRecord()
	if err != nil {
		return 0, s.broken(err)
	}
	if s.protection == nil {
		if err := s.rekey(rec[0]); err != nil {
			return 0, s.broken(err)
		}
	}
	dst := rec[record.StreamHeaderSize:record.StreamHeaderSize]
	if inner := len(rec) - record.StreamHeaderSize - record.TagSize; inner <= len(p) {
		dst = p[:0:len(p)]
	}
	t, content, err := s.protection.Open(dst, rec)
	if !s.opened && errors.Is(err, record.ErrAuthentication) && s.protection.Epoch() > 0xff {
		err = fmt.Errorf("%w: it does not begin in epoch %d, but in one whose last octet is the same", ErrEpochGone, s.protection.Epoch())
	}
	if err == nil {
		s.opened = true
		err = s.handle(t, content)
	}
	if err != nil {
		return 0, s.broken(err)
	}
	s.data = s.data[len(rec):]
	switch {
	case t != record.ContentApplicationData || len(content) == 0:
	case &content[0] == &p[0]:
		n = len(content)
	default:
		s.unread = content
	}
	return n, nil
}

// nextRecord returns the record at the beginning of s.data, once all of it is there. It reads as
// much as there is. A stream that begins gets its keys with the first header already: the rest of the
// record may come when they are forgotten.
func (s *ReceiveStream) nextRecord() ([]byte, error) {
	for {
		if len(s.data) >= record.StreamHeaderSize {
			header, err := record.ParseStreamHeader(s.data)
			if err != nil {
				return nil, err
			}
			if !s.begun {
				if err := s.rekey(header.Epoch); err != nil {
					return nil, err
				}
			}
			if size := record.StreamHeaderSize + header.Length; len(s.data) >= size {
				return s.data[:size], nil
			}
		}
		if err := s.fill(); err != nil {
			return nil, err
		}
	}
}

// fill adds octets of the QUIC stream to s.data. It waits with a small buffer, and takes a large one
// once that was filled at once.
func (s *ReceiveStream) fill() error {
	switch {
	case s.buf == nil:
		s.buf = getBuffer(smallBuffers)
		s.data = s.buf.data[:0]
	case s.buf.pool == smallBuffers && len(s.data) == cap(s.data):
		large := getBuffer(readBuffers)
		s.data = large.data[:copy(large.data, s.data)]
		s.buf.release()
		s.buf = large
	case len(s.data) == 0:
		s.data = s.buf.data[:0]
	case s.buf.pool == readBuffers && cap(s.data) < record.MaxStreamRecord:
		s.data = s.buf.data[:copy(s.buf.data, s.data)]
	}
	n, err := s.quic.Read(s.data[len(s.data):cap(s.data)])
	s.data = s.data[:len(s.data)+n]
	if n > 0 {
		return nil
	}
	return err
}

// recordBuffered reports that step would not have to wait for octets.
func (s *ReceiveStream) recordBuffered() bool {
	if len(s.data) < record.StreamHeaderSize {
		return false
	}
	header, err := record.ParseStreamHeader(s.data)
	return err != nil || len(s.data) >= record.StreamHeaderSize+header.Length
}

// rekey gets the protection of the epoch that begins with a record whose header has this octet,
// and waits until the control stream has announced it.
func (s *ReceiveStream) rekey(epoch uint8) error {
	for {
		// The key may be missing because it was erased. It must not be derived again.
		if c := s.cancelled.Load(); c != nil {
			return c
		}
		if s.conn.ctx.Err() != nil {
			return s.conn.closedBy()
		}
		var wait <-chan struct{}
		var err error
		if s.begun {
			s.protection, wait, err = s.conn.receiving.next(s)
		} else {
			s.protection, wait, err = s.conn.receiving.begin(s, epoch)
		}
		if err != nil {
			return err
		}
		if wait == nil {
			s.begun = true
			return nil
		}
		if !s.begun && !s.conn.comes(wait) {
			return fmt.Errorf("%w: it begins in epoch ...%02x, which is not the next one", ErrEpochGone, epoch)
		}
		if err := s.await(wait); err != nil {
			return err
		}
	}
}

// await waits for another epoch, or for something else that rekey has to look at, as long as the
// application allows.
func (s *ReceiveStream) await(epoch <-chan struct{}) error {
	var timeout <-chan time.Time
	if d := s.deadline.Load(); d != nil {
		timer := time.NewTimer(time.Until(*d))
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-epoch:
	case <-s.poke:
	case <-s.conn.ctx.Done():
	case <-timeout:
		return os.ErrDeadlineExceeded
	}
	return nil
}

// handle acts on a record that is not application data.
func (s *ReceiveStream) handle(t record.ContentType, content []byte) error {
	switch {
	case t == record.ContentApplicationData:
		if s.idle++; len(content) > 0 {
			s.idle = 0
		} else if s.idle > maxIdleRecord {
			return fmt.Errorf("%w: too many records without content", record.ErrUnexpected)
		}
		s.conn.driver.Count(1, len(content), s.protection.NeedsUpdate())
		return nil
	case t == record.ContentEpochEnd && len(content) == 0:
		s.protection.Erase()
		s.protection = nil
		s.conn.receiving.endEpoch(s)
		return nil
	case t == record.ContentAlert && bytes.Equal(content, closeNotify):
		s.ended = true
		s.erase()
		return nil
	}
	return fmt.Errorf("%w: %v record of %d octets on a stream", record.ErrUnexpected, t, len(content))
}

// awaitEnd waits for the end of the QUIC stream behind the last record.
func (s *ReceiveStream) awaitEnd() error {
	n := len(s.data)
	var err error
	if n == 0 {
		n, err = s.quic.Read(s.more[:])
	}
	switch {
	case n > 0:
		return s.broken(fmt.Errorf("%w: octets behind the last record", record.ErrUnexpected))
	case err == io.EOF:
		s.err = io.EOF
		return s.err
	}
	return s.broken(err)
}

// broken deals with an error. That of a record ends the connection: nobody but the peer, or
// somebody who has broken QUIC, can have made it.
func (s *ReceiveStream) broken(err error) error {
	switch {
	case isTimeout(err):
		return err
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	case errors.Is(err, ErrEpochGone):
		s.quic.CancelRead(ErrorCodeEpochGone)
	case errors.Is(err, record.ErrAuthentication), errors.Is(err, record.ErrOverflow),
		errors.Is(err, record.ErrUnexpected), errors.Is(err, record.ErrKeyExhausted):
		s.conn.abort(err)
	case errors.Is(err, record.ErrErased):
		err = s.conn.closedBy()
	default:
		err = s.conn.explain(err)
	}
	s.err = err
	s.data, s.unread = nil, nil
	s.erase()
	return err
}

// CancelRead gives the direction up: the peer's writes fail with the code. See
// [quic.ReceiveStream.CancelRead].
func (s *ReceiveStream) CancelRead(code quic.StreamErrorCode) {
	s.quic.CancelRead(code)
	s.cancelled.CompareAndSwap(nil, &quic.StreamError{StreamID: s.quic.StreamID(), ErrorCode: code})
	s.look()
	s.retire()
}

// SetReadDeadline sets the deadline of Read. The zero time means none.
func (s *ReceiveStream) SetReadDeadline(t time.Time) error {
	if t.IsZero() {
		s.deadline.Store(nil)
	} else {
		s.deadline.Store(&t)
	}
	defer s.look()
	return s.quic.SetReadDeadline(t)
}

// look has a Read that waits for an epoch look again.
func (s *ReceiveStream) look() {
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

// rest gives the buffer back once nothing in it is needed any more.
func (s *ReceiveStream) rest() {
	if s.buf != nil && len(s.unread) == 0 && len(s.data) == 0 {
		s.buf.release()
		s.buf, s.data, s.unread = nil, nil, nil
	}
}

func (s *ReceiveStream) unlock() {
	s.rest()
	s.readMu.Unlock()
	if s.cancelled.Load() != nil || s.conn.ctx.Err() != nil {
		s.retire() // somebody may have tried meanwhile
	}
}

// retire forgets the keys of a stream that was given up, or whose connection has ended. A Read
// that is under way does so when it ends.
func (s *ReceiveStream) retire() {
	if !s.readMu.TryLock() {
		return
	}
	defer s.readMu.Unlock()
	if s.cancelled.Load() != nil {
		s.data, s.unread = nil, nil
		s.rest()
	}
	s.erase()
}

// erase forgets the keys. s.readMu is locked.
func (s *ReceiveStream) erase() {
	if s.protection != nil {
		s.protection.Erase()
		s.protection = nil
	}
	s.conn.receiving.remove(s)
}
