package quicmls

import (
	"context"
	"errors"
	"testing"

	"github.com/quic-go/quic-go"
)

// A full stream takes nothing until it is cancelled, as its peer does not read.
type full struct {
	quicSender
	cancelled chan struct{}
	code      quic.StreamErrorCode
}

func (f *full) StreamID() quic.StreamID { return 4 }

func (f *full) Context() context.Context { return context.Background() }

func (f *full) TryWriteAll([]byte) error { return quic.ErrWouldBlock }

func (f *full) Write([]byte) (int, error) {
	<-f.cancelled
	return 0, &quic.StreamError{StreamID: 4, ErrorCode: f.code}
}

func (f *full) CancelWrite(code quic.StreamErrorCode) {
	f.code = code
	close(f.cancelled)
}

// A peer that follows all updates and never reads a stream cannot make this end keep the ends of all
// epochs for it: after more than it has keys of, the stream is given up.
func TestTheEndsOfEpochsDoNotPileUp(t *testing.T) {
	ic, rc := newConfigs(t)
	c, server, _, _ := detachedPair(t, ic, rc)
	defer release(c)
	defer release(server)
	q := &full{cancelled: make(chan struct{})}
	s := new(SendStream)
	s.init(c, q)
	within(t, "writing to a peer that does not read", func() {
		written := make(chan error, 1)
		go func() {
			_, err := s.Write(make([]byte, 100))
			written <- err
		}()
		for begun := false; !begun; {
			s.mu.Lock()
			begun = s.begun
			s.mu.Unlock()
		}
		largest := 0
		for epoch := uint64(2); q.code == 0 && epoch < 100_000; epoch++ {
			c.sending.install(epochSecret(t, epoch))
			s.mu.Lock()
			largest = max(largest, len(s.left))
			s.mu.Unlock()
		}
		if q.code != ErrorCodeEpochGone || largest > maxLeft || largest < maxEpochLag {
			t.Errorf("code %#x, %d octets were kept", uint64(q.code), largest)
		}
		if err := <-written; !errors.Is(err, ErrEpochGone) {
			t.Errorf("%v, want ErrEpochGone", err)
		}
	})
	if _, err := s.Write([]byte("x")); !errors.Is(err, ErrEpochGone) {
		t.Errorf("%v, want ErrEpochGone", err)
	}
}
