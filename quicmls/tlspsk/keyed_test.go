package tlspsk

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/mendlink/mendlink/channel"
	"github.com/quic-go/quic-go"
)

var testConfig = &Config{Protocols: []string{"test"}}

func newEnds(t testing.TB) (*Client, *Server) {
	t.Helper()
	client, err := NewClient(testConfig)
	if err != nil {
		t.Fatal(err)
	}
	server, err := NewServer(testConfig)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return client, server
}

func (c *Client) config(t testing.TB, key *Key) *tls.Config {
	t.Helper()
	config, err := c.Config(key)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func (s *Server) expect(t testing.TB, key *Key) {
	t.Helper()
	if err := s.Expect(key); err != nil {
		t.Fatal(err)
	}
}

// Whichever end dials, the group keys the connection, and there is a post-quantum key
// exchange as well.
func TestTheGroupKeysAConnection(t *testing.T) {
	onEachCarrier(t, func(t *testing.T, c carrier) {
		a, b := newSession(t)
		for _, ends := range []struct {
			dialer, listener *member
		}{{a, b}, {b, a}} {
			client, server := newEnds(t)
			key := export(t, ends.dialer, ends.dialer.Role(), 0)
			id := key.ID()
			server.expect(t, export(t, ends.listener, ends.dialer.Role(), 0))
			m := c.meet(t, client.config(t, key), server.Config())
			m.verify(t)
			for _, s := range []tls.ConnectionState{m.client, m.server} {
				if s.Version != tls.VersionTLS13 || !s.DidResume || s.NegotiatedProtocol != "test" || s.CurveID != tls.X25519MLKEM768 {
					t.Errorf("TLS %#x, by a key: %t, protocol %q, curve %v", s.Version, s.DidResume, s.NegotiatedProtocol, s.CurveID)
				}
			}
			if got, err := server.Identify(m.server); err != nil || got != id {
				t.Errorf("the server takes it for %v, %v; want %v", got, err, id)
			}
			if _, err := server.Identify(m.server); !errors.Is(err, ErrUnknownConnection) {
				t.Errorf("asked again: %v", err)
			}
		}
	})
}

// Keys depend on the epoch, on who dials and on the number, and on nothing else.
func TestKeysDiffer(t *testing.T) {
	a, b := newSession(t)
	keys := make(map[string]*Key)
	add := func(name string, key *Key) {
		for other, k := range keys {
			if k.id == key.id || string(k.secret) == string(key.secret) {
				t.Errorf("%s and %s have something in common", name, other)
			}
		}
		keys[name] = key
	}
	add("epoch 1", export(t, a, channel.RoleInitiator, 0))
	add("epoch 1, dialed by the responder", export(t, a, channel.RoleResponder, 0))
	add("epoch 1, number 1", export(t, a, channel.RoleInitiator, 1))
	if !sameKey(keys["epoch 1"], export(t, b, channel.RoleInitiator, 0)) {
		t.Error("the ends have different keys")
	}
	a.update(t)
	add("epoch 2", export(t, a, channel.RoleInitiator, 0))
	if !sameKey(keys["epoch 2"], export(t, b, channel.RoleInitiator, 0)) {
		t.Error("the ends have different keys after an update")
	}
	other, _ := newSession(t)
	add("another session", export(t, other, channel.RoleInitiator, 0))

	if _, err := Export(a, channel.Role(7), 0); err == nil {
		t.Error("a key of no role")
	}
	a.Close()
	if _, err := Export(a, channel.RoleInitiator, 0); !errors.Is(err, channel.ErrClosed) {
		t.Errorf("a key of a closed session: %v", err)
	}
}

// Whoever has stolen an epoch can be either end in connections of that epoch, and in
// none of the next: an update of the end that was robbed, and a new connection, heal.
func TestAnUpdateLocksAThiefOut(t *testing.T) {
	onEachCarrier(t, func(t *testing.T, c carrier) {
		a, b := newSession(t)
		client, server := newEnds(t)
		thiefClient, thiefServer := newEnds(t)
		stolen := export(t, a, channel.RoleInitiator, 0)

		server.expect(t, export(t, b, channel.RoleInitiator, 0))
		c.meet(t, thiefClient.config(t, stolen.clone()), server.Config()).verify(t)
		thiefServer.expect(t, stolen.clone())
		c.meet(t, client.config(t, export(t, a, channel.RoleInitiator, 0)), thiefServer.Config()).verify(t)

		a.update(t)
		server.expect(t, export(t, b, channel.RoleInitiator, 0))
		c.meet(t, thiefClient.config(t, stolen.clone()), server.Config()).refused(t, ErrUnknownKey)
		fresh := export(t, a, channel.RoleInitiator, 0)
		thiefServer.expect(t, stolen.clone())
		c.meet(t, client.config(t, fresh), thiefServer.Config()).refused(t, ErrUnknownKey)
		// Not even under the name of the new key.
		thiefServer.expect(t, &Key{id: fresh.id, secret: stolen.clone().secret})
		c.meet(t, client.config(t, export(t, a, channel.RoleInitiator, 0)), thiefServer.Config()).refused(t, nil)

		c.meet(t, client.config(t, export(t, a, channel.RoleInitiator, 0)), server.Config()).verify(t)
	})
}

// Several sessions at one server, and several connections of an epoch, at once.
func TestAServerTellsSessionsApart(t *testing.T) {
	onEachCarrier(t, func(t *testing.T, c carrier) {
		client, server := newEnds(t)
		const sessions, each = 3, 3
		var wg sync.WaitGroup
		for range sessions {
			a, b := newSession(t)
			for number := range uint32(each) {
				key := export(t, a, channel.RoleInitiator, number)
				server.expect(t, export(t, b, channel.RoleInitiator, number))
				config := client.config(t, key)
				wg.Go(func() {
					m := c.meet(t, config, server.Config())
					if err := errors.Join(m.clientErr, m.serverErr); err != nil {
						t.Error(err)
						return
					}
					if id, err := server.Identify(m.server); err != nil || id != key.ID() {
						t.Errorf("%v is taken for %v, %v", key.ID(), id, err)
					}
				})
			}
		}
		wg.Wait()
	})
}

// Where the server wants another group first, there is one more round trip.
func TestAnotherKeyExchangeIsAskedFor(t *testing.T) {
	onEachCarrier(t, func(t *testing.T, c carrier) {
		client, _ := newEnds(t)
		server, err := NewServer(&Config{Protocols: testConfig.Protocols, Curves: []tls.CurveID{tls.CurveP384}})
		if err != nil {
			t.Fatal(err)
		}
		a, b := newSession(t)
		server.expect(t, export(t, b, channel.RoleInitiator, 0))
		m := c.meet(t, client.config(t, export(t, a, channel.RoleInitiator, 0)), server.Config())
		m.verify(t)
		if !m.client.HelloRetryRequest || m.server.CurveID != tls.CurveP384 {
			t.Errorf("asked for another: %t; curve %v", m.client.HelloRetryRequest, m.server.CurveID)
		}
	})
}

// A QUIC server that has the client's address verified makes it send its hello again.
func TestAddressesCanBeVerified(t *testing.T) {
	client, server := newEnds(t)
	a, b := newKeys(t)
	server.expect(t, b)
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	asked := false
	transport := &quic.Transport{Conn: socket, VerifySourceAddress: func(net.Addr) bool { asked = true; return true }}
	defer transport.Close()
	l, err := transport.Listen(server.Config(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), hang)
	defer cancel()
	conn, err := quic.DialAddr(ctx, l.Addr().String(), client.config(t, a), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseWithError(0, "")
	accepted, err := l.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if id, err := server.Identify(accepted.ConnectionState().TLS); err != nil || id != b.ID() || !asked {
		t.Errorf("the server takes it for %v, %v; the address was verified: %t", id, err, asked)
	}
}

// One listener can have both: connections that a group keys, by their server name, and
// others with a certificate. Neither kind of client is taken for the other.
func TestAListenerCanHaveBoth(t *testing.T) {
	onEachCarrier(t, func(t *testing.T, c carrier) {
		client, server := newEnds(t)
		certificate := newImpostor(t, "server.example")
		listener := &tls.Config{
			Certificates: []tls.Certificate{certificate},
			NextProtos:   testConfig.Protocols,
			GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
				if hello.ServerName == DefaultServerName {
					return server.Config().GetConfigForClient(hello)
				}
				return nil, nil // the listener's own
			},
		}
		ordinary := &tls.Config{ServerName: "server.example", NextProtos: testConfig.Protocols, RootCAs: x509.NewCertPool()}
		ordinary.RootCAs.AddCert(certificate.Leaf)
		m := c.meet(t, ordinary, listener)
		m.verify(t)
		if _, err := server.Identify(m.server); !errors.Is(err, ErrNotKeyed) {
			t.Errorf("a connection with a certificate is taken for one with a key: %v", err)
		}

		a, b := newKeys(t)
		server.expect(t, b)
		m = c.meet(t, client.config(t, a.clone()), listener)
		m.verify(t)
		if id, err := server.Identify(m.server); err != nil || id != a.ID() {
			t.Errorf("the server takes it for %v, %v", id, err)
		}
		c.meet(t, client.config(t, a), listener).refused(t, ErrUnknownKey) // used, and not sent on to the certificate

		nobody := ordinary.Clone()
		nobody.ServerName, nobody.InsecureSkipVerify = DefaultServerName, true
		c.meet(t, nobody, listener).refused(t, ErrUnknownKey)
	})
}

func TestConfigIsChecked(t *testing.T) {
	long := strings.Repeat("x", 256)
	for name, cfg := range map[string]*Config{
		"nothing":        nil,
		"no protocols":   {},
		"empty protocol": {Protocols: []string{"a", ""}},
		"long protocol":  {Protocols: []string{long}},
		"address":        {Protocols: []string{"a"}, ServerName: "127.0.0.1"},
		"no name":        {Protocols: []string{"a"}, ServerName: "bücher.example"},
	} {
		if _, err := NewClient(cfg); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: client: %v", name, err)
		}
		if name == "no name" { // no client calls a server that
			continue
		}
		if _, err := NewServer(cfg); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: server: %v", name, err)
		}
	}
}
