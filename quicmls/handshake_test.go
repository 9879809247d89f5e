package quicmls

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/identity"
)

// handshakeBoth performs the handshake of both ends at once.
func handshakeBoth(t *testing.T, client, server *Conn) (clientErr, serverErr error) {
	t.Helper()
	within(t, "the handshake", func() {
		var wg sync.WaitGroup
		wg.Go(func() { clientErr = client.HandshakeContext(t.Context()) })
		wg.Go(func() { serverErr = server.HandshakeContext(t.Context()) })
		wg.Wait()
	})
	return clientErr, serverErr
}

func TestPeerIsRefused(t *testing.T) {
	for _, who := range []string{"initiator", "responder"} {
		t.Run(who, func(t *testing.T) {
			checkGoroutines(t)
			ic, rc := newConfigs(t)
			if who == "initiator" {
				ic.Identity = newIdentity(t, "stranger")
			} else {
				rc.Identity = newIdentity(t, "stranger")
			}
			a, b := quicPair(t, ic, rc)
			client, server := Client(a, ic), Server(b, rc)
			refused, refuser := handshakeBoth(t, client, server)
			if who == "responder" {
				refused, refuser = refuser, refused
			}
			var unknown *identity.UnknownPeerError
			if !errors.Is(refuser, channel.ErrPeerRefused) || !errors.As(refuser, &unknown) {
				t.Errorf("who refuses gets %v", refuser)
			}
			var alert *AlertError
			if !errors.As(refused, &alert) || alert.Alert != channel.AlertBadCertificate || !errors.Is(refused, net.ErrClosed) {
				t.Errorf("who is refused gets %v", refused)
			}
			for _, c := range []*Conn{client, server} {
				for range 2 {
					if _, err := c.OpenStream(); err == nil || !errors.Is(err, c.handshakeErr) {
						t.Errorf("OpenStream: %v", err)
					}
				}
				if err := c.SendDatagram(nil); err == nil {
					t.Error("a datagram is sent")
				}
				if c.ConnectionState().HandshakeComplete {
					t.Error("the handshake is said to be complete")
				}
				if c.Context().Err() == nil {
					t.Error("the connection lives on")
				}
				c.CloseWithError(0, "")
			}
		})
	}
}

func TestDialRefused(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	ic.Identity = newIdentity(t, "stranger")
	l, err := Listen("127.0.0.1:0", rc)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	refused := make(chan error, 1)
	go func() {
		c, err := l.Accept(t.Context())
		if err == nil {
			_, err = c.AcceptStream(t.Context()) // which performs the handshake
		}
		refused <- err
	}()
	var alert *AlertError
	if _, err := Dial(t.Context(), l.Addr().String(), ic); !errors.As(err, &alert) || alert.Alert != channel.AlertBadCertificate {
		t.Errorf("Dial: %v", err)
	}
	if err := <-refused; !errors.Is(err, channel.ErrPeerRefused) {
		t.Errorf("AcceptStream: %v", err)
	}
}

func TestUnusableConfig(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	for name, break_ := range map[string]func(*Config){
		"no identity":     func(c *Config) { c.Identity.Signer = nil },
		"no validator":    func(c *Config) { c.Validator = nil },
		"negative grace":  func(c *Config) { c.EpochGrace = -1 },
		"unusable policy": func(c *Config) { c.Rekey.Jitter = 2 },
	} {
		bad := *ic
		break_(&bad)
		if _, err := Dial(t.Context(), "127.0.0.1:1", &bad); err == nil {
			t.Errorf("%s: Dial takes it", name)
		}
		if _, err := Listen("127.0.0.1:0", &bad); err == nil {
			t.Errorf("%s: Listen takes it", name)
		}
		a, b := quicPair(t, ic, rc)
		for _, c := range []*Conn{Client(a, &bad), Server(b, &bad)} {
			want := c.HandshakeContext(t.Context())
			if want == nil {
				t.Errorf("%s: the handshake takes it", name)
			}
			if _, err := c.OpenStream(); err != want {
				t.Errorf("%s: OpenStream: %v, want %v", name, err, want)
			}
			if err := c.Update(t.Context()); err != want {
				t.Errorf("%s: Update: %v, want %v", name, err, want)
			}
			if c.ConnectionState().HandshakeComplete {
				t.Errorf("%s: the handshake is said to be complete", name)
			}
			if err := c.CloseWithError(0, ""); err != nil {
				t.Errorf("%s: CloseWithError: %v", name, err)
			}
		}
	}
	if _, err := Dial(t.Context(), "127.0.0.1:1", nil); err == nil {
		t.Error("Dial takes no Config at all")
	}
}

