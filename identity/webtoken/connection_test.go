package webtoken

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/netconn"
)

// A clock stands still until somebody moves it.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Now().Truncate(time.Second)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// lifetime is that of the tokens of an end.
const lifetime = 10 * time.Minute

// An end has tokens of one type from an issuer of its own, and trusts the other end's.
type end struct {
	t       testing.TB
	kind    mls.CredentialType
	name    string
	issuer  *Issuer
	key     crypto.Signer
	clock   *clock
	tick    chan time.Time
	issuers *Issuers
	source  *Source
	config  *netconn.Config

	mu      sync.Mutex // guards what follows
	serial  int        // of the last token
	fail    error      // of the issuer
	reports []error
	refused []error
}

func newEnd(t testing.TB, clock *clock, kind mls.CredentialType, name string) *end {
	t.Helper()
	e := &end{
		t: t, kind: kind, name: name, clock: clock, tick: make(chan time.Time), issuers: new(Issuers),
		issuer: &Issuer{Name: "https://" + name + ".example", KeyID: "k1", Signer: newEd25519(t)}, key: newEd25519(t),
	}
	var err error
	e.source, err = Open(t.Context(), SourceOptions{Fetch: e.fetch, Tick: e.tick, Now: clock.Now, Report: func(err error) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.reports = append(e.reports, err)
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.source.Close() })
	e.config = &netconn.Config{
		Identities: e.issuers.With(e.source),
		Validator:  mustValidator(t, Options{Issuers: e.issuers, Audiences: []string{audience}, Accept: AnySubject, Now: clock.Now}),
		Time:       clock.Now,
		Rekey:      netconn.RekeyPolicy{Every: -1, Bytes: -1, Records: -1},
		Trace: &channel.Trace{Event: func(_ channel.SessionID, event channel.Event) {
			if refused, ok := event.(channel.PeerRefused); ok {
				e.mu.Lock()
				defer e.mu.Unlock()
				e.refused = append(e.refused, refused.Err)
			}
		}},
	}
	return e
}

// fetch has a token issued, and shows it.
func (e *end) fetch(context.Context) ([]mls.Identity, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.fail != nil {
		return nil, e.fail
	}
	e.serial++
	now := e.clock.Now()
	template := Template{
		Subject: e.name, Holder: e.key.Public(), IssuedAt: now, Expiry: now.Add(lifetime),
		Claims: map[any]any{"serial": Hidden{strconv.Itoa(e.serial)}, "secret": Hidden{"x"}},
	}
	issue := e.issuer.SDJWT
	if e.kind == mls.CredentialSDCWT {
		issue = e.issuer.SDCWT
	}
	issued, err := issue(template)
	if err != nil {
		return nil, err
	}
	id, err := Present(issued, PresentOptions{Signer: e.key, Audience: audience, Disclose: DiscloseNames("serial"), Now: e.clock.Now})
	return []mls.Identity{id}, err
}

func (e *end) set(fail error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fail = fail
}

func (e *end) trusts(other *end) {
	e.t.Helper()
	if err := e.issuers.Set(other.issuer.Name, IssuerKey{"k1", other.issuer.Signer.Public()}); err != nil {
		e.t.Fatal(err)
	}
}

// look has the source look, and waits until it has.
func (e *end) look() {
	for range 2 { // the second is taken only when the first is done
		e.tick <- time.Time{}
	}
}

// newEnds returns two ends that trust each other, the initiator's tokens of one type and the responder's
// of the other.
func newEnds(t testing.TB) (clock *clock, a, b *end) {
	t.Helper()
	clock = newClock()
	a, b = newEnd(t, clock, mls.CredentialSDJWT, "a"), newEnd(t, clock, mls.CredentialSDCWT, "b")
	a.trusts(b)
	b.trusts(a)
	return clock, a, b
}

func connect(t testing.TB, initiator, responder *netconn.Config) (client, server *netconn.Conn, err error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	x, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	y, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	client, server = netconn.Client(x, initiator), netconn.Server(y, responder)
	t.Cleanup(func() { client.Close(); server.Close() })
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	err = errors.Join(client.Handshake(), <-done)
	return client, server, err
}

