package channel

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

func TestHandshakeWithEverySuite(t *testing.T) {
	t.Parallel()
	for _, id := range DefaultSuites() {
		s, err := ciphersuite.Default().Lookup(id)
		if err != nil {
			t.Fatal(err)
		}
		a, b := newHost(t, "alice"), newHost(t, "bob")
		for _, h := range []*host{a, b} {
			h.cfg.Identity.Signer = must(s.GenerateSigner(rand.Reader))
			h.cfg.Suites = nil
		}
		a.cfg.Suites = []ciphersuite.ID{id}
		p, q := initiate(t, a, b)
		p.start(t)
		settle(t, p, q)
		agree(t, p, q)
		if p.Epoch() != 1 || p.Suite().ID() != id || p.Role() != RoleInitiator || p.Resumed() {
			t.Errorf("%v: epoch %d, suite %v, role %v, resumed: %t", id, p.Epoch(), p.Suite(), p.Role(), p.Resumed())
		}
		canUpdate(t, p, q)
		cut(p, q)
		recoverFrom(t, "both resume", a, b)
	}
}

func TestDefaultSuitesFitTheSigner(t *testing.T) {
	h := newHost(t, "alice")
	h.cfg.Suites = nil
	s := must(NewInitiator(&h.cfg))
	if want := DefaultSuites()[:4]; !slices.Equal(s.cfg.Suites, want) {
		t.Errorf("suites of an Ed25519 key are %v, want %v", s.cfg.Suites, want)
	}
	h.cfg.Identity.Signer = must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))
	if _, err := NewInitiator(&h.cfg); !errors.Is(err, ErrNoCommonSuite) {
		t.Errorf("a key that fits no suite: %v", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no signer":              func(c *Config) { c.Identity.Signer = nil },
		"no validator":           func(c *Config) { c.Validator = nil },
		"no clock":               func(c *Config) { c.Now = nil },
		"negative size":          func(c *Config) { c.MaxMessageSize = -1 },
		"size beyond a uint24":   func(c *Config) { c.MaxMessageSize = 1 << 24 },
		"negative age":           func(c *Config) { c.MaxSessionAge = -time.Second },
		"unknown suite":          func(c *Config) { c.Suites = []ciphersuite.ID{0x9999} },
		"suite for another key":  func(c *Config) { c.Suites = []ciphersuite.ID{2} },
		"no suite at all":        func(c *Config) { c.Suites = []ciphersuite.ID{} },
		"suite not in the table": func(c *Config) { c.Registry = must(ciphersuite.NewRegistry()) },
	} {
		cfg := newHost(t, "alice").cfg
		change(&cfg)
		if _, err := NewInitiator(&cfg); err == nil {
			t.Errorf("%s: no error from NewInitiator", name)
		}
		if _, err := NewResponder(&cfg); err == nil {
			t.Errorf("%s: no error from NewResponder", name)
		}
		if _, err := Resume(ctx, &cfg, SessionID{}); err == nil {
			t.Errorf("%s: no error from Resume", name)
		}
	}
	if _, err := NewResponder(nil); err == nil {
		t.Error("no error without a Config")
	}
}

func TestRefusedPeerEndsHandshake(t *testing.T) {
	errStranger := errors.New("a stranger")
	for refusing := range 2 {
		ha, hb := newHost(t, "alice"), newHost(t, "bob")
		a, b := initiate(t, ha, hb)
		refuser := []*peer{a, b}[refusing]
		refuser.refuses = errStranger
		a.start(t)
		settle(t, a, b)
		if !errors.Is(refuser.err, ErrPeerRefused) || !errors.Is(refuser.err, errStranger) || AlertOf(refuser.err) != AlertBadCertificate {
			t.Errorf("%s: %v, alert %v", refuser.name, refuser.err, AlertOf(refuser.err))
		}
		if a.complete+b.complete != 0 || ha.store.Len()+hb.store.Len() != 0 {
			t.Error("a handshake is complete, or stored, with a peer that is refused")
		}
	}
}

func TestPeerThatChangesItsMindEndsSession(t *testing.T) {
	a, b := established(t)
	b.refuses = errors.New("revoked")
	a.update(t, ReasonAge)
	b.deliver(t)
	if !errors.Is(b.err, ErrPeerRefused) || b.store.Len() != 0 {
		t.Errorf("error is %v, %d sessions are stored", b.err, b.store.Len())
	}
}

func TestSuiteOfInitiatorHasToBeAcceptable(t *testing.T) {
	ha, hb := newHost(t, "alice"), newHost(t, "bob")
	ha.cfg.Suites = []ciphersuite.ID{ciphersuite.MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519}
	a, b := initiate(t, ha, hb)
	a.start(t)
	settle(t, a, b)
	if !errors.Is(a.err, ErrNoCommonSuite) || AlertOf(a.err) != AlertHandshakeFailure {
		t.Errorf("error is %v, alert %v", a.err, AlertOf(a.err))
	}
}