func TestHandshakeTimeout(t *testing.T) {
	for _, who := range []string{"client", "server"} {
		t.Run(who, func(t *testing.T) {
			checkGoroutines(t)
			ic, rc := newConfigs(t)
			ic.HandshakeTimeout, rc.HandshakeTimeout = 50*time.Millisecond, 50*time.Millisecond
			a, b := quicPair(t, ic, rc)
			c, silent := Client(a, ic), b
			if who == "server" {
				c, silent = Server(b, rc), a
			}
			var timeout *HandshakeTimeoutError
			var netErr net.Error
			for range 2 {
				err := c.HandshakeContext(t.Context())
				if !errors.As(err, &timeout) || timeout.After != 50*time.Millisecond || !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &netErr) || !netErr.Timeout() {
					t.Errorf("HandshakeContext: %v", err)
				}
			}
			if _, err := c.OpenStream(); !errors.As(err, &timeout) {
				t.Errorf("OpenStream: %v", err)
			}
			<-silent.Context().Done()
			var alert *AlertError
			if err := explain(context.Cause(silent.Context())); !errors.As(err, &alert) || alert.Alert != channel.AlertUserCanceled {
				t.Errorf("the peer gets %v", err)
			}
		})
	}
}

func TestHandshakeContextEnds(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	ic.HandshakeTimeout = -1
	a, b := quicPair(t, ic, rc)
	client := Client(a, ic)
	why := errors.New("somebody wants it no more")
	ctx, cancel := context.WithCancelCause(t.Context())
	failed := make(chan error)
	go func() { failed <- client.HandshakeContext(ctx) }()
	if _, err := b.AcceptStream(t.Context()); err != nil { // the handshake is under way
		t.Fatal(err)
	}
	cancel(why)
	if err := <-failed; err != why {
		t.Errorf("HandshakeContext: %v", err)
	}
	if err := client.HandshakeContext(t.Context()); err != why {
		t.Errorf("HandshakeContext: %v", err)
	}
	<-b.Context().Done()
}

// The context of a call that waits for another's handshake bounds that, too.
func TestHandshakeContextEndsBehindAnother(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	rc.HandshakeTimeout = -1
	_, q := quicPair(t, ic, rc) // and the peer says nothing
	c := Server(q, rc)
	first := make(chan error, 1)
	go func() { first <- c.HandshakeContext(context.Background()) }()
	eventually(t, "a call performs the handshake", func() bool {
		if c.handshakeMu.TryLock() {
			c.handshakeMu.Unlock()
			return false
		}
		return true
	})
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	within(t, "both calls", func() {
		if err := c.HandshakeContext(ctx); err != why {
			t.Errorf("HandshakeContext: %v, want the context's cause", err)
		}
		if err := <-first; err == nil {
			t.Error("the one before says that all is well")
		}
	})
	if cause := context.Cause(c.Context()); cause != why {
		t.Errorf("the connection has ended because of %v", cause)
	}
}

// Where the ctx of a call that needs the handshake ends, the handshake goes on.
func TestHandshakeOutlivesWhoAskedForIt(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	a, b := quicPair(t, ic, rc)
	client, server := Client(a, ic), Server(b, rc)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := client.AcceptStream(ctx)
		failed <- err
	}()
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("AcceptStream: %v", err)
	}
	x, y := handshakeBoth(t, client, server)
	if err := errors.Join(x, y); err != nil {
		t.Fatal(err)
	}
	exchangeOnAnother(t, client, server)
	client.CloseWithError(0, "")
	server.CloseWithError(0, "")
}

