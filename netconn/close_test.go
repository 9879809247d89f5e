package netconn

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mendlink/mendlink/channel"
)

// Whoever closes crypto/tls inside a link sets the link's write deadline to the present first. The
// peer is to see the link's authentic end all the same.
func TestCloseOfTLSInsideIsAnAuthenticEnd(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	inner := tls.Client(client, &tls.Config{InsecureSkipVerify: true})
	outer := tls.Server(server, &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}})
	closed := make(chan error, 1)
	go func() {
		_, err := io.WriteString(inner, "last words")
		closed <- errors.Join(err, inner.Close())
	}()
	if got, err := io.ReadAll(outer); string(got) != "last words" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := server.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the link ends with %v, want io.EOF", err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

// Data that a deadline has left behind goes out with Close, if the transport has room again.
func TestCloseSendsWhatADeadlineInThePastLeftBehind(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	a, b := net.Pipe()
	late := &actingConn{Conn: a, act: func() {}}
	client, server := connect(t, late, b, ic, rc)
	leaveBehind(t, client, late, "late")
	got := make(chan string)
	go func() {
		b, err := io.ReadAll(server)
		if err != nil {
			t.Error(err)
		}
		got <- string(b)
	}()
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	if got := <-got; got != "late" {
		t.Errorf("the peer reads %q", got)
	}
}

// leaveBehind has a deadline pass in the middle of a Write to a pipe that nobody reads.
func leaveBehind(t *testing.T, c *Conn, transport *actingConn, data string) {
	t.Helper()
	transport.act = func() {
		transport.act = func() {}
		c.SetWriteDeadline(longAgo)
	}
	if n, err := c.Write([]byte(data)); n != len(data) || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("Write: %d, %v; want %d and os.ErrDeadlineExceeded", n, err, len(data))
	}
}

// Close is bounded whatever others do to the deadline meanwhile.
func TestNobodyPutsCloseOff(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	a, b := net.Pipe() // nobody reads
	acting := &actingConn{Conn: a, act: func() {}}
	client, _ := connect(t, acting, b, ic, rc)
	client.SetWriteDeadline(time.Now().Add(time.Millisecond))
	acting.act = func() {
		if err := client.SetWriteDeadline(time.Time{}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("SetWriteDeadline: %v, want net.ErrClosed", err)
		}
	}
	within(t, "Close", func() {
		if err := client.Close(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Close: %v, want os.ErrDeadlineExceeded", err)
		}
	})
}

// A timingOut is a transport one of whose Writes exceeds its deadline, and that
// lets something happen before it says so.
type timingOut struct {
	net.Conn
	once func()
}

func (c *timingOut) Write(p []byte) (int, error) {
	if c.once == nil {
		return c.Conn.Write(p)
	}
	once := c.once
	c.once = nil
	once()
	return 0, os.ErrDeadlineExceeded
}

