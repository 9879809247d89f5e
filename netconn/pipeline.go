package netconn

import "slices"

// A flight is a batch that another goroutine gives to the transport while the sender seals
// the next one. The sender waits for it before it lets go of its lock.
type flight struct {
	buf    *buffer
	octets []byte
	done   chan struct{} // has room for one
	under  bool          // under way
	n      int           // how many octets the transport has taken
	err    error
}

// writePipelined is write, once prepared, with [Config].PipelineWrites. While a batch is under way the next
// one waits sealed, so that a timeout leaves up to two of them behind.
func (s *sender) writePipelined(p []byte) (n int, err error) {
	f := &flight{done: make(chan struct{}, 1)}
	for {
		k, err := s.sealNext(p[n:])
		n += k
		if landed := s.land(f); err == nil {
			err = landed
		}
		if err != nil {
			return n, err
		}
		if n == len(p) {
			return n, s.flush()
		}
		if s.queue.empty() {
			s.launch(f)
		} else if err := s.flush(); err != nil { // which may change the keys of what comes next
			return n, err
		}
		if err := s.ready(); err != nil {
			if landed := s.land(f); landed != nil {
				err = landed
			}
			return n, err
		}
	}
}

// launch hands the output over to another goroutine, which ends before land returns.
func (s *sender) launch(f *flight) {
	f.buf, f.octets, f.under = s.buf, s.out[s.sent:], true
	s.buf, s.out, s.sent = nil, nil, 0
	go func() {
		f.n, f.err = s.give(f.octets)
		f.done <- struct{}{}
	}()
}

// land waits for the batch that is under way, if one is. What a timeout leaves of it goes before the
// output.
func (s *sender) land(f *flight) error {
	if !f.under {
		return nil
	}
	<-f.done
	f.under = false
	if f.err == nil {
		s.stalled.Store(false)
	} else if s.err == nil {
		left := slices.Concat(f.octets[f.n:], s.out)
		s.rest()
		s.out = left
	}
	f.buf.release()
	if f.err != nil {
		return s.given(f.err)
	}
	return nil
}