// Many calls may be the first one.
func TestFirstCallsAtOnce(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	a, b := quicPair(t, ic, rc)
	client, server := Client(a, ic), Server(b, rc)
	within(t, "the calls", func() {
		var wg sync.WaitGroup
		for range 10 {
			for _, c := range []*Conn{client, server} {
				wg.Go(func() {
					if err := c.HandshakeContext(t.Context()); err != nil {
						t.Error(err)
					}
				})
				wg.Go(func() {
					if _, err := c.OpenStreamSync(t.Context()); err != nil {
						t.Error(err)
					}
				})
				wg.Go(func() {
					if err := c.Update(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
		}
		wg.Wait()
	})
	u, v := openUniPair(t, client, server)
	send(t, u, "all is well")
	expect(t, v, "all is well")
	client.CloseWithError(0, "")
	server.CloseWithError(0, "")
}

func TestCloseDuringTheHandshake(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	a, b := quicPair(t, ic, rc)
	client := Client(a, ic)
	failed := make(chan error)
	calls := []func() error{
		func() error { return client.HandshakeContext(t.Context()) },
		func() error { _, err := client.OpenStream(); return err },
		func() error { _, err := client.AcceptStream(t.Context()); return err },
		func() error { _, err := client.ReceiveDatagram(t.Context()); return err },
		func() error { return client.SendDatagram(nil) },
		func() error { return client.Update(t.Context()) },
	}
	for _, call := range calls {
		go func() { failed <- call() }()
	}
	if _, err := b.AcceptStream(t.Context()); err != nil { // the handshake is under way
		t.Fatal(err)
	}
	if err := client.CloseWithError(99, "changed my mind"); err != nil {
		t.Error(err)
	}
	within(t, "the calls", func() {
		for range calls {
			if err := <-failed; !errors.Is(err, net.ErrClosed) {
				t.Errorf("%v", err)
			}
		}
	})
	var closed *quic.ApplicationError
	if _, err := b.AcceptStream(t.Context()); !errors.As(err, &closed) || closed.ErrorCode != 99 {
		t.Errorf("the peer gets %v", err)
	}
	if err := Server(b, rc).HandshakeContext(t.Context()); !errors.As(err, &closed) || closed.ErrorCode != 99 {
		t.Errorf("HandshakeContext: %v", err)
	}
	never := Client(a, ic) // which has never begun
	if err := never.CloseWithError(0, ""); err != nil {
		t.Error(err)
	}
	if err := never.HandshakeContext(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("HandshakeContext after CloseWithError: %v", err)
	}
}

// Peers that stall keep nobody else waiting.
func TestStalledPeersDoNotBlockAccept(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	l, err := Listen("127.0.0.1:0", rc)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ic, err = ic.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		q, err := quic.DialAddr(t.Context(), l.Addr().String(), ic.clientTLS(), ic.quicConfig())
		if err != nil {
			t.Fatal(err)
		}
		defer q.CloseWithError(0, "")
		stalled, err := l.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer stalled.CloseWithError(0, "")
		waiting := make(chan error)
		go func() { waiting <- stalled.HandshakeContext(t.Context()) }()
		defer func() {
			stalled.CloseWithError(0, "")
			if err := <-waiting; !errors.Is(err, net.ErrClosed) {
				t.Errorf("HandshakeContext: %v", err)
			}
		}()
	}
	accepted := make(chan *Conn, 1)
	go func() {
		c, err := l.Accept(t.Context())
		if err != nil {
			t.Error(err)
		} else if err := c.HandshakeContext(t.Context()); err != nil {
			t.Error(err)
		}
		accepted <- c
	}()
	within(t, "the handshake of another", func() {
		c, err := Dial(t.Context(), l.Addr().String(), ic)
		if err != nil {
			t.Error(err)
			return
		}
		(<-accepted).CloseWithError(0, "")
		c.CloseWithError(0, "")
	})
}

func TestAcceptEnds(t *testing.T) {
	checkGoroutines(t)
	_, rc := newConfigs(t)
	l, err := Listen("127.0.0.1:0", rc)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Accept(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Accept: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := l.Accept(t.Context()); !errors.Is(err, quic.ErrServerClosed) {
		t.Errorf("Accept: %v", err)
	}
}

// What is not this protocol, or not QUIC's usual self, is refused by what it is.
func TestForeignPeers(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	rc.TLS = &tls.Config{NextProtos: []string{"h3"}}
	certificate, err := throwAwayCertificate()
	if err != nil {
		t.Fatal(err)
	}
	rc.TLS.Certificates = []tls.Certificate{certificate}
	l, err := Listen("127.0.0.1:0", rc)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var transport *quic.TransportError
	if _, err := Dial(t.Context(), l.Addr().String(), ic); !errors.As(err, &transport) || !transport.ErrorCode.IsCryptoError() {
		t.Errorf("Dial to another protocol: %v", err)
	}
	// An HTTP server of QUIC is no peer for a session, whatever the certificate.
	ic.TLS = &tls.Config{NextProtos: []string{"h3"}, InsecureSkipVerify: true}
	ic.HandshakeTimeout = time.Minute
	done := make(chan error, 1)
	go func() {
		q, err := l.quic.Accept(t.Context())
		if err == nil {
			var s *quic.Stream
			if s, err = q.AcceptStream(t.Context()); err == nil {
				_, err = io.WriteString(s, "HTTP/3 speaks otherwise")
			}
		}
		done <- err
	}()
	if _, err := Dial(t.Context(), l.Addr().String(), ic); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Dial to another protocol: %v", err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