func roundTrip(t testing.TB, c *netconn.Conn) {
	t.Helper()
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}

// until waits for what comes, or never.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); {
		if runtime.Gosched(); time.Now().After(deadline) {
			t.Fatalf("%s does not come", what)
		}
	}
}

// serialSeen returns the serial that the peer of a connection shows.
func serialSeen(t testing.TB, c *netconn.Conn) string {
	t.Helper()
	token, err := Read(&c.ConnectionState().Peer.Credential)
	if err != nil {
		t.Fatal(err)
	}
	serial, _ := token.Claim("serial")
	text, _ := serial.(string)
	return text
}

// ends with the error that a connection ends with, at the end that reads.
func endOf(t testing.TB, c *netconn.Conn) error {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(time.Minute))
	_, err := c.Read(make([]byte, 1))
	return err
}

func isToldOfABadCredential(err error) bool {
	var told *netconn.AlertError
	return errors.As(err, &told) && told.Alert == channel.AlertBadCertificate
}

// One connection outlives many tokens of both ends: each is shown before the one before expires. In the
// end an issuer is trusted no more, and its peer is dropped.
func TestOneConnectionOutlivesManyTokens(t *testing.T) {
	clock, a, b := newEnds(t)
	client, server, err := connect(t, a.config, b.config)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*netconn.Conn{client, server} {
		if types := c.ConnectionState().Peer.Capabilities.Credentials; !slices.Contains(types, mls.CredentialSDCWT) || !slices.Contains(types, mls.CredentialSDJWT) {
			t.Errorf("the peer's leaf lists the types %v", types)
		}
	}
	go io.Copy(server, server)
	first := client.ConnectionState()
	for round := 1; round <= 10; round++ {
		if round%2 == 0 {
			a.key = newEd25519(t) // a token for another key
		}
		clock.advance(lifetime - DefaultBefore)
		a.look()
		b.look()
		want := strconv.Itoa(round + 1)
		until(t, "token "+want, func() bool {
			roundTrip(t, client)
			return serialSeen(t, client) == want && serialSeen(t, server) == want
		})
	}
	if last := client.ConnectionState(); last.SessionID != first.SessionID || last.LastUpdateError != nil {
		t.Errorf("it began with %+v and ends with %+v", first, last)
	}
	token, err := Read(&server.ConnectionState().Peer.Credential)
	if err != nil || token.Issuer != "https://a.example" || token.Subject != "a" {
		t.Errorf("the server knows the client as %+v, %v", token, err)
	}
	if _, ok := token.Claim("secret"); ok {
		t.Error("what is not disclosed is there")
	}

	b.issuers.Remove(a.issuer.Name)
	if err := endOf(t, client); !isToldOfABadCredential(err) {
		t.Errorf("the client is told %v", err)
	}
	if _, _, err := connect(t, a.config, b.config); !errors.Is(err, ErrIssuer) {
		t.Errorf("a new connection: %v, want ErrIssuer", err)
	}
	if len(a.reports) != 0 {
		t.Errorf("reports are %v", a.reports)
	}
}

