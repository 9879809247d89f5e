package netconn

import (
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/mendlink/mendlink/channel/record"
)

// A flow begins with records that fit a segment and goes on with large ones, and so
// again after a rest.
func TestRecordsGrow(t *testing.T) {
	ic, rc := newConfigs(t)
	a, b := tcpPair(t)
	wire := &recordingConn{Conn: a}
	client, server := connect(t, wire, b, ic, rc)
	go io.Copy(io.Discard, server)
	sizes := func(octets int) (list []int) {
		wire.written = nil
		if _, err := client.Write(make([]byte, octets)); err != nil {
			t.Fatal(err)
		}
		for p := wire.written; len(p) > 0; {
			h, err := record.ParseHeader(p)
			if err != nil {
				t.Fatal(err)
			}
			list, p = append(list, record.HeaderSize+h.Length), p[record.HeaderSize+h.Length:]
		}
		return list
	}
	const small, large = 1400, record.MaxPlaintext + record.Overhead
	check := func(when string, got []int, first, largest int) {
		t.Helper()
		if got[0] != first || slices.Max(got) != largest {
			t.Errorf("%s the first record has %d octets and the largest %d, want %d and %d", when, got[0], slices.Max(got), first, largest)
		}
	}
	check("at first", sizes(1<<20), small, large)
	client.sender.size.last = time.Now().Add(time.Hour) // a busy machine is no rest
	check("then", sizes(1<<20), large, large)
	client.sender.size.last = time.Now().Add(-2 * flowRest)
	check("after a rest", sizes(1<<20), small, large)
	client.sender.size.last = time.Now().Add(-2 * flowRest)
	sizes(100) // a message tells nothing of a flow
	check("after a rest and a message", sizes(1<<20), small, large)
}

// A recordingConn keeps what is written.
type recordingConn struct {
	net.Conn
	written []byte
}

func (c *recordingConn) Write(p []byte) (int, error) {
	c.written = append(c.written, p...)
	return c.Conn.Write(p)
}
