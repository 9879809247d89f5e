package tlspsk

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/quic-go/quic-go"
)

// newKeys returns the same key at both ends.
func newKeys(t testing.TB) (a, b *Key) {
	t.Helper()
	x, y := newSession(t)
	return export(t, x, channel.RoleInitiator, 0), export(t, y, channel.RoleInitiator, 0)
}

func TestAnUnknownKeyIsRefused(t *testing.T) {
	onEachCarrier(t, func(t *testing.T, c carrier) {
		a, b := newSession(t)
		client, server := newEnds(t)
		server.expect(t, export(t, b, channel.RoleInitiator, 0))
		for name, key := range map[string]*Key{
			"another number":  export(t, a, channel.RoleInitiator, 1),
			"dialed by other": export(t, a, channel.RoleResponder, 0),
		} {
			t.Log(name)
			c.meet(t, client.config(t, key), server.Config()).refused(t, ErrUnknownKey)
		}
		a.carryOut(t)(a.Update(context.Background(), channel.ReasonRequested)) // b has not moved on
		b.carryOut(t)(b.Receive(context.Background(), b.in[0]))                // now it has
		c.meet(t, client.config(t, export(t, b, channel.RoleInitiator, 0)), server.Config()).refused(t, ErrUnknownKey)
		// None of this has used up the key that is expected.
		c.meet(t, client.config(t, export(t, a, channel.RoleInitiator, 0)), server.Config()).verify(t)
	})
}

// Who has seen the name of a key, but does not know it, gets nowhere and uses nothing up.
func TestAKeyWithAnotherSecretIsRefused(t *testing.T) {
	onEachCarrier(t, func(t *testing.T, c carrier) {
		client, server := newEnds(t)
		a, b := newKeys(t)
		server.expect(t, b)
		for bit := range 8 * secretSize {
			if bit%51 != 0 {
				continue
			}
			other := a.clone()
			other.secret[bit/8] ^= 1 << (bit % 8)
			c.meet(t, client.config(t, other), server.Config()).refused(t, nil)
		}
		c.meet(t, client.config(t, a), server.Config()).verify(t)
	})
}

func TestAKeyIsGoodForOneConnection(t *testing.T) {
	onEachCarrier(t, func(t *testing.T, c carrier) {
		client, server := newEnds(t)
		a, b := newKeys(t)
		again := a.clone()
		server.expect(t, b)
		config := client.config(t, a)
		c.meet(t, config, server.Config()).verify(t)
		c.meet(t, config, server.Config()).refused(t, ErrUnknownKey)
		c.meet(t, client.config(t, again), server.Config()).refused(t, ErrUnknownKey)
		if _, err := client.Config(a); !errors.Is(err, ErrKeyUsed) {
			t.Errorf("a client takes a used key: %v", err)
		}
		if err := server.Expect(a); !errors.Is(err, ErrKeyUsed) {
			t.Errorf("a server takes a used key: %v", err)
		}
		if err := server.Expect(b); !errors.Is(err, ErrKeyUsed) {
			t.Errorf("a server takes its key again: %v", err)
		}
	})
}

// Of many that come with the same key at once, one gets in.
func TestAKeyIsGoodForOneOfMany(t *testing.T) {
	onEachCarrier(t, func(t *testing.T, c carrier) {
		client, server := newEnds(t)
		a, b := newKeys(t)
		server.expect(t, b)
		var wg sync.WaitGroup
		meetings := make([]meeting, 8)
		for i := range meetings {
			config := client.config(t, a.clone())
			wg.Go(func() { meetings[i] = c.meet(t, config, server.Config()) })
		}
		wg.Wait()
		in := 0
		for _, m := range meetings {
			if m.clientErr == nil && m.serverErr == nil {
				in++
			} else {
				m.refused(t, nil)
			}
		}
		if in != 1 {
			t.Errorf("%d got in", in)
		}
	})
}

// Two handshakes that have found a key at the same time: one uses it up.
func TestAKeyIsUsedUpOnce(t *testing.T) {
	_, server := newEnds(t)
	_, key := newKeys(t)
	server.expect(t, key)
	for i, want := range []error{nil, ErrKeyUsed} {
		if err := server.take(key, binding{byte(i)}); !errors.Is(err, want) {
			t.Errorf("handshake %d: %v, want %v", i, err, want)
		}
	}
}

