package quicmls

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/quic-go/quic-go"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/channel/record"
)

func TestHalfClose(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	for _, ends := range [][2]*Conn{{client, server}, {server, client}} {
		a, b := openPair(t, ends[0], ends[1])
		send(t, a, "question")
		closeAll(t, a)
		if got, err := io.ReadAll(b); err != nil || string(got) != "question" {
			t.Errorf("%q, %v", got, err)
		}
		for range 2 {
			if n, err := b.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("Read behind the end: %d, %v", n, err)
			}
		}
		// The other direction lives on, over updates of either end.
		update(t, client)
		send(t, b, "answer, ")
		expect(t, a, "answer, ")
		update(t, server)
		update(t, client)
		send(t, b, "rest of it")
		closeAll(t, b)
		if got, err := io.ReadAll(a); err != nil || string(got) != "rest of it" {
			t.Errorf("%q, %v", got, err)
		}
	}
}

func TestWriteAfterClose(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	a, b := openPair(t, client, server)
	closeAll(t, a, a, a)
	for _, p := range []string{"", "x"} {
		if n, err := a.Write([]byte(p)); n != 0 || err != ErrStreamClosed {
			t.Errorf("Write of %q: %d, %v", p, n, err)
		}
	}
	update(t, client) // has nothing to say there
	drain(t, b)
	closeAll(t, a)
	if a.Context().Err() == nil {
		t.Error("the context lives on")
	}
}

// A stream that ends before the peer has said so under the session's keys is cut.
func TestEndThatIsNotAuthentic(t *testing.T) {
	for _, c := range []struct {
		name string
		sent func(s *rawStream) [][]byte
		read string
	}{
		{"at once", func(s *rawStream) [][]byte { return nil }, ""},
		{"behind a record", func(s *rawStream) [][]byte {
			return [][]byte{s.seal(record.ContentApplicationData, "data")}
		}, "data"},
		{"behind an epoch", func(s *rawStream) [][]byte {
			return [][]byte{s.seal(record.ContentApplicationData, "data"), s.seal(record.ContentEpochEnd, "")}
		}, "data"},
		{"within a header", func(s *rawStream) [][]byte {
			return [][]byte{s.seal(record.ContentApplicationData, "data")[:2]}
		}, ""},
		{"within a record", func(s *rawStream) [][]byte {
			whole, half := s.seal(record.ContentApplicationData, "data"), s.seal(record.ContentApplicationData, "more")
			return [][]byte{whole, half[:len(half)-1]}
		}, "data"},
		{"within the last record", func(s *rawStream) [][]byte {
			end := s.seal(record.ContentAlert, "\x02\x00")
			return [][]byte{end[:len(end)-1]}
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			checkGoroutines(t)
			client, server := newConnPair(t)
			raw := openRaw(t, client)
			raw.send(c.sent(raw)...)
			if err := raw.Close(); err != nil {
				t.Fatal(err)
			}
			b := accept(t, server)
			got, err := io.ReadAll(b)
			if err != io.ErrUnexpectedEOF || string(got) != c.read {
				t.Errorf("%q, %v", got, err)
			}
			if _, err := b.Read(make([]byte, 1)); err != io.ErrUnexpectedEOF {
				t.Errorf("then %v", err)
			}
			x, y := openPair(t, client, server) // the connection lives
			exchange(t, x, y)
		})
	}
}

// The end is authentic with the last record, but the QUIC stream must end there as well.
func TestOctetsBehindTheLastRecord(t *testing.T) {
	for _, apart := range []bool{false, true} {
		checkGoroutines(t)
		client, server := newConnPair(t)
		raw := openRaw(t, client)
		sent, more := [][]byte{raw.seal(record.ContentApplicationData, "data"), raw.seal(record.ContentAlert, "\x02\x00")}, []byte{1}
		if !apart {
			sent = append(sent, more)
		}
		raw.send(sent...)
		b := accept(t, server)
		expect(t, b, "data")
		if apart {
			raw.send(more)
		}
		if _, err := b.Read(make([]byte, 1)); !errors.Is(err, record.ErrUnexpected) {
			t.Errorf("%v", err)
		}
		told(t, client, channel.AlertUnexpectedMessage)
	}
}

// told checks that the peer has ended the connection with this alert.
func told(t *testing.T, c *Conn, want channel.Alert) {
	t.Helper()
	within(t, "the alert", func() { <-c.Context().Done() })
	var alert *AlertError
	if err := c.closedBy(); !errors.As(err, &alert) || alert.Alert != want {
		t.Errorf("the peer is told %v, want %v", err, want)
	}
	if _, err := c.OpenStream(); !errors.As(err, &alert) || alert.Alert != want {
		t.Errorf("OpenStream: %v, want %v", err, want)
	}
}

// All that was written before Close, and the end, arrive once the reader reads.
func TestCloseWithTheWindowFull(t *testing.T) {
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
	update(t, client)
	closeAll(t, a)
	var r result
	within(t, "Write", func() { r = <-done }) // which does not wait any longer
	update(t, client)
	update(t, server)
	got, err := io.ReadAll(b)
	if err != nil || !bytes.Equal(got, data[:r.n]) {
		t.Errorf("%d octets, %v; %d written, %v", len(got), err, r.n, r.err)
	}
	if r.n <= 32<<10 || r.n == len(data) || r.err != ErrStreamClosed {
		t.Errorf("%d octets written, %v", r.n, r.err)
	}
}

// A Close without a Write under way has nobody to send what the window leaves behind.
func TestCloseBehindAFullWindow(t *testing.T) {
	checkGoroutines(t)
	client, server := newQUICPair(t, nil, narrow(16<<10))
	a, b := openPair(t, client, server)
	used := record.StreamOverhead                                      // of the announcement
	data := bytes.Repeat([]byte{7}, 16<<10-used-record.StreamOverhead) // all that the window takes
	send(t, a, string(data))
	closeAll(t, a)
	update(t, client)
	update(t, server)
	if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d octets, %v", len(got), err)
	}
}

func TestReadAfterThePeerClosedTheConnection(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	a, b := openPair(t, client, server)
	c, d := openPair(t, client, server)
	send(t, c, "more than is read")
	expect(t, d, "more")
	if err := client.CloseWithError(17, "bye"); err != nil {
		t.Fatal(err)
	}
	<-server.Context().Done()
	for _, s := range []*Stream{b, d} {
		var closed *quic.ApplicationError
		if err := readError(s); !errors.As(err, &closed) || closed.ErrorCode != 17 || !closed.Remote {
			t.Errorf("Read: %v", err)
		}
		if err := writeError(s); !errors.As(err, &closed) || closed.ErrorCode != 17 || !closed.Remote {
			t.Errorf("Write: %v", err)
		}
		if err := s.Announce(); !errors.As(err, &closed) || closed.ErrorCode != 17 || !closed.Remote {
			t.Errorf("Announce: %v", err)
		}
	}
	var closed *quic.ApplicationError
	for _, s := range []*Stream{a, c} {
		if err := readError(s); !errors.As(err, &closed) || closed.ErrorCode != 17 || closed.Remote {
			t.Errorf("Read at the end that closed: %v", err)
		}
		if err := writeError(s); !errors.As(err, &closed) || closed.ErrorCode != 17 || closed.Remote {
			t.Errorf("Write at the end that closed: %v", err)
		}
	}
}
