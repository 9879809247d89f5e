package quicmls

import (
	"errors"
	"io"
	"testing"

	"github.com/mendlink/mendlink/channel/record"
)

func TestCancelRead(t *testing.T) {
	for _, c := range []struct {
		name  string
		ahead func(t *testing.T, a, b *Stream)
	}{
		{"before data", func(t *testing.T, a, b *Stream) {}},
		{"with data that waits", func(t *testing.T, a, b *Stream) { send(t, a, "unread") }},
		{"within a record", func(t *testing.T, a, b *Stream) {
			send(t, a, "read and unread")
			expect(t, b, "read")
		}},
		{"between buffered records", func(t *testing.T, a, b *Stream) {
			a.send.writeMu.Lock()
			out, err := a.send.sealEmpty()
			for range 3 {
				_, out, err = a.send.sealBatch(append(make([]byte, 0, 1<<10), out...), []byte("record"))
			}
			if err == nil {
				err = a.send.transmit(out)
			}
			a.send.writeMu.Unlock()
			if err != nil {
				t.Fatal(err)
			}
			expect(t, b, "record")
		}},
	} {
		for _, updates := range []bool{false, true} {
			t.Run(c.name, func(t *testing.T) {
				checkGoroutines(t)
				client, server := newConnPair(t)
				a, b := openPair(t, client, server)
				c.ahead(t, a, b)
				if updates {
					update(t, client)
				}
				b.CancelRead(23)
				b.CancelRead(24) // has no effect
				for range 2 {
					cancelled(t, "Read", readError(b), 23, false)
				}
				cancelled(t, "Write", writeError(a), 23, true)
				for range 2 {
					_, err := a.Write([]byte("x"))
					cancelled(t, "Write", err, 23, true)
				}
				<-a.Context().Done()
				send(t, b, "the other direction lives")
				expect(t, a, "the other direction lives")
				update(t, server)
				x, y := openPair(t, client, server)
				exchange(t, x, y)
			})
		}
	}
}

func TestCancelWrite(t *testing.T) {
	for _, ahead := range []string{"", "some data"} {
		checkGoroutines(t)
		client, server := newConnPair(t)
		a, b := openPair(t, client, server)
		if ahead != "" {
			send(t, a, ahead)
			expect(t, b, ahead)
		}
		a.CancelWrite(42)
		a.CancelWrite(43)
		for range 2 {
			_, err := a.Write([]byte("x"))
			cancelled(t, "Write", err, 42, false)
			_, err = a.Write(nil)
			cancelled(t, "Write of nothing", err, 42, false)
			cancelled(t, "Close", a.Close(), 42, false)
			cancelled(t, "Read", readError(b), 42, true)
		}
		update(t, client)
		update(t, server)
		send(t, b, "the other direction lives")
		expect(t, a, "the other direction lives")
	}
}

func TestCancelReadWhileReadWaits(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	a, b := openPair(t, client, server)
	failed := make(chan error)
	go func() { failed <- readError(b) }()
	b.CancelRead(5)
	within(t, "Read", func() { cancelled(t, "Read", <-failed, 5, false) })
	cancelled(t, "Write", writeError(a), 5, true)
}

// waitForEpoch returns a stream whose next record is of an epoch that the control stream has
// yet to announce. It is no good: its tag is wrong.
func waitForEpoch(t *testing.T, client, server *Conn) (raw *rawStream, b *Stream) {
	raw = openRaw(t, client)
	raw.data("data")
	raw.send(raw.seal(record.ContentEpochEnd, ""), []byte{byte(raw.protection.Epoch() + 1), 0, 20}, make([]byte, 20))
	b = accept(t, server)
	expect(t, b, "data")
	return raw, b
}

func TestCancelReadWhileReadWaitsForAnEpoch(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	raw, b := waitForEpoch(t, client, server)
	failed := make(chan error)
	go func() { failed <- readError(b) }()
	eventually(t, "Read waits for an epoch", server.receiving.awaited)
	b.CancelRead(6)
	within(t, "Read", func() { cancelled(t, "Read", <-failed, 6, false) })
	cancelled(t, "Write", writeError(raw), 6, true)
}

// awaited reports that somebody waits for the next epoch.
func (k *receiveKeys) awaited() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.changed != nil
}

func TestCancelWriteWhileWriteWaits(t *testing.T) {
	checkGoroutines(t)
	client, server := newQUICPair(t, nil, narrow(16<<10))
	a, b := openPair(t, client, server)
	failed := make(chan error)
	go func() {
		_, err := a.Write(make([]byte, 1<<20))
		failed <- err
	}()
	blocked(t, a, b)
	update(t, client) // whose last record of the epoch waits behind the Write
	a.CancelWrite(9)
	within(t, "Write", func() { cancelled(t, "Write", <-failed, 9, false) })
	cancelled(t, "Read", readError(b), 9, true)
}

func TestPeerCancelsWhileWriteWaits(t *testing.T) {
	checkGoroutines(t)
	client, server := newQUICPair(t, nil, narrow(16<<10))
	a, b := openPair(t, client, server)
	failed := make(chan error)
	go func() {
		_, err := a.Write(make([]byte, 1<<20))
		failed <- err
	}()
	blocked(t, a, b)
	b.CancelRead(10)
	within(t, "Write", func() { cancelled(t, "Write", <-failed, 10, true) })
}

// After the end was read, to give the direction up changes nothing.
func TestCancelReadAfterTheEnd(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	a, b := openPair(t, client, server)
	closeAll(t, a)
	drain(t, b)
	b.CancelRead(1)
	if _, err := b.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("Read: %v", err)
	}
	if err := a.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func TestCancelWriteAfterClose(t *testing.T) {
	checkGoroutines(t)
	client, server := newQUICPair(t, nil, narrow(16<<10))
	a, b := openPair(t, client, server)
	failed := make(chan error)
	go func() {
		_, err := a.Write(make([]byte, 1<<20))
		failed <- err
	}()
	blocked(t, a, b)
	closeAll(t, a)
	a.CancelWrite(3) // what was written is given up
	if err := <-failed; err == nil {
		t.Error("a Write that was cut says that all is well")
	}
	if _, err := a.Write([]byte("x")); !errors.Is(err, ErrStreamClosed) {
		t.Errorf("Write: %v", err)
	}
	cancelled(t, "Read", readError(b), 3, true)
}

// What QUIC has delivered already, the end included, is not read any more.
func TestCancelReadWithEverythingBuffered(t *testing.T) {
	checkGoroutines(t)
	client, _ := newConnPair(t)
	f := newFakeStream(t, client)
	send(t, f.send, "data")
	if err := f.send.Close(); err != nil {
		t.Fatal(err)
	}
	expect(t, f.receive, "da")
	f.receive.CancelRead(3)
	if f.receive.buf != nil {
		t.Error("what nobody reads is kept")
	}
	for range 2 {
		n, err := f.receive.Read(make([]byte, 10))
		if n > 0 {
			t.Errorf("%d octets read", n)
		}
		cancelled(t, "Read", err, 3, false)
	}
}
