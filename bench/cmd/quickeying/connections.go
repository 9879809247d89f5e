package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/mendlink/mendlink/bench/internal/rivals"
	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/netconn"
	"github.com/mendlink/mendlink/quicmls/tlspsk"
	"github.com/quic-go/quic-go"
)

var ctx = context.Background()

const protocol = "bench"

// A curve is a key exchange of TLS, and a suite of MLS of the same kind.
type curve struct {
	name  string
	id    tls.CurveID
	suite ciphersuite.ID
}

var (
	x25519 = curve{"X25519", tls.X25519, ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519}
	hybrid = curve{"hybrid", tls.X25519MLKEM768, ciphersuite.MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519}
	curves = []curve{x25519, hybrid}
)

// A road is two UDP sockets, on which connections of one kind are made.
type road struct {
	client, server *quic.Transport
	listener       *quic.Listener
	// next returns the client's configuration of one more connection.
	next func() (*tls.Config, error)
	// check makes sure that the connection is what it is taken for.
	check func(client, server tls.ConnectionState) error
	curve tls.CurveID
}

func newRoad(server *tls.Config, curve tls.CurveID) (*road, error) {
	r := &road{curve: curve}
	for _, t := range []**quic.Transport{&r.client, &r.server} {
		socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return nil, errors.Join(err, r.close())
		}
		*t = &quic.Transport{Conn: socket}
	}
	var err error
	if r.listener, err = r.server.Listen(server, nil); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func (r *road) close() error {
	var errs []error
	for _, t := range []*quic.Transport{r.client, r.server} {
		if t != nil {
			errs = append(errs, t.Close(), t.Conn.Close())
		}
	}
	return errors.Join(errs...)
}

// connect returns both ends of a new connection, whose handshake is complete.
func (r *road) connect() (client, server *quic.Conn, err error) {
	config, err := r.next()
	if err != nil {
		return nil, nil, err
	}
	accepting, stop := context.WithCancel(ctx)
	defer stop()
	accepted := make(chan error, 1)
	go func() {
		var err error
		server, err = r.listener.Accept(accepting)
		accepted <- err
	}()
	client, err = r.client.Dial(ctx, r.server.Conn.LocalAddr(), config, nil)
	if err != nil {
		stop()
		return nil, nil, errors.Join(err, <-accepted)
	}
	if err := <-accepted; err != nil {
		return nil, nil, err
	}
	a, b := client.ConnectionState().TLS, server.ConnectionState().TLS
	if a.CurveID != r.curve || a.CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
		return nil, nil, fmt.Errorf("curve %v and %s", a.CurveID, tls.CipherSuiteName(a.CipherSuite))
	}
	return client, server, r.check(a, b)
}

// setUp makes a connection and ends it.
func (r *road) setUp() error {
	client, server, err := r.connect()
	if err != nil {
		return err
	}
	return errors.Join(client.CloseWithError(0, ""), server.CloseWithError(0, ""))
}

// mutual is a road whose ends show each other Ed25519 certificates that both know.
func (c curve) mutual() (*road, error) {
	client, server, err := c.certified()
	if err != nil {
		return nil, err
	}
	r, err := newRoad(server, c.id)
	if err != nil {
		return nil, err
	}
	r.next = func() (*tls.Config, error) { return client, nil }
	r.check = func(a, b tls.ConnectionState) error {
		if a.DidResume || len(a.VerifiedChains) == 0 || len(b.VerifiedChains) == 0 {
			return errors.New("an end has not verified the other")
		}
		return nil
	}
	return r, nil
}

