package netconn

import (
	"bytes"
	"io"
	"sync"
	"sync/atomic"
)

// pumpIfIdle sees to it that somebody reads while an update is under way, or once the application
// has no reason to any more, as the peer's data has ended: if
// nobody is in Read, a goroutine that lives until the update is done, or the connection. Application
// data that it meets it keeps, up to a bound.
func (r *receiver) pumpIfIdle() {
	if !r.needed() || r.readers.Load() > 0 || !r.pumping.CompareAndSwap(false, true) {
		return
	}
	if !r.conn.driver.Spawn(r.pump) {
		r.pumping.Store(false)
	}
}

// needed reports that somebody has to read. During the handshake, at the end of which an update may be under
// way, that is who makes it.
func (r *receiver) needed() bool {
	return r.conn.driver.Established() && (r.conn.driver.Pending() || r.halfClosed.Load())
}

func (r *receiver) pump() { r.pumped(r.pumpRecords()) }

// A pumpStop is why the pump stops.
type pumpStop struct {
	again     bool   // a Read has come to do it, or there was no more need
	full      bool   // there was no more room
	deadlines uint32 // this deadline has passed
}

// pumped lets the pump begin anew, if the reason to stop is none any more: a Read, another
// deadline or a call of pumpIfIdle may have come and gone since it was decided.
func (r *receiver) pumped(why pumpStop) {
	r.pumping.Store(false)
	if why.again || why.deadlines != r.deadlines.Load() || why.full && r.ahead.size() < maxReadAhead {
		r.pumpIfIdle()
	}
}

// pumpRecords takes in records until there is no more need or no more room, or a
// Read has come to do it.
func (r *receiver) pumpRecords() pumpStop {
	if !r.mu.TryLock() { // a Read is there already, and may wait for long after there is no more need
		return pumpStop{again: true}
	}
	defer r.mu.Unlock()
	defer r.rest()
	for {
		// First what there is goes to where a Read finds it, and only then we look
		// whether one has come: a Read counts itself first and looks there afterwards.
		size := r.ahead.put(r.unread, r.ended)
		r.unread = nil
		deadlines := r.deadlines.Load()
		switch {
		case r.readers.Load() > 0:
			return pumpStop{again: true}
		case r.err != nil || size >= maxReadAhead:
			return pumpStop{full: r.err == nil, deadlines: deadlines}
		case !r.needed() && !r.recordBuffered():
			return pumpStop{again: true}
		}
		if _, err := r.step(nil); err != nil {
			return pumpStop{deadlines: deadlines}
		}
	}
}

// ahead is application data that has been read ahead of the application.
type ahead struct {
	some atomic.Bool // there is something to take

	mu    sync.Mutex
	data  []byte
	early int  // how much of data, at its beginning, came before the handshake was complete
	ended bool // nothing follows data
}

// put appends content and returns how much there is then.
func (a *ahead) put(content []byte, ended bool) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.data = append(a.data, content...)
	a.ended = ended
	a.some.Store(len(a.data) > 0 || ended)
	return len(a.data)
}

// size returns how much there is.
func (a *ahead) size() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.data)
}

// take moves the oldest content to p. It returns io.EOF where that has ended.
func (a *ahead) take(p []byte) (int, error) {
	if !a.some.Load() {
		return 0, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	n := copy(p, a.data)
	a.drain(n)
	if n == 0 && a.ended {
		return 0, io.EOF
	}
	return n, nil
}

// drain removes the oldest n octets. a.mu is locked.
func (a *ahead) drain(n int) {
	a.early = max(0, a.early-n)
	if a.data = a.data[n:]; len(a.data) == 0 {
		a.data = nil
		a.some.Store(a.ended)
	}
}

// putEarly appends data of the time before the handshake is complete.
func (a *ahead) putEarly(data []byte) {
	a.put(data, false)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.early = len(a.data)
}

// takeEarly returns what is left of that, nil if nothing is.
func (a *ahead) takeEarly() []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.early == 0 {
		return nil
	}
	early := bytes.Clone(a.data[:a.early])
	a.drain(len(early))
	return early
}

func (a *ahead) drop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.data)
	a.data, a.early, a.ended = nil, 0, false
	a.some.Store(false)
}
