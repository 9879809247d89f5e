package quicmls

import (
	"context"
	"net"
	"testing"
	"time"

	"golang.org/x/net/nettest"

	"github.com/mendlink/mendlink/channel"
)

// The view of streams as net.Conns passes the tests that every net.Conn should pass, also while
// the keys keep changing.
func TestNetConn(t *testing.T) {
	for _, c := range []struct {
		name  string
		rekey channel.UpdatePolicy
	}{
		{"quiet", quiet},
		{"updates all the time", channel.UpdatePolicy{Every: time.Millisecond, Bytes: 1 << 10, Records: 4}},
	} {
		t.Run(c.name, func(t *testing.T) {
			checkGoroutines(t)
			ic, rc := newConfigs(t)
			ic.Rekey, rc.Rekey = c.rekey, c.rekey
			client, server := connect(t, ic, rc)
			l := server.Listener()
			if l.Addr() != server.LocalAddr() {
				t.Errorf("the listener's address is %v", l.Addr())
			}
			nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
				a, err := client.OpenStreamSync(context.Background())
				if err == nil {
					err = a.Announce()
				}
				if err != nil {
					return nil, nil, nil, err
				}
				x, y := a.NetConn(), net.Conn(nil)
				if y, err = l.Accept(); err != nil {
					return nil, nil, nil, err
				}
				return x, y, func() { x.Close(); y.Close() }, nil
			})
			if err := client.Context().Err(); err != nil {
				t.Errorf("the connection has ended: %v", client.closedBy())
			}
			if c.name != "quiet" && client.ConnectionState().Epoch < 10 {
				t.Errorf("no more than epoch %d", client.ConnectionState().Epoch)
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			if _, err := l.Accept(); err == nil {
				t.Error("a listener that is closed accepts")
			}
		})
	}
}

func TestNetConnCloseWrite(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	a, b := openPair(t, client, server)
	x, y := a.NetConn(), b.NetConn()
	if x.LocalAddr() != client.LocalAddr() || x.RemoteAddr().String() != server.LocalAddr().String() {
		t.Errorf("addresses %v and %v", x.LocalAddr(), x.RemoteAddr())
	}
	if err := x.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	drain(t, b)
	send(t, y, "answer")
	expect(t, x, "answer")
	for range 2 {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	}
	cancelled(t, "Write", writeError(y), 0, true)
	if err := y.Close(); err != nil {
		t.Errorf("Close after the peer's: %v", err)
	}
	if _, err := x.Read(make([]byte, 1)); err == nil {
		t.Error("Read after Close")
	}
}
