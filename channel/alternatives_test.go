package channel

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"testing"

	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

const p256 = ciphersuite.MLS_128_DHKEMP256_AES128GCM_SHA256_P256

// onP256 returns an identity for suites that sign with ECDSA.
func onP256(name string) mls.Identity {
	return mls.Identity{
		Credential: mls.BasicCredential([]byte(name)),
		Signer:     must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)),
	}
}

// Each end has a key of one kind or of two; what it shows goes with the suite.
func TestTheIdentityGoesWithTheSuite(t *testing.T) {
	only := func(id mls.Identity) func(*Config) {
		return func(c *Config) { c.Identity, c.Suites = id, []ciphersuite.ID{p256} }
	}
	both := func(suites ...ciphersuite.ID) func(*Config) {
		return func(c *Config) {
			c.Alternatives = []mls.Identity{onP256(string(c.Identity.Credential.Identity) + " on P-256")}
			c.Suites = suites
		}
	}
	for name, c := range map[string]struct {
		a, b         func(*Config)
		suite        ciphersuite.ID
		aName, bName string
	}{
		"both have both, the initiator's favourite":   {both(suite, p256), both(p256, suite), suite, "alice", "bob"},
		"both have both, the initiator's other one":   {both(p256, suite), both(suite, p256), p256, "alice on P-256", "bob on P-256"},
		"the responder has one, a retry leads to it":  {both(suite, p256), only(onP256("server")), p256, "alice on P-256", "server"},
		"the initiator has one":                       {only(onP256("client")), both(suite, p256), p256, "client", "bob on P-256"},
		"a default list has what fits either of them": {both(), both(), DefaultSuites()[0], "alice", "bob"},
	} {
		t.Run(name, func(t *testing.T) {
			ha, hb := newHost(t, "alice"), newHost(t, "bob")
			c.a(&ha.cfg)
			c.b(&hb.cfg)
			ha.name, hb.name = c.aName, c.bName // agree compares them with what the peers show
			a, b := initiate(t, ha, hb)
			a.start(t)
			settle(t, a, b)
			for range 2 { // the second time it is a resumed session
				agree(t, a, b)
				if a.Suite().ID() != c.suite {
					t.Errorf("suite is %v, want %v", a.Suite(), c.suite)
				}
				canUpdate(t, a, b)
				if len(a.changes)+len(b.changes) != 0 {
					t.Error("an identity has changed by itself")
				}
				a, b = resume(t, a, b)
			}
		})
	}
}

func TestEachSuiteNeedsAnIdentity(t *testing.T) {
	h := newHost(t, "alice")
	h.cfg.Suites = []ciphersuite.ID{suite, p256}
	if _, err := NewInitiator(&h.cfg); !errors.Is(err, ciphersuite.ErrPublicKey) {
		t.Errorf("a suite without an identity: %v", err)
	}
	h.cfg.Alternatives = []mls.Identity{{}}
	if _, err := NewInitiator(&h.cfg); err == nil {
		t.Error("an alternative without a signer: no error")
	}
	h.cfg.Alternatives = []mls.Identity{onP256("alice")}
	if _, err := NewInitiator(&h.cfg); err != nil {
		t.Error(err)
	}
}

// An alternative that was replaced while there was no connection is made up for, too.
func TestASessionGoesOnUnderTheAlternativeOfToday(t *testing.T) {
	ha, hb := newHost(t, "alice"), newHost(t, "bob")
	old, next := onP256("alice"), onP256("alice again")
	ha.cfg.Suites, ha.cfg.Alternatives = []ciphersuite.ID{p256, suite}, []mls.Identity{old}
	hb.cfg.Identity, hb.cfg.Suites = onP256("bob"), []ciphersuite.ID{p256}
	a, b := initiate(t, ha, hb)
	a.start(t)
	settle(t, a, b)
	agree(t, a, b)
	ha.cfg.Alternatives, ha.cfg.PreviousIdentities, ha.name = []mls.Identity{next}, []mls.Identity{old}, "alice again"
	a, b = resume(t, a, b)
	agree(t, a, b)
	canUpdate(t, a, b)
}
