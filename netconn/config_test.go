package netconn

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net"
	"reflect"
	"testing"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// newFullConfigs returns configurations with something in each field that a copy could share: only if
// nothing in it changes does the handshake succeed.
func newFullConfigs(t *testing.T) (initiator, responder *Config) {
	ic, rc := newConfigs(t)
	fitsNone, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*Config{ic, rc} {
		c.Alternatives, c.Identity = []mls.Identity{c.Identity}, identity.New(fitsNone, "of other suites")
		c.PreviousIdentities = []mls.Identity{newIdentity(t, "of before")}
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

// What the caller does to its configuration afterwards has no effect.
func TestConfigIsCopied(t *testing.T) {
	for name, accept := range map[string]func(inner net.Listener, rc *Config) (net.Conn, error){
		"Server": func(inner net.Listener, rc *Config) (net.Conn, error) {
			transport, err := inner.Accept()
			if err != nil {
				return nil, err
			}
			defer spoil(rc, "responder")
			return Server(transport, rc), nil
		},
		"NewListener": func(inner net.Listener, rc *Config) (net.Conn, error) {
			l := NewListener(inner, rc)
			spoil(rc, "responder")
			return l.Accept()
		},
		"Listen": func(inner net.Listener, rc *Config) (net.Conn, error) {
			l, err := Listen("tcp", "127.0.0.1:0", rc)
			if err != nil {
				return nil, err
			}
			spoil(rc, "responder")
			l.Listener.Close()
			l.Listener = inner
			return l.Accept()
		},
	} {
		t.Run(name, func(t *testing.T) {
			checkGoroutines(t)
			ic, rc := newFullConfigs(t)
			inner, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer inner.Close()
			transport, err := net.Dial("tcp", inner.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			client := Client(transport, ic)
			defer client.Close()
			spoil(ic, "initiator")
			accepted, err := accept(inner, rc)
			if err != nil {
				t.Fatal(err)
			}
			server := accepted.(*Conn)
			defer server.Close()
			for _, c := range []*Conn{client, server} { // which only a resumption would show
				if c.opening.config.PreviousIdentities[0].Signer == nil {
					t.Error("the previous identities are others")
				}
			}
			if clientErr, serverErr := handshakeBoth(client, server); clientErr != nil || serverErr != nil {
				t.Fatal(clientErr, serverErr)
			}
			if got := client.ConnectionState().Negotiated.Protocol; got != "one" {
				t.Errorf("the protocol is %q", got)
			}
		})
	}
}

func TestTheCloneOfNoConfig(t *testing.T) {
	if c := (*Config)(nil).Clone(); c != nil {
		t.Errorf("%+v", c)
	}
}

// A configuration can be used again as it is.
func TestConfigIsNotModified(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newFullConfigs(t)
	ic.PSK, rc.PSK = nil, nil // functions cannot be compared
	ic.RequirePSK, rc.RequirePSK = false, false
	icBefore, rcBefore := ic.Clone(), rc.Clone()
	l, err := Listen("tcp", "127.0.0.1:0", rc)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 2 {
		served := make(chan error, 1)
		go func() {
			c, err := l.Accept()
			if err == nil {
				err = c.(*Conn).Handshake()
				defer c.Close()
			}
			served <- err
		}()
		c, err := Dial("tcp", l.Addr().String(), ic)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		if err := <-served; err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(ic, icBefore) || !reflect.DeepEqual(rc, rcBefore) {
		t.Error("a configuration is another one after its use")
	}
}

// What a connection is like whose ends say no more than they have to: post-quantum, and healing by itself.
func TestDefaults(t *testing.T) {
	checkGoroutines(t)
	alice, bob := newIdentity(t, "alice"), newIdentity(t, "bob")
	ic, rc := &Config{Identity: alice, Validator: pin(t, bob)}, &Config{Identity: bob, Validator: pin(t, alice)}
	if c, err := ic.withDefaults(); err != nil || c.HandshakeTimeout != DefaultHandshakeTimeout || c.IdentitySpread != DefaultIdentitySpread {
		t.Errorf("%+v, %v", c, err)
	}
	a, b := tcpPair(t)
	client, server := connect(t, a, b, ic, rc)
	exchange(t, client, server)
	for _, c := range []*Conn{client, server} {
		if suite := c.ConnectionState().Suite; suite != ciphersuite.MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519 {
			t.Errorf("the suite is %v", suite)
		}
		if next := c.driver.Schedule().Next(); !c.driver.HasTimer() || next.IsZero() || time.Until(next) > channel.DefaultUpdateEvery {
			t.Errorf("the next update is due at %v", next)
		}
	}
}
