package tlspsk

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// hang bounds what a test waits for something that would never come.
const hang = 30 * time.Second

// A carrier is a way in which two TLS configurations meet.
type carrier struct {
	name string
	// meet lets a client and a server do a handshake and an echo.
	meet func(t testing.TB, client, server *tls.Config) meeting
}

var carriers = []carrier{{"TLS over TCP", meetOverTCP}, {"QUIC", meetOverQUIC}}

// onEachCarrier runs a test over TCP and over QUIC.
func onEachCarrier(t *testing.T, test func(*testing.T, carrier)) {
	for _, c := range carriers {
		t.Run(c.name, func(t *testing.T) { test(t, c) })
	}
}

// A meeting is what came of a connection: each end's state when its handshake was done, and
// its error.
type meeting struct {
	client, server       tls.ConnectionState
	clientErr, serverErr error
}

// verify fails the test unless data went to and fro.
func (m meeting) verify(t testing.TB) {
	t.Helper()
	if err := errors.Join(m.clientErr, m.serverErr); err != nil {
		t.Fatal(err)
	}
}

// refused fails the test unless both ends see that there is no connection, and the
// server's error matches want, where the carrier tells it.
func (m meeting) refused(t testing.TB, want error) {
	t.Helper()
	if m.clientErr == nil || m.serverErr == nil {
		t.Fatalf("the client's error is %v, the server's %v; want two", m.clientErr, m.serverErr)
	}
	if m.server.HandshakeComplete {
		t.Error("the server's handshake is complete")
	}
	if want != nil && !errors.Is(m.serverErr, want) && !errors.Is(m.serverErr, errNotAccepted) {
		t.Errorf("the server's error is %q, want %q", m.serverErr, want)
	}
}

var errNotAccepted = errors.New("no connection was accepted")

const greeting = "hello"

func echoOnce(rw io.ReadWriter) error {
	b := make([]byte, len(greeting))
	if _, err := io.ReadFull(rw, b); err != nil {
		return err
	}
	_, err := rw.Write(b)
	return err
}

func greet(rw io.ReadWriter) error {
	if _, err := io.WriteString(rw, greeting); err != nil {
		return err
	}
	b := make([]byte, len(greeting))
	if _, err := io.ReadFull(rw, b); err != nil {
		return err
	}
	if string(b) != greeting {
		return fmt.Errorf("%q came back", b)
	}
	return nil
}

func meetOverTCP(t testing.TB, client, server *tls.Config) (m meeting) {
	t.Helper()
	a, b := tcpPair(t)
	return meetOver(a, b, client, server)
}

func meetOver(a, b net.Conn, client, server *tls.Config) (m meeting) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer b.Close()
		b.SetDeadline(time.Now().Add(hang))
		conn := tls.Server(b, server)
		if m.serverErr = conn.Handshake(); m.serverErr == nil {
			m.server = conn.ConnectionState()
			m.serverErr = echoOnce(conn)
		}
	}()
	defer func() { <-done }()
	defer a.Close()
	a.SetDeadline(time.Now().Add(hang))
	conn := tls.Client(a, client)
	if m.clientErr = conn.Handshake(); m.clientErr == nil {
		m.client = conn.ConnectionState()
		m.clientErr = greet(conn)
	}
	return m
}

func tcpPair(t testing.TB) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return a, b
}

func meetOverQUIC(t testing.TB, client, server *tls.Config) (m meeting) {
	t.Helper()
	l, err := quic.ListenAddr("127.0.0.1:0", server, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(context.Background(), hang)
	defer cancel()
	accepting, stopAccepting := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept(accepting)
		if err != nil {
			m.serverErr = fmt.Errorf("%w: %w", errNotAccepted, err)
			return
		}
		m.server = conn.ConnectionState().TLS
		m.serverErr = func() error {
			stream, err := conn.AcceptStream(ctx)
			if err != nil {
				return err
			}
			return echoOnce(stream)
		}()
		<-conn.Context().Done() // the client has the echo and is gone
	}()
	defer func() { <-done }()
	defer stopAccepting()
	conn, err := quic.DialAddr(ctx, l.Addr().String(), client, nil)
	if err != nil {
		m.clientErr = err
		return m
	}
	defer conn.CloseWithError(0, "")
	m.client = conn.ConnectionState().TLS
	m.clientErr = func() error {
		stream, err := conn.OpenStreamSync(ctx)
		if err != nil {
			return err
		}
		return greet(stream)
	}()
	return m
}