// throwAway is a road whose server shows a certificate that nobody looks at: who is
// there has to be found out in another way.
func (c curve) throwAway() (*road, error) {
	client, server, err := c.certified()
	if err != nil {
		return nil, err
	}
	client.Certificates, client.RootCAs, client.InsecureSkipVerify = nil, nil, true
	server.ClientAuth, server.ClientCAs = tls.NoClientCert, nil
	r, err := newRoad(server, c.id)
	if err != nil {
		return nil, err
	}
	r.next = func() (*tls.Config, error) { return client, nil }
	r.check = func(a, b tls.ConnectionState) error {
		if a.DidResume || len(a.PeerCertificates) != 1 || len(b.PeerCertificates) != 0 {
			return errors.New("the server alone has to show a certificate")
		}
		return nil
	}
	return r, nil
}

func (c curve) certified() (client, server *tls.Config, err error) {
	t, err := rivals.NewTLS(c.id, rivals.Pinned)
	if err != nil {
		return nil, nil, err
	}
	client, server = t.Configs(protocol)
	return client, server, nil
}

// A keyedRoad is one whose connections a session keys, each with a key of its own.
type keyedRoad struct {
	*road
	session *session
}

func (c curve) keyed() (*keyedRoad, error) {
	cfg := &tlspsk.Config{Protocols: []string{protocol}, Curves: []tls.CurveID{c.id}}
	client, err := tlspsk.NewClient(cfg)
	if err != nil {
		return nil, err
	}
	server, err := tlspsk.NewServer(cfg)
	if err != nil {
		return nil, err
	}
	r, err := newRoad(server.Config(), c.id)
	if err != nil {
		return nil, err
	}
	s, err := c.newSession()
	if err != nil {
		return nil, errors.Join(err, r.close())
	}
	var number uint32
	var id tlspsk.ID
	r.next = func() (*tls.Config, error) {
		number++
		expected, err := tlspsk.Export(s.server, channel.RoleInitiator, number)
		if err != nil {
			return nil, err
		}
		if err := server.Expect(expected); err != nil {
			return nil, err
		}
		key, err := tlspsk.Export(s.client, channel.RoleInitiator, number)
		if err != nil {
			return nil, err
		}
		id = key.ID()
		return client.Config(key)
	}
	r.check = func(_, b tls.ConnectionState) error {
		got, err := server.Identify(b)
		if err == nil && got != id {
			err = fmt.Errorf("the connection is taken for %v instead of %v", got, id)
		}
		return err
	}
	return &keyedRoad{r, s}, nil
}

func (k *keyedRoad) close() error { return errors.Join(k.session.close(), k.road.close()) }

// A session is both ends of a session over a pipe in memory.
type session struct {
	client, server *netconn.Conn
	ended          chan struct{}
}

func (c curve) newSession() (*session, error) {
	suite, err := ciphersuite.Default().Lookup(c.suite)
	if err != nil {
		return nil, err
	}
	var ids [2]mls.Identity
	for i, name := range []string{"client", "server"} {
		signer, err := suite.GenerateSigner(rand.Reader)
		if err != nil {
			return nil, err
		}
		ids[i] = identity.New(signer, name)
	}
	var configs [2]*netconn.Config
	for i := range configs {
		peer, err := identity.NewPinned(ids[1-i].Signer.Public())
		if err != nil {
			return nil, err
		}
		configs[i] = &netconn.Config{
			Identity: ids[i], Validator: peer, Suites: []ciphersuite.ID{c.suite},
			Rekey: netconn.RekeyPolicy{Every: -1, Bytes: -1, Records: -1}, // updates are made by hand
		}
	}
	a, b := net.Pipe()
	s := &session{client: netconn.Client(a, configs[0]), server: netconn.Server(b, configs[1]), ended: make(chan struct{}, 2)}
	for _, end := range []*netconn.Conn{s.client, s.server} {
		go func() {
			io.Copy(io.Discard, end) // an update is confirmed by who reads
			s.ended <- struct{}{}
		}()
	}
	if err := errors.Join(s.client.HandshakeContext(ctx), s.server.HandshakeContext(ctx)); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *session) close() error {
	err := s.client.Close()
	<-s.ended
	<-s.ended
	s.server.Close() // has seen the client's end
	return err
}