// A key has one owner.
func TestAKeyIsHandedOverOnce(t *testing.T) {
	client, server := newEnds(t)
	a, b := newKeys(t)
	client.config(t, a)
	server.expect(t, b)
	other, err := NewServer(testConfig)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []*Key{a, b} {
		if _, err := client.Config(key); !errors.Is(err, ErrKeyUsed) {
			t.Errorf("a client takes it: %v", err)
		}
		if err := other.Expect(key); !errors.Is(err, ErrKeyUsed) {
			t.Errorf("a server takes it: %v", err)
		}
	}
}

func TestWithdrawnKeysAreRefused(t *testing.T) {
	onEachCarrier(t, func(t *testing.T, c carrier) {
		client, server := newEnds(t)
		a, b := newKeys(t)
		server.expect(t, b)
		if err := server.Expect(a.clone()); !errors.Is(err, ErrKnownKey) {
			t.Errorf("the same key twice: %v", err)
		}
		server.Withdraw(b.ID())
		if b.secret != nil {
			t.Error("the key is still there")
		}
		c.meet(t, client.config(t, a.clone()), server.Config()).refused(t, ErrUnknownKey)

		// The connection of one that is withdrawn later is not known any more.
		server.expect(t, a.clone())
		m := c.meet(t, client.config(t, a.clone()), server.Config())
		m.verify(t)
		server.Withdraw(a.ID())
		if _, err := server.Identify(m.server); !errors.Is(err, ErrUnknownConnection) {
			t.Errorf("Identify: %v", err)
		}

		server.expect(t, a.clone())
		server.Close()
		c.meet(t, client.config(t, a.clone()), server.Config()).refused(t, ErrUnknownKey)
		if err := server.Expect(a); !errors.Is(err, ErrClosed) {
			t.Errorf("a closed server takes a key: %v", err)
		}
		a.Erase()
		if _, err := client.Config(a); !errors.Is(err, ErrKeyUsed) {
			t.Errorf("a client takes an erased key: %v", err)
		}
	})
}

// A key that is stopped lets nobody in any more, and who has come by it is still known.
func TestWhoHasComeBeforeAKeyIsStoppedIsKnown(t *testing.T) {
	onEachCarrier(t, func(t *testing.T, c carrier) {
		client, server := newEnds(t)
		a, b := newKeys(t)
		server.expect(t, b)
		if server.Stop(b.ID()) {
			t.Error("somebody is said to have come")
		}
		if b.secret != nil {
			t.Error("the key is still there")
		}
		c.meet(t, client.config(t, a.clone()), server.Config()).refused(t, ErrUnknownKey)

		server.expect(t, a.clone())
		m := c.meet(t, client.config(t, a.clone()), server.Config())
		m.verify(t)
		for range 2 {
			if !server.Stop(a.ID()) {
				t.Error("nobody is said to have come")
			}
		}
		c.meet(t, client.config(t, a.clone()), server.Config()).refused(t, ErrUnknownKey)
		if id, err := server.Identify(m.server); err != nil || id != a.ID() {
			t.Errorf("the server takes it for %v, %v", id, err)
		}
		if server.Stop(a.ID()) {
			t.Error("somebody is still to be identified")
		}
	})
}

// A key that is erased after it was handed over is not used.
func TestAnErasedKeyIsNotUsed(t *testing.T) {
	onEachCarrier(t, func(t *testing.T, c carrier) {
		client, server := newEnds(t)
		a, b := newKeys(t)
		server.expect(t, b)
		config := client.config(t, a)
		a.Erase()
		c.meet(t, config, server.Config()).refused(t, ErrUnknownKey)
		b.Erase()
		c.meet(t, client.config(t, &Key{id: b.id, secret: make([]byte, secretSize)}), server.Config()).refused(t, ErrUnknownKey)
	})
}