func TestKeyPackageOutOfItsLifetimeIsRefused(t *testing.T) {
	for _, skew := range []time.Duration{-helloLifetime - time.Second, helloLifetime + time.Second} {
		ha, hb := newHost(t, "alice"), newHost(t, "bob")
		hb.clock = hb.clock.Add(skew)
		a, b := initiate(t, ha, hb)
		a.start(t)
		b.deliver(t)
		if check := (*mls.Error)(nil); !errors.As(b.err, &check) || check.Check != mls.CheckLeafLifetime {
			t.Errorf("clock off by %v: %v", skew, b.err)
		}
	}
}

// hello returns a ClientHello whose leaf has the given extensions.
func hello(t *testing.T, x mls.Extensions) Message {
	t.Helper()
	h := newHost(t, "alice")
	o := must(NewInitiator(&h.cfg)).leafOptions(nil)
	o.Extensions = x
	if x == nil {
		o.Capabilities.Extensions = nil
	}
	bundle, err := mls.NewKeyPackage(h.groups(), mls.KeyPackageOptions{Suite: suite, Identity: h.cfg.Identity, Leaf: o})
	if err != nil {
		t.Fatal(err)
	}
	return Message{Type: MessageClientHello, Body: bundle.Message()}
}

// groups returns a configuration that leaves a dictionary as it is.
func (h *host) groups() *mls.Config {
	cfg := h.cfg.mls()
	cfg.Components = nil
	return cfg
}

// lists returns a dictionary with the two component lists and an entry of ours.
func lists(t *testing.T, app, aad mls.ComponentsList, parameters []byte) mls.Extensions {
	t.Helper()
	var d mls.AppDataDictionary
	if app != nil {
		d = append(d, mls.ComponentData{ID: mls.ComponentAppComponents, Data: app.Marshal()})
	}
	if aad != nil {
		d = append(d, mls.ComponentData{ID: mls.ComponentSafeAAD, Data: aad.Marshal()})
	}
	if parameters != nil {
		d = append(d, mls.ComponentData{ID: componentParameters, Data: parameters})
	}
	return mls.Extensions{must(d.Extension())}
}

// rawOffer returns an offer with parameters of any type: pairs of a type and a value.
func rawOffer(versions []uint16, parameters ...any) []byte {
	var w wire.Writer
	w.Vector(func() {
		for _, v := range versions {
			w.Uint16(v)
		}
	})
	writeRaw(&w, parameters)
	return w.Data()
}

func rawChoice(version uint16, parameters ...any) []byte {
	var w wire.Writer
	w.Uint16(version)
	writeRaw(&w, parameters)
	return w.Data()
}

func writeRaw(w *wire.Writer, parameters []any) {
	w.Vector(func() {
		for i := 0; i < len(parameters); i += 2 {
			switch kind := parameters[i].(type) {
			case int:
				w.Uint16(uint16(kind))
			case uint16:
				w.Uint16(kind)
			}
			value, _ := parameters[i+1].([]byte)
			w.Opaque(value)
		}
	})
}

