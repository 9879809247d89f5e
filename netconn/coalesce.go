package netconn

import (
	"net"
	"sync/atomic"
	"time"
)

// Flush sends what Config.CoalesceDelay has kept back, and returns once the transport has
// taken it. If that fails, the data is treated like that of a [Conn.Write] that fails the same way.
func (c *Conn) Flush() error {
	if !c.enterWrite() {
		return c.opError("write", net.ErrClosed)
	}
	defer c.calls.Add(-2)
	c.sender.mu.Lock()
	err := c.sender.flushAll()
	c.sender.mu.Unlock()
	if err != nil {
		err = c.orClosed(err)
	}
	return c.opError("write", err)
}

// A kept is application data of several Writes that is not sealed yet. The sender's lock guards
// it. It holds a buffer only while there is data.
type kept struct {
	buf   *buffer
	n     int         // octets in buf
	some  atomic.Bool // n > 0, to look at without the lock
	timer *time.Timer // sends them when they have waited long enough
}

// add takes over as much of p as there is room for.
func (k *kept) add(p []byte) int {
	if k.buf == nil {
		k.buf = getBuffer(batchBuffers)
	}
	n := copy(k.buf.data[k.n:copySize], p)
	k.n += n
	k.some.Store(k.n > 0)
	return n
}

// data returns what is kept.
func (k *kept) data() []byte {
	if k.buf == nil {
		return nil
	}
	return k.buf.data[:k.n]
}

// sent removes the oldest n octets.
func (k *kept) sent(n int) {
	if k.n = copy(k.data(), k.data()[n:]); k.n > 0 {
		return
	}
	if k.some.Store(false); k.buf != nil {
		k.buf.release()
		k.buf = nil
	}
	if k.timer != nil {
		k.timer.Stop()
	}
}

// drop forgets all of it.
func (k *kept) drop() {
	clear(k.data())
	k.sent(k.n)
}

// coalesce is write that keeps small amounts back for a while.
func (s *sender) coalesce(p []byte, delay time.Duration) (n int, err error) {
	if err := s.ready(); err != nil {
		return 0, err
	}
	for len(p) >= copySize-s.kept.n {
		if s.kept.n == 0 {
			k, err := s.write(p) // nothing to be gained by a copy
			return n + k, err
		}
		k := s.kept.add(p)
		n, p = n+k, p[k:]
		if err := s.sendKept(); err != nil {
			return n, err
		}
		if err := s.ready(); err != nil {
			return n, err
		}
	}
	if len(p) == 0 {
		return n, nil
	}
	if s.kept.n == 0 {
		s.startTimer(delay)
	}
	return n + s.kept.add(p), nil
}

func (s *sender) startTimer(delay time.Duration) {
	if s.kept.timer == nil {
		s.kept.timer = time.AfterFunc(delay, s.wake)
	} else {
		s.kept.timer.Reset(delay)
	}
}

// sendKept seals and sends what is kept. What a timeout leaves stays there. What is sealed
// is not kept any more: if the end of the stream comes out of the queue, it takes the rest along.
func (s *sender) sendKept() error {
	if s.kept.n == 0 {
		return nil
	}
	err := s.prepare(s.kept.n)
	for err == nil && s.kept.n > 0 {
		var n int
		if n, err = s.sealNext(s.kept.data()); err != nil {
			return err
		}
		s.kept.sent(n)
		if err = s.flush(); err == nil && s.kept.n > 0 {
			err = s.ready()
		}
	}
	if err == ErrWriteClosed { // with all that was kept
		return nil
	}
	return err
}

// flushAll is flush that keeps nothing back.
func (s *sender) flushAll() error {
	if err := s.flush(); err != nil {
		return err
	}
	return s.sendKept()
}

// hurry has what this end has kept back sent, because it is about to wait for the peer,
// which may wait for just that.
func (r *receiver) hurry() {
	if s := &r.conn.sender; s.kept.some.Load() && !r.recordBuffered() {
		s.wake()
	}
}
