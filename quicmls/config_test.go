package quicmls

import (
	"bytes"
	"errors"
	"reflect"
	"runtime"
	"testing"
	"weak"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/mls"
)

// newFullConfigs returns configurations with something in each field that a copy could share: only if
// nothing in it changes does the handshake succeed.
func newFullConfigs(t *testing.T) (initiator, responder *Config) {
	ic, rc := newConfigs(t)
	for _, c := range []*Config{ic, rc} {
		c.Alternatives = []mls.Identity{c.Identity}
		c.PreviousIdentities = []mls.Identity{newIdentity(t, "of before")}
		c.Suites = channel.DefaultSuites()[:1]
		c.APQ = &channel.APQ{Suites: channel.DefaultAPQSuites()[:1]}
		c.Protocols = []string{"one"}
		c.TransportBinding = []byte("a name of the transport")
		c.PSKIdentities, c.RequirePSK = [][]byte{[]byte("key")}, true
		c.PSK = func(identity []byte) ([]byte, error) {
			if string(identity) != "key" {
				return nil, mls.ErrUnknownPSK
			}
			return bytes.Repeat([]byte{1}, 32), nil
		}
	}
	return ic, rc
}

// spoil changes all that a copy could share, and then all else.
func spoil(c *Config, name string) {
	c.Alternatives[0], c.PreviousIdentities[0] = mls.Identity{}, mls.Identity{}
	c.Suites[0] = 0xfefe
	c.APQ.Suites[0], c.APQ.Required = channel.APQSuites{}, true
	c.Protocols[0] = name
	copy(c.TransportBinding, name)
	copy(c.PSKIdentities[0], "kez")
	c.PSKIdentities[0] = []byte(name)
	*c = Config{}
}

// What the caller does to the configuration of a listener afterwards has no effect.
func TestConfigIsCopied(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newFullConfigs(t)
	l, err := Listen("127.0.0.1:0", rc)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	spoil(rc, "responder")
	dialed, served := make(chan error, 1), make(chan struct{})
	go func() {
		c, err := Dial(t.Context(), l.Addr().String(), ic)
		if err == nil {
			defer c.CloseWithError(0, "")
			defer func() { <-served }()
			if got := c.ConnectionState().Negotiated.Protocol; got != "one" {
				t.Errorf("the protocol is %q", got)
			}
		}
		dialed <- err
	}()
	within(t, "a handshake", func() {
		defer close(served)
		c, err := l.Accept(t.Context())
		if err != nil {
			t.Error(err)
			return
		}
		defer c.CloseWithError(0, "")
		if c.handshake.config.PreviousIdentities[0].Signer == nil || c.handshake.config.Alternatives[0].Signer == nil { // which the handshake does not show
			t.Error("the identities are others")
		}
		if err := c.HandshakeContext(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-dialed; err != nil {
			t.Error(err)
		}
	})
}

func TestTheCloneOfAConfig(t *testing.T) {
	if c := (*Config)(nil).Clone(); c != nil {
		t.Errorf("%+v", c)
	}
	if c := (*channel.Config)(nil).Clone(); c != nil {
		t.Errorf("%+v", c)
	}
	ic, _ := newFullConfigs(t)
	ic.PSK = nil // functions cannot be compared
	want := ic.Clone()
	if !reflect.DeepEqual(ic, want) {
		t.Errorf("%+v, want %+v", want, ic)
	}
	spoil(ic.Clone(), "clone")
	if !reflect.DeepEqual(ic, want) {
		t.Errorf("what is done to the clone shows: %+v, want %+v", ic, want)
	}
}

// An end holds on to no configuration once its handshake is complete, and can do everything without.
func TestTheConfigurationGoesWithTheHandshake(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	ic.Keyed, rc.Keyed = true, true
	qc, qs := quicPair(t, ic, rc)
	client, server := Client(qc, ic), Server(qs, rc)
	t.Cleanup(func() {
		client.CloseWithError(0, "")
		server.CloseWithError(0, "")
	})
	configs := []weak.Pointer[Config]{weak.Make(client.handshake.config), weak.Make(server.handshake.config)}
	done := make(chan error, 1)
	go func() { done <- server.HandshakeContext(t.Context()) }()
	if err := errors.Join(client.HandshakeContext(t.Context()), <-done); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the configurations are gone", func() bool {
		runtime.GC()
		return configs[0].Value() == nil && configs[1].Value() == nil
	})
	a, b := openPair(t, client, server)
	exchange(t, a, b)
	if err := errors.Join(client.Update(t.Context()), server.Update(t.Context())); err != nil {
		t.Error(err)
	}
}
