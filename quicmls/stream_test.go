package quicmls

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/qlog"
	"github.com/quic-go/quic-go/qlogwriter"
)

// endings are the ways in which both directions of a stream may end. a is the end that has
// opened it.
var endings = []struct {
	name string
	end  func(t *testing.T, a, b *Stream)
}{
	{"closed and read", func(t *testing.T, a, b *Stream) {
		closeAll(t, a, b)
		drain(t, a, b)
	}},
	{"cancelled by the opener", func(t *testing.T, a, b *Stream) {
		a.CancelWrite(1)
		a.CancelRead(2)
		cancelled(t, "Read", readError(b), 1, true)
		cancelled(t, "Write", writeError(b), 2, true)
	}},
	{"cancelled by the accepter", func(t *testing.T, a, b *Stream) {
		b.CancelWrite(1)
		b.CancelRead(2)
		cancelled(t, "Read", readError(a), 1, true)
		cancelled(t, "Write", writeError(a), 2, true)
	}},
	{"cancelled by both", func(t *testing.T, a, b *Stream) {
		for _, s := range []*Stream{a, b} {
			s.CancelWrite(1)
			s.CancelRead(2)
		}
	}},
	{"closed as a net.Conn by both", func(t *testing.T, a, b *Stream) {
		a.NetConn().Close()
		b.NetConn().Close()
	}},
	{"closed, and cancelled by the reader", func(t *testing.T, a, b *Stream) {
		closeAll(t, a)
		b.CancelRead(1)
		closeAll(t, b)
		drain(t, a)
	}},
	{"closed after the reader has cancelled", func(t *testing.T, a, b *Stream) {
		b.CancelRead(1)
		<-a.Context().Done()
		a.Close() // whatever it says
		closeAll(t, b)
		drain(t, a)
	}},
	{"data nobody reads", func(t *testing.T, a, b *Stream) {
		send(t, a, "unread")
		send(t, b, "unread")
		closeAll(t, a, b)
		a.CancelRead(0)
		b.CancelRead(0)
	}},
}