// The peer's token expires while the connection lives, as nothing has taken its place: its holder is told by its
// source, and the peer drops it or is warned.
func TestAPeerWhoseTokenExpiresIsDroppedOrWarnedOf(t *testing.T) {
	for _, action := range []channel.RefusalAction{channel.RefusalClose, channel.RefusalWarn} {
		clock, a, b := newEnds(t)
		b.config.Refused = action
		a.set(errors.New("the issuer is away"))
		client, server, err := connect(t, a.config, b.config)
		if err != nil {
			t.Fatal(err)
		}
		go io.Copy(server, server)
		roundTrip(t, client)
		clock.advance(lifetime - DefaultBefore)
		a.look()
		b.look()
		until(t, "the server's next token", func() bool { roundTrip(t, client); return serialSeen(t, client) == "2" })
		if err := a.source.Err(); err == nil || errors.Is(err, ErrExpired) {
			t.Errorf("before it expires the source says %v", err)
		}
		clock.advance(DefaultBefore)
		a.look()
		if err := a.source.Err(); !errors.Is(err, ErrExpired) || !errors.Is(err, a.fail) {
			t.Errorf("when it has expired the source says %v", err)
		}
		a.mu.Lock()
		if n := len(a.reports); n < 2 || errors.Is(a.reports[0], ErrExpired) || !errors.Is(a.reports[n-1], ErrExpired) {
			t.Errorf("reports are %v", a.reports)
		}
		a.mu.Unlock()
		b.trusts(a) // has the server look at its peer, as the timer would by a clock that does not stand still
		switch action {
		case channel.RefusalClose:
			if err := endOf(t, client); !isToldOfABadCredential(err) {
				t.Errorf("the client is told %v", err)
			}
		case channel.RefusalWarn:
			until(t, "the warning", func() bool {
				b.mu.Lock()
				defer b.mu.Unlock()
				return len(b.refused) > 0 && errors.Is(b.refused[0], ErrExpired)
			})
			roundTrip(t, client)
			a.set(nil)
			a.look()
			until(t, "the next token", func() bool { roundTrip(t, client); return serialSeen(t, server) == "2" })
			if err := a.source.Err(); err != nil {
				t.Errorf("when there is one again the source says %v", err)
			}
		}
	}
}