// Another deadline may be set after the transport has noticed that one has passed, and before the
// Conn has. What is left behind must not stay there.
func TestADeadlineThatIsSetWhileAnotherPasses(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	a, b := tcpPair(t)
	transport := &timingOut{Conn: a}
	client, server := connect(t, transport, b, ic, rc)
	transport.once = func() { client.SetWriteDeadline(time.Time{}) }
	if n, err := client.Write([]byte("data")); n != 4 || err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(n, err)
	}
	within(t, "Read", func() {
		got := make([]byte, 4)
		if _, err := io.ReadFull(server, got); err != nil || string(got) != "data" {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// The pump decides to stop, and before it has, the reason is gone.
func TestThePumpStopsForNoReasonOfThePast(t *testing.T) {
	for name, c := range map[string]struct{ stop, goOn func(*Conn) }{
		"a deadline": {
			func(c *Conn) { c.SetReadDeadline(longAgo) },
			func(c *Conn) { c.SetReadDeadline(time.Time{}) },
		},
		"no room": {
			func(c *Conn) { c.receiver.ahead.put(make([]byte, maxReadAhead), false) },
			func(c *Conn) { c.Read(make([]byte, maxReadAhead)) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			checkGoroutines(t)
			client, server := newConnPair(t)
			client.receiver.pumping.Store(true) // it is this test
			done := make(chan error, 1)
			go func() { done <- client.Update(t.Context()) }()
			for !client.driver.Pending() {
				time.Sleep(time.Millisecond)
			}
			c.stop(client)
			why := client.receiver.pumpRecords()
			c.goOn(client)
			client.receiver.pumped(why)
			go server.Read(make([]byte, 1))
			within(t, "the update", func() {
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// Who hears that the connection has ended on an error, and why, can send nothing more over it.
func TestAnErrorIsToldOnceNothingFollows(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	updated := make(chan error, 1)
	go func() { updated <- client.Update(t.Context()) }()
	for !client.driver.Pending() {
		time.Sleep(time.Millisecond)
	}
	queue := &client.sender.queue
	queue.mu.Lock()
	refused := errors.New("refused")
	aborted := make(chan struct{})
	go func() {
		defer close(aborted)
		client.abort(refused)
	}()
	select {
	case err := <-updated:
		t.Errorf("Update returned, with %v, before writing had ended", err)
		updated <- err
	case <-time.After(50 * time.Millisecond): // for a mistake to show; nothing that is right depends on it
	}
	queue.mu.Unlock()
	if err := <-updated; !errors.Is(err, refused) {
		t.Errorf("Update: %v", err)
	}
	if n, err := client.Write([]byte("x")); n != 0 || !errors.Is(err, refused) {
		t.Errorf("Write: %d, %v", n, err)
	}
	<-aborted
	var alert *AlertError
	if _, err := server.Read(make([]byte, 1)); !errors.As(err, &alert) || alert.Alert != channel.AlertInternalError {
		t.Errorf("the peer reads %v", err)
	}
}

// A dyingConn fails as a system's connection does whose peer does not answer any more.
type dyingConn struct {
	net.Conn
	dead chan struct{}
}

func (c *dyingConn) Read(p []byte) (int, error) {
	select {
	case <-c.dead:
		return 0, &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ETIMEDOUT)}
	default:
		return c.Conn.Read(p)
	}
}

// The system's timeout is the end of a connection, unlike the application's.
func TestATimeoutOfTheSystemIsFinal(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	a, b := tcpPair(t)
	dying := &dyingConn{Conn: a, dead: make(chan struct{})}
	client, _ := connect(t, dying, b, ic, rc)
	close(dying.dead)
	within(t, "Update", func() {
		if err := client.Update(t.Context()); !errors.Is(err, syscall.ETIMEDOUT) {
			t.Errorf("Update: %v", err)
		}
	})
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, syscall.ETIMEDOUT) {
		t.Errorf("Read: %v", err)
	}
}

// That the end of the handshake's context, or an abort whose time is over, has closed the transport is
// no error of Close: which of them comes first is up to the scheduler.
func TestCloseAfterTheTransportWasClosedIsNoError(t *testing.T) {
	checkGoroutines(t)
	_, rc := newConfigs(t)
	a, b := tcpPair(t)
	defer b.Close()
	server := Server(a, rc)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := server.HandshakeContext(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := server.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := server.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("another Close: %v, want net.ErrClosed", err)
	}
}

// A Read finds that the peer breaks the protocol when Close has stopped the timers. The transport, which may
// still send what it has, is not closed once more because of it.
func TestAnAbortAfterCloseLeavesTheTransport(t *testing.T) {
	checkGoroutines(t)
	client, _ := newConnPair(t)
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	client.abort(channel.ErrPeerRefused)
	if client.abortTimer != nil {
		client.abortTimer.Stop()
		t.Error("the transport is to be closed again")
	}
}

// A readingConn does something before one of its Reads.
type readingConn struct {
	net.Conn
	act atomic.Pointer[func()]
}

func (c *readingConn) Read(p []byte) (int, error) {
	if act := c.act.Swap(nil); act != nil {
		(*act)()
	}
	return c.Conn.Read(p)
}

// Another deadline may be set after an abort has woken a Read, and before that has noticed. It learns of
// the abort all the same, and not only when the transport is closed.
func TestADeadlineDoesNotKeepAnAbortFromRead(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	a, b := tcpPair(t)
	transport := &readingConn{Conn: a}
	client, _ := connect(t, transport, b, ic, rc)
	act := func() {
		client.abort(channel.ErrPeerRefused)
		client.abortTimer.Stop()
		client.SetReadDeadline(time.Time{})
	}
	transport.act.Store(&act)
	within(t, "Read", func() {
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, channel.ErrPeerRefused) {
			t.Errorf("%v, want %v", err, channel.ErrPeerRefused)
		}
	})
}
