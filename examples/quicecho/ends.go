package main

import (
	"crypto/rand"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/quicmls"
)

// newConfigs returns the configurations of two ends that accept each other, and nobody else.
func newConfigs() (client, server *quicmls.Config, err error) {
	c, err := identity.Generate(rand.Reader, "client")
	if err != nil {
		return nil, nil, err
	}
	s, err := identity.Generate(rand.Reader, "server")
	if err != nil {
		return nil, nil, err
	}
	if client, err = accepting(c, s); err != nil {
		return nil, nil, err
	}
	server, err = accepting(s, c)
	return client, server, err
}

// accepting returns the configuration of self, whose peer has to be peer.
func accepting(self, peer mls.Identity) (*quicmls.Config, error) {
	peers, err := identity.NewPinned(peer.Signer.Public())
	return &quicmls.Config{Config: channel.Config{Identity: self, Validator: peers}}, err
}
