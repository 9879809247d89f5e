package quicmls

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/channel/record"
)

// A middle is somebody in the middle of the QUIC connection, who has ended its TLS at both
// sides and relays all that is within: streams, their ends, datagrams, and how the
// connection is closed.
type middle struct {
	listener *quic.Listener
	ctx      context.Context
	stop     context.CancelFunc
	wg       sync.WaitGroup
	octets   atomic.Int64 // that it has read in the clear of TLS
	closed   chan struct{}
}

// newMiddle returns one in front of a target, with TLS of its own towards either side.
func newMiddle(t testing.TB, target string, toClient, toServer *tls.Config) (m *middle, address string) {
	t.Helper()
	l, err := quic.ListenAddr("127.0.0.1:0", toClient, &quic.Config{EnableDatagrams: true})
	if err != nil {
		t.Fatal(err)
	}
	m = &middle{listener: l, closed: make(chan struct{})}
	m.ctx, m.stop = context.WithCancel(context.Background())
	m.wg.Go(func() {
		defer close(m.closed)
		m.serve(target, toServer)
	})
	t.Cleanup(m.close)
	return m, l.Addr().String()
}

func (m *middle) close() {
	m.stop()
	m.listener.Close()
	m.wg.Wait()
}

// serve relays one connection, until one side of it ends.
func (m *middle) serve(target string, toServer *tls.Config) {
	client, err := m.listener.Accept(m.ctx)
	if err != nil {
		return
	}
	server, err := quic.DialAddr(m.ctx, target, toServer, &quic.Config{EnableDatagrams: true})
	if err != nil {
		client.CloseWithError(0, "")
		return
	}
	var both sync.WaitGroup
	for _, c := range [][2]*quic.Conn{{client, server}, {server, client}} {
		both.Go(func() { m.relayStreams(c[0], c[1]) })
		both.Go(func() { m.relayUniStreams(c[0], c[1]) })
		both.Go(func() { m.relayDatagrams(c[0], c[1]) })
	}
	select {
	case <-client.Context().Done():
		relayEnd(client, server)
	case <-server.Context().Done():
		relayEnd(server, client)
	case <-m.ctx.Done():
	}
	m.stop()
	client.CloseWithError(0, "")
	server.CloseWithError(0, "")
	both.Wait()
}

// relayEnd closes a connection as the other was.
func relayEnd(from, to *quic.Conn) {
	var closed *quic.ApplicationError
	if errors.As(context.Cause(from.Context()), &closed) {
		to.CloseWithError(closed.ErrorCode, closed.ErrorMessage)
	}
}

func (m *middle) relayStreams(from, to *quic.Conn) {
	for {
		a, err := from.AcceptStream(m.ctx)
		if err != nil {
			return
		}
		b, err := to.OpenStreamSync(m.ctx)
		if err != nil {
			return
		}
		m.wg.Go(func() { m.copy(b, a) })
		m.wg.Go(func() { m.copy(a, b) })
	}
}

func (m *middle) relayUniStreams(from, to *quic.Conn) {
	for {
		a, err := from.AcceptUniStream(m.ctx)
		if err != nil {
			return
		}
		b, err := to.OpenUniStreamSync(m.ctx)
		if err != nil {
			return
		}
		m.wg.Go(func() { m.copy(b, a) })
	}
}

func (m *middle) copy(to io.WriteCloser, from io.Reader) {
	if _, err := io.Copy(io.MultiWriter(m, to), from); err == nil {
		to.Close() // else the connection ends, and that is relayed
	}
}

func (m *middle) relayDatagrams(from, to *quic.Conn) {
	for {
		b, err := from.ReceiveDatagram(m.ctx)
		if err != nil || to.SendDatagram(b) != nil {
			return
		}
	}
}

// Write counts what was read.
func (m *middle) Write(p []byte) (int, error) {
	m.octets.Add(int64(len(p)))
	return len(p), nil
}

