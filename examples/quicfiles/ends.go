package main

import (
	"crypto/rand"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/quicmls"
)

// maxStreams is how many files a sender may send at a time.
const maxStreams = 64

// newConfigs returns the configurations of two ends that accept each other, and nobody else.
func newConfigs() (sender, receiver *quicmls.Config, err error) {
	s, err := identity.Generate(rand.Reader, "sender")
	if err != nil {
		return nil, nil, err
	}
	r, err := identity.Generate(rand.Reader, "receiver")
	if err != nil {
		return nil, nil, err
	}
	knowsSender, err := identity.NewPinned(s.Signer.Public())
	if err != nil {
		return nil, nil, err
	}
	knowsReceiver, err := identity.NewPinned(r.Signer.Public())
	return newConfig(s, knowsReceiver), newConfig(r, knowsSender), err
}

// newConfig returns the configuration of an end. Both notice within seconds that the connection is lost.
func newConfig(self mls.Identity, peer *identity.Pinned) *quicmls.Config {
	return &quicmls.Config{
		Config: channel.Config{
			Identity:  self,
			Validator: peer,
			Store:     channel.NewMemoryStore(0), // to resume cut connections
		},
		QUIC: &quic.Config{
			MaxIdleTimeout:             2 * time.Second,
			KeepAlivePeriod:            500 * time.Millisecond,
			MaxStreamReceiveWindow:     1 << 20,
			MaxConnectionReceiveWindow: 8 << 20,
			MaxIncomingStreams:         maxStreams,
			MaxIncomingUniStreams:      -1,
		},
	}
}

// receiving returns config with what is particular to the receiver: it updates its keys by policy. That
// counts what has flowed since the last update of either end, so that the receiver's come between those of the
// sender.
func receiving(config *quicmls.Config, rekey int64) *quicmls.Config {
	c := *config
	c.Rekey = channel.UpdatePolicy{Bytes: max(1, rekey/2)}
	return &c
}
