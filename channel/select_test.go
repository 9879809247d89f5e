package channel

import (
	"errors"
	"testing"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// Updates and pre-shared keys go by the configuration that was chosen as well.
func TestASelectedConfigurationHoldsAfterTheHandshake(t *testing.T) {
	chosen := newHost(t, "chosen")
	chosen.cfg.PSK = func([]byte) ([]byte, error) { return []byte("shared"), nil }
	a, b := shake(t, func(a, b *Config) {
		a.PSK, a.PSKIdentities = chosen.cfg.PSK, [][]byte{[]byte("psk")}
		b.Select = func(ClientHello) (*Config, error) { return &chosen.cfg, nil }
	})
	if a.err != nil || b.err != nil {
		t.Fatal(a.err, b.err)
	}
	if len(a.Negotiated().PSKs) != 1 {
		t.Errorf("pre-shared keys are %q", a.Negotiated().PSKs)
	}
	b.update(t, ReasonAge)
	settle(t, a, b)
	if name := string(a.Peer().Credential.Identity); name != "chosen" || len(a.changes) != 0 {
		t.Errorf("after an update the peer is %q, %d changes", name, len(a.changes))
	}
}

// The sizes of records are known with the first keys.
func TestKeysComeWithTheSizeOfRecords(t *testing.T) {
	ha, hb := newHost(t, "alice"), newHost(t, "bob")
	ha.cfg.MaxRecordSize, hb.cfg.MaxRecordSize = 100, 200
	sizes := make(map[Direction]int)
	note := func(events []Event) []Event {
		for _, e := range events {
			switch e := e.(type) {
			case SwitchSend:
				sizes[Sending] = e.RecordSize
			case SwitchReceive:
				sizes[Receiving] = e.RecordSize
			}
		}
		return events
	}
	a, b := initiate(t, ha, hb)
	a.start(t)
	events, err := b.Receive(ctx, b.in[0].Message)
	b.carryOut(t, note(events), err)
	if sizes[Sending] != 100 || sizes[Receiving] != 200 {
		t.Errorf("the responder's sizes are %v", sizes)
	}
	clear(sizes)
	events, err = a.Receive(ctx, a.in[0].Message)
	a.carryOut(t, note(events), err)
	if sizes[Sending] != 200 || sizes[Receiving] != 100 {
		t.Errorf("the initiator's sizes are %v", sizes)
	}
}

// The suite is the best of those of the configuration that chooses, which is known while the ends agree on it, whatever else
// the chosen one would have had; and it is one of the chosen one's.
func TestASelectedConfigurationAcceptsTheSuiteOrRefusesIt(t *testing.T) {
	const other = ciphersuite.MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519
	for _, test := range []struct {
		name   string
		chosen []ciphersuite.ID
		want   error
		alert  Alert
	}{
		{"the same", []ciphersuite.ID{suite}, nil, 0},
		{"a better one as well", []ciphersuite.ID{other, suite}, nil, 0},
		{"only one that the peer prefers", []ciphersuite.ID{other}, ErrNoCommonSuite, AlertHandshakeFailure},
		{"one that the peer does not have", []ciphersuite.ID{hybrid}, ErrNoCommonSuite, AlertHandshakeFailure},
	} {
		chosen := newHost(t, "chosen")
		chosen.cfg.Suites = test.chosen
		a, b := shake(t, func(a, b *Config) {
			a.Suites, b.Suites = []ciphersuite.ID{other, suite}, []ciphersuite.ID{suite}
			b.Select = func(ClientHello) (*Config, error) { return &chosen.cfg, nil }
		})
		if !errors.Is(b.err, test.want) || test.want != nil && AlertOf(b.err) != test.alert {
			t.Errorf("%s: %v, alert %v; want %v", test.name, b.err, AlertOf(b.err), test.want)
		}
		if complete := a.complete+b.complete == 2; complete != (test.want == nil) {
			t.Errorf("%s: complete: %t, %v", test.name, complete, a.err)
		}
	}
}

func TestASelectedConfigurationAcceptsThePairOfSuitesOrRefusesIt(t *testing.T) {
	first, second := DefaultAPQSuites()[0], DefaultAPQSuites()[1]
	for _, test := range []struct {
		name   string
		chosen *APQ
		want   error
	}{
		{"the same", &APQ{Suites: []APQSuites{second}}, nil},
		{"a better one as well", &APQ{Suites: []APQSuites{first, second}}, nil},
		{"only one that the peer prefers", &APQ{Suites: []APQSuites{first}}, ErrNoCommonSuite},
		{"none", nil, ErrNoCommonSuite},
	} {
		chosen := newHost(t, "chosen")
		chosen.cfg.APQ = test.chosen
		a, b := shake(t, func(a, b *Config) {
			a.APQ, b.APQ = &APQ{Suites: []APQSuites{first, second}}, &APQ{Suites: []APQSuites{second}}
			b.Select = func(ClientHello) (*Config, error) { return &chosen.cfg, nil }
		})
		if !errors.Is(b.err, test.want) || test.want != nil && AlertOf(b.err) != AlertHandshakeFailure {
			t.Errorf("%s: %v, alert %v; want %v", test.name, b.err, AlertOf(b.err), test.want)
		}
		if complete := a.complete+b.complete == 2; complete != (test.want == nil) {
			t.Errorf("%s: complete: %t, %v", test.name, complete, a.err)
		}
	}
}

// In a full handshake, and as long as that connection lives, it is the validator of the configuration that was chosen. Where the
// session is resumed, it is that of the first one.
func TestWhoDecidesAboutAPeerForWhomAConfigurationWasChosen(t *testing.T) {
	refusal := errors.New("not you")
	ha, hb, chosen := newHost(t, "alice"), newHost(t, "bob"), newHost(t, "chosen")
	chosen.cfg.Identity, chosen.cfg.Store = hb.cfg.Identity, hb.store
	hb.cfg.Select = func(ClientHello) (*Config, error) { return &chosen.cfg, nil }
	meet := func() (a, b *peer) {
		a, b = initiate(t, ha, hb)
		a.start(t)
		settle(t, a, b)
		return a, b
	}
	chosen.refuses = refusal
	if _, b := meet(); !errors.Is(b.err, refusal) {
		t.Errorf("the chosen one refuses, in a full handshake: %v", b.err)
	}
	chosen.refuses = nil
	a, b := meet()
	agree(t, a, b)
	hb.refuses = refusal
	if _, err := b.Revalidate(ctx, RefusalClose); err != nil {
		t.Errorf("the first one refuses, in a living connection: %v", err)
	}
	if a, _ := resume(t, a, b); a.complete == 1 && a.Resumed() {
		t.Error("the first one refuses, and the session is resumed")
	}
	hb.refuses = nil
	a, b = meet()
	agree(t, a, b)
	chosen.refuses = refusal
	if a, b = resume(t, a, b); !a.Resumed() || b.complete != 1 {
		t.Errorf("the first one accepts, and the session is not resumed: %v", b.err)
	}
}
