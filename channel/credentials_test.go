package channel

import (
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/mendlink/mendlink/mls"
)

// tokenReader is a validator that takes credentials which expire at the Unix time that is in them.
type tokenReader struct{ mls.AuthenticationService }

func (tokenReader) CredentialTypes() []mls.CredentialType {
	return []mls.CredentialType{mls.CredentialX509, mls.CredentialSDCWT}
}

var errNotATime = errors.New("not a time")

func (tokenReader) CredentialExpiry(c *mls.Credential) (time.Time, error) {
	seconds, err := strconv.ParseInt(string(c.Data), 10, 64)
	if err != nil {
		return time.Time{}, errNotATime
	}
	return time.Unix(seconds, 0), nil
}

// withToken returns an identity with a credential of another type that expires at some time.
func withToken(t tb, at time.Time) mls.Identity {
	t.Helper()
	return mls.Identity{Credential: mls.SDCWTCredential([]byte(strconv.FormatInt(at.Unix(), 10))), Signer: newHost(t, "").cfg.Identity.Signer}
}

// An end lists the types of its own credentials and those that its validator takes, each once.
func TestLeavesListTheTypesOfCredentials(t *testing.T) {
	jwt := mls.Identity{Credential: mls.SDJWTCredential(mls.SDJWT{})}
	for name, c := range map[string]struct {
		change func(*Config)
		more   []mls.CredentialType
	}{
		"basic":                 {func(*Config) {}, nil},
		"an own token":          {func(c *Config) { c.Identity = withToken(t, time.Now()) }, []mls.CredentialType{mls.CredentialSDCWT}},
		"one among others":      {func(c *Config) { c.Alternatives = []mls.Identity{jwt} }, []mls.CredentialType{mls.CredentialSDJWT}},
		"the peer's":            {func(c *Config) { c.Validator = tokenReader{} }, []mls.CredentialType{mls.CredentialSDCWT}},
		"the peer's and others": {func(c *Config) { c.Identity, c.Validator = jwt, tokenReader{} }, []mls.CredentialType{mls.CredentialSDJWT, mls.CredentialSDCWT}},
	} {
		cfg := newHost(t, "alice").cfg
		c.change(&cfg)
		want := append([]mls.CredentialType{mls.CredentialBasic, mls.CredentialX509}, c.more...)
		if types := cfg.credentialTypes(); !slices.Equal(types, want) {
			t.Errorf("%s: types are %v, want %v", name, types, want)
		}
	}
	ha, hb := newHost(t, ""), newHost(t, "bob") // tokens have no name as the others' credentials
	ha.cfg.Identity, hb.cfg.Validator = withToken(t, ha.clock), tokenReader{hb}
	a, b := initiate(t, ha, hb)
	a.start(t)
	settle(t, a, b)
	agree(t, a, b)
	for _, p := range []*peer{a, b} {
		if types := p.Peer().Capabilities.Credentials; !slices.Contains(types, mls.CredentialSDCWT) {
			t.Errorf("%s sees a leaf with the types %v", p.name, types)
		}
	}
}

// An end whose validator does not take such credentials has nobody show one to it, in a handshake or later.
func TestCredentialsOfUnlistedTypesAreRefused(t *testing.T) {
	ha, hb := newHost(t, "alice"), newHost(t, "bob")
	ha.cfg.Identity = withToken(t, ha.clock)
	a, b := initiate(t, ha, hb)
	a.start(t)
	settle(t, a, b)
	if rule := (*mls.Error)(nil); !errors.As(b.err, &rule) || rule.Check != mls.CheckLeafCredentialSupport {
		t.Errorf("the responder says %v", b.err)
	}

	a, b = established(t)
	if _, err := a.Session.Rotate(ctx, withToken(t, a.clock)); err == nil {
		t.Error("a token can be shown to a peer that does not list its type")
	}
	agree(t, a, b)
	canUpdate(t, a, b)
}

// Where both ends' validators take tokens, a session goes over to one.
func TestASessionGoesOverToAToken(t *testing.T) {
	ha, hb := newHost(t, "alice"), newHost(t, "bob")
	hb.cfg.Validator = tokenReader{hb} // alice has no such validator: her leaf has to list the type in time
	a, b := initiate(t, ha, hb)
	a.start(t)
	settle(t, a, b)
	agree(t, a, b)
	at := ha.clock.Add(time.Hour)
	token := withToken(t, at)
	ha.cfg.Identity, ha.cfg.PreviousIdentities = token, []mls.Identity{ha.cfg.Identity}
	ha.name = ""
	events, err := a.Session.Rotate(ctx, token)
	a.carryOut(t, events, err)
	settle(t, a, b)
	agree(t, a, b)
	leaf := b.Peer()
	if !leaf.Credential.Equal(token.Credential) || !slices.Contains(leaf.Capabilities.Credentials, mls.CredentialSDCWT) {
		t.Errorf("bob sees %+v with %v", leaf.Credential, leaf.Capabilities.Credentials)
	}
	if expiry, err := b.Session.CredentialExpiry(leaf.Credential); err != nil || !expiry.Equal(at) {
		t.Errorf("it expires at %v, %v; want %v", expiry, err, at)
	}
	cut(a, b)
	a, b = recoverFrom(t, ways[0], ha, hb)
	canUpdate(t, a, b)
}

// Who knows when a credential expires: the validator if it reads the type, else this package.
func TestTheValidatorKnowsWhenATokenExpires(t *testing.T) {
	at := time.Unix(1_900_000_000, 0)
	certificate := certified(t, at).Credential
	reader, none := validator{tokenReader{}}, validator{newHost(t, "alice")}
	for name, c := range map[string]struct {
		validator  validator
		credential mls.Credential
		want       time.Time
		err        error
	}{
		"a token":                   {reader, mls.SDCWTCredential([]byte("1900000000")), at, nil},
		"no token":                  {reader, mls.SDCWTCredential([]byte("tomorrow")), time.Time{}, errNotATime},
		"a type that is not taken":  {reader, mls.SDJWTCredential(mls.SDJWT{}), time.Time{}, nil},
		"a certificate":             {reader, certificate, at, nil},
		"a token that nobody reads": {none, mls.SDCWTCredential([]byte("1900000000")), time.Time{}, nil},
		"a validator in another":    {validator{reader}, mls.SDCWTCredential([]byte("1900000000")), at, nil},
	} {
		if expiry, err := c.validator.CredentialExpiry(&c.credential); !expiry.Equal(c.want) || !errors.Is(err, c.err) {
			t.Errorf("%s expires at %v, %v; want %v, %v", name, expiry, err, c.want, c.err)
		}
	}
}

// What is said of certificates in
// TestASessionWhosePendingCommitShowsAnExpiredCredentialIsNotResumed holds for tokens.
func TestASessionWhosePendingCommitShowsAnExpiredTokenIsNotResumed(t *testing.T) {
	for later, want := range map[time.Duration]error{time.Minute: nil, 2 * time.Hour: ErrNoSession} {
		ha, hb := newHost(t, "alice"), newHost(t, "bob")
		ha.cfg.Validator, hb.cfg.Validator = tokenReader{ha}, tokenReader{hb}
		ha.cfg.Identity = withToken(t, ha.clock.Add(time.Hour))
		a, b := initiate(t, ha, hb)
		a.start(t)
		settle(t, a, b)
		a.update(t, ReasonAge)
		cut(a, b)
		ha.clock = ha.clock.Add(later)
		if _, err := Resume(ctx, &ha.cfg, a.ID()); !errors.Is(err, want) {
			t.Errorf("%v later: %v, want %v", later, err, want)
		}
	}
}
