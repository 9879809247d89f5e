package quicmls

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
)

// A reader that pauses over hundreds of updates reads everything in the end.
func TestReaderPausesOverManyEpochs(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	a, b := openPair(t, client, server)
	send(t, a, "start")
	expect(t, b, "start")
	var want strings.Builder
	for i := range 300 {
		if i%3 > 0 { // some epochs hold nothing
			message := fmt.Sprintf("message %d. ", i)
			want.WriteString(message)
			send(t, a, message)
		}
		update(t, client)
	}
	closeAll(t, a)
	if got, err := io.ReadAll(b); err != nil || string(got) != want.String() {
		t.Errorf("%d octets, %v, want %d", len(got), err, want.Len())
	}
	exchangeOnAnother(t, client, server)
}

// A writer that is blocked over hundreds of updates goes on where it was.
func TestWriterWaitsOverManyEpochs(t *testing.T) {
	checkGoroutines(t)
	client, server := newQUICPair(t, nil, narrow(40<<10))
	a, b := openPair(t, client, server)
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	wrote := make(chan error, 1)
	go func() {
		_, err := a.Write(data)
		wrote <- errors.Join(err, a.Close())
	}()
	blocked(t, a, b)
	for range 200 {
		update(t, client)
	}
	within(t, "reading", func() {
		if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d octets, %v", len(got), err)
		}
		if err := <-wrote; err != nil {
			t.Error(err)
		}
	})
}

// A reader that is more than maxEpochLag behind loses its stream, after all that it can still
// read, and nothing else.
func TestReaderTooFarBehind(t *testing.T) {
	for _, epochs := range []int{maxEpochLag, maxEpochLag + 1, maxEpochLag + 300} {
		checkGoroutines(t)
		client, _ := newConnPair(t)
		f := newFakeStream(t, client)
		send(t, f.send, "start, ")
		expect(t, f.receive, "start, ")
		var want strings.Builder
		for i := range epochs {
			if i == epochs-1 || i%100 == 0 {
				message := fmt.Sprintf("message %d. ", i)
				send(t, f.send, message)
				if i <= maxEpochLag {
					want.WriteString(message)
				}
			}
			f.endEpoch()
		}
		send(t, f.send, "last")
		if n := len(f.receive.keys); n > maxEpochLag {
			t.Errorf("%d keys wait", n)
		}
		if epochs <= maxEpochLag+1 { // the key in use does not count, nor that of the present epoch
			expect(t, f.receive, want.String()+"last")
			continue
		}
		got, err := io.ReadAll(f.receive)
		if !errors.Is(err, ErrEpochGone) || string(got) != want.String() {
			t.Errorf("%q, %v, want %q", got, err, want.String())
		}
		if client.Context().Err() != nil {
			t.Errorf("the connection has ended: %v", client.closedBy())
		}
	}
}

func TestReaderTooFarBehindOnTheNetwork(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	a, b := openPair(t, client, server)
	exchange(t, a, b)
	c, d := openPair(t, client, server)
	exchange(t, c, d)
	for i := range maxEpochLag + 3 { // the peer may have the last one yet to come
		update(t, client)
		if i%100 == 0 {
			exchange(t, c, d)
		}
	}
	send(t, a, "too late")
	if _, err := b.Read(make([]byte, 10)); !errors.Is(err, ErrEpochGone) {
		t.Fatalf("Read: %v", err)
	}
	cancelled(t, "Write", writeError(a), ErrorCodeEpochGone, true)
	exchange(t, c, d)
}

// One stream that nobody reads does not keep others from flowing, nor updates.
func TestStalledStreamHindersNobody(t *testing.T) {
	checkGoroutines(t)
	client, server := newQUICPair(t, nil, narrow(16<<10))
	a, b := openPair(t, client, server)
	stalled := make(chan error)
	go func() {
		_, err := a.Write(make([]byte, 1<<20))
		stalled <- err
	}()
	blocked(t, a, b)
	c, d := openPair(t, client, server)
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<15)
	within(t, "the other stream", func() {
		go func() {
			if _, err := c.Write(data); err != nil {
				t.Error(err)
			}
			c.Close()
		}()
		for range 20 {
			update(t, client)
			update(t, server)
		}
		if got, err := io.ReadAll(d); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d octets, %v", len(got), err)
		}
	})
	client.CloseWithError(3, "")
	if err := <-stalled; err == nil {
		t.Error("the Write that waits says that all is well")
	}
}

// Two ends that both write, and read only once they have written all, get there with windows that
// are large enough, and updates go on with windows that are not.
func TestBothOnlyWrite(t *testing.T) {
	checkGoroutines(t)
	client, server := newQUICPair(t, narrow(16<<10), narrow(16<<10))
	a, b := openPair(t, client, server)
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<13)
	var writing, reading sync.WaitGroup
	for _, s := range []*Stream{a, b} {
		writing.Go(func() {
			if _, err := s.Write(data); err != nil {
				t.Error(err)
			}
			s.Close()
		})
	}
	blocked(t, a, b)
	blocked(t, b, a)
	for range 10 {
		update(t, client)
		update(t, server)
	}
	within(t, "reading", func() {
		for _, s := range []*Stream{a, b} {
			reading.Go(func() {
				if got, err := io.ReadAll(s); err != nil || !bytes.Equal(got, data) {
					t.Errorf("%d octets, %v", len(got), err)
				}
			})
		}
		reading.Wait()
		writing.Wait()
	})
}