func closeAll(t *testing.T, streams ...*Stream) {
	t.Helper()
	for _, s := range streams {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// drain reads up to the end.
func drain(t *testing.T, streams ...*Stream) {
	t.Helper()
	for _, s := range streams {
		if _, err := io.Copy(io.Discard, s); err != nil {
			t.Error(err)
		}
	}
}

// readError reads until there is an error.
func readError(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

// writeError writes until there is an error.
func writeError(w io.Writer) error {
	for {
		if _, err := w.Write([]byte("more")); err != nil {
			return err
		}
	}
}

func TestStreamLimit(t *testing.T) {
	checkGoroutines(t)
	// The control stream does not count.
	client, server := newQUICPair(t, nil, &quic.Config{MaxIncomingStreams: 2, MaxIncomingUniStreams: 1})
	a1, b1 := openPair(t, client, server)
	openPair(t, client, server)
	u, _ := openUniPair(t, client, server)
	var limit *quic.StreamLimitReachedError
	if _, err := client.OpenStream(); !errors.As(err, &limit) {
		t.Errorf("OpenStream: %v", err)
	}
	if _, err := client.OpenUniStream(); !errors.As(err, &limit) {
		t.Errorf("OpenUniStream: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := client.OpenStreamSync(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("OpenStreamSync: %v", err)
	}
	if _, err := client.OpenUniStreamSync(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("OpenUniStreamSync: %v", err)
	}
	opened := make(chan error, 1)
	go func() {
		_, err := client.OpenStreamSync(t.Context())
		opened <- err
	}()
	select {
	case err := <-opened:
		t.Fatalf("opened more than allowed: %v", err)
	default:
	}
	closeAll(t, a1, b1)
	drain(t, a1, b1)
	within(t, "OpenStreamSync", func() {
		if err := <-opened; err != nil {
			t.Error(err)
		}
	})
	// The other direction's limits are its own.
	if _, err := server.OpenStream(); err != nil {
		t.Error(err)
	}
	if _, err := server.OpenUniStream(); err != nil {
		t.Error(err)
	}
	if err := u.Close(); err != nil {
		t.Error(err)
	}
}

// However streams end, others may be opened in their place, and their keys are forgotten.
func TestEndedStreamsMakeRoom(t *testing.T) {
	for _, e := range endings {
		for _, updates := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, updates %t", e.name, updates), func(t *testing.T) {
				checkGoroutines(t)
				limits := &quic.Config{MaxIncomingStreams: 3}
				client, server := newQUICPair(t, limits, limits)
				within(t, "opening", func() {
					for i := range 8 {
						from, to := client, server
						if i%2 == 1 {
							from, to = server, client
						}
						a, b := openPair(t, from, to)
						exchange(t, a, b)
						if updates {
							update(t, from)
							exchange(t, b, a)
						}
						e.end(t, a, b)
						if updates {
							update(t, to)
						}
					}
				})
				for _, c := range []*Conn{client, server} {
					eventually(t, "no stream is known any more", func() bool {
						sending, receiving := c.known()
						return sending == 0 && receiving == 0
					})
				}
			})
		}
	}
}

func TestEndedUniStreamsMakeRoom(t *testing.T) {
	for _, e := range []struct {
		name string
		end  func(a *SendStream, b *ReceiveStream)
	}{
		{"closed", func(a *SendStream, b *ReceiveStream) {
			if err := a.Close(); err != nil {
				t.Error(err)
			}
			if got, err := io.ReadAll(b); err != nil || string(got) != "x" {
				t.Errorf("%q, %v", got, err)
			}
		}},
		{"cancelled by the sender", func(a *SendStream, b *ReceiveStream) {
			a.CancelWrite(7)
			cancelled(t, "Read", readError(b), 7, true)
		}},
		{"cancelled by the reader", func(a *SendStream, b *ReceiveStream) {
			b.CancelRead(8)
			cancelled(t, "Write", writeError(a), 8, true)
		}},
	} {
		t.Run(e.name, func(t *testing.T) {
			checkGoroutines(t)
			limits := &quic.Config{MaxIncomingUniStreams: 1}
			client, server := newQUICPair(t, limits, limits)
			within(t, "opening", func() {
				for range 5 {
					a, b := openUniPair(t, client, server)
					send(t, a, "x")
					e.end(a, b)
				}
			})
			for _, c := range []*Conn{client, server} {
				if sending, receiving := c.known(); sending > 0 || receiving > 0 {
					t.Errorf("%d and %d streams are known", sending, receiving)
				}
			}
		})
	}
}

func TestStreamIDs(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	for _, want := range []quic.StreamID{4, 8} { // 0 is the control stream
		a, b := openPair(t, client, server)
		if a.StreamID() != want || b.StreamID() != want {
			t.Errorf("IDs %d and %d, want %d", a.StreamID(), b.StreamID(), want)
		}
	}
	a, b := openPair(t, server, client)
	if a.StreamID() != 1 || b.StreamID() != 1 {
		t.Errorf("IDs %d and %d, want 1", a.StreamID(), b.StreamID())
	}
	u, v := openUniPair(t, client, server)
	if u.StreamID() != 2 || v.StreamID() != 2 {
		t.Errorf("IDs %d and %d, want 2", u.StreamID(), v.StreamID())
	}
	if u, v = openUniPair(t, server, client); u.StreamID() != 3 || v.StreamID() != 3 {
		t.Errorf("IDs %d and %d, want 3", u.StreamID(), v.StreamID())
	}
}

func TestAnnounce(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	a, b := openPair(t, client, server) // which announces
	if err := a.Announce(); err != nil {
		t.Error(err)
	}
	send(t, b, "the accepter may speak first")
	expect(t, a, "the accepter may speak first")
	if err := b.Announce(); err != nil {
		t.Error(err)
	}
	closeAll(t, a)
	if err := a.Announce(); err != ErrStreamClosed {
		t.Errorf("Announce after Close: %v", err)
	}
	if got, err := io.ReadAll(b); err != nil || len(got) > 0 {
		t.Errorf("an announcement reads as %q, %v", got, err)
	}
	b.CancelWrite(5)
	cancelled(t, "Announce", b.Announce(), 5, false)
}

func TestManyStreams(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	const streams = 300 // more than are open at once
	within(t, "echoing", func() {
		var wg sync.WaitGroup
		wg.Go(func() {
			for range streams {
				b, err := server.AcceptStream(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				wg.Go(func() {
					defer b.Close()
					if _, err := io.Copy(b, b); err != nil {
						t.Error(err)
					}
				})
			}
		})
		for i := range streams {
			a, err := client.OpenStreamSync(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if i%20 == 0 {
				update(t, client)
			}
			wg.Go(func() {
				want := bytes.Repeat([]byte{byte(i)}, 1000+97*i)
				wg.Go(func() {
					if _, err := a.Write(want); err != nil {
						t.Error(err)
					}
					a.Close()
				})
				if got, err := io.ReadAll(a); err != nil || !bytes.Equal(got, want) {
					t.Errorf("stream %d: %d octets, %v", i, len(got), err)
				}
			})
		}
		wg.Wait()
	})
	if sending, receiving := client.known(); sending > 0 || receiving > 0 {
		t.Errorf("%d and %d streams are known", sending, receiving)
	}
}

// A priorityLog is a qlog that keeps which priorities streams get.
type priorityLog struct {
	mu     sync.Mutex
	events []qlog.StreamPriorityUpdated
}

func (l *priorityLog) trace(context.Context, bool, quic.ConnectionID) qlogwriter.Trace { return l }

// AddProducer implements [qlogwriter.Trace].
func (l *priorityLog) AddProducer() qlogwriter.Recorder { return l }

// RecordEvent implements [qlogwriter.Recorder].
func (l *priorityLog) RecordEvent(e qlogwriter.Event) {
	if e, ok := e.(qlog.StreamPriorityUpdated); ok {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.events = append(l.events, e)
	}
}

// Close implements [qlogwriter.Recorder].
func (l *priorityLog) Close() error { return nil }

// Streams have the priorities that the application gives them, and the control stream goes before all of them.
func TestSetPriority(t *testing.T) {
	checkGoroutines(t)
	log := new(priorityLog)
	client, server := newQUICPair(t, &quic.Config{Tracer: log.trace}, nil)
	a, b := openPair(t, client, server)
	a.SetPriority(6, false)
	u, _ := openUniPair(t, client, server)
	u.SetPriority(0, true)
	log.mu.Lock()
	got := slices.Clone(log.events)
	log.mu.Unlock()
	want := []qlog.StreamPriorityUpdated{{StreamID: 0, Incremental: true}, {StreamID: 4, Urgency: 6}, {StreamID: 2, Urgency: 1, Incremental: true}}
	if !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	exchange(t, a, b)
}