// An ordinary client, which asks for a certificate and would take any, gets none.
func TestAClientWithoutAKeyIsRefused(t *testing.T) {
	onEachCarrier(t, func(t *testing.T, c carrier) {
		_, server := newEnds(t)
		_, b := newKeys(t)
		server.expect(t, b)
		c.meet(t, &tls.Config{ServerName: DefaultServerName, NextProtos: testConfig.Protocols, InsecureSkipVerify: true}, server.Config()).refused(t, ErrUnknownKey)
	})
	_, server := newEnds(t)
	a, b := tcpPair(t)
	meetOver(a, b, &tls.Config{ServerName: DefaultServerName, NextProtos: testConfig.Protocols, InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}, server.Config()).refused(t, nil)
}

// The listener's own configuration has no other way in either, if somebody does
// without its callback.
func TestTheListenersConfigurationHasNoCertificate(t *testing.T) {
	onEachCarrier(t, func(t *testing.T, c carrier) {
		client, server := newEnds(t)
		a, b := newKeys(t)
		server.expect(t, b)
		bare := server.Config().Clone()
		bare.GetConfigForClient = nil
		c.meet(t, client.config(t, a), bare).refused(t, ErrUnknownKey)
	})
}

// A server that answers with a certificate is refused, whatever stands in it: each of the
// client's two defences suffices.
func TestAServerWithACertificateIsRefused(t *testing.T) {
	impostor := newImpostor(t, DefaultServerName)
	defences := map[string]func(*tls.Config){
		"both":                     func(*tls.Config) {},
		"certificate trusted":      func(c *tls.Config) { c.InsecureSkipVerify = true },
		"certificate in the pool":  func(c *tls.Config) { c.RootCAs.AddCert(impostor.Leaf) },
		"connection not looked at": func(c *tls.Config) { c.VerifyConnection = nil },
	}
	for name, weaken := range defences {
		t.Run(name, func(t *testing.T) {
			onEachCarrier(t, func(t *testing.T, c carrier) {
				client, _ := newEnds(t)
				a, _ := newKeys(t)
				config := client.config(t, a)
				weaken(config)
				server := &tls.Config{Certificates: []tls.Certificate{impostor}, NextProtos: testConfig.Protocols}
				c.meet(t, config, server).refused(t, nil)
			})
		})
	}
}

// The decoy itself, without its private key, is of no use to an impostor.
func TestTheDecoyIsOfNoUseWithoutItsKey(t *testing.T) {
	onEachCarrier(t, func(t *testing.T, c carrier) {
		client, _ := newEnds(t)
		a, _ := newKeys(t)
		config := client.config(t, a)
		config.VerifyConnection = nil
		forged := newImpostor(t, DefaultServerName)
		forged.Certificate, forged.Leaf = [][]byte{client.decoy.der}, nil
		server := &tls.Config{Certificates: []tls.Certificate{forged}, NextProtos: testConfig.Protocols}
		c.meet(t, config, server).refused(t, nil)
	})
}

// Even with its private key an impostor would need the key of the group.
func TestTheDecoyIsOfNoUseWithItsKeyEither(t *testing.T) {
	onEachCarrier(t, func(t *testing.T, c carrier) {
		client, _ := newEnds(t)
		a, _ := newKeys(t)
		config := client.config(t, a)
		leaked := newImpostor(t, DefaultServerName)
		config.RootCAs.AddCert(leaked.Leaf)
		server := &tls.Config{Certificates: []tls.Certificate{leaked}, NextProtos: testConfig.Protocols}
		m := c.meet(t, config, server)
		m.refused(t, nil)
		if !errors.Is(m.clientErr, ErrNotKeyed) {
			t.Errorf("the client's error is %q, want %q", m.clientErr, ErrNotKeyed)
		}
	})
}

// newImpostor returns a self-signed certificate with its key.
func newImpostor(t testing.TB, name string) tls.Certificate {
	t.Helper()
	d, key, err := newCertificate(name)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(d)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{d}, PrivateKey: key, Leaf: leaf}
}

