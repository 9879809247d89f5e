package quicmls

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/mendlink/mendlink/internal/driver"
)

// A place is free again when a handshake is complete, has failed, or the connection has ended; a flood of peers
// that say nothing keeps this end busy with so many of them and no more.
func TestAFloodOfHandshakesIsBounded(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	const places = 3
	rc.MaxHandshakes, rc.HandshakeTimeout = places, -1
	rc.QUIC = &quic.Config{EnableDatagrams: true, KeepAlivePeriod: time.Second} // no place is free because somebody is silent
	l, err := Listen("127.0.0.1:0", rc)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	silent, err := ic.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	// stall connects without a word of a session.
	stall := func() *quic.Conn {
		t.Helper()
		q, err := quic.DialAddr(t.Context(), l.Addr().String(), silent.clientTLS(), silent.quicConfig())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { q.CloseWithError(0, "") })
		return q
	}
	accepted := make(chan *Conn)
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for {
			c, err := l.Accept(ctx)
			if err != nil {
				ended <- err
				return
			}
			accepted <- c
		}
	}()
	next := func(after string) *Conn {
		t.Helper()
		select {
		case c := <-accepted:
			t.Cleanup(func() { c.CloseWithError(0, "") })
			return c
		case <-time.After(60 * time.Second):
			t.Fatalf("nobody is accepted after %s", after)
			return nil
		}
	}
	full := func() {
		t.Helper()
		select {
		case <-accepted:
			t.Fatalf("one more handshake, want %d at a time", places)
		case <-time.After(50 * time.Millisecond):
		}
	}
	var stalled []*quic.Conn
	var inside []*Conn
	for range 10 {
		stalled = append(stalled, stall())
	}
	for range places {
		inside = append(inside, next("nothing"))
	}
	full()
	// The peer goes; nobody has performed the handshake.
	port := func(a net.Addr) int { return a.(*net.UDPAddr).Port }
	for _, q := range stalled { // which do not come in the order in which they were made
		if port(q.LocalAddr()) == port(inside[0].RemoteAddr()) {
			q.CloseWithError(0, "")
		}
	}
	inside = append(inside, next("the end of the peer"))
	full()
	// This end closes.
	inside[1].CloseWithError(0, "")
	inside = append(inside, next("the end of this end"))
	full()
	// The handshake fails.
	failing, cancelHandshake := context.WithCancel(t.Context())
	cancelHandshake()
	if err := inside[2].HandshakeContext(failing); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	next("a handshake that failed")
	full()
	// One that speaks comes in, once it is its turn.
	for _, q := range stalled {
		q.CloseWithError(0, "")
	}
	go func() { // those that are gone are accepted yet, and end at once
		for c := range accepted {
			go c.HandshakeContext(t.Context())
		}
	}()
	client, err := Dial(t.Context(), l.Addr().String(), ic)
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseWithError(0, "")
	update(t, client) // the other end is through as well
	for range places {
		other, err := Dial(t.Context(), l.Addr().String(), ic)
		if err != nil {
			t.Fatal(err)
		}
		defer other.CloseWithError(0, "")
		update(t, other)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	close(accepted)
}

// Who waits at a listener that is closed learns so.
func TestNobodyWaitsAtAClosedListener(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	rc.MaxHandshakes = 1
	l, err := Listen("127.0.0.1:0", rc)
	if err != nil {
		t.Fatal(err)
	}
	silent, err := ic.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	q, err := quic.DialAddr(t.Context(), l.Addr().String(), silent.clientTLS(), silent.quicConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer q.CloseWithError(0, "")
	c, err := l.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseWithError(0, "")
	ended := make(chan error, 1)
	go func() {
		_, err := l.Accept(context.Background())
		ended <- err
	}()
	l.Close()
	select {
	case err := <-ended:
		if !errors.Is(err, quic.ErrServerClosed) {
			t.Errorf("error %v, want %v", err, quic.ErrServerClosed)
		}
	case <-time.After(60 * time.Second):
		t.Fatal("Accept hangs")
	}
}

// A queue is a listener to which connections have come.
type queue struct {
	quicListener
	asked bool
}

func (q *queue) Accept(context.Context) (*quic.Conn, error) {
	q.asked = true
	return nil, errors.New("taken")
}

// The context may be that of a connection that has ended. That does not open the gate, as the end of the listening does.
func TestAContextThatEndsWithAConnectionDoesNotOpenTheGate(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	end := &quic.ApplicationError{Remote: true}
	cancel(end)
	q := new(queue)
	l := &Listener{quic: q, gate: driver.NewGate(1)}
	if _, err := l.gate.Enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Accept(ctx); err != end || q.asked {
		t.Errorf("Accept: %v, want the context's cause; a connection is taken: %t", err, q.asked)
	}
}
