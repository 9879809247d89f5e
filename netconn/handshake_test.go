package netconn

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/channel/record"
	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// handshakeBoth performs the handshake of both ends at once.
func handshakeBoth(client, server *Conn) (clientErr, serverErr error) {
	var wg sync.WaitGroup
	for _, end := range []struct {
		c   *Conn
		err *error
	}{{client, &clientErr}, {server, &serverErr}} {
		wg.Go(func() {
			if *end.err = end.c.Handshake(); *end.err != nil {
				end.c.Close()
			}
		})
	}
	wg.Wait()
	return clientErr, serverErr
}

func TestAPeerThatIsNotPinnedIsRefused(t *testing.T) {
	stranger := newIdentity(t, "stranger")
	for name, change := range map[string]func(ic, rc *Config){
		"initiator": func(ic, rc *Config) { ic.Identity = stranger },
		"responder": func(ic, rc *Config) { rc.Identity = stranger },
	} {
		t.Run(name, func(t *testing.T) {
			checkGoroutines(t)
			ic, rc := newConfigs(t)
			change(ic, rc)
			a, b := tcpPair(t)
			client, server := Client(a, ic), Server(b, rc)
			defer client.Close()
			defer server.Close()
			clientErr, serverErr := handshakeBoth(client, server)
			refuser, refused := serverErr, clientErr
			if name == "responder" {
				refuser, refused = clientErr, serverErr
			}
			var alert *AlertError
			var unknown *identity.UnknownPeerError
			if !errors.Is(refuser, channel.ErrPeerRefused) || !errors.As(refuser, &unknown) {
				t.Errorf("one end: %v, want ErrPeerRefused and who it was", refuser)
			}
			if !errors.As(refused, &alert) || alert.Alert != channel.AlertBadCertificate {
				t.Errorf("the other end: %v, want an AlertError", refused)
			}
			for _, c := range []*Conn{client, server} {
				if n, err := c.Write([]byte("data")); n != 0 || err == nil {
					t.Errorf("Write after a refusal: %d, %v", n, err)
				}
				if c.ConnectionState().HandshakeComplete {
					t.Error("the handshake is said to be complete")
				}
			}
		})
	}
}

