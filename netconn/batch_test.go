package netconn

import (
	"bytes"
	"io"
	"testing"
)

// Many records share one system call, whatever the size of a Write, and however small the first ones are.
func TestManyRecordsShareASystemCall(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	a, b := tcpPair(t)
	counted := &countingConn{Conn: a}
	client, server := connect(t, counted, b, ic, rc)
	go io.Copy(io.Discard, server)
	const size = 4 << 20
	for what, send := range map[string]func() error{
		"Write": func() error { return second(client.Write(make([]byte, size))) },
		"io.Copy": func() error {
			_, err := io.Copy(client, struct{ io.Reader }{bytes.NewReader(make([]byte, size))})
			return err
		},
	} {
		counted.writes.Store(0)
		if err := send(); err != nil {
			t.Fatal(err)
		}
		// ReadFrom begins with a small buffer, and the first records have more overhead than the others.
		if n, limit := counted.writes.Load(), int64(size/(120<<10)+2); n > limit {
			t.Errorf("%s: %d system calls for %d octets, want %d at most", what, n, size, limit)
		}
	}
}

// What a record holds goes straight to the application if there is room for it, and is
// kept in the buffer where it came otherwise.
func TestARecordIsOpenedWhereItGoes(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	r := &server.receiver
	for _, c := range []struct {
		size, room int
		straight   bool
	}{
		{100, 16 << 10, true},
		{100, 101, true},
		{100, 100, false}, // the record's type has to be opened too
		{100, 99, false},
	} {
		data := pattern(c.size)
		if _, err := client.Write(data); err != nil {
			t.Fatal(err)
		}
		p := make([]byte, c.room)
		n, err := r.step(p)
		if err != nil {
			t.Fatal(err)
		}
		straight, kept := p[:n], r.unread
		if c.straight && !(bytes.Equal(straight, data) && len(kept) == 0) || !c.straight && !(n == 0 && bytes.Equal(kept, data)) {
			t.Errorf("%d octets, room for %d: %d straight, %d kept", c.size, c.room, len(straight), len(kept))
		}
		r.unread = nil
		r.rest()
	}
}
