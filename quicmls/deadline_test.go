package quicmls

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// past is a deadline that nothing meets.
var past = time.Unix(1, 0)

// timedOut checks that an error says that a deadline has passed, in all the ways that are usual.
func timedOut(t *testing.T, what string, err error) {
	t.Helper()
	var timeout net.Error
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("%s: %v", what, err)
	}
}

func TestReadDeadline(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	a, b := openPair(t, client, server)
	send(t, a, "first, second")
	expect(t, b, "first, ")
	set := func(d time.Time) {
		t.Helper()
		if err := b.SetReadDeadline(d); err != nil {
			t.Fatal(err)
		}
	}
	set(past)
	for range 2 {
		_, err := io.ReadFull(b, make([]byte, 100)) // takes what is here and waits for more
		timedOut(t, "Read", err)
	}
	set(time.Time{})
	send(t, a, "third")
	expect(t, b, "third")
	set(time.Now().Add(time.Hour))
	send(t, a, "fourth")
	expect(t, b, "fourth")
	failed := make(chan error)
	go func() { failed <- readError(b) }()
	set(past)
	within(t, "Read", func() { timedOut(t, "Read", <-failed) })
	set(time.Now().Add(10 * time.Millisecond))
	timedOut(t, "Read", readError(b))
	set(time.Time{})
	update(t, client)
	exchange(t, a, b)
	closeAll(t, a)
	// What has come in time is read whatever the time: the end as well.
	set(time.Time{})
	drain(t, b)
}

func TestReadDeadlineWhileReadWaitsForAnEpoch(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	_, b := waitForEpoch(t, client, server)
	failed := make(chan error)
	for range 2 {
		go func() { failed <- readError(b) }()
		eventually(t, "Read waits for an epoch", server.receiving.awaited)
		if err := b.SetDeadline(time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if err := b.SetReadDeadline(past); err != nil {
			t.Fatal(err)
		}
		within(t, "Read", func() { timedOut(t, "Read", <-failed) })
		if err := b.SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWriteDeadlinePassed(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	a, b := openPair(t, client, server)
	if err := a.SetWriteDeadline(past); err != nil {
		t.Fatal(err)
	}
	n, err := a.Write([]byte("never sent"))
	timedOut(t, "Write", err)
	if n != 0 {
		t.Errorf("%d octets written after the deadline", n)
	}
	update(t, client)
	if err := a.SetWriteDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	send(t, a, "sent")
	expect(t, b, "sent")
	if err := a.SetDeadline(time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	exchange(t, a, b)
}

// A large Write that times out over and over and goes on with p[n:] arrives whole, whatever
// updates come in between.
func TestWriteGoesOnAfterTimeouts(t *testing.T) {
	checkGoroutines(t)
	client, server := newQUICPair(t, nil, narrow(64<<10))
	a, b := openPair(t, client, server)
	data := make([]byte, 2<<20)
	for i := range data {
		data[i] = byte(i * i >> 7)
	}
	timeouts := 0
	first := make(chan struct{})
	within(t, "writing", func() {
		var wg sync.WaitGroup
		ended := make(chan struct{})
		wg.Go(func() {
			defer close(ended)
			for p := data; len(p) > 0; {
				if err := a.SetWriteDeadline(time.Now().Add(time.Millisecond)); err != nil {
					t.Error(err)
				}
				n, err := a.Write(p)
				if p = p[n:]; err != nil {
					timedOut(t, "Write", err)
					if timeouts++; timeouts == 1 {
						close(first)
					}
				} else if len(p) > 0 {
					t.Errorf("%d octets are left without an error", len(p))
				}
			}
			a.Close() // whose deadline has passed soon
		})
		wg.Go(func() {
			for {
				select {
				case <-ended:
					return
				default:
					update(t, client)
				}
			}
		})
		wg.Go(func() {
			<-first
			got, err := io.ReadAll(b)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d octets, %v", len(got), err)
			}
		})
		wg.Wait()
	})
	t.Logf("%d timeouts", timeouts)
}

// The octets that a Write counts are part of the stream: they are sent even if nobody
// writes again, or closes the stream, with the deadline passed.
func TestWhatATimedOutWriteCountsArrives(t *testing.T) {
	for _, c := range []string{"nothing", "Close", "Update"} {
		t.Run("then "+c, func(t *testing.T) {
			checkGoroutines(t)
			client, server := newQUICPair(t, nil, narrow(32<<10))
			a, b := openPair(t, client, server)
			data := bytes.Repeat([]byte("0123456789abcdef"), 1<<14)
			type result struct {
				n   int
				err error
			}
			done := make(chan result)
			go func() {
				n, err := a.Write(data)
				done <- result{n, err}
			}()
			blocked(t, a, b)
			if err := a.SetWriteDeadline(past); err != nil {
				t.Fatal(err)
			}
			r := <-done
			n := r.n
			timedOut(t, "Write", r.err)
			if n <= 32<<10 || n >= len(data) {
				t.Errorf("%d octets written", n)
			}
			switch c {
			case "Close":
				closeAll(t, a)
			case "Update":
				update(t, client)
			}
			within(t, "reading", func() {
				got := make([]byte, n)
				if k, err := io.ReadFull(b, got); err != nil || !bytes.Equal(got, data[:n]) {
					t.Errorf("%d octets, %v", k, err)
				}
				if c == "Close" {
					drain(t, b)
				}
			})
			if c == "Update" {
				eventually(t, "the reader is in the new epoch", func() bool {
					b.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
					_, err := b.Read(make([]byte, 1))
					timedOut(t, "Read", err)
					server.receiving.mu.Lock()
					defer server.receiving.mu.Unlock()
					return b.receive.epoch == client.ConnectionState().Epoch
				})
			}
		})
	}
}

func TestSetWriteDeadlineWhileWriteWaits(t *testing.T) {
	checkGoroutines(t)
	client, server := newQUICPair(t, nil, narrow(16<<10))
	a, b := openPair(t, client, server)
	data := bytes.Repeat([]byte{1, 2, 3}, 100_000)
	type result struct {
		n   int
		err error
	}
	done := make(chan result)
	write := func(p []byte) {
		n, err := a.Write(p)
		done <- result{n, err}
	}
	go write(data)
	blocked(t, a, b)
	update(t, client)
	if err := a.SetDeadline(past); err != nil {
		t.Fatal(err)
	}
	var r result
	within(t, "Write", func() { r = <-done })
	timedOut(t, "Write", r.err)
	// Another one waits behind what that one has left.
	if err := a.SetWriteDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	go write(data[r.n:])
	blocked(t, a, b)
	if err := a.SetWriteDeadline(time.Now().Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	second := r
	within(t, "Write", func() { second = <-done })
	timedOut(t, "Write", second.err)
	if second.n != 0 {
		t.Errorf("%d octets counted before those of the Write before were sent", second.n)
	}
	update(t, client)
	if err := a.SetWriteDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	go write(data[r.n:])
	got := make([]byte, len(data))
	within(t, "reading", func() {
		if _, err := io.ReadFull(b, got); err != nil || !bytes.Equal(got, data) {
			t.Errorf("not what was written: %v", err)
		}
		if last := <-done; last.err != nil || r.n+last.n != len(data) {
			t.Errorf("%d octets, %v", last.n, last.err)
		}
	})
}
