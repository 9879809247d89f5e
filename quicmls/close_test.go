package quicmls

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/mendlink/mendlink/channel"
)

// blockedCalls starts one of each call that can wait, on a connection and two streams of it, and returns
// what waits for their errors.
func blockedCalls(t *testing.T, from *Conn, reader, writer *Stream) (errs func() map[string]error) {
	t.Helper()
	got := make(map[string]error)
	var mu sync.Mutex
	var wg sync.WaitGroup
	start := func(name string, f func() error) {
		wg.Go(func() {
			err := f()
			mu.Lock()
			defer mu.Unlock()
			got[name] = err
		})
	}
	start("Read", func() error { return readError(reader) })
	start("Write", func() error { _, err := writer.Write(make([]byte, 64<<20)); return err })
	start("another Write", func() error { return writeError(writer) })
	start("AcceptStream", func() error { _, err := from.AcceptStream(t.Context()); return err })
	start("AcceptUniStream", func() error { _, err := from.AcceptUniStream(t.Context()); return err })
	start("ReceiveDatagram", func() error { _, err := from.ReceiveDatagram(t.Context()); return err })
	start("OpenStreamSync", func() error {
		for {
			if _, err := from.OpenStreamSync(t.Context()); err != nil {
				return err
			}
		}
	})
	start("OpenUniStreamSync", func() error {
		for {
			if _, err := from.OpenUniStreamSync(t.Context()); err != nil {
				return err
			}
		}
	})
	start("Update", func() error {
		for {
			if err := from.Update(t.Context()); err != nil {
				return err
			}
		}
	})
	eventually(t, "Write waits", writer.send.waits)
	return func() map[string]error {
		within(t, "the calls", wg.Wait)
		return got
	}
}

// However the connection ends, all calls return and say so, at both ends.
func TestCloseWithErrorEndsAllCalls(t *testing.T) {
	for _, closer := range []string{"client", "server"} {
		t.Run(closer, func(t *testing.T) {
			checkGoroutines(t)
			ic, rc := newConfigs(t)
			ic.QUIC = &quic.Config{MaxIncomingStreams: 20, EnableDatagrams: true}
			rc.QUIC = ic.QUIC
			// The transports outlive the connection, to say again that it is closed: the one packet that
			// says so at first can be lost in what waits in the socket.
			client, server := connectOn(t, newTransport(t), newTransport(t), ic, rc)
			a, b := openPair(t, client, server)
			c, _ := openPair(t, client, server)
			d, _ := openPair(t, server, client)
			atClient, atServer := blockedCalls(t, client, a, c), blockedCalls(t, server, b, d)
			closes := client
			if closer == "server" {
				closes = server
			}
			for range 3 {
				if err := closes.CloseWithError(0x1234, "enough"); err != nil {
					t.Error(err)
				}
			}
			for c, errs := range map[*Conn]map[string]error{client: atClient(), server: atServer()} {
				for call, err := range errs {
					var closed *quic.ApplicationError
					if !errors.As(err, &closed) || closed.ErrorCode != 0x1234 || closed.Remote != (c != closes) || closed.ErrorMessage != "enough" {
						if c != closes || err != net.ErrClosed {
							t.Errorf("%s: %v", call, err)
						}
					}
					if !errors.Is(err, net.ErrClosed) {
						t.Errorf("%s: %v does not match net.ErrClosed", call, err)
					}
				}
				if c.Context().Err() == nil {
					t.Error("the context lives on")
				}
				<-c.served
				if _, err := c.ExportKeyingMaterial("label", nil, 32); !errors.Is(err, net.ErrClosed) {
					t.Errorf("ExportKeyingMaterial: %v", err)
				}
				// Nothing, with no error, would be the same at both ends.
				if out, err := c.EpochAuthenticator(); out != nil || !errors.Is(err, net.ErrClosed) {
					t.Errorf("EpochAuthenticator: %x, %v", out, err)
				}
				if out, err := c.ShortFingerprint(); out != "" || !errors.Is(err, net.ErrClosed) {
					t.Errorf("ShortFingerprint: %q, %v", out, err)
				}
				if err := c.HandshakeContext(t.Context()); err != nil {
					t.Errorf("HandshakeContext after a handshake: %v", err)
				}
			}
		})
	}
}

// aliveFor is an idle timeout that no machine is too busy for: whoever hears nothing for so long has a peer that is
// gone. QUIC waits no longer for an answer in its handshake.
const aliveFor = 5 * time.Second

// A peer that falls silent is noticed by QUIC.
func TestIdleTimeout(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	ic.QUIC = &quic.Config{MaxIdleTimeout: aliveFor, EnableDatagrams: true}
	rc.QUIC = ic.QUIC
	client, server := connect(t, ic, rc)
	a, b := openPair(t, client, server)
	exchange(t, a, b)
	within(t, "the end", func() {
		for _, s := range []*Stream{a, b} {
			var idle *quic.IdleTimeoutError
			if err := readError(s); !errors.As(err, &idle) {
				t.Errorf("Read: %v", err)
			}
			if err := writeError(s); !errors.As(err, &idle) {
				t.Errorf("Write: %v", err)
			}
		}
		for _, c := range []*Conn{client, server} {
			<-c.served
			var idle *quic.IdleTimeoutError
			if err := c.Update(t.Context()); !errors.As(err, &idle) || !errors.Is(err, net.ErrClosed) {
				t.Errorf("Update: %v", err)
			}
			if _, err := c.OpenStream(); !errors.As(err, &idle) {
				t.Errorf("OpenStream: %v", err)
			}
			if cause := context.Cause(c.Context()); !errors.As(cause, &idle) {
				t.Errorf("the context's cause: %v", cause)
			}
		}
	})
}

// Streams that are closed at both ends and read have lost nothing when the connection is closed.
func TestGracefulClose(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	a, b := openPair(t, client, server)
	send(t, a, "question")
	closeAll(t, a)
	if got, err := io.ReadAll(b); err != nil || string(got) != "question" {
		t.Errorf("%q, %v", got, err)
	}
	send(t, b, "answer")
	closeAll(t, b)
	if got, err := io.ReadAll(a); err != nil || string(got) != "answer" {
		t.Errorf("%q, %v", got, err)
	}
	client.CloseWithError(0, "")
	<-server.Context().Done()
	var closed *quic.ApplicationError
	if _, err := server.AcceptStream(t.Context()); !errors.As(err, &closed) || closed.ErrorCode != 0 {
		t.Errorf("AcceptStream: %v", err)
	}
	for _, s := range []*Stream{a, b} { // the end stays what it was
		if _, err := s.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("Read: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}

// The code of the application is not one of ours, and ours are no application's.
func TestAlertCodes(t *testing.T) {
	checkGoroutines(t)
	for _, c := range []struct {
		code  quic.ApplicationErrorCode
		alert channel.Alert
	}{{0x6d6c00, 0}, {0x6d6c14, channel.AlertBadRecordMAC}, {0x6d6cff, 255}} {
		client, server := newConnPair(t)
		client.CloseWithError(c.code, "")
		told(t, server, c.alert)
	}
	for _, code := range []quic.ApplicationErrorCode{0x6d6bff, 0x6d6d00, 0x14, 0x16d6c14} {
		client, server := newConnPair(t)
		client.CloseWithError(code, "")
		<-server.Context().Done()
		var closed *quic.ApplicationError
		if err := server.closedBy(); !errors.As(err, &closed) || errors.As(err, new(*AlertError)) || closed.ErrorCode != code {
			t.Errorf("%#x is %v", code, err)
		}
	}
}