func TestForeignPeersAreNamed(t *testing.T) {
	certificate := selfSigned(t)
	for _, c := range []struct {
		name   string
		server bool // our end is the responder
		peer   func(net.Conn)
		want   string // protocol, or empty: just an error
	}{
		{"TLS client", true, func(c net.Conn) { tls.Client(c, &tls.Config{InsecureSkipVerify: true}).Handshake() }, "TLS"},
		{"TLS server", false, func(c net.Conn) {
			tls.Server(c, &tls.Config{Certificates: []tls.Certificate{certificate}}).Handshake()
		}, "TLS"},
		{"HTTP client", true, func(c net.Conn) { io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n") }, "HTTP"},
		{"HTTP server", false, func(c net.Conn) {
			c.Read(make([]byte, 100))
			io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
		}, "HTTP"},
		{"SSH client", true, func(c net.Conn) { io.WriteString(c, "SSH-2.0-x\r\n") }, "SSH"},
		{"SSH server", false, func(c net.Conn) { io.WriteString(c, "SSH-2.0-x\r\n") }, "SSH"},
		{"text", true, func(c net.Conn) { io.WriteString(c, "hello, who is there?\r\n") }, ""},
		{"oversized record", true, func(c net.Conn) { c.Write([]byte{22, 3, 3, 0xff, 0xff, 1}) }, ""},
		{"oversized message", true, func(c net.Conn) { c.Write([]byte{22, 3, 3, 0, 5, 0xe0, 0xff, 0xff, 0xff, 0}) }, ""},
		{"empty message record", true, func(c net.Conn) { c.Write([]byte{22, 3, 3, 0, 0, 22}) }, ""},
		{"protected record at once", true, func(c net.Conn) { c.Write(append([]byte{23, 3, 3, 0, 32}, make([]byte, 32)...)) }, ""},
		{"close_notify in the clear", true, func(c net.Conn) { c.Write([]byte{21, 3, 3, 0, 2, 1, 0}) }, ""},
		{"empty hello", true, func(c net.Conn) { c.Write([]byte{22, 3, 3, 0, 4, 0xe0, 0, 0, 0}) }, ""},
		{"a message out of order", true, func(c net.Conn) { c.Write([]byte{22, 3, 3, 0, 4, 0xe2, 0, 0, 0}) }, ""},
		{"nothing at all", true, func(c net.Conn) {}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			checkGoroutines(t)
			ic, rc := newConfigs(t)
			a, b := tcpPair(t)
			done := make(chan struct{})
			go func() {
				defer close(done)
				c.peer(b)
				b.(*net.TCPConn).CloseWrite()
				io.Copy(io.Discard, b)
				b.Close()
			}()
			conn := Client(a, ic)
			if c.server {
				conn = Server(a, rc)
			}
			err := conn.Handshake()
			var foreign *record.ForeignProtocolError
			if err == nil {
				t.Error("the handshake is complete")
			} else if c.want != "" && (!errors.As(err, &foreign) || foreign.Protocol != c.want) {
				t.Errorf("%v, want a ForeignProtocolError for %s", err, c.want)
			}
			if again := conn.Handshake(); again != err {
				t.Errorf("the error does not stay: %v, then %v", err, again)
			}
			conn.Close()
			<-done
		})
	}
}

func selfSigned(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestASilentPeerMeetsTheTimeout(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	ic.HandshakeTimeout, rc.HandshakeTimeout = 50*time.Millisecond, 50*time.Millisecond
	for name, newPipe := range map[string]func(testing.TB) (net.Conn, net.Conn){"TCP": tcpPair, "Pipe": func(testing.TB) (net.Conn, net.Conn) { return net.Pipe() }} {
		a, b := newPipe(t)
		client, server := Client(a, ic), Server(b, rc)
		within(t, name, func() {
			_, err := server.Read(make([]byte, 1))
			var timeout *HandshakeTimeoutError
			if !errors.As(err, &timeout) || timeout.After != 50*time.Millisecond || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: %v, want a HandshakeTimeoutError", name, err)
			}
			if _, err := client.Write(make([]byte, 1)); err == nil {
				t.Errorf("%s: Write to a peer that has given up", name)
			}
		})
		client.Close()
		server.Close()
	}
}

func TestHandshakeEndsWithItsContext(t *testing.T) {
	checkGoroutines(t)
	_, rc := newConfigs(t)
	a, b := tcpPair(t)
	defer b.Close()
	server := Server(a, rc)
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	within(t, "HandshakeContext", func() {
		if err := server.HandshakeContext(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want context.Canceled", err)
		}
	})
}

// A wroteConn does something after each Write.
type wroteConn struct {
	net.Conn
	act func()
}

func (c *wroteConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.act()
	return n, err
}

// A handshake whose context ends with its last message has failed, and its session can be resumed.
func TestAHandshakeThatIsInterruptedAtItsEndHasEnded(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	ic.Store, ic.PeerName = newStore(), "peer"
	a, b := tcpPair(t)
	server := Server(b, rc)
	defer server.Close()
	go server.Handshake()
	ctx, cancel := context.WithCancel(t.Context())
	wrote := &wroteConn{Conn: a}
	client := Client(wrote, ic)
	defer client.Close()
	wrote.act = func() {
		if client.receiver.established {
			cancel()
		}
	}
	within(t, "HandshakeContext", func() {
		if err := client.HandshakeContext(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want context.Canceled", err)
		}
	})
	if !client.driver.Ended() {
		t.Error("it still holds the session")
	}
}

// Who waits for another call's handshake does so for no longer than its own context.
func TestWhoWaitsForAHandshakeHeedsItsContext(t *testing.T) {
	checkGoroutines(t)
	_, rc := newConfigs(t)
	rc.HandshakeTimeout = -1
	a, b := tcpPair(t)
	defer b.Close() // and says nothing
	server := Server(a, rc)
	defer server.Close()
	first := make(chan error, 1)
	go func() { first <- server.Handshake() }()
	for server.handshakeMu.TryLock() {
		server.handshakeMu.Unlock()
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	within(t, "HandshakeContext", func() {
		if err := server.HandshakeContext(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want context.Canceled", err)
		}
		if err := <-first; !errors.Is(err, net.ErrClosed) {
			t.Errorf("the other call: %v, want net.ErrClosed", err)
		}
	})
}

func TestHandshakeEndsWithClose(t *testing.T) {
	checkGoroutines(t)
	_, rc := newConfigs(t)
	a, b := tcpPair(t)
	defer b.Close()
	server := Server(a, rc)
	done := make(chan error)
	go func() {
		_, err := server.Read(make([]byte, 1))
		done <- err
	}()
	time.Sleep(time.Millisecond)
	within(t, "Close", func() {
		server.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Errorf("%v, want net.ErrClosed", err)
		}
	})
}

// A deadline of the application's in the middle of a handshake is not the end of it.
func TestHandshakeGoesOnAfterADeadline(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	a, b := net.Pipe()
	client, server := Client(a, ic), Server(b, rc)
	defer server.Close()
	defer client.Close()
	defer client.SetDeadline(time.Now())
	for range 3 {
		client.SetDeadline(time.Now().Add(-time.Second))
		if _, err := client.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		server.SetDeadline(time.Now().Add(time.Millisecond))
		if _, err := server.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
	}
	client.SetDeadline(time.Time{})
	server.SetDeadline(time.Time{})
	clientErr, serverErr := handshakeBoth(client, server)
	if err := errors.Join(clientErr, serverErr); err != nil {
		t.Fatal(err)
	}
	exchange(t, client, server)
}

// A lateStore does not do in time what it is asked for.
type lateStore struct{ channel.Store }

func (lateStore) Save(context.Context, channel.StoredSession) (uint64, error) {
	return 0, context.DeadlineExceeded
}

func (lateStore) FindByPeer(context.Context, string) ([]channel.SessionID, error) {
	return nil, context.DeadlineExceeded
}

// What is not done in time by somebody else than the transport is no deadline of the application's, after
// which the handshake could go on.
func TestATimeoutOfTheStoreIsTheEndOfTheHandshake(t *testing.T) {
	for _, late := range []string{"initiator", "responder"} {
		t.Run(late, func(t *testing.T) {
			checkGoroutines(t)
			ic, rc := newConfigs(t)
			a, b := tcpPair(t)
			if ic.PeerName = "peer"; late == "initiator" {
				ic.Store = lateStore{newStore()}
			} else {
				rc.Store = lateStore{newStore()}
			}
			client, server := Client(a, ic), Server(b, rc)
			defer client.Close()
			defer server.Close()
			failing, other := client, server
			if late == "responder" {
				failing, other = server, client
			}
			left := false
			failing.opening.leave = func() { left = true }
			go other.Read(make([]byte, 1))
			within(t, "the handshake", func() {
				first := failing.Handshake()
				if !errors.Is(first, context.DeadlineExceeded) {
					t.Errorf("%v, want the store's error", first)
				}
				if again := failing.Handshake(); again != first {
					t.Errorf("then %v, want the same", again)
				}
			})
			if !left {
				t.Error("it keeps its place among the handshakes")
			}
		})
	}
}

func TestAnUnusableConfigSaysSo(t *testing.T) {
	ic, _ := newConfigs(t)
	for name, config := range map[string]*Config{
		"nil":             nil,
		"no identity":     {Validator: ic.Validator},
		"no validator":    {Identity: ic.Identity},
		"unknown suites":  {Identity: ic.Identity, Validator: ic.Validator, Suites: []ciphersuite.ID{0xfefe}},
		"unfitting suite": {Identity: ic.Identity, Validator: ic.Validator, Suites: []ciphersuite.ID{2}},
	} {
		for _, make := range []func(net.Conn, *Config) *Conn{Client, Server} {
			a, b := net.Pipe()
			c := make(a, config)
			left := false
			c.opening.leave = func() { left = true }
			if err := c.Handshake(); err == nil || !left {
				t.Errorf("%s: %v, its place at a listener is free: %t", name, err, left)
			}
			c.Close()
			b.Close()
		}
	}
}

func TestAcceptDoesNotWaitForAHandshake(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	l, err := Listen("tcp", "127.0.0.1:0", rc)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 3 { // peers that stall
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	dialed := make(chan error)
	go func() {
		c, err := Dial("tcp", l.Addr().String(), ic)
		if err == nil {
			err = c.Close()
		}
		dialed <- err
	}()
	within(t, "Accept", func() {
		for range 4 {
			c, err := l.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			go c.(*Conn).Handshake()
		}
		if err := <-dialed; err != nil {
			t.Error(err)
		}
	})
}

func TestHTTP(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	ic.Rekey, rc.Rekey = RekeyPolicy{Bytes: 100 << 10}, RekeyPolicy{Bytes: 70 << 10}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Write(body)
	}))
	server.Listener.Close()
	server.Listener = NewListener(l, rc)
	server.Start()
	defer server.Close()
	transport := &http.Transport{DialContext: (&Dialer{Config: ic}).DialContext}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	for size := 1; size < 2<<20; size *= 7 {
		want := bytes.Repeat([]byte{byte(size)}, size)
		response, err := client.Post(server.URL, "application/octet-stream", bytes.NewReader(want))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d octets come back, want %d: %v", len(got), size, err)
		}
	}
}
