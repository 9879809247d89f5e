package channel

import (
	"errors"
	"slices"
	"testing"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// shake does a full handshake between two new hosts whose configurations were
// edited, as far as it gets.
func shake(t tb, edit func(a, b *Config)) (a, b *peer) {
	t.Helper()
	ha, hb := newHost(t, "alice"), newHost(t, "bob")
	edit(&ha.cfg, &hb.cfg)
	a, b = initiate(t, ha, hb)
	a.start(t)
	settle(t, a, b)
	return a, b
}

// resume cuts the connection of two ends and does another, as far as it gets.
func resume(t tb, a, b *peer) (*peer, *peer) {
	t.Helper()
	id := a.ID()
	cut(a, b)
	a, b = resumer(t, a.host, id), listen(t, b.host)
	connect(a, b)
	a.start(t)
	settle(t, a, b)
	return a, b
}

func TestBothEndsAgreeOnWhatWasNegotiated(t *testing.T) {
	const own = Features(1 << 20)
	a, b := shake(t, func(a, b *Config) {
		a.Protocols, b.Protocols = []string{"x", "h2", "z"}, []string{"z", "h2"}
		a.ServerName = "mend.example"
		a.MaxRecordSize, b.MaxRecordSize = 1000, 500
		a.MaxEarlyData, b.MaxEarlyData = 10, 20
		a.Features, b.Features = FeatureTieBreakByKey|own, own
	})
	for range 2 {
		agree(t, a, b)
		for _, p := range []*peer{a, b} {
			n := p.Negotiated()
			if n.Protocol != "z" || n.ServerName != "mend.example" || n.Features != own || len(n.PSKs) != 0 {
				t.Errorf("%s: %+v", p.name, n)
			}
			want := [4]int{500, 1000, 20, 10}
			if p == b {
				want = [4]int{1000, 500, 10, 20}
			}
			if got := [4]int{n.SendRecordSize, n.ReceiveRecordSize, n.SendEarlyData, n.ReceiveEarlyData}; got != want {
				t.Errorf("%s: sizes are %v, want %v", p.name, got, want)
			}
		}
		canUpdate(t, a, b)
		a, b = resume(t, a, b) // and it lasts
	}
}

func TestNothingIsNegotiatedThatOneEndDoesNotKnow(t *testing.T) {
	a, b := shake(t, func(a, b *Config) { b.Protocols, b.Features = []string{"h2"}, FeatureTieBreakByKey })
	agree(t, a, b)
	for _, p := range []*peer{a, b} {
		n := p.Negotiated()
		if n.Protocol != "" || n.ServerName != "" || n.Features != 0 || n.SendRecordSize != MaxRecordSize || n.SendEarlyData != 0 {
			t.Errorf("%s: %+v", p.name, n)
		}
	}
}

func TestWhatCannotBeNegotiatedEndsTheHandshake(t *testing.T) {
	for _, test := range []struct {
		name  string
		edit  func(a, b *Config)
		want  error
		alert Alert
	}{
		{"no protocol in common", func(a, b *Config) { a.Protocols, b.Protocols = []string{"x"}, []string{"y"} }, ErrNoCommonProtocol, AlertNoApplicationProtocol},
		{"another transport", func(a, b *Config) { a.TransportBinding, b.TransportBinding = []byte("a"), []byte("b") }, ErrTransportBinding, AlertHandshakeFailure},
		{"transport that only the initiator binds", func(a, b *Config) { a.TransportBinding = []byte("a") }, ErrTransportBinding, AlertHandshakeFailure},
		{"transport that only the responder binds", func(a, b *Config) { b.TransportBinding = []byte("b") }, ErrTransportBinding, AlertHandshakeFailure},
		{"unknown server name", func(a, b *Config) {
			a.ServerName, b.Select = "other", func(ClientHello) (*Config, error) { return nil, ErrUnknownName }
		}, ErrUnknownName, AlertUnrecognizedName},
		{"peer that is not wanted", func(a, b *Config) {
			b.Select = func(ClientHello) (*Config, error) { return nil, errStore }
		}, errStore, AlertAccessDenied},
		{"unusable selection", func(a, b *Config) {
			b.Select = func(ClientHello) (*Config, error) { return &Config{}, nil }
		}, nil, AlertInternalError},
	} {
		a, b := shake(t, test.edit)
		if b.err == nil || test.want != nil && !errors.Is(b.err, test.want) || AlertOf(b.err) != test.alert {
			t.Errorf("%s: %v, alert %v", test.name, b.err, AlertOf(b.err))
		}
		if a.complete+b.complete != 0 || a.store.Len()+b.store.Len() != 0 {
			t.Errorf("%s: the handshake is complete, or stored", test.name)
		}
	}
}

func TestSelectSeesTheHelloAndReplacesTheConfiguration(t *testing.T) {
	var seen ClientHello
	chosen := newHost(t, "chosen")
	a, b := shake(t, func(a, b *Config) {
		a.ServerName, a.Protocols = "one", []string{"p"}
		a.Suites = []ciphersuite.ID{suite, ciphersuite.MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519}
		b.Select = func(h ClientHello) (*Config, error) { seen = h; return &chosen.cfg, nil }
	})
	if a.err != nil || b.err != nil || string(a.Peer().Credential.Identity) != "chosen" {
		t.Fatalf("%v, %v", a.err, b.err)
	}
	b.host.name = "chosen"
	canUpdate(t, a, b)
	if seen.ServerName != "one" || !slices.Equal(seen.Protocols, []string{"p"}) || len(seen.Suites) != 2 || string(seen.Credential.Identity) != "alice" {
		t.Errorf("hello is %+v", seen)
	}
	if chosen.store.Len() != 1 || b.store.Len() != 0 {
		t.Error("the session is not in the store of the configuration that was chosen")
	}
}

// In the middle of a resumption there is nothing to say about the transport, as a commit
// is repeated as it is: the keys differ.
func TestTransportIsBoundIntoTheKeysOfEachConnection(t *testing.T) {
	a, b := shake(t, func(a, b *Config) { a.TransportBinding, b.TransportBinding = []byte("first"), []byte("first") })
	agree(t, a, b)
	a.host.cfg.TransportBinding, b.host.cfg.TransportBinding = []byte("second"), []byte("second")
	a, b = resume(t, a, b)
	agree(t, a, b)
	canUpdate(t, a, b)

	a.host.cfg.TransportBinding = []byte("to the one in the middle")
	b.host.cfg.TransportBinding = []byte("from the one in the middle")
	id := a.ID()
	cut(a, b)
	a, b = resumer(t, a.host, id), listen(t, b.host)
	connect(a, b)
	a.start(t)
	b.deliver(t)
	a.deliver(t)
	if a.sendKey == nil || b.receiveKey == nil || string(a.sendKey) == string(b.receiveKey) {
		t.Error("the ends have the same keys on different transports")
	}
}

func TestConfigThatCannotBeToldIsRefused(t *testing.T) {
	for name, edit := range map[string]func(c *Config){
		"small records":     func(c *Config) { c.MaxRecordSize = MinRecordSize - 1 },
		"large records":     func(c *Config) { c.MaxRecordSize = MaxRecordSize + 1 },
		"much early data":   func(c *Config) { c.MaxEarlyData = maxEarlyDataLimit + 1 },
		"unknown feature":   func(c *Config) { c.Features = 2 },
		"long server name":  func(c *Config) { c.ServerName = string(make([]byte, 256)) },
		"empty protocol":    func(c *Config) { c.Protocols = []string{""} },
		"many protocols":    func(c *Config) { c.Protocols = make([]string, maxNames+1) },
		"empty PSK":         func(c *Config) { c.PSKIdentities = [][]byte{nil} },
		"long PSK identity": func(c *Config) { c.PSKIdentities = [][]byte{make([]byte, 256)} },
	} {
		h := newHost(t, "alice")
		edit(&h.cfg)
		if _, err := NewInitiator(&h.cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
