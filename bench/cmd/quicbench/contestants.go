package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/mendlink/mendlink/bench/internal/rivals"
	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/quicmls"
)

const quicGo = "quic-go"

// A class is a suite of ours and what TLS has of the same kind.
type class struct {
	name  string
	suite ciphersuite.ID
	curve tls.CurveID
}

var (
	classical = &class{"X25519", ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519, tls.X25519}
	hybrid    = &class{"hybrid", ciphersuite.MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519, tls.X25519MLKEM768}
	classes   = []*class{classical, hybrid}
)

// A lab is what all comparisons need.
type lab struct {
	*options
	contestants [2]func(*class) (*network, error) // ours comes first
}

func newLab(o *options) (*lab, error) {
	l := &lab{o, [2]func(*class) (*network, error){newOurs, newTheirs}}
	switch o.both {
	case "":
	case "ours":
		l.contestants[1] = newOurs
	case quicGo:
		l.contestants[0] = newTheirs
	default:
		return nil, fmt.Errorf("no contestant is called %q", o.both)
	}
	return l, nil
}

// networks returns one of each contestant, to be closed.
func (l *lab) networks(c *class) (ours, theirs *network, err error) {
	if ours, err = l.contestants[0](c); err != nil {
		return nil, nil, err
	}
	if theirs, err = l.contestants[1](c); err != nil {
		ours.close()
		return nil, nil, err
	}
	return ours, theirs, nil
}

// links returns a connection of each contestant, and what closes all.
func (l *lab) links(c *class) (both [2]*link, done func(), err error) {
	ours, theirs, err := l.networks(c)
	if err != nil {
		return both, nil, err
	}
	done = func() {
		ours.close()
		theirs.close()
	}
	for i, n := range []*network{ours, theirs} {
		if both[i], err = n.connect(); err != nil {
			done()
			return both, nil, err
		}
	}
	return both, done, nil
}

// A stream is what streams of both have in common.
type stream interface {
	io.ReadWriteCloser
	CancelRead(quic.StreamErrorCode)
}

// An end is one end of a connection.
type end interface {
	open() (stream, error)
	accept() (stream, error)
	SendDatagram([]byte) error
	ReceiveDatagram(context.Context) ([]byte, error)
	CloseWithError(quic.ApplicationErrorCode, string) error
	stats() quic.ConnectionStats
}

type ourEnd struct{ *quicmls.Conn }

func (e ourEnd) open() (stream, error)       { return e.OpenStreamSync(context.Background()) }
func (e ourEnd) accept() (stream, error)     { return e.AcceptStream(context.Background()) }
func (e ourEnd) stats() quic.ConnectionStats { return e.QUIC().ConnectionStats() }

type theirEnd struct{ *quic.Conn }

func (e theirEnd) open() (stream, error)       { return e.OpenStreamSync(context.Background()) }
func (e theirEnd) accept() (stream, error)     { return e.AcceptStream(context.Background()) }
func (e theirEnd) stats() quic.ConnectionStats { return e.ConnectionStats() }

// A link is both ends of a connection whose handshake is complete.
type link struct{ client, server end }

func (l *link) close() {
	l.client.CloseWithError(0, "")
	l.server.CloseWithError(0, "")
}

// octets returns what both ends have sent so far, without the headers of UDP and IP.
func (l *link) octets() float64 {
	return float64(l.client.stats().BytesSent + l.server.stats().BytesSent)
}

// packets returns how many both ends have sent so far.
func (l *link) packets() float64 {
	return float64(l.client.stats().PacketsSent + l.server.stats().PacketsSent)
}

// A network is two UDP sockets, and what makes connections from one to the other.
type network struct {
	client, server *quic.Transport
	connect        func() (*link, error)
	listener       io.Closer
}

func newNetwork() (n *network, err error) {
	n = new(network)
	for _, t := range []**quic.Transport{&n.client, &n.server} {
		socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return nil, errors.Join(err, n.close())
		}
		*t = &quic.Transport{Conn: socket}
	}
	return n, nil
}

