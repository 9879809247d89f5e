package quicmls

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
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
}

// Who uses a net.Conn looks for net.ErrClosed, not for what streams say.
func TestNetConnAfterCloseIsErrClosed(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	a, b := openPair(t, client, server)
	x := a.NetConn()
	send(t, b, "before Close")
	begun := make(chan struct{}, 2)
	var under []<-chan error
	for _, copying := range []func() error{
		func() error { return second64(io.Copy(&signalling{w: io.Discard, begun: begun}, x)) },
		func() error { return second64(io.Copy(x, &signalling{begun: begun})) }, // until the peer takes no more
	} {
		done := make(chan error, 1)
		go func() { done <- copying() }()
		under = append(under, done)
		<-begun
	}
	if err := x.Close(); err != nil {
		t.Error(err)
	}
	for i, done := range under {
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Errorf("copy %d under way: %v, want net.ErrClosed", i, err)
		}
	}
	for name, err := range map[string]error{
		"Read":     second(x.Read(make([]byte, 1))),
		"Write":    second(x.Write(make([]byte, 1))),
		"WriteTo":  readError(x),
		"ReadFrom": second64(io.Copy(x, strings.NewReader("more"))),
	} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s after Close: %v, want net.ErrClosed", name, err)
		}
	}

	// What the peer did is still told.
	a, b = openPair(t, client, server)
	x = a.NetConn()
	b.CancelRead(7)
	<-a.Context().Done()
	cancelled(t, "Write", second(x.Write(make([]byte, 1))), 7, true)
	b.CancelWrite(8)
	cancelled(t, "Read", readError(x), 8, true)
	if err := x.Close(); err != nil {
		t.Error(err)
	}
}

func second(_ int, err error) error { return err }

func second64(_ int64, err error) error { return err }

// A signalling is an endless source, or passes on to w, and says when it is first used.
type signalling struct {
	w     io.Writer
	once  sync.Once
	begun chan<- struct{}
}

func (s *signalling) signal() { s.once.Do(func() { s.begun <- struct{}{} }) }

func (s *signalling) Read(p []byte) (int, error) {
	s.signal()
	return len(p), nil
}

func (s *signalling) Write(p []byte) (int, error) {
	s.signal()
	return s.w.Write(p)
}