func TestProtocolAndNameHaveToFit(t *testing.T) {
	onEachCarrier(t, func(t *testing.T, c carrier) {
		for name, cfg := range map[string]struct {
			Config
			want error
		}{
			"protocol": {Config{Protocols: []string{"other"}}, nil},
			"name":     {Config{Protocols: testConfig.Protocols, ServerName: "other.example"}, ErrServerName},
		} {
			t.Log(name)
			client, err := NewClient(&cfg.Config)
			if err != nil {
				t.Fatal(err)
			}
			_, server := newEnds(t)
			a, b := newKeys(t)
			server.expect(t, b)
			c.meet(t, client.config(t, a.clone()), server.Config()).refused(t, cfg.want)
			ours, _ := newEnds(t)
			c.meet(t, ours.config(t, a), server.Config()).verify(t) // the key is as good as before
		}
	})
	// Over TCP, TLS lets a client go without a protocol.
	client, server := newEnds(t)
	a, b := newKeys(t)
	server.expect(t, b)
	config := client.config(t, a)
	config.NextProtos, config.VerifyConnection = nil, nil
	meetOverTCP(t, config, server.Config()).refused(t, ErrNotKeyed)
}

// A hello that is repeated does not become a connection. Whoever is fast enough can use
// up a key with it, as he could by dropping it; the key of the next number or epoch helps.
func TestARepeatedHelloIsNoConnection(t *testing.T) {
	client, server := newEnds(t)
	key, expected := newKeys(t)
	server.expect(t, expected)
	hello := recordHello(t, client.config(t, key.clone()))

	for try, want := range []error{nil, ErrUnknownKey} {
		a, b := tcpPair(t)
		b.SetDeadline(time.Now().Add(hang))
		done := make(chan error, 1)
		conn := tls.Server(b, server.Config())
		go func() { done <- conn.Handshake() }()
		if _, err := a.Write(hello); err != nil {
			t.Fatal(err)
		}
		if err := a.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("try %d: %v, want %v", try, err, want)
		}
		if _, err := server.Identify(conn.ConnectionState()); !errors.Is(err, ErrNotKeyed) {
			t.Errorf("try %d: Identify: %v", try, err)
		}
		a.Close()
		b.Close()
	}
	meetOverTCP(t, client.config(t, key), server.Config()).refused(t, ErrUnknownKey)
}

// recordHello returns the first flight of a client.
func recordHello(t testing.TB, config *tls.Config) []byte {
	t.Helper()
	a, b := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer a.Close()
		tls.Client(a, config).Handshake() // fails for want of an answer
	}()
	b.SetDeadline(time.Now().Add(hang))
	hello := make([]byte, 1<<14)
	n, err := b.Read(hello)
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	<-done
	return hello[:n]
}

// The key exchange is never left out: the hello allows psk_dhe_ke and nothing else.
func TestTheHelloAsksForAKeyExchange(t *testing.T) {
	client, _ := newEnds(t)
	a, _ := newKeys(t)
	id := a.ID()
	hello := recordHello(t, client.config(t, a))
	pskModes := []byte{0, 45, 0, 2, 1, 1} // psk_key_exchange_modes: psk_dhe_ke. RFC 8446, Section 4.2.9
	if !bytes.Contains(hello, pskModes) {
		t.Error("the hello allows something else than psk_dhe_ke")
	}
	if !bytes.Contains(hello, append(id[:], 0)) {
		t.Error("the hello does not name the key")
	}
	if bytes.Contains(hello, []byte{0, 42, 0, 0}) { // early_data
		t.Error("the hello announces early data")
	}
}

// An octet of the hello that is changed on the way ends the handshake.
func TestEveryOctetOfTheHelloMatters(t *testing.T) {
	cfg := &Config{Protocols: []string{"test"}, Curves: []tls.CurveID{tls.CurveP256}}
	client, err := NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	server, err := NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	key, _ := newKeys(t)
	size := len(recordHello(t, client.config(t, key.clone())))
	for i := 3; i < size; i++ { // what comes before is the version of the record, which means nothing
		server.Withdraw(key.ID())
		server.expect(t, key.clone())
		a, b := tcpPair(t)
		m := meetOver(&flipping{Conn: a, at: i}, b, client.config(t, key.clone()), server.Config())
		if m.clientErr == nil || m.serverErr == nil {
			t.Fatalf("octet %d of %d: %v, %v", i, size, m.clientErr, m.serverErr)
		}
	}
	server.Withdraw(key.ID())
	server.expect(t, key.clone())
	a, b := tcpPair(t)
	m := meetOver(&flipping{Conn: a, at: 1 << 20}, b, client.config(t, key), server.Config())
	m.verify(t)
}

// flipping changes an octet of what is written, and says at the end of it that there is no more to
// come, as the server may wait for a hello that is longer.
type flipping struct {
	net.Conn
	at, written int
}

