package quicmls

import (
	"context"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/mendlink/mendlink/channel/record"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// A fakeQUIC is the two directions of a QUIC stream for this package's layer alone: what
// is written to it can be read from it.
type fakeQUIC struct {
	id    quic.StreamID
	ctx   context.Context
	reset context.CancelCauseFunc

	mu      sync.Mutex // guards what follows
	changed *sync.Cond
	octets  []byte
	writes  int
	full    bool // there is no room
	ended   bool
}

func newFakeQUIC(id quic.StreamID) *fakeQUIC {
	f := &fakeQUIC{id: id}
	f.changed = sync.NewCond(&f.mu)
	f.ctx, f.reset = context.WithCancelCause(context.Background())
	return f
}

func (f *fakeQUIC) StreamID() quic.StreamID          { return f.id }
func (f *fakeQUIC) Context() context.Context         { return f.ctx }
func (f *fakeQUIC) SetWriteDeadline(time.Time) error { return nil }
func (f *fakeQUIC) SetPriority(int8, bool)           {}
func (f *fakeQUIC) SetReadDeadline(time.Time) error  { return nil }
func (f *fakeQUIC) CancelRead(quic.StreamErrorCode)  {}

func (f *fakeQUIC) CancelWrite(code quic.StreamErrorCode) {
	f.reset(&quic.StreamError{StreamID: f.id, ErrorCode: code})
}

// limit says whether there is no room.
func (f *fakeQUIC) limit(full bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.full = full
	f.changed.Broadcast()
}

// end ends the stream.
func (f *fakeQUIC) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	f.changed.Broadcast()
}

func (f *fakeQUIC) Close() error {
	f.end()
	f.reset(ErrStreamClosed)
	return nil
}

func (f *fakeQUIC) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.full {
		f.changed.Wait()
	}
	return f.take(p)
}

func (f *fakeQUIC) take(p []byte) (int, error) {
	f.writes++
	f.octets = append(f.octets, p...)
	f.changed.Broadcast()
	return len(p), nil
}

func (f *fakeQUIC) TryWriteAll(p []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.full {
		return quic.ErrWouldBlock
	}
	_, err := f.take(p)
	return err
}

func (f *fakeQUIC) Read(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.octets) == 0 && !f.ended {
		f.changed.Wait()
	}
	n := copy(p, f.octets)
	if f.octets = f.octets[n:]; n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// A fakeStream is both ends of one direction of a stream, over a fakeQUIC.
type fakeStream struct {
	t       testing.TB
	quic    *fakeQUIC
	conn    *Conn // of both ends
	send    *SendStream
	receive *ReceiveStream
	epoch   uint64
}

// newFakeStream takes a connection over, and has it send and receive under the same keys from then on.
func newFakeStream(t testing.TB, c *Conn) *fakeStream {
	t.Helper()
	f := &fakeStream{t: t, quic: newFakeQUIC(1000), conn: c, send: new(SendStream), receive: new(ReceiveStream)}
	t.Cleanup(func() { f.quic.limit(false) }) // so that nobody waits for ever if the test fails
	f.conn.receiving.erase()
	f.endEpoch()
	f.send.init(c, f.quic)
	f.receive.init(c, f.quic)
	return f
}

// endEpoch moves both ends to the next epoch.
func (f *fakeStream) endEpoch() {
	f.t.Helper()
	f.epoch++
	suite, err := ciphersuite.Default().Lookup(1)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, install := range []func(*record.EpochSecret){f.conn.receiving.install, f.conn.sending.install} {
		secret := make([]byte, suite.HashSize())
		secret[0], secret[1], secret[2] = byte(f.epoch), byte(f.epoch>>8), byte(f.epoch>>16)
		s, err := record.NewEpochSecret(suite, f.epoch, secret, record.MaxPlaintext)
		if err != nil {
			f.t.Fatal(err)
		}
		install(s)
	}
}
