package main

import (
	"crypto/rand"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/netconn"
)

// ends are the configurations of a client and a server that accept each other, and of a
// stranger whom the server does not know.
type ends struct {
	client, server, stranger *netconn.Config
}

func newEnds() (*ends, error) {
	var ids [3]mls.Identity
	for i, name := range []string{"client", "server", "stranger"} {
		var err error
		if ids[i], err = identity.Generate(rand.Reader, name); err != nil {
			return nil, err
		}
	}
	knowsServer, err := identity.NewPinned(ids[1].Signer.Public())
	if err != nil {
		return nil, err
	}
	knowsClient, err := identity.NewPinned(ids[0].Signer.Public())
	if err != nil {
		return nil, err
	}
	// With a Store on both sides, a connection that was cut is resumed.
	return &ends{
		client:   &netconn.Config{Identity: ids[0], Validator: knowsServer, Store: channel.NewMemoryStore(0)},
		server:   &netconn.Config{Identity: ids[1], Validator: knowsClient, Store: channel.NewMemoryStore(0)},
		stranger: &netconn.Config{Identity: ids[2], Validator: knowsServer},
	}, nil
}