// withoutProof is the TLS of this package's own, as somebody in the middle makes it.
func withoutProof(t testing.TB) (toClient, toServer *tls.Config) {
	t.Helper()
	var c Config
	toClient, err := c.serverTLS()
	if err != nil {
		t.Fatal(err)
	}
	return toClient, c.clientTLS()
}

// dialThrough performs both ends' handshakes by way of an address, and returns what
// became of them.
func dialThrough(t testing.TB, ic, rc *Config, via func(address string) string) (client, server *Conn, clientErr, serverErr error) {
	t.Helper()
	l, err := Listen("127.0.0.1:0", rc)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	address := via(l.Addr().String())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if server, serverErr = l.Accept(ctx); serverErr == nil {
			serverErr = server.HandshakeContext(ctx)
		}
	}()
	client, clientErr = Dial(ctx, address, ic)
	<-done
	t.Cleanup(func() {
		for _, c := range []*Conn{client, server} {
			if c != nil {
				c.CloseWithError(0, "")
			}
		}
	})
	return client, server, clientErr, serverErr
}

// checkTransportFound fails the test unless the ends' handshakes have failed because they
// are on different transports.
func checkTransportFound(t testing.TB, clientErr, serverErr error) {
	t.Helper()
	var told *AlertError
	if !errors.Is(serverErr, channel.ErrTransportBinding) {
		t.Errorf("responder: %v, want channel.ErrTransportBinding", serverErr)
	}
	if !errors.As(clientErr, &told) || told.Alert != channel.AlertHandshakeFailure {
		t.Errorf("initiator: %v, want the alert handshake_failure", clientErr)
	}
}

func TestSomebodyInTheMiddleOfTheTLSIsFoundOut(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	toClient, toServer := withoutProof(t)
	var m *middle
	_, _, clientErr, serverErr := dialThrough(t, ic, rc, func(address string) (own string) {
		m, own = newMiddle(t, address, toClient, toServer)
		return own
	})
	checkTransportFound(t, clientErr, serverErr)
	if m.octets.Load() == 0 {
		t.Error("nothing has gone through the one in the middle")
	}
}

// The relay is a faithful one: what fails in the tests here does so because the transports differ.
func TestTheRelayInTheMiddleIsFaithful(t *testing.T) {
	checkGoroutines(t)
	l, err := quic.ListenAddr("127.0.0.1:0", first(withoutProof(t)), &quic.Config{EnableDatagrams: true})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	toClient, toServer := withoutProof(t)
	_, address := newMiddle(t, l.Addr().String(), toClient, toServer)
	client, err := quic.DialAddr(t.Context(), address, toServer, &quic.Config{EnableDatagrams: true})
	if err != nil {
		t.Fatal(err)
	}
	s, err := client.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write([]byte("through")); err != nil {
		t.Fatal(err)
	}
	s.Close()
	server, err := l.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := server.AcceptStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(got); err != nil || string(b) != "through" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := got.Write([]byte("and back")); err != nil {
		t.Fatal(err)
	}
	got.Close()
	if b, err := io.ReadAll(s); err != nil || string(b) != "and back" {
		t.Errorf("%q, %v", b, err)
	}
	if err := client.SendDatagram([]byte("datagram")); err != nil {
		t.Fatal(err)
	}
	if b, err := server.ReceiveDatagram(t.Context()); err != nil || string(b) != "datagram" {
		t.Errorf("%q, %v", b, err)
	}
	client.CloseWithError(7, "seven")
	<-server.Context().Done()
	var closed *quic.ApplicationError
	if err := context.Cause(server.Context()); !errors.As(err, &closed) || closed.ErrorCode != 7 {
		t.Errorf("%v", err)
	}
}

func first(a, _ *tls.Config) *tls.Config { return a }

