package main

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"net"

	"github.com/mendlink/mendlink/bench/internal/rivals"
	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/netconn"
)

const cryptoTLS = "crypto/tls"

// A class is a suite of ours and what crypto/tls has of the same kind.
type class struct {
	name  string
	suite ciphersuite.ID
	curve tls.CurveID
	limit float64 // of the memory of an idle end, in KiB
}

var (
	classical = &class{"X25519", ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519, tls.X25519, 10}
	hybrid    = &class{"hybrid", ciphersuite.MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519, tls.X25519MLKEM768, 12}
	classes   = []*class{classical, hybrid}
)

// A link is both ends of a secure channel over TCP, after the handshake.
type link struct{ client, server net.Conn }

func (l *link) close() {
	l.client.Close()
	l.server.Close()
}

// never is a policy without updates.
var never = netconn.RekeyPolicy{Every: -1, Bytes: -1, Records: -1}

// A connector makes links.
type connector func(*rivals.Dialer) (*link, error)

// ours returns what makes links of netconn. The options change the client's
// configuration, which has no updates without them.
func (c *class) ours(options ...func(*netconn.Config)) (connector, error) {
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
	var configs [2]netconn.Config
	for i := range configs {
		peer, err := identity.NewPinned(ids[1-i].Signer.Public())
		if err != nil {
			return nil, err
		}
		configs[i] = netconn.Config{Identity: ids[i], Validator: peer, Suites: []ciphersuite.ID{c.suite}, Rekey: never}
	}
	for _, set := range options {
		set(&configs[0])
	}
	return func(d *rivals.Dialer) (*link, error) {
		a, b, err := d.Pair()
		if err != nil {
			return nil, err
		}
		client, server := netconn.Client(a, &configs[0]), netconn.Server(b, &configs[1])
		done := make(chan error, 1)
		go func() { done <- server.Handshake() }()
		if err := errors.Join(client.Handshake(), <-done); err != nil {
			return nil, err
		}
		return &link{client, server}, nil
	}, nil
}

// theirs returns what makes links of crypto/tls.
func (c *class) theirs() (connector, error) {
	t, err := rivals.NewTLS(c.curve, rivals.Issued)
	if err != nil {
		return nil, err
	}
	return func(d *rivals.Dialer) (*link, error) {
		a, b, err := d.Pair()
		if err != nil {
			return nil, err
		}
		client, server, err := t.Connect(a, b)
		if err != nil {
			return nil, err
		}
		return &link{client, server}, nil
	}, nil
}

// links returns one of ours and one of crypto/tls, to be closed.
func (l *lab) links(options ...func(*netconn.Config)) (ours, theirs *link, err error) {
	connectOurs, err := classical.ours(options...)
	if err != nil {
		return nil, nil, err
	}
	connectTheirs, err := classical.theirs()
	if err != nil {
		return nil, nil, err
	}
	if ours, err = connectOurs(l.dialer); err != nil {
		return nil, nil, err
	}
	if theirs, err = connectTheirs(l.dialer); err != nil {
		ours.close()
		return nil, nil, err
	}
	return ours, theirs, nil
}
