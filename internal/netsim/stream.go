package netsim

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// streamRoom is how many octets are on the way in one direction at most.
const streamRoom = 256 << 10

// A Stream carries octets between two connections that it owns, through faults.
type Stream struct {
	near, far net.Conn
	there     direction
	back      direction
	done      chan struct{} // closed when the stream is
	closing   sync.Once
	running   sync.WaitGroup
}

// NewStream carries what comes from near to far through the faults there, and the other
// way round through those back. A fault serves one direction of one Stream.
//
// A direction whose input ends is half-closed, if the connection can be, or closed. Where a
// connection is reset, or the network is cut, the Stream closes both.
func NewStream(near, far net.Conn, there, back []StreamFault) *Stream {
	s := &Stream{near: near, far: far, done: make(chan struct{})}
	s.there.init(s, near, far, there)
	s.back.init(s, far, near, back)
	for _, d := range []*direction{&s.there, &s.back} {
		s.running.Go(d.read)
		s.running.Go(d.write)
	}
	return s
}

// NewStreamPipe returns the ends of a network in memory, and the network itself.
func NewStreamPipe(there, back []StreamFault) (a, b net.Conn, s *Stream) {
	a, near := net.Pipe()
	far, b := net.Pipe()
	return a, b, NewStream(near, far, there, back)
}

// Close cuts the network: it closes both connections and waits until nothing runs any more.
func (s *Stream) Close() {
	s.cut(false)
	s.Wait()
}

// Wait returns once both directions have ended.
func (s *Stream) Wait() { s.running.Wait() }

// Carried returns how many octets the ends have put into each direction.
func (s *Stream) Carried() (there, back int64) { return s.there.taken.Load(), s.back.taken.Load() }

// cut closes both connections, with a reset if they have one.
func (s *Stream) cut(reset bool) {
	s.closing.Do(func() {
		close(s.done)
		for _, c := range []net.Conn{s.near, s.far} {
			if t, ok := c.(*net.TCPConn); ok && reset {
				t.SetLinger(0)
			}
			c.Close()
		}
		s.there.wake()
		s.back.wake()
	})
}

// A direction is one of a Stream's two.
type direction struct {
	stream   *Stream
	from, to net.Conn
	faults   []StreamFault
	taken    atomic.Int64

	mu    sync.Mutex // guards what follows
	cond  sync.Cond  // it has changed, or the stream is closed
	data  []byte     // read and not written yet
	ended error      // why nothing more comes; io.EOF if the end was regular
}

func (d *direction) init(s *Stream, from, to net.Conn, faults []StreamFault) {
	d.stream, d.from, d.to, d.faults = s, from, to, faults
	d.cond.L = &d.mu
}

func (d *direction) wake() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cond.Broadcast()
}

func (d *direction) closed() bool {
	select {
	case <-d.stream.done:
		return true
	default:
		return false
	}
}

// read takes in what comes, until that ends.
func (d *direction) read() {
	p := make([]byte, 16<<10)
	for {
		n, err := d.from.Read(p)
		d.taken.Add(int64(n))
		d.mu.Lock()
		d.data = append(d.data, p[:n]...)
		d.ended = err
		d.cond.Broadcast()
		for len(d.data) >= streamRoom && !d.closed() {
			d.cond.Wait()
		}
		d.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// write gives all that was taken in to the faults, and what comes out of them to the other end.
func (d *direction) write() {
	for {
		p, err := d.next(false)
		if p == nil && err == nil { // nothing is there for the moment
			if err = d.rest(false); err == nil {
				p, err = d.next(true)
			}
		}
		if err == nil {
			err = d.pass(0, p)
		}
		if err != nil {
			d.end(err)
			return
		}
	}
}

// next returns what has been taken in, or why nothing more comes. If nothing is there it waits,
// or returns nil.
func (d *direction) next(wait bool) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		switch p := d.data; {
		case d.closed():
			return nil, net.ErrClosed
		case len(p) > 0:
			d.data = nil
			d.cond.Broadcast()
			return p, nil
		case d.ended != nil:
			return nil, d.ended
		case !wait:
			return nil, nil
		}
		d.cond.Wait()
	}
}

// pass gives p to the fault of that index, or to the other end.
func (d *direction) pass(fault int, p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if fault == len(d.faults) {
		_, err := d.to.Write(p)
		return err
	}
	return d.faults[fault].octets(p, d.way(fault))
}

// rest has all faults give out what they keep.
func (d *direction) rest(ended bool) error {
	for i, f := range d.faults {
		if err := f.rest(d.way(i), ended); err != nil {
			return err
		}
	}
	return nil
}

func (d *direction) way(fault int) way {
	return way{done: d.stream.done, pass: func(p []byte) error { return d.pass(fault+1, p) }}
}

// end carries the end of the input, or of the network, to the other end.
func (d *direction) end(err error) {
	if err == io.EOF {
		if err = d.rest(true); err == nil {
			err = io.EOF
		}
	}
	switch {
	case err == io.EOF || errors.Is(err, errHalfClosed):
		if c, ok := d.to.(interface{ CloseWrite() error }); ok {
			c.CloseWrite()
		} else {
			d.to.Close()
		}
		d.discard()
	default:
		d.stream.cut(!errors.Is(err, errCut))
	}
}

// discard lets whoever writes go on, though nobody gets it.
func (d *direction) discard() {
	for {
		if _, err := d.next(true); err != nil {
			return
		}
	}
}