func (f *flipping) Write(b []byte) (int, error) {
	b = bytes.Clone(b)
	touched := f.at >= f.written && f.at < f.written+len(b)
	if touched {
		b[f.at-f.written] ^= 1
	}
	f.written += len(b)
	n, err := f.Conn.Write(b)
	if touched && err == nil {
		err = f.Conn.(*net.TCPConn).CloseWrite()
	}
	return n, err
}

// The tickets that crypto/tls sends are worth nothing.
func TestTicketsAreOfNoUse(t *testing.T) {
	onEachCarrier(t, func(t *testing.T, c carrier) {
		client, server := newEnds(t)
		a, b := newKeys(t)
		server.expect(t, b)
		config := client.config(t, a)
		tickets := &collector{ClientSessionCache: config.ClientSessionCache, session: make(chan *tls.ClientSessionState, 1)}
		config.ClientSessionCache = tickets
		c.meet(t, config, server.Config()).verify(t)
		var session *tls.ClientSessionState
		select {
		case session = <-tickets.session:
		case <-time.After(hang):
			t.Fatal("no ticket came")
		}
		if ticket, _, err := session.ResumptionState(); err != nil || string(ticket) != "none" {
			t.Errorf("the ticket is %q, %v", ticket, err)
		}
		config.ClientSessionCache = &collector{given: session}
		c.meet(t, config, server.Config()).refused(t, ErrUnknownKey)
	})
}

// A collector is a cache that keeps a ticket, and gives out the one it was given.
type collector struct {
	tls.ClientSessionCache
	session chan *tls.ClientSessionState
	given   *tls.ClientSessionState
}

func (c *collector) Get(name string) (*tls.ClientSessionState, bool) {
	if c.given != nil {
		return c.given, true
	}
	return c.ClientSessionCache.Get(name)
}

func (c *collector) Put(_ string, s *tls.ClientSessionState) {
	if s != nil && c.session != nil {
		select {
		case c.session <- s:
		default:
		}
	}
}

// Early data is not offered, even by who asks for it, and not taken even where
// QUIC would allow it.
func TestThereIsNoEarlyData(t *testing.T) {
	client, server := newEnds(t)
	a, b := newKeys(t)
	server.expect(t, b)
	ctx, cancel := context.WithTimeout(context.Background(), hang)
	defer cancel()
	l, err := quic.ListenAddrEarly("127.0.0.1:0", server.Config(), &quic.Config{Allow0RTT: true})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	config := client.config(t, a)
	forced := &earlyCache{ClientSessionCache: config.ClientSessionCache}
	config.ClientSessionCache = forced
	conn, err := quic.DialAddrEarly(ctx, l.Addr().String(), config, &quic.Config{Allow0RTT: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseWithError(0, "")
	accepted, err := l.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*quic.Conn{"client": conn, "server": accepted} {
		<-c.HandshakeComplete()
		if c.ConnectionState().Used0RTT {
			t.Errorf("%s: early data was used", name)
		}
	}
	if forced.early {
		t.Error("the session allows early data")
	}

	// One who writes early data into his session gets none of it through.
	greedy, expected := newKeys(t)
	server.expect(t, expected)
	config = client.config(t, greedy)
	config.ClientSessionCache = &earlyCache{ClientSessionCache: config.ClientSessionCache, force: true}
	conn, err = quic.DialAddrEarly(ctx, l.Addr().String(), config, &quic.Config{Allow0RTT: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseWithError(0, "")
	if accepted, err = l.Accept(ctx); err != nil {
		t.Fatal(err)
	}
	<-accepted.HandshakeComplete()
	if accepted.ConnectionState().Used0RTT {
		t.Error("early data that was not allowed was used")
	}
}

// An earlyCache notes whether a session allows early data, and makes it if it shall.
type earlyCache struct {
	tls.ClientSessionCache
	force, early bool
}

func (c *earlyCache) Get(name string) (*tls.ClientSessionState, bool) {
	session, ok := c.ClientSessionCache.Get(name)
	if ok {
		_, state, _ := session.ResumptionState()
		c.early = state.EarlyData
		state.EarlyData = state.EarlyData || c.force
	}
	return session, ok
}