// The timer by itself, on the clock of the machine.
func TestAPeerIsDroppedWhenItsTokenExpires(t *testing.T) {
	f := newForger(t)
	issuer := &Issuer{Name: issuerName, KeyID: "k1", Signer: f.issuer}
	server := identity.New(newEd25519(t), "server")
	pinned, err := identity.NewPinned(server.Signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	v := mustValidator(t, Options{Issuers: trusting(t, f.issuer.Public()), Audiences: []string{audience}, Accept: AnySubject})
	var client, s *netconn.Conn
	var expiry time.Time
	for lifetime := 2 * time.Second; ; lifetime *= 2 { // on a busy machine the handshake may take longer
		token := template(f.holder.Public())
		expiry = time.Now().Truncate(time.Second).Add(lifetime)
		token.IssuedAt, token.Expiry = time.Now().Add(-time.Minute), expiry
		id := present(t, issue(t, issuer, mls.CredentialSDJWT, token), PresentOptions{Signer: f.holder, Now: time.Now})
		client, s, err = connect(t, &netconn.Config{Identity: id, Validator: pinned}, &netconn.Config{Identity: server, Validator: v})
		if err == nil {
			break
		}
		if !errors.Is(err, ErrExpired) || lifetime > time.Minute {
			t.Fatal(err)
		}
	}
	go io.Copy(s, s)
	if err := endOf(t, client); !isToldOfABadCredential(err) {
		t.Errorf("the client is told %v", err)
	}
	if now := time.Now(); now.Before(expiry) {
		t.Errorf("it was dropped at %v, before %v", now, expiry)
	}
}

// The own token is renewed in time by the update policy, where a program has no source.
func TestTheUpdatePolicyRenewsAToken(t *testing.T) {
	clock, a, b := newEnds(t)
	ids, err := a.fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a.config.Identities, a.config.Identity = nil, ids[0]
	a.config.Rekey.BeforeExpiry = 2 * lifetime // so it is due at once
	renewed := make(chan struct{}, 1)
	a.config.Renew = func(ctx context.Context) (mls.Identity, error) {
		clock.advance(time.Second)
		ids, err := a.fetch(ctx)
		select {
		case renewed <- struct{}{}:
		default:
		}
		return ids[0], err
	}
	client, server, err := connect(t, a.config, b.config)
	if err != nil {
		t.Fatal(err)
	}
	go io.Copy(server, server)
	before := serialSeen(t, server)
	<-renewed
	until(t, "the next token", func() bool { roundTrip(t, client); return serialSeen(t, server) != before })
}

// Some peers have tokens and some certificates.
func TestTokensAndCertificatesMeet(t *testing.T) {
	clock, a, b := newEnds(t)
	key := newEd25519(t)
	certificateTemplate := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "b"}, DNSNames: []string{"b.example"},
		NotBefore: clock.Now().Add(-time.Hour), NotAfter: clock.Now().Add(time.Hour), IsCA: false,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "ca"}, NotBefore: clock.Now().Add(-time.Hour), NotAfter: clock.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	caKey := newEd25519(t)
	sign := func(template, parent *x509.Certificate, public crypto.PublicKey) *x509.Certificate {
		der, err := x509.CreateCertificate(rand.Reader, template, parent, public, caKey)
		if err != nil {
			t.Fatal(err)
		}
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return certificate
	}
	roots := x509.NewCertPool()
	ca = sign(ca, ca, caKey.Public())
	roots.AddCert(ca)
	certificates, err := identity.NewX509Validator(identity.X509Options{
		RootsFor: func(*x509.Certificate) (*x509.CertPool, error) { return roots, nil }, Names: identity.ServerName("b.example"), Now: clock.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	server, err := identity.NewX509(key, sign(certificateTemplate, ca, key.Public()))
	if err != nil {
		t.Fatal(err)
	}
	tokens := a.config.Validator
	a.config.Validator = mls.CredentialMux{mls.CredentialX509: certificates, mls.CredentialSDCWT: tokens, mls.CredentialSDJWT: tokens}
	withCertificate := *b.config
	withCertificate.Identities, withCertificate.Identity = nil, server
	for _, responder := range []*netconn.Config{b.config, &withCertificate} {
		client, server, err := connect(t, a.config, responder)
		if err != nil {
			t.Fatal(err)
		}
		go io.Copy(server, server)
		roundTrip(t, client)
	}
	// One that takes no tokens is told nothing of the kind.
	pinned, err := identity.NewPinned(a.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	withCertificate.Validator = pinned
	var rule *mls.Error
	if _, _, err := connect(t, a.config, &withCertificate); !errors.As(err, &rule) || rule.Check != mls.CheckLeafCredentialSupport {
		t.Errorf("an end that takes keys alone says %v", err)
	}
}

// A session is resumed under the next token, for another key.
func TestASessionIsResumedUnderTheNextToken(t *testing.T) {
	clock, a, b := newEnds(t)
	a.config.Store, b.config.Store = channel.NewMemoryStore(0), channel.NewMemoryStore(0)
	a.config.PeerName = "b"
	client, server, err := connect(t, a.config, b.config)
	if err != nil {
		t.Fatal(err)
	}
	go io.Copy(server, server)
	roundTrip(t, client)
	client.Close()
	server.Close()
	a.key = newEd25519(t)
	clock.advance(lifetime - DefaultBefore)
	a.look()
	b.look()
	client, server, err = connect(t, a.config, b.config)
	if err != nil || !client.ConnectionState().Resumed {
		t.Fatalf("%v, resumed: %t", err, client.ConnectionState().Resumed)
	}
	go io.Copy(server, server)
	until(t, "the next token", func() bool { roundTrip(t, client); return serialSeen(t, server) == "2" })
}

// What came of a fetch is told before the next begins: else a failure of before could take the place of a
// success, and Report be called by two at once.
func TestASourceTellsOfOneFetchBeforeTheNext(t *testing.T) {
	_, a, _ := newEnds(t)
	good, err := a.fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var s *Source
	var failure error
	told := 0
	s, err = Open(t.Context(), SourceOptions{Fetch: func(context.Context) ([]mls.Identity, error) { return good, failure }, Every: -1, Now: a.clock.Now, Report: func(error) {
		told++
		if s.looking.TryLock() {
			s.looking.Unlock()
			t.Error("another fetch may come in between")
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	failure = errors.New("away")
	if err := s.Reload(t.Context()); !errors.Is(err, failure) {
		t.Errorf("%v, want %v", err, failure)
	}
	failure = nil
	if err := s.Reload(t.Context()); err != nil || s.Err() != nil || told != 2 {
		t.Errorf("%v, %v, told %d times, want 2", err, s.Err(), told)
	}
}

// That Close ends a fetch is nothing to tell of, as all goes on as things are.
func TestASourceTellsNothingOfItsEnd(t *testing.T) {
	_, a, _ := newEnds(t)
	good, err := a.fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tick, fetching := make(chan time.Time), make(chan struct{})
	first := true
	s, err := Open(t.Context(), SourceOptions{
		Fetch: func(ctx context.Context) ([]mls.Identity, error) {
			if first {
				first = false
				return good, nil
			}
			close(fetching)
			<-ctx.Done()
			return nil, ctx.Err()
		},
		Tick: tick, Now: a.clock.Now, Report: func(err error) { t.Errorf("told of %v", err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	a.clock.advance(lifetime - DefaultBefore)
	tick <- a.clock.Now()
	<-fetching
	if err := errors.Join(s.Close(), s.Err()); err != nil {
		t.Error(err)
	}
}

// A source takes over what is of use, and nothing else.
func TestASourceKeepsWhatItHas(t *testing.T) {
	clock, a, b := newEnds(t)
	good, err := a.fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	others, err := b.fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	away := errors.New("away")
	next := good
	var failure error
	s, err := Open(t.Context(), SourceOptions{Fetch: func(context.Context) ([]mls.Identity, error) { return next, failure }, Now: clock.Now, Every: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for name, c := range map[string]struct {
		ids  []mls.Identity
		err  error
		want error
	}{
		"nothing":                     {nil, nil, nil},
		"an error":                    {good, away, away},
		"no token":                    {[]mls.Identity{identity.New(a.key, "a")}, nil, mls.ErrCredentialType},
		"no signer":                   {[]mls.Identity{{Credential: good[0].Credential}}, nil, ErrKeyKind},
		"another's signer":            {[]mls.Identity{{Credential: good[0].Credential, Signer: others[0].Signer}}, nil, ErrHolderKey},
		"one that is good, one not":   {[]mls.Identity{others[0], {Credential: good[0].Credential, Signer: others[0].Signer}}, nil, ErrHolderKey},
		"one that is of another kind": {[]mls.Identity{{Credential: good[0].Credential, Signer: stranger{}}}, nil, ErrKeyKind},
	} {
		next, failure = c.ids, c.err
		if err := s.Reload(t.Context()); err == nil || !errors.Is(err, c.want) && c.want != nil || s.Err() != err {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if ids := s.Identities(); len(ids) != 1 || !ids[0].Credential.Equal(good[0].Credential) {
			t.Errorf("%s: there is another identity", name)
		}
	}
	// A token whose life is shorter than twice Before is replaced halfway.
	next, failure = good, nil
	short, err := Open(t.Context(), SourceOptions{Fetch: func(context.Context) ([]mls.Identity, error) { return next, nil }, Now: clock.Now, Every: -1, Before: lifetime})
	if err != nil {
		t.Fatal(err)
	}
	defer short.Close()
	if due := short.due.Sub(clock.Now()); due != lifetime/2 {
		t.Errorf("the next token is due in %v, want %v", due, lifetime/2)
	}
	changes := 0
	stop := s.Watch(func() { changes++ })
	defer stop()
	next, failure = others, nil
	if err := s.Reload(t.Context()); err != nil || s.Err() != nil || changes != 1 || len(s.PreviousIdentities()) != 1 {
		t.Errorf("another token: %v, %d changes, %d previous ones", err, changes, len(s.PreviousIdentities()))
	}
	clock.advance(lifetime)
	if err := s.Reload(t.Context()); !errors.Is(err, ErrExpired) {
		t.Errorf("one that has expired: %v", err)
	}
	if _, err := Open(t.Context(), SourceOptions{Fetch: func(context.Context) ([]mls.Identity, error) { return nil, away }}); !errors.Is(err, away) {
		t.Errorf("opened with nothing: %v", err)
	}
	for _, o := range []SourceOptions{{}, {Fetch: a.fetch, Before: -1}} {
		if _, err := Open(t.Context(), o); err == nil {
			t.Error("opened without what is needed")
		}
	}
}
