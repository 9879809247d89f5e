package identity

import (
	"crypto"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/mendlink/mendlink/mls"
)

func leafOf(t testing.TB, key crypto.PublicKey, chain ...*x509.Certificate) *mls.LeafNode {
	t.Helper()
	b, err := EncodePublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return &mls.LeafNode{SignatureKey: b, Credential: mls.X509Credential(chain...)}
}

func pool(authorities ...*authority) *x509.CertPool {
	p := x509.NewCertPool()
	for _, a := range authorities {
		p.AddCert(a.certificate)
	}
	return p
}

func TestX509PermitsWhomTheRootsVouchForAndTheNamesFit(t *testing.T) {
	ca, stranger := newAuthority(t, "root"), newAuthority(t, "root")
	middle := ca.sub(t, "middle")
	key := newEd25519Key(t)
	p256 := newECDSAKey(t, elliptic.P256())
	public := key.Public()
	unknown, expired := &x509.UnknownAuthorityError{}, &x509.CertificateInvalidError{}
	for name, c := range map[string]struct {
		rule NameRule
		leaf *mls.LeafNode
		want error // nil: permitted
		as   any   // or of this type
	}{
		"host":                       {ServerName("db.example"), leafOf(t, public, ca.issue(t, public, "db.example")), nil, nil},
		"host, by a wildcard":        {ServerName("db.example"), leafOf(t, public, ca.issue(t, public, "*.example")), nil, nil},
		"host on P-256":              {ServerName("db.example"), leafOf(t, &p256.PublicKey, ca.issue(t, &p256.PublicKey, "db.example")), nil, nil},
		"host, an authority between": {ServerName("db.example"), leafOf(t, public, middle.issue(t, public, "db.example"), middle.certificate), nil, nil},
		"an address":                 {ServerName("192.0.2.1"), leafOf(t, public, ca.issue(t, public, "x", func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 1)} })), nil, nil},
		"another host":               {ServerName("db.example"), leafOf(t, public, ca.issue(t, public, "web.example")), ErrName, nil},
		"no name at all":             {ServerName(""), leafOf(t, public, ca.issue(t, public, "db.example")), ErrName, nil},
		"SPIFFE ID":                  {mustSPIFFE(t, "spiffe://example.org/*"), leafOf(t, public, ca.issue(t, public, clientID)), nil, nil},
		"another SPIFFE ID":          {mustSPIFFE(t, serverID), leafOf(t, public, ca.issue(t, public, clientID)), ErrName, nil},
		"host, not an ID":            {mustSPIFFE(t, serverID), leafOf(t, public, ca.issue(t, public, "server")), ErrName, nil},
		"one of two rules":           {AnyOf(mustSPIFFE(t, serverID), ServerName("db.example")), leafOf(t, public, ca.issue(t, public, "db.example")), nil, nil},
		"none of two rules":          {AnyOf(mustSPIFFE(t, serverID), ServerName("db.example")), leafOf(t, public, ca.issue(t, public, "web.example")), ErrName, nil},
		"none of no rules":           {AnyOf(), leafOf(t, public, ca.issue(t, public, "web.example")), ErrName, nil},
		"any name":                   {AnyName, leafOf(t, public, ca.issue(t, public, "web.example")), nil, nil},
		"another authority":          {AnyName, leafOf(t, public, stranger.issue(t, public, "db.example")), nil, &unknown},
		"authority left out":         {AnyName, leafOf(t, public, middle.issue(t, public, "db.example")), nil, &unknown},
		"expired":                    {AnyName, leafOf(t, public, ca.issue(t, public, "x", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })), nil, &expired},
		"for later":                  {AnyName, leafOf(t, public, ca.issue(t, public, "x", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) })), nil, &expired},
		"for another use":            {AnyName, leafOf(t, public, ca.issue(t, public, "x", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} })), nil, &expired},
		"not for signing":            {AnyName, leafOf(t, public, ca.issue(t, public, "x", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment })), mls.ErrCertificateUse, nil},
		"another key":                {AnyName, leafOf(t, &p256.PublicKey, ca.issue(t, public, "x")), mls.ErrCertificateKey, nil},
		"the authority":              {AnyName, leafOf(t, ca.key.Public(), ca.certificate), mls.ErrCertificateUse, nil},
		"basic":                      {AnyName, &mls.LeafNode{SignatureKey: []byte("key"), Credential: mls.BasicCredential([]byte("x"))}, mls.ErrCredentialType, nil},
		"no certificates":            {AnyName, leafOf(t, public), mls.ErrCertificateChain, nil},
		"no certificate":             {AnyName, &mls.LeafNode{Credential: mls.Credential{Type: mls.CredentialX509, Certificates: [][]byte{{1}}}}, mls.ErrCertificateChain, nil},
		"too large":                  {AnyName, &mls.LeafNode{Credential: mls.Credential{Type: mls.CredentialX509, Certificates: [][]byte{make([]byte, 1<<17)}}}, mls.ErrCertificateChain, nil},
	} {
		v := mustValidator(t, X509Options{RootsFor: NewTrustBundle(pool(ca), nil).RootsFor, Names: c.rule})
		err := v.ValidateLeaf(c.leaf, nil)
		if c.as != nil {
			if !asEither(err, c.as) {
				t.Errorf("%s: %v, want a %T", name, err, c.as)
			}
		} else if !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// asEither is errors.As for types that are returned as values.
func asEither(err error, target any) bool {
	switch target.(type) {
	case **x509.UnknownAuthorityError:
		_, ok := errors.AsType[x509.UnknownAuthorityError](err)
		return ok
	default:
		_, ok := errors.AsType[x509.CertificateInvalidError](err)
		return ok
	}
}

func TestX509WantsTheSamePeerInTheNextCertificate(t *testing.T) {
	ca := newAuthority(t, "root")
	key, next := newEd25519Key(t), newEd25519Key(t)
	v := mustValidator(t, X509Options{RootsFor: NewTrustBundle(pool(ca), nil).RootsFor, Names: AnyName})
	addDNS := func(c *x509.Certificate) { c.DNSNames = append(c.DNSNames, "more.example") }
	expired := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
	bare := func(name string) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.DNSNames, c.Subject = nil, pkix.Name{CommonName: name} }
	}
	for name, c := range map[string]struct {
		before, after *mls.LeafNode
		want          error
	}{
		"renewed":                     {leafOf(t, key.Public(), ca.issue(t, key.Public(), "db.example")), leafOf(t, next.Public(), ca.issue(t, next.Public(), "db.example")), nil},
		"the first has expired":       {leafOf(t, key.Public(), ca.issue(t, key.Public(), "db.example", expired)), leafOf(t, next.Public(), ca.issue(t, next.Public(), "db.example")), nil},
		"another host":                {leafOf(t, key.Public(), ca.issue(t, key.Public(), "db.example")), leafOf(t, next.Public(), ca.issue(t, next.Public(), "web.example")), mls.ErrOtherClient},
		"a host more":                 {leafOf(t, key.Public(), ca.issue(t, key.Public(), "db.example")), leafOf(t, next.Public(), ca.issue(t, next.Public(), "db.example", addDNS)), mls.ErrOtherClient},
		"the same SPIFFE ID":          {leafOf(t, key.Public(), ca.issue(t, key.Public(), clientID)), leafOf(t, next.Public(), ca.issue(t, next.Public(), clientID)), nil},
		"a host beside the SPIFFE ID": {leafOf(t, key.Public(), ca.issue(t, key.Public(), clientID)), leafOf(t, next.Public(), ca.issue(t, next.Public(), clientID, addDNS)), nil},
		"another SPIFFE ID":           {leafOf(t, key.Public(), ca.issue(t, key.Public(), clientID)), leafOf(t, next.Public(), ca.issue(t, next.Public(), serverID)), mls.ErrOtherClient},
		"a host after a SPIFFE ID":    {leafOf(t, key.Public(), ca.issue(t, key.Public(), clientID)), leafOf(t, next.Public(), ca.issue(t, next.Public(), "client")), mls.ErrOtherClient},
		"a SPIFFE ID after a host":    {leafOf(t, key.Public(), ca.issue(t, key.Public(), "client")), leafOf(t, next.Public(), ca.issue(t, next.Public(), clientID)), mls.ErrOtherClient},
		"subjects alone":              {leafOf(t, key.Public(), ca.issue(t, key.Public(), "", bare("a"))), leafOf(t, next.Public(), ca.issue(t, next.Public(), "", bare("a"))), nil},
		"other subjects":              {leafOf(t, key.Public(), ca.issue(t, key.Public(), "", bare("a"))), leafOf(t, next.Public(), ca.issue(t, next.Public(), "", bare("b"))), mls.ErrOtherClient},
		"after a basic credential":    {&mls.LeafNode{Credential: mls.BasicCredential([]byte("x"))}, leafOf(t, next.Public(), ca.issue(t, next.Public(), "x")), mls.ErrOtherClient},
	} {
		if err := v.ValidateLeaf(c.after, c.before); !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	strict := errors.New("nobody succeeds anybody")
	v = mustValidator(t, X509Options{RootsFor: NewTrustBundle(pool(ca), nil).RootsFor, Names: AnyName, Successor: func(_, _ *x509.Certificate) error { return strict }})
	if err := v.ValidateLeaf(leafOf(t, next.Public(), ca.issue(t, next.Public(), "x")), leafOf(t, key.Public(), ca.issue(t, key.Public(), "x"))); !errors.Is(err, strict) {
		t.Errorf("a rule of one's own: %v", err)
	}
}