func TestComponentsOfInitiator(t *testing.T) {
	both := mls.ComponentsList{componentTwoParty, componentParameters}
	one := mls.ComponentsList{componentTwoParty}
	greased := mls.ComponentsList{0x0A0A, componentTwoParty, componentParameters, 0xF123}
	version := offer{versions: []uint16{ProfileVersion}}.marshal()
	unknown := rawOffer([]uint16{7, ProfileVersion, 9}, 0x100, []byte("x"), 0xFFFF, nil)
	for _, test := range []struct {
		name string
		x    mls.Extensions
		want error // nil: accepted
	}{
		{"as it should be", lists(t, both, one, version), nil},
		{"with unknown components", lists(t, greased, greased, version), nil},
		{"with unknown versions and parameters", lists(t, both, one, unknown), nil},
		{"no dictionary", nil, ErrProfile},
		{"no list of components", lists(t, nil, one, version), ErrProfile},
		{"no list for SafeAAD", lists(t, both, nil, version), ErrProfile},
		{"profile not listed", lists(t, mls.ComponentsList{componentParameters}, one, version), ErrProfile},
		{"parameters not listed", lists(t, one, one, version), ErrProfile},
		{"profile not listed for SafeAAD", lists(t, both, mls.ComponentsList{componentParameters}, version), ErrProfile},
		{"no offer", lists(t, both, one, nil), ErrProfile},
		{"no version in common", lists(t, both, one, offer{versions: []uint16{2, 3}}.marshal()), ErrNoCommonVersion},
		{"offer cut short", lists(t, both, one, version[:2]), nil},
		{"parameters in disorder", lists(t, both, one, rawOffer([]uint16{1}, 0x102, nil, 0x101, nil)), ErrMalformed},
		{"protocol without a name", lists(t, both, one, rawOffer([]uint16{1}, parameterALPN, []byte{0})), ErrMalformed},
		{"record size limit of one octet", lists(t, both, one, rawOffer([]uint16{1}, parameterRecordSizeLimit, []byte{64})), wire.ErrTruncated},
		{"record size limit too small", lists(t, both, one, rawOffer([]uint16{1}, parameterRecordSizeLimit, []byte{0, 63})), ErrProfile},
		{"features of five octets", lists(t, both, one, rawOffer([]uint16{1}, parameterFeatures, make([]byte, 5))), wire.ErrTrailing},
		{"long server name", lists(t, both, one, rawOffer([]uint16{1}, parameterServerName, make([]byte, 256))), ErrMalformed},
		{"retry that nobody asked for", lists(t, both, one, rawOffer([]uint16{1}, parameterRetry, make([]byte, 32))), ErrDowngrade},
		{"binding that this end has not", lists(t, both, one, rawOffer([]uint16{1}, parameterTransportBinding, make([]byte, 32))), ErrTransportBinding},
	} {
		p := listen(t, newHost(t, "bob"))
		_, err := p.Receive(ctx, hello(t, test.x))
		if test.name == "offer cut short" {
			if AlertOf(err) != AlertDecodeError {
				t.Errorf("%s: %v", test.name, err)
			}
			continue
		}
		if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("%s: error is %v, want %v", test.name, err, test.want)
		}
		if err != nil && AlertOf(err) == AlertInternalError {
			t.Errorf("%s: it is no fault of the peer", test.name)
		}
	}
}

