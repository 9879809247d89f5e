package spiffe

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc/codes"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/netconn"
)

// quick is a back-off that does not keep a test waiting.
type quick struct{}

func (quick) NewBackoff() workloadapi.Backoff { return quick{} }
func (quick) Next() time.Duration             { return 10 * time.Millisecond }
func (quick) Reset()                          {}

func options(a *agent) Options {
	return Options{Addr: "tcp://" + a.address, Client: []workloadapi.ClientOption{workloadapi.WithBackoffStrategy(quick{})}}
}

func open(t testing.TB, o Options) *Source {
	t.Helper()
	s, err := Open(within(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// until waits for something that will come, or never.
func until(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<16)
			t.Fatalf("%s does not come:\n%s", what, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

func shows(s *Source, certificate []byte) bool {
	ids := s.Identities()
	return len(ids) > 0 && bytes.Equal(ids[0].Credential.Certificates[0], certificate)
}

func config(t testing.TB, s *Source, patterns ...string) *netconn.Config {
	t.Helper()
	names, err := identity.SPIFFE(patterns...)
	if err != nil {
		t.Fatal(err)
	}
	peers, err := identity.NewX509Validator(identity.X509Options{RootsFor: s.RootsFor, Names: names})
	if err != nil {
		t.Fatal(err)
	}
	return &netconn.Config{Identities: s, Validator: peers, IdentitySpread: -1}
}

func connect(t testing.TB, initiator, responder *netconn.Config) (client, server *netconn.Conn, err error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	client, server = netconn.Client(a, initiator), netconn.Server(b, responder)
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

// Both ends have their SVIDs from agents of different trust domains. One connection
// lives on while the SVIDs are renewed, and both ends see the new ones.
func TestOneConnectionOutlivesManySVIDs(t *testing.T) {
	here, there := newAuthority(t, "here.example"), newAuthority(t, "there.example")
	agents := []*agent{newAgent(t), newAgent(t)}
	web, db := here.svid("/web", nil), there.svid("/db", nil)
	agents[0].set(says([]*authority{there}, web))
	agents[1].set(says([]*authority{here}, db))
	a, b := open(t, options(agents[0])), open(t, options(agents[1]))
	client, server, err := connect(t, config(t, a, "spiffe://there.example/db"), config(t, b, "spiffe://here.example/**"))
	if err != nil {
		t.Fatal(err)
	}
	go io.Copy(server, server)
	first := client.ConnectionState()
	for range 10 {
		web, db = here.svid("/web", nil), there.svid("/db", nil)
		agents[0].set(says([]*authority{there}, web))
		agents[1].set(says([]*authority{here}, db))
		until(t, "the new SVIDs", func() bool {
			roundTrip(t, client)
			return bytes.Equal(client.ConnectionState().Peer.Credential.Certificates[0], db.X509Svid) &&
				bytes.Equal(server.ConnectionState().Peer.Credential.Certificates[0], web.X509Svid)
		})
	}
	if last := client.ConnectionState(); last.SessionID != first.SessionID || last.LastUpdateError != nil {
		t.Errorf("it began with %+v and ends with %+v", first, last)
	}

	// The bundle of here is taken from the server's agent: the client is trusted no more.
	agents[1].set(says(nil, db))
	var told *netconn.AlertError
	client.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := client.Read(make([]byte, 1)); !errors.As(err, &told) || told.Alert != channel.AlertBadCertificate {
		t.Errorf("the client is told %v", err)
	}
	if _, _, err := connect(t, config(t, a, "spiffe://there.example/db"), config(t, b, "spiffe://here.example/**")); !errors.Is(err, identity.ErrNoRoots) {
		t.Errorf("a new connection: %v, want ErrNoRoots", err)
	}
}

func TestAnSVIDOfTheWrongAuthorityOrPathIsRefused(t *testing.T) {
	here, there := newAuthority(t, "here.example"), newAuthority(t, "there.example")
	forged := newAuthority(t, "there.example")
	for name, c := range map[string]struct {
		db   *authority
		path string
		ok   bool
	}{
		"as it should be":   {there, "/db", true},
		"another path":      {there, "/other", false},
		"a namesake's":      {forged, "/db", false},
		"of another domain": {here, "/db", false},
	} {
		agents := []*agent{newAgent(t), newAgent(t)}
		agents[0].set(says([]*authority{there}, here.svid("/web", nil)))
		agents[1].set(says([]*authority{here}, c.db.svid(c.path, nil)))
		a, b := open(t, options(agents[0])), open(t, options(agents[1]))
		_, _, err := connect(t, config(t, a, "spiffe://there.example/db"), config(t, b, "spiffe://here.example/**"))
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The agent is not there, has no identity, or talks nonsense: all stays as it was, somebody is
// told, and it goes on afterwards.
func TestTheSourceOutlivesItsAgent(t *testing.T) {
	ca := newAuthority(t, "example.org")
	a := newAgent(t)
	first := ca.svid("/db", nil)
	a.set(says(nil, first))
	o := options(a)
	var mu sync.Mutex
	var reports []error
	o.Report = func(err error) {
		mu.Lock()
		defer mu.Unlock()
		reports = append(reports, err)
	}
	s := open(t, o)
	leaf, err := x509.ParseCertificate(first.X509Svid)
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(){
		"the agent is gone":        func() { a.server.Stop() },
		"the workload has no SVID": func() { a.refuse(codes.PermissionDenied) },
		"the agent says canceled":  func() { a.refuse(codes.Canceled) },
		"the SVID is none":         func() { bad := ca.svid("/db", nil); bad.X509Svid = []byte("x"); a.set(says(nil, bad)) },
		"the key is another's": func() {
			bad := ca.svid("/db", nil)
			bad.X509SvidKey = ca.svid("/db", nil).X509SvidKey
			a.set(says(nil, bad))
		},
		"the key is of no use here": func() { a.set(says(nil, ca.svid("/db", rsaKey(t)))) },
	} {
		spoil()
		until(t, name, func() bool { return s.Err() != nil })
		if !shows(s, first.X509Svid) {
			t.Errorf("%s: another identity", name)
		}
		if _, err := s.RootsFor(leaf); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		first = ca.svid("/db", nil)
		a.set(says(nil, first))
		if name == "the agent is gone" {
			a.start()
		}
		until(t, "the next SVID", func() bool { return shows(s, first.X509Svid) && s.Err() == nil })
	}
	s.Close()
	mu.Lock()
	defer mu.Unlock()
	if len(reports) < 12 || reports[len(reports)-1] != nil {
		t.Errorf("reports are %v", reports)
	}
	if !shows(s, first.X509Svid) {
		t.Error("nothing is left after Close")
	}
}

// An authority is withdrawn together with a change of the own SVID that is of no use here. The identity stays, and the
// trust does not.
func TestAuthoritiesAreWithdrawnBesideAnSVIDOfNoUse(t *testing.T) {
	ca, withdrawn := newAuthority(t, "example.org"), newAuthority(t, "there.example")
	a := newAgent(t)
	first := ca.svid("/db", nil)
	a.set(says([]*authority{withdrawn}, first))
	s := open(t, options(a))
	leaf, err := x509.ParseCertificate(withdrawn.svid("/web", nil).X509Svid)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.RootsFor(leaf); err != nil {
		t.Fatal(err)
	}
	a.set(says(nil, ca.svid("/db", rsaKey(t))))
	until(t, "word about the RSA key", func() bool { return s.Err() != nil })
	if _, err := s.RootsFor(leaf); !errors.Is(err, identity.ErrNoRoots) {
		t.Errorf("the authority that was withdrawn: %v, want ErrNoRoots", err)
	}
	if !shows(s, first.X509Svid) {
		t.Error("another identity")
	}
}

func TestOpenSaysWhyThereIsNoIdentity(t *testing.T) {
	a := newAgent(t)
	ctx, cancel := context.WithCancel(t.Context())
	o := options(a)
	refused := 0
	o.Report = func(error) {
		if refused++; refused == 3 {
			cancel()
		}
	}
	_, err := Open(ctx, o)
	if !errors.Is(err, ErrNoSVID) || !errors.Is(err, context.Canceled) || !bytes.Contains([]byte(err.Error()), []byte("no identity issued")) {
		t.Errorf("got %v", err)
	}
	a.refuse(codes.InvalidArgument)
	if _, err := Open(within(t), options(a)); !errors.Is(err, ErrNoSVID) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an agent that does not understand us: %v", err)
	}
	if _, err := Open(t.Context(), Options{Addr: "nowhere"}); err == nil {
		t.Error("no address: no error")
	}
	o = options(a)
	a.set(says(nil, newAuthority(t, "example.org").svid("/db", rsaKey(t))))
	ctx, cancel = context.WithCancel(t.Context())
	o.Report = func(error) { cancel() }
	if _, err := Open(ctx, o); !errors.Is(err, ErrNoSVID) || !errors.Is(err, identity.ErrKey) {
		t.Errorf("only an RSA key: %v", err)
	}
}

// A workload may have SVIDs with keys of several kinds, and pick among them.
func TestSVIDsArePickedAndUsedByKind(t *testing.T) {
	ca := newAuthority(t, "example.org")
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := newAgent(t)
	all := says(nil, ca.svid("/rsa", rsaKey(t)), ca.svid("/internal", nil), ca.svid("/internal", ed), ca.svid("/external", nil))
	a.set(all)
	s := open(t, options(a))
	ids := s.Identities()
	if len(ids) != 3 || !errors.Is(s.Err(), identity.ErrKey) {
		t.Errorf("%d identities, %v; want 3 and a word about the RSA key", len(ids), s.Err())
	}
	o := options(a)
	o.Pick = func(svids []*x509svid.SVID) []*x509svid.SVID { return svids[3:] }
	picked := open(t, o)
	if ids := picked.Identities(); len(ids) != 1 || !shows(picked, all.Svids[3].X509Svid) || picked.Err() != nil {
		t.Errorf("%d identities, %v", len(ids), picked.Err())
	}
	client, server, err := connect(t, config(t, picked, "spiffe://example.org/internal"), config(t, s, "spiffe://example.org/external"))
	if err != nil {
		t.Fatal(err)
	}
	if peer := client.ConnectionState().Peer.Credential; !bytes.Equal(peer.Certificates[0], all.Svids[1].X509Svid) {
		t.Error("the peer does not show the SVID whose key fits the suite")
	}
	if peer := server.ConnectionState().Peer.Credential; !bytes.Equal(peer.Certificates[0], all.Svids[3].X509Svid) {
		t.Error("the peer does not show the SVID that was picked")
	}
}

func rsaKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
