package tunnel

import (
	"crypto/tls"
	"net"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/config"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/testbed"
	"github.com/mendlink/mendlink/quicmls"
)

// stranger connects to a server, says nothing, and leaves when it is told to.
func stranger(t *testing.T, transport, address string) (leave func()) {
	t.Helper()
	if transport == config.TCP {
		c := testbed.Dial(t, "tcp", address)
		return func() { c.Close() }
	}
	q, err := quic.DialAddr(t.Context(), address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{quicmls.NextProto}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	leave = func() { q.CloseWithError(0, "") }
	t.Cleanup(leave)
	return leave
}

// Strangers who say nothing have no more places than max_handshakes, and who is at home waits for one of these.
func TestStrangersHaveNoMorePlacesThanThereAreForHandshakes(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		e := pinnedEnds(t, transport, testbed.Echo(t))
		e.server.Forwards[0].MaxHandshakes = 2
		server := start(t, e.server, Options{})
		first, second := stranger(t, transport, addressOf(server, "server")), stranger(t, transport, addressOf(server, "server"))
		defer second()
		handshakes := func() int {
			return goroutinesIn("mendlink/netconn.(*Conn).HandshakeContext(") + goroutinesIn("mendlink/quicmls.(*Conn).HandshakeContext(")
		}
		testbed.Eventually(t, "two strangers have the places", func() bool { return handshakes() == 2 })
		third := stranger(t, transport, addressOf(server, "server"))
		defer third()
		time.Sleep(100 * time.Millisecond) // for a handshake that must not begin
		if n := handshakes(); n != 2 {
			t.Errorf("%d handshakes are under way, want 2", n)
		}
		// A reload makes room: for the third stranger, and for the client.
		changed := e.server.Forwards[0]
		changed.MaxHandshakes = 4
		reload(t, server, with(e.server, changed))
		others := time.Now().Add(10 * time.Second) // nobody is waited for longer than that
		testbed.Eventually(t, "the third has a place", func() bool {
			if time.Now().After(others) {
				stranger(t, transport, addressOf(server, "server"))
				others = time.Now().Add(10 * time.Second)
			}
			return handshakes() > 2
		})
		e.client.Forwards[0].Forward = addressOf(server, "server")
		client := start(t, e.client, Options{})
		c := testbed.Dial(t, "tcp", addressOf(client, "client"))
		testbed.SayAndHear(t, c, "in between strangers")
		// With the places taken again, those who have a link keep it, and who leaves makes room.
		reload(t, server, with(e.server, e.server.Forwards[0]))
		testbed.SayAndHear(t, c, "as before")
		var dialled net.Conn
		if transport == config.TCP { // over QUIC it would be a stream of the link that there is
			dialled = testbed.Dial(t, "tcp", addressOf(client, "client"))
		}
		first()
		third()
		if dialled != nil {
			testbed.SayAndHear(t, dialled, "after two have left")
		}
	})
}