func TestEachTrustDomainHasItsAuthorities(t *testing.T) {
	here, there, hosts := newAuthority(t, "here"), newAuthority(t, "there"), newAuthority(t, "hosts")
	place := newPlace(t)
	live := open(t, Files{
		Roots: []string{place.write("hosts", pemOf(hosts.certificate))},
		TrustDomains: map[string][]string{
			"here.example":  {place.write("here", pemOf(here.certificate))},
			"there.example": {place.write("there", pemOf(there.certificate))},
		},
		Every: -1,
	})
	v := mustValidator(t, X509Options{RootsFor: live.RootsFor, Names: AnyName})
	key := newEd25519Key(t)
	for _, c := range []struct {
		by   *authority
		name string
		ok   bool
	}{
		{here, "spiffe://here.example/a", true},
		{there, "spiffe://there.example/a", true},
		{here, "spiffe://there.example/a", false},
		{there, "spiffe://here.example/a", false},
		{hosts, "spiffe://here.example/a", false},
		{here, "spiffe://elsewhere.example/a", false},
		{hosts, "spiffe://elsewhere.example/a", false},
		{hosts, "db.example", true},
		{here, "db.example", false},
	} {
		err := v.ValidateLeaf(leafOf(t, key.Public(), c.by.issue(t, key.Public(), c.name)), nil)
		if (err == nil) != c.ok || c.name == "spiffe://elsewhere.example/a" && !errors.Is(err, ErrNoRoots) {
			t.Errorf("%s by %s: %v", c.name, c.by.certificate.Subject, err)
		}
	}
	if _, err := Open(Files{TrustDomains: map[string][]string{"Here": nil}}); !errors.Is(err, ErrSPIFFEID) {
		t.Errorf("a trust domain that is none: %v", err)
	}
	if _, err := NewTrustBundle(nil, nil).RootsFor(here.certificate); !errors.Is(err, ErrNoRoots) {
		t.Errorf("no roots: %v", err)
	}
	for _, o := range []X509Options{{}, {Names: AnyName}, {RootsFor: live.RootsFor}} {
		if _, err := NewX509Validator(o); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
}