// A session that is resumed through somebody in the middle does not come to be: the messages
// in the clear are as they were, but the keys are different. The responder never completes. The initiator does
// with its last message, and is told with the first that it gets. The session is not lost by it.
func TestAResumptionThroughTheMiddleFailsAndTheSessionLives(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	ic.Store, rc.Store, ic.PeerName = channel.NewMemoryStore(0), channel.NewMemoryStore(0), "peer"
	client, server := connect(t, ic, rc)
	id := client.ConnectionState().SessionID
	client.CloseWithError(0, "")
	server.CloseWithError(0, "")

	toClient, toServer := withoutProof(t)
	for range 3 {
		client, server, err, serverErr := dialThrough(t, ic, rc, func(address string) (own string) {
			_, own = newMiddle(t, address, toClient, toServer)
			return own
		})
		if !errors.Is(serverErr, record.ErrAuthentication) || server.ConnectionState().HandshakeComplete {
			t.Fatalf("responder: %v, want record.ErrAuthentication", serverErr) // the initiator would wait for what it is told
		}
		if err == nil {
			if s := client.ConnectionState(); !s.Resumed || s.SessionID != id {
				t.Errorf("%+v is no resumption", s)
			}
			if _, err = client.AcceptStream(t.Context()); err == nil {
				t.Error("a stream comes through")
			}
		}
		var told *AlertError
		if !errors.As(err, &told) || told.Alert != channel.AlertBadRecordMAC {
			t.Errorf("initiator: %v, want the alert bad_record_mac", err)
		}
	}
	client, server = connect(t, ic, rc)
	for _, c := range []*Conn{client, server} {
		if s := c.ConnectionState(); !s.Resumed || s.SessionID != id {
			t.Errorf("resumed: %t, session %v, want %v", s.Resumed, s.SessionID, id)
		}
	}
	a, b := openPair(t, client, server)
	exchange(t, a, b)
}

// authority returns TLS configurations whose certificate is checked, of a client and of a
// server, and another server's certificate that the client accepts as well.
func authority(t testing.TB) (client, server *tls.Config, robbed tls.Certificate) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	issue := func(serial int64) tls.Certificate {
		leafPublic, leafPrivate, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		leaf := &x509.Certificate{
			SerialNumber: big.NewInt(serial), NotBefore: root.NotBefore, NotAfter: root.NotAfter,
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		}
		der, err := x509.CreateCertificate(rand.Reader, leaf, root, leafPublic, private)
		if err != nil {
			t.Fatal(err)
		}
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: leafPrivate}
	}
	der, err := x509.CreateCertificate(rand.Reader, root, root, public, private)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return &tls.Config{RootCAs: roots}, &tls.Config{Certificates: []tls.Certificate{issue(2)}}, issue(3)
}

// A caller's own TLS is used as it is. Who has a certificate that it accepts is found
// out all the same; who has none, by TLS.
func TestSomebodyInTheMiddleOfACallersOwnTLS(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	var robbed tls.Certificate
	ic.TLS, rc.TLS, robbed = authority(t)
	client, server := connect(t, ic, rc)
	a, b := openPair(t, client, server)
	exchange(t, a, b)
	if n := len(client.ConnectionState().QUIC.TLS.VerifiedChains); n != 1 {
		t.Errorf("%d chains of certificates were verified, want 1", n)
	}

	_, toServer := withoutProof(t)
	_, _, clientErr, serverErr := dialThrough(t, ic, rc, func(address string) (own string) {
		_, own = newMiddle(t, address, &tls.Config{Certificates: []tls.Certificate{robbed}, NextProtos: []string{NextProto}}, toServer)
		return own
	})
	checkTransportFound(t, clientErr, serverErr)

	toClient, _ := withoutProof(t)
	m, address := newMiddle(t, "127.0.0.1:1", toClient, toServer)
	defer m.close()
	var unknown *tls.CertificateVerificationError
	if _, err := Dial(t.Context(), address, ic); !errors.As(err, &unknown) {
		t.Errorf("%v, want a *tls.CertificateVerificationError", err)
	}
}