// close ends all connections.
func (n *network) close() (err error) {
	if n.listener != nil {
		err = n.listener.Close()
	}
	for _, t := range []*quic.Transport{n.client, n.server} {
		if t != nil {
			err = errors.Join(err, t.Close(), t.Conn.Close())
		}
	}
	return err
}

// quicConfig is that of both contestants.
var quicConfig = &quic.Config{EnableDatagrams: true, MaxIdleTimeout: 10 * time.Minute}

// never is a policy without updates.
var never = channel.UpdatePolicy{Every: -1, Bytes: -1, Records: -1}

// newOurs returns a network of quicmls.
func newOurs(c *class) (*network, error) {
	configs, err := c.configs()
	if err != nil {
		return nil, err
	}
	n, err := newNetwork()
	if err != nil {
		return nil, err
	}
	l, err := quicmls.ListenTransport(n.server, configs[1])
	if err != nil {
		return nil, errors.Join(err, n.close())
	}
	n.listener = l
	n.connect = func() (*link, error) {
		type result struct {
			conn *quicmls.Conn
			err  error
		}
		accepted := make(chan result, 1)
		go func() {
			conn, err := l.Accept(context.Background())
			if err == nil {
				err = conn.HandshakeContext(context.Background())
			}
			accepted <- result{conn, err}
		}()
		client, err := quicmls.DialTransport(context.Background(), n.client, l.Addr(), configs[0])
		if err != nil {
			return nil, err
		}
		server := <-accepted
		if server.err != nil {
			return nil, server.err
		}
		return &link{ourEnd{client}, ourEnd{server.conn}}, nil
	}
	return n, nil
}

// configs returns the configurations of two ends that accept each other alone.
func (c *class) configs() (configs [2]*quicmls.Config, err error) {
	suite, err := ciphersuite.Default().Lookup(c.suite)
	if err != nil {
		return configs, err
	}
	var ids [2]mls.Identity
	for i, name := range []string{"client", "server"} {
		signer, err := suite.GenerateSigner(rand.Reader)
		if err != nil {
			return configs, err
		}
		ids[i] = identity.New(signer, name)
	}
	for i := range configs {
		peer, err := identity.NewPinned(ids[1-i].Signer.Public())
		if err != nil {
			return configs, err
		}
		configs[i] = &quicmls.Config{
			Config: channel.Config{Identity: ids[i], Validator: peer, Suites: []ciphersuite.ID{c.suite}},
			Rekey:  never,
			QUIC:   quicConfig,
		}
	}
	return configs, nil
}

// newTheirs returns a network of quic-go, whose ends show each other certificates of an
// authority that both know.
func newTheirs(c *class) (*network, error) {
	mutual, err := rivals.NewTLS(c.curve, rivals.Issued)
	if err != nil {
		return nil, err
	}
	clientTLS, serverTLS := mutual.Configs("bench")
	n, err := newNetwork()
	if err != nil {
		return nil, err
	}
	l, err := n.server.Listen(serverTLS, quicConfig)
	if err != nil {
		return nil, errors.Join(err, n.close())
	}
	n.listener = l
	n.connect = func() (*link, error) {
		type result struct {
			conn *quic.Conn
			err  error
		}
		accepted := make(chan result, 1)
		go func() {
			conn, err := l.Accept(context.Background())
			accepted <- result{conn, err}
		}()
		client, err := n.client.Dial(context.Background(), l.Addr(), clientTLS, quicConfig)
		if err != nil {
			return nil, err
		}
		server := <-accepted
		if server.err != nil {
			return nil, server.err
		}
		if err := mutual.Check(client.ConnectionState().TLS, server.conn.ConnectionState().TLS); err != nil {
			return nil, err
		}
		return &link{theirEnd{client}, theirEnd{server.conn}}, nil
	}
	return n, nil
}