// The joiner takes only groups that are made as the profile wants.
func TestGroupOfResponder(t *testing.T) {
	both := mls.ComponentsList{componentTwoParty, componentParameters}
	one := mls.ComponentsList{componentTwoParty}
	version := choice{version: ProfileVersion}.marshal()
	good, leaf := lists(t, both, one, version), lists(t, both, one, nil)
	id := make([]byte, 32)
	for _, test := range []struct {
		name          string
		groupID       []byte
		context, leaf mls.Extensions
		members       int
		want          error
	}{
		{"as it should be", id, good, leaf, 2, nil},
		{"short ID", id[:31], good, leaf, 2, ErrProfile},
		{"three members", id, good, leaf, 3, ErrProfile},
		{"context without SafeAAD", id, lists(t, both, nil, version), leaf, 2, ErrProfile},
		{"context without a choice", id, lists(t, both, one, nil), leaf, 2, ErrProfile},
		{"context with another extension", id, append(slices.Clone(good), mls.ExternalSenders()), leaf, 2, ErrProfile},
		{"version that was not offered", id, lists(t, both, one, choice{version: 2}.marshal()), leaf, 2, ErrNoCommonVersion},
		{"parameter that was not offered", id, lists(t, both, one, rawChoice(1, parameterPSKs, []byte("\x01x"))), leaf, 2, ErrProfile},
		{"parameter that is not known", id, lists(t, both, one, rawChoice(1, 0x100, nil)), leaf, 2, ErrProfile},
		{"features that were not offered", id, lists(t, both, one, rawChoice(1, parameterFeatures, []byte{1, 0, 0, 0})), leaf, 2, ErrProfile},
		{"record size limit too small", id, lists(t, both, one, rawChoice(1, parameterRecordSizeLimit, []byte{0, 10})), leaf, 2, ErrProfile},
	} {
		ha, hb := newHost(t, "alice"), newHost(t, "bob")
		a, _ := initiate(t, ha, hb)
		events := must(a.Session.Start(ctx))
		group, err := mls.NewGroup(hb.groups(), mls.GroupOptions{
			Suite: suite, Identity: hb.cfg.Identity, GroupID: test.groupID, Extensions: test.context,
			Leaf: mls.LeafOptions{Extensions: test.leaf, Capabilities: mls.Capabilities{Credentials: []mls.CredentialType{1, 2}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		adds := []mls.Proposal{&mls.Add{KeyPackage: must(must(mls.ParseKeyPackage(events[0].(Send).Message.Body)).Verify(hb.groups()))}}
		if test.members == 3 {
			adds = append(adds, &mls.Add{KeyPackage: must(must(mls.ParseKeyPackage(hello(t, leaf).Body)).Verify(hb.groups()))})
		}
		aad := noPurpose
		c, err := group.Commit(mls.CommitOptions{Proposals: adds, AuthenticatedData: aad})
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		got, err := a.Receive(ctx, Message{Type: MessageServerHello, Body: c.Welcome()})
		if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) || (err != nil && len(got) > 0) {
			t.Errorf("%s: error is %v, want %v", test.name, err, test.want)
		}
		if err != nil && (a.store.Len() != 0 || AlertOf(err) == AlertInternalError) {
			t.Errorf("%s: %d sessions are stored, alert %v", test.name, a.store.Len(), AlertOf(err))
		}
	}
}

// What mls makes no group of: the peer's leaf, or ours, falls short of it.
func TestGroupsRequireBothComponentsAndNoOthers(t *testing.T) {
	both := mls.ComponentsList{componentTwoParty, componentParameters}
	one := mls.ComponentsList{componentTwoParty}
	version := choice{version: ProfileVersion}.marshal()
	for name, x := range map[string]mls.Extensions{
		"another component":            lists(t, append(both, 0xF123), one, version),
		"another component in SafeAAD": lists(t, both, append(one, 0xF123), version),
		"one component":                lists(t, one, one, version),
	} {
		if _, err := verifyContext(x); !errors.Is(err, ErrProfile) {
			t.Errorf("%s: error is %v, want ErrProfile", name, err)
		}
	}
	if _, err := verifyContext(lists(t, both, one, version)); err != nil {
		t.Error(err)
	}
}

// The dictionary on the wire is that of the profile's draft but for our own
// component.
func TestWireOfComponents(t *testing.T) {
	if got, want := purposeEpochKeyUpdate.authenticatedData(), []byte{4, 0xF0, 0x20, 1, 4}; !bytes.Equal(got, want) {
		t.Errorf("authenticated data is %x, want %x", got, want)
	}
	want := []byte{
		0x28,
		0, 1, 5, 4, 0xF0, 0x20, 0xF0, 0x21,
		0, 2, 3, 2, 0xF0, 0x20,
		0xF0, 0x21, 0x17, 2, 0, 1, 0x13,
		0, 3, 2, 0x40, 0x01,
		0, 4, 4, 0, 0, 0, 0,
		0, 8, 4, 0, 0, 0, 0,
	}
	want[0] = byte(len(want) - 1)
	events := must(must(NewInitiator(&newHost(t, "alice").cfg)).Start(ctx))
	leaf := must(must(mls.ParseKeyPackage(events[0].(Send).Message.Body)).Verify(newHost(t, "bob").groups())).LeafNode
	if len(leaf.Extensions) != 1 || !bytes.Equal(leaf.Extensions[0].Data, want) {
		t.Errorf("extensions are %x, want the dictionary %x", leaf.Extensions, want)
	}
	if c := leaf.Capabilities; len(c.Proposals) != 0 || !slices.Equal(c.Extensions, []mls.ExtensionType{mls.ExtensionAppDataDictionary}) {
		t.Errorf("capabilities are %+v", c)
	}
	if got, want := (choice{version: 1}).marshal(), []byte{0, 1, 0}; !bytes.Equal(got, want) {
		t.Errorf("choice is %x, want %x", got, want)
	}
}

func TestFindByPeer(t *testing.T) {
	a, b := established(t)
	for p, label := range map[*peer]string{a: "peer", b: Fingerprint(b.Peer().SignatureKey)} {
		ids := must(p.store.FindByPeer(ctx, label))
		if !slices.Equal(ids, []SessionID{p.ID()}) {
			t.Errorf("%s finds %v under %q, want %v", p.name, ids, label, p.ID())
		}
	}
}

func TestSessionWithoutStore(t *testing.T) {
	ha, hb := newHost(t, "alice"), newHost(t, "bob")
	ha.cfg.Store, hb.cfg.Store = nil, nil
	a, b := initiate(t, ha, hb)
	a.start(t)
	settle(t, a, b)
	agree(t, a, b)
	canUpdate(t, a, b)
	if err := a.Abort(ctx); err != nil {
		t.Error(err)
	}
}

// A store that cannot save ends the handshake before anything is revealed.
func TestHandshakeThatCannotBeSaved(t *testing.T) {
	for failing := range 2 {
		ha, hb := newHost(t, "alice"), newHost(t, "bob")
		[]*host{ha, hb}[failing].store.fail = func(int) (error, bool) { return errStore, false }
		a, b := initiate(t, ha, hb)
		a.start(t)
		settle(t, a, b)
		p := []*peer{a, b}[failing]
		if !errors.Is(p.err, errStore) || AlertOf(p.err) != AlertInternalError || p.complete != 0 {
			t.Errorf("%s: %v", p.name, p.err)
		}
	}
}
