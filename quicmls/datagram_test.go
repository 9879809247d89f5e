package quicmls

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// receiveDatagram returns the next datagram. A loopback that is idle loses none.
func receiveDatagram(t *testing.T, c *Conn) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	b, err := c.ReceiveDatagram(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func sendDatagram(t *testing.T, c *Conn, content string) {
	t.Helper()
	if err := c.SendDatagram([]byte(content)); err != nil {
		t.Fatal(err)
	}
}

// sealDatagram returns a datagram as it goes into QUIC.
func sealDatagram(t *testing.T, c *Conn, content string) []byte {
	t.Helper()
	b, _, err := c.sending.sealDatagram(nil, []byte(content))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sendRawDatagram(t *testing.T, c *Conn, b []byte) {
	t.Helper()
	if err := c.quic.SendDatagram(b); err != nil {
		t.Fatal(err)
	}
}

func TestDatagrams(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	for i := range 20 {
		for _, ends := range [][2]*Conn{{client, server}, {server, client}} {
			for _, want := range []string{"", "x", fmt.Sprintf("datagram %d", i), string(make([]byte, 1000))} {
				sendDatagram(t, ends[0], want)
				if got := receiveDatagram(t, ends[1]); got != want {
					t.Errorf("%q, want %q", got, want)
				}
			}
			update(t, ends[i%2])
		}
	}
}

func TestDatagramSizes(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	var tooLarge *quic.DatagramTooLargeError
	if err := client.SendDatagram(make([]byte, 1<<16)); !errors.As(err, &tooLarge) {
		t.Fatalf("SendDatagram: %v", err)
	}
	limit := int(tooLarge.MaxDatagramPayloadSize)
	if limit < 1000 {
		t.Fatalf("at most %d octets fit", limit)
	}
	// QUIC may find meanwhile that larger packets come through.
	for range 100 {
		size := int(tooLarge.MaxDatagramPayloadSize)
		if err := client.SendDatagram(make([]byte, size+1)); err == nil {
			receiveDatagram(t, server)
			if err := client.SendDatagram(make([]byte, 1<<16)); !errors.As(err, &tooLarge) {
				t.Fatalf("SendDatagram: %v", err)
			}
			continue
		}
		want := string(bytes.Repeat([]byte{9}, size))
		sendDatagram(t, client, want)
		if got := receiveDatagram(t, server); got != want {
			t.Errorf("%d octets, want %d", len(got), size)
		}
		return
	}
	t.Error("one octet more than the limit is taken, whatever that is")
}

func TestDatagramsAreDeliveredOnce(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	var sealed [][]byte
	for i := range 8 {
		sealed = append(sealed, sealDatagram(t, client, fmt.Sprint(i)))
	}
	for _, i := range []int{3, 3, 0, 7, 3, 0, 5, 7, 1} { // in any order
		sendRawDatagram(t, client, sealed[i])
	}
	sendDatagram(t, client, "last")
	for _, want := range []string{"3", "0", "7", "5", "1", "last"} {
		if got := receiveDatagram(t, server); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestDatagramsThatAreNoGood(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	good := sealDatagram(t, client, "never delivered")
	for at := range good {
		bad := bytes.Clone(good)
		bad[at] ^= 1
		sendRawDatagram(t, client, bad)
		sendRawDatagram(t, client, good[:at])
		if at%16 == 15 { // QUIC's queue is short
			sendDatagram(t, client, "mark")
			if got := receiveDatagram(t, server); got != "mark" {
				t.Fatalf("%q", got)
			}
		}
	}
	sendRawDatagram(t, client, append(bytes.Clone(good), 0))
	next := bytes.Clone(good)
	next[0]++ // nobody has begun that epoch
	sendRawDatagram(t, client, next)
	sendRawDatagram(t, client, sealDatagram(t, server, "the peer's own")) // under the keys of the other direction
	sendDatagram(t, client, "last")
	if got := receiveDatagram(t, server); got != "last" {
		t.Errorf("%q", got)
	}
	exchangeOnAnother(t, client, server)
}

func TestDatagramsOfTheEpochBefore(t *testing.T) {
	for _, grace := range []time.Duration{time.Hour, time.Millisecond} {
		checkGoroutines(t)
		ic, rc := newConfigs(t)
		rc.EpochGrace = grace
		client, server := connect(t, ic, rc)
		late := sealDatagram(t, client, "late")
		twice := sealDatagram(t, client, "delivered before the update")
		sendRawDatagram(t, client, twice)
		if got := receiveDatagram(t, server); got != "delivered before the update" {
			t.Errorf("%q", got)
		}
		update(t, client)
		eventually(t, "the peer is in the new epoch", func() bool {
			server.receiving.mu.Lock()
			defer server.receiving.mu.Unlock()
			return server.receiving.secret.Epoch() == 2 && (grace == time.Hour || len(server.receiving.old) == 0)
		})
		sendRawDatagram(t, client, twice)
		sendRawDatagram(t, client, late)
		sendDatagram(t, client, "in time")
		if grace == time.Hour {
			if got := receiveDatagram(t, server); got != "late" {
				t.Errorf("%q", got)
			}
		}
		if got := receiveDatagram(t, server); got != "in time" {
			t.Errorf("%q", got)
		}
	}
}

// A datagram that overtakes the messages that announce its epoch waits for them.
func TestDatagramOfTheNextEpochWaits(t *testing.T) {
	for _, epochs := range []int{1, 2} {
		checkGoroutines(t)
		client, server := newConnPair(t)
		next, release := holdBack(t, client, server, epochs)
		p, err := next[epochs-1].Datagrams()
		if err != nil {
			t.Fatal(err)
		}
		sendNext := func(content string) {
			t.Helper()
			b, err := p.Seal(nil, []byte(content))
			if err != nil {
				t.Fatal(err)
			}
			sendRawDatagram(t, client, b)
		}
		sendNext("early")
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() {
			_, err := server.ReceiveDatagram(ctx)
			ended <- err
		}()
		eventually(t, "a datagram waits", server.receiving.awaited)
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) { // that datagram is lost
			t.Errorf("ReceiveDatagram: %v", err)
		}
		sendNext("early as well")
		got := make(chan string)
		go func() { got <- receiveDatagram(t, server) }()
		release()
		if got := <-got; got != "early as well" {
			t.Errorf("%q", got)
		}
	}
}

// A context may be that of another connection. That this has ended says nothing about the one that is asked.
func TestReceiveDatagramUntilAnotherConnectionEnds(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	ctx, end := context.WithCancelCause(t.Context())
	another := &quic.ApplicationError{Remote: true, ErrorCode: errorCodeAlert}
	end(another)
	if _, err := server.ReceiveDatagram(ctx); err != another {
		t.Errorf("ReceiveDatagram: %v, want the context's cause", err)
	}
	if server.driver.Ended() {
		t.Error("the connection is taken to have ended")
	}
	update(t, server)
	exchangeOnAnother(t, client, server)
}

func TestDatagramsThatAreNotEnabled(t *testing.T) {
	checkGoroutines(t)
	client, server := newQUICPair(t, nil, &quic.Config{})
	if err := client.SendDatagram([]byte("x")); err == nil {
		t.Error("a datagram that the peer does not take is sent")
	}
	if _, err := server.ReceiveDatagram(t.Context()); err == nil {
		t.Error("a datagram is received")
	}
	exchangeOnAnother(t, client, server)
}

func TestReceiveDatagramEnds(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	receive := func(ctx context.Context) {
		_, err := server.ReceiveDatagram(ctx)
		ended <- err
	}
	go receive(ctx)
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ReceiveDatagram: %v", err)
	}
	go receive(t.Context())
	client.CloseWithError(6, "")
	var closed *quic.ApplicationError
	if err := <-ended; !errors.As(err, &closed) || closed.ErrorCode != 6 || !closed.Remote {
		t.Errorf("ReceiveDatagram: %v", err)
	}
	if err := server.SendDatagram([]byte("x")); !errors.As(err, &closed) || closed.ErrorCode != 6 {
		t.Errorf("SendDatagram: %v", err)
	}
	if err := client.SendDatagram([]byte("x")); !errors.As(err, &closed) || closed.ErrorCode != 6 || closed.Remote {
		t.Errorf("SendDatagram at the end that closed: %v", err)
	}
}
