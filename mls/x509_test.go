package mls

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	cryptorand "crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// A ca is a certificate authority, of any rank.
type ca struct {
	t           testing.TB
	certificate *x509.Certificate
	signer      crypto.Signer
	chain       []*x509.Certificate // what its clients send besides their own: all but the root
}

var lastSerial atomic.Int64

// issue makes a certificate. by is nil for one that signs itself.
func issue(t testing.TB, template *x509.Certificate, public crypto.PublicKey, by *ca, signer crypto.Signer) *x509.Certificate {
	t.Helper()
	parent := template
	if by != nil {
		parent, signer = by.certificate, by.signer
	}
	template.SerialNumber = big.NewInt(lastSerial.Add(1))
	if template.NotBefore.IsZero() {
		template.NotBefore = testTime.Add(-time.Hour)
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = testTime.Add(time.Hour)
	}
	der, err := x509.CreateCertificate(cryptorand.Reader, template, parent, public, signer)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// newCA makes a certificate authority under by, or a root if that is nil.
func newCA(t testing.TB, name string, by *ca, change func(*x509.Certificate)) *ca {
	t.Helper()
	signer, err := ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	if change != nil {
		change(template)
	}
	authority := &ca{t: t, signer: signer}
	authority.certificate = issue(t, template, signer.Public(), by, signer)
	if by != nil {
		authority.chain = append([]*x509.Certificate{authority.certificate}, by.chain...)
	}
	return authority
}

// enroll returns the chain of a client.
func (a *ca) enroll(public crypto.PublicKey, change func(*x509.Certificate)) []*x509.Certificate {
	a.t.Helper()
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "client"},
		DNSNames:    []string{"a.example"},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(template)
	}
	return append([]*x509.Certificate{issue(a.t, template, public, a, nil)}, a.chain...)
}

func pool(certificates ...*x509.Certificate) func() *x509.CertPool {
	p := x509.NewCertPool()
	for _, certificate := range certificates {
		p.AddCert(certificate)
	}
	return func() *x509.CertPool { return p }
}

func atTestTime() time.Time { return testTime }

func certificateSigner(t testing.TB, id ciphersuite.ID) (crypto.Signer, []byte) {
	t.Helper()
	s := lookup(t, id)
	signer, err := s.GenerateSigner(cryptorand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := s.SignaturePublicKey(signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	return signer, key
}

func TestX509ChainsAreVerified(t *testing.T) {
	root := newCA(t, "root", nil, nil)
	stranger := newCA(t, "root", nil, nil)
	inter := newCA(t, "intermediate", root, nil)
	lower := newCA(t, "lower", inter, nil)
	constrained := newCA(t, "constrained", root, func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"b.example"}
	})
	alias := issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "alias"}, IsCA: true, BasicConstraintsValid: true}, inter.signer.Public(), root, nil)
	noCA := newCA(t, "no authority", root, func(c *x509.Certificate) { c.IsCA, c.KeyUsage = false, x509.KeyUsageDigitalSignature })
	signer, key := certificateSigner(t, suite1)
	_, otherKey := certificateSigner(t, suite1)
	public := signer.Public()
	rsaKey, err := rsa.GenerateKey(cryptorand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	client := func(change func(*x509.Certificate)) []*x509.Certificate { return inter.enroll(public, change) }
	good := client(nil)

	invalidCertificate := func(reason x509.InvalidReason) func(error) bool {
		return func(err error) bool {
			var e x509.CertificateInvalidError
			return errors.As(err, &e) && e.Reason == reason
		}
	}
	is := func(target error) func(error) bool { return func(err error) bool { return errors.Is(err, target) } }
	unknownAuthority := func(err error) bool { var e x509.UnknownAuthorityError; return errors.As(err, &e) }
	service := func(change func(*X509AuthenticationService)) *X509AuthenticationService {
		s := &X509AuthenticationService{Roots: pool(root.certificate), Now: atTestTime}
		if change != nil {
			change(s)
		}
		return s
	}
	plain := service(nil)
	refused := errors.New("not today")

	for _, test := range []struct {
		name    string
		service *X509AuthenticationService
		chain   []*x509.Certificate
		key     []byte
		want    func(error) bool // nil: accepted
	}{
		{"one intermediate", plain, good, key, nil},
		{"two intermediates", plain, lower.enroll(public, nil), key, nil},
		{"right below the root", plain, root.enroll(public, nil), key, nil},
		{"with the root", plain, append(client(nil), root.certificate), key, nil},
		{"server authentication", plain, client(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), key, nil},
		{"any use", plain, client(func(c *x509.Certificate) { c.ExtKeyUsage, c.KeyUsage = nil, 0 }), key, nil},
		{"intermediate known", service(func(s *X509AuthenticationService) { s.Intermediates = pool(inter.certificate) }), good[:1], key, nil},
		{"code signing, if that is wanted", service(func(s *X509AuthenticationService) { s.KeyUsages = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} }),
			client(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} }), key, nil},
		{"inside of name constraints", plain, constrained.enroll(public, func(c *x509.Certificate) { c.DNSNames = []string{"a.b.example"} }), key, nil},

		{"no certificate", plain, nil, key, is(ErrCertificateChain)},
		{"intermediate missing", plain, good[:1], key, unknownAuthority},
		{"wrong order", plain, []*x509.Certificate{good[0], root.certificate, inter.certificate}, key, is(ErrCertificateChain)},
		{"intermediate first", plain, []*x509.Certificate{inter.certificate, good[0]}, key, is(ErrCertificateKey)},
		{"gap", plain, []*x509.Certificate{lower.enroll(public, nil)[0], inter.certificate}, key, is(ErrCertificateChain)},
		{"unrelated certificate behind", plain, append(client(nil), lower.certificate), key, is(ErrCertificateChain)},
		{"the issuer's key under another name behind", service(func(s *X509AuthenticationService) { s.Intermediates = pool(inter.certificate) }),
			[]*x509.Certificate{good[0], alias}, key, is(ErrCertificateChain)},
		{"root of the same name behind", plain, append(client(nil), stranger.certificate), key, is(ErrCertificateChain)},
		{"unknown root", service(func(s *X509AuthenticationService) { s.Roots = pool(stranger.certificate) }), good, key, unknownAuthority},
		{"issuer that is no authority", plain, noCA.enroll(public, nil), key, is(ErrCertificateChain)},
		{"expired", plain, client(func(c *x509.Certificate) { c.NotAfter = testTime.Add(-time.Minute) }), key, invalidCertificate(x509.Expired)},
		{"not yet valid", plain, client(func(c *x509.Certificate) { c.NotBefore = testTime.Add(time.Minute) }), key, invalidCertificate(x509.Expired)},
		{"expired intermediate", service(func(s *X509AuthenticationService) { s.Now = func() time.Time { return testTime.Add(2 * time.Hour) } }),
			client(func(c *x509.Certificate) { c.NotAfter = testTime.Add(24 * time.Hour) }), key, unknownOrExpired},
		{"wrong extended key usage", plain, client(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} }), key, invalidCertificate(x509.IncompatibleUsage)},
		{"not for signatures", plain, client(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }), key, is(ErrCertificateUse)},
		{"authority as end entity", plain, client(func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }), key, is(ErrCertificateUse)},
		{"outside of name constraints", plain, constrained.enroll(public, nil), key, invalidCertificate(x509.CANotAuthorizedForThisName)},
		{"another key", plain, good, otherKey, is(ErrCertificateKey)},
		{"RSA", plain, inter.enroll(rsaKey.Public(), nil), key, is(ErrUnsupported)},
		{"Verify refuses", service(func(s *X509AuthenticationService) {
			s.Verify = func(chains [][]*x509.Certificate) error {
				if !chains[0][0].Equal(good[0]) || len(chains[0]) != 3 {
					t.Errorf("Verify got %v", chains)
				}
				return refused
			}
		}), good, key, is(refused)},
		{"no roots", service(func(s *X509AuthenticationService) { s.Roots = func() *x509.CertPool { return nil } }), good, key, notConfigured},
		{"Roots not set", service(func(s *X509AuthenticationService) { s.Roots = nil }), good, key, notConfigured},
		{"Now not set", service(func(s *X509AuthenticationService) { s.Now = nil }), good, key, notConfigured},
	} {
		t.Run(test.name, func(t *testing.T) {
			leafErr := test.service.ValidateLeaf(&LeafNode{Credential: X509Credential(test.chain...), SignatureKey: test.key}, nil)
			senderErr := test.service.ValidateExternalSender(&ExternalSender{Credential: X509Credential(test.chain...), SignatureKey: test.key})
			for _, err := range []error{leafErr, senderErr} {
				switch {
				case test.want == nil && err != nil:
					t.Error(err)
				case test.want != nil && err == nil:
					t.Error("accepted")
				case test.want != nil && !test.want(err):
					t.Errorf("error is %v", err)
				}
			}
		})
	}
}

// unknownOrExpired: crypto/x509 finds no chain if an intermediate is expired,
// and says why.
func unknownOrExpired(err error) bool {
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	return errors.As(err, &unknown) || errors.As(err, &invalid) && invalid.Reason == x509.Expired
}

func notConfigured(err error) bool { return strings.Contains(err.Error(), "X509AuthenticationService") }

func TestX509CredentialsAreBounded(t *testing.T) {
	root := newCA(t, "root", nil, nil)
	signer, key := certificateSigner(t, suite1)
	good := root.enroll(signer.Public(), nil)
	s := &X509AuthenticationService{Roots: pool(root.certificate), Now: atTestTime}
	long := X509Credential(good...)
	for len(long.Certificates) <= maxCertificates {
		long.Certificates = append(long.Certificates, root.certificate.Raw)
	}
	large := root.enroll(signer.Public(), func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999}, Value: make([]byte, maxCertificateChain)}}
	})
	modulus := new(big.Int).Lsh(big.NewInt(1), maxRSAKey)
	hugeKey := newCA(t, "huge key", root, nil)
	hugeKey.certificate = issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "huge key"}, IsCA: true, BasicConstraintsValid: true},
		&rsa.PublicKey{N: modulus.Add(modulus, big.NewInt(1)), E: 65537}, root, nil)
	garbage := X509Credential(good...)
	garbage.Certificates[0] = append(bytes.Clone(good[0].Raw), 0)
	for name, c := range map[string]Credential{
		"too many certificates":    long,
		"certificate too large":    X509Credential(large...),
		"RSA key too large":        X509Credential(good[0], hugeKey.certificate),
		"an octet behind":          garbage,
		"an empty certificate":     {Type: CredentialX509, Certificates: [][]byte{{}}},
		"an empty one behind good": {Type: CredentialX509, Certificates: [][]byte{good[0].Raw, {}}},
	} {
		err := s.ValidateLeaf(&LeafNode{Credential: c, SignatureKey: key}, nil)
		if !errors.Is(err, ErrCertificateChain) {
			t.Errorf("%s: %v", name, err)
		}
		// It is not even used.
		if name == "RSA key too large" && !strings.Contains(err.Error(), "RSA key of") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestX509KeysOfUnknownAlgorithmsAreNamed(t *testing.T) {
	root := newCA(t, "root", nil, nil)
	signer, key := certificateSigner(t, suite1)
	certificate := root.enroll(signer.Public(), nil)[0]
	// id-Ed448 is one octet away from id-Ed25519. The signature need not hold:
	// the key is looked at first.
	ed25519ID, ed448ID := []byte{0x2b, 0x65, 0x70}, []byte{0x2b, 0x65, 0x71}
	c := Credential{Type: CredentialX509, Certificates: [][]byte{bytes.ReplaceAll(certificate.Raw, ed25519ID, ed448ID)}}
	s := &X509AuthenticationService{Roots: pool(root.certificate), Now: atTestTime}
	err := s.ValidateLeaf(&LeafNode{Credential: c, SignatureKey: key}, nil)
	if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "1.3.101.113") {
		t.Errorf("error is %v, want ErrUnsupported with 1.3.101.113", err)
	}
}

func TestX509RootsCanBeReplaced(t *testing.T) {
	before, after := newCA(t, "before", nil, nil), newCA(t, "after", nil, nil)
	signer, key := certificateSigner(t, suite1)
	var roots atomic.Pointer[x509.CertPool]
	s := &X509AuthenticationService{Roots: roots.Load, Now: atTestTime}
	leaf := func(by *ca) *LeafNode {
		return &LeafNode{Credential: X509Credential(by.enroll(signer.Public(), nil)...), SignatureKey: key}
	}
	for _, trusted := range []*ca{before, after} {
		roots.Store(pool(trusted.certificate)())
		for _, by := range []*ca{before, after} {
			if err := s.ValidateLeaf(leaf(by), nil); (err == nil) != (by == trusted) {
				t.Errorf("roots are %q: leaf by %q: %v", trusted.certificate.Subject, by.certificate.Subject, err)
			}
		}
	}
}

func TestX509SuccessorNamesTheSameClient(t *testing.T) {
	root, other := newCA(t, "root", nil, nil), newCA(t, "other", nil, nil)
	s := &X509AuthenticationService{Roots: pool(root.certificate, other.certificate), Now: atTestTime}
	spiffe, err := url.Parse("spiffe://example/a")
	if err != nil {
		t.Fatal(err)
	}
	names := func(subject string, dns []string, uris []*url.URL, ips []net.IP, emails []string) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.Subject = pkix.Name{}
			if subject != "" {
				c.Subject.CommonName = subject
			}
			c.DNSNames, c.URIs, c.IPAddresses, c.EmailAddresses = dns, uris, ips, emails
		}
	}
	otherName := func(value byte) func(*x509.Certificate) { // a kind that crypto/x509 does not parse
		return func(c *x509.Certificate) {
			c.DNSNames = nil
			c.ExtraExtensions = []pkix.Extension{{Id: subjectAltName, Value: []byte{
				0x30, 9, 0xa0, 7, 0x06, 2, 0x2a, 0x03, 0xa0, 1, value}}}
		}
	}
	dns := func(dns ...string) func(*x509.Certificate) { return names("x", dns, nil, nil, nil) }
	ip := func(ip string) func(*x509.Certificate) { return names("x", nil, nil, []net.IP{net.ParseIP(ip)}, nil) }
	expired := func(c *x509.Certificate) { dns("a")(c); c.NotAfter = testTime.Add(-time.Minute) }
	for _, test := range []struct {
		name          string
		before, after func(*x509.Certificate)
		by            *ca
		ok            bool
	}{
		{"same name", dns("a"), dns("a"), root, true},
		{"same name, other subject", names("x", []string{"a"}, nil, nil, nil), names("y", []string{"a"}, nil, nil, nil), root, true},
		{"same name, other authority", dns("a"), dns("a"), other, true},
		{"expired before", expired, dns("a"), root, true},
		{"other order", dns("a", "b"), dns("b", "a"), root, true},
		{"twice", dns("a", "a"), dns("a"), root, true},
		{"another name", dns("a"), dns("b"), root, false},
		{"a name more", dns("a"), dns("a", "b"), root, false},
		{"a name less", dns("a", "b"), dns("a"), root, false},
		{"URI", names("", nil, []*url.URL{spiffe}, nil, nil), names("x", nil, []*url.URL{spiffe}, nil, nil), root, true},
		{"URI lost", names("x", []string{"a"}, []*url.URL{spiffe}, nil, nil), dns("a"), root, false},
		{"address", ip("192.0.2.1"), ip("192.0.2.1"), root, true},
		{"another address", ip("192.0.2.1"), ip("192.0.2.2"), root, false},
		{"e-mail", names("x", nil, nil, nil, []string{"a@a.example"}), names("x", nil, nil, nil, []string{"b@a.example"}), root, false},
		{"a DNS name like an e-mail address", names("x", nil, nil, nil, []string{"a.example"}), dns("a.example"), root, false},
		{"other name", otherName(1), otherName(1), root, true},
		{"another other name", otherName(1), otherName(2), root, false},
		{"other name for none", otherName(1), names("client", nil, nil, nil, nil), root, false},
		{"subject", names("x", nil, nil, nil, nil), names("x", nil, nil, nil, nil), root, true},
		{"another subject", names("x", nil, nil, nil, nil), names("y", nil, nil, nil, nil), root, false},
		{"subject to name", names("x", nil, nil, nil, nil), dns("a"), root, false},
		{"no names at all", names("", nil, nil, nil, nil), names("", nil, nil, nil, nil), root, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			signer, key := certificateSigner(t, suite1)
			nextSigner, nextKey := certificateSigner(t, 2)
			previous := &LeafNode{Credential: X509Credential(root.enroll(signer.Public(), test.before)...), SignatureKey: key}
			leaf := &LeafNode{Credential: X509Credential(test.by.enroll(nextSigner.Public(), test.after)...), SignatureKey: nextKey}
			err := s.ValidateLeaf(leaf, previous)
			if test.ok && err != nil || !test.ok && !errors.Is(err, ErrOtherClient) {
				t.Errorf("error is %v, want an ErrOtherClient: %v", err, !test.ok)
			}
			if err := s.ValidateLeaf(leaf, nil); err != nil {
				t.Errorf("by itself: %v", err)
			}
		})
	}

	signer, key := certificateSigner(t, suite1)
	leaf := &LeafNode{Credential: X509Credential(root.enroll(signer.Public(), nil)...), SignatureKey: key}
	if err := s.ValidateLeaf(leaf, &LeafNode{Credential: BasicCredential([]byte("client"))}); !errors.Is(err, ErrOtherClient) {
		t.Errorf("after a basic credential: %v", err)
	}
	refused := errors.New("not today")
	s.SameClient = func(before, after *x509.Certificate) error { return refused }
	previous := &LeafNode{Credential: X509Credential(root.enroll(signer.Public(), nil)...), SignatureKey: key}
	if err := s.ValidateLeaf(leaf, previous); !errors.Is(err, refused) {
		t.Errorf("SameClient refuses: %v", err)
	}
}

// x509Client is a client with a certificate for a DNS name.
func x509Client(t *testing.T, by *ca, id ciphersuite.ID, as AuthenticationService, name string) (*Config, Identity) {
	t.Helper()
	cfg := &Config{AuthenticationService: as, Now: atTestTime}
	return cfg, x509Identity(t, by, id, name)
}

func x509Identity(t *testing.T, by *ca, id ciphersuite.ID, name string) Identity {
	t.Helper()
	signer, _ := certificateSigner(t, id)
	return Identity{
		Credential: X509Credential(by.enroll(signer.Public(), func(c *x509.Certificate) { c.DNSNames = []string{name} })...),
		Signer:     signer,
	}
}

// x509Pair returns two members of a group, with certificates for a.example and
// b.example.
func x509Pair(t *testing.T, by *ca, id ciphersuite.ID, as AuthenticationService) (a, b *Group) {
	t.Helper()
	cfg, self := x509Client(t, by, id, as, "a.example")
	before, err := NewGroup(cfg, GroupOptions{Suite: id, Identity: self})
	if err != nil {
		t.Fatal(err)
	}
	cfg, peer := x509Client(t, by, id, as, "b.example")
	bundle, err := NewKeyPackage(cfg, KeyPackageOptions{Suite: id, Identity: peer})
	if err != nil {
		t.Fatal(err)
	}
	pending, err := before.Commit(CommitOptions{Proposals: []Proposal{&Add{KeyPackage: bundle.KeyPackage()}}})
	if err != nil {
		t.Fatal(err)
	}
	if b, err = Join(cfg, pending.Welcome(), bundle, JoinOptions{}); err != nil {
		t.Fatal(err)
	}
	return pending.Group(), b
}

// checkPair checks that two members agree and can speak.
func checkPair(t *testing.T, a, b *Group) {
	t.Helper()
	if a.Epoch() != b.Epoch() || !bytes.Equal(a.EpochAuthenticator(), b.EpochAuthenticator()) {
		t.Fatalf("epochs %d and %d differ", a.Epoch(), b.Epoch())
	}
	for _, pair := range [][2]*Group{{a, b}, {b, a}} {
		message, err := pair[0].Protect([]byte("data"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pair[1].Process(message); err != nil {
			t.Fatal(err)
		}
	}
}

func TestGroupsWithX509CredentialsRotateCertificates(t *testing.T) {
	for _, id := range []ciphersuite.ID{1, 2, 5, 7} {
		t.Run(id.String(), func(t *testing.T) {
			authority := newCA(t, "root", nil, nil)
			inter := newCA(t, "intermediate", authority, nil)
			as := &X509AuthenticationService{Roots: pool(authority.certificate), Now: atTestTime}
			a, b := x509Pair(t, inter, id, as)
			checkPair(t, a, b)

			// b asks for a new leaf, which a commits.
			fresh := x509Identity(t, inter, id, "b.example")
			proposal, err := b.ProposeUpdate(LeafChanges{Identity: &fresh}, ProposeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := a.Process(proposal); err != nil {
				t.Fatal(err)
			}
			a, b = commitBetween(t, a, b, CommitOptions{})
			if got := b.Members()[1].Leaf.Credential; !got.Equal(fresh.Credential) {
				t.Error("the Update did not bring the new certificate")
			}
			checkPair(t, a, b)

			// a changes its own leaf.
			fresh = x509Identity(t, inter, id, "a.example")
			a, b = commitBetween(t, a, b, CommitOptions{Leaf: LeafChanges{Identity: &fresh}})
			if got := b.Members()[0].Leaf.Credential; !got.Equal(fresh.Credential) {
				t.Error("the commit did not bring the new certificate")
			}
			checkPair(t, a, b)
		})
	}
}

// commitBetween has a commit and b follow.
func commitBetween(t *testing.T, a, b *Group, o CommitOptions) (nextA, nextB *Group) {
	t.Helper()
	pending, err := a.Commit(o)
	if err != nil {
		t.Fatal(err)
	}
	received, err := b.Process(pending.Message())
	if err != nil {
		t.Fatal(err)
	}
	return pending.Group(), received.(*ReceivedCommit).Group()
}

func TestAMemberCannotTurnIntoSomebodyElse(t *testing.T) {
	authority, stranger := newCA(t, "root", nil, nil), newCA(t, "root", nil, nil)
	as := &X509AuthenticationService{Roots: pool(authority.certificate), Now: atTestTime}
	for name, test := range map[string]struct {
		by   *ca
		dns  string
		want func(error) bool
	}{
		"another name":     {authority, "c.example", func(err error) bool { return errors.Is(err, ErrOtherClient) }},
		"the other's name": {authority, "a.example", func(err error) bool { return errors.Is(err, ErrOtherClient) }},
		"another root":     {stranger, "b.example", func(err error) bool { var e x509.UnknownAuthorityError; return errors.As(err, &e) }},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := x509Pair(t, authority, 2, as)
			before := mustMarshal(t, a)
			wrong := x509Identity(t, test.by, 2, test.dns)
			check := func(err error) {
				t.Helper()
				wantCheck(t, err, CheckLeafCredential)
				if !test.want(err) {
					t.Errorf("error is %v", err)
				}
			}

			pending, err := b.Commit(CommitOptions{Leaf: LeafChanges{Identity: &wrong}})
			if err != nil {
				t.Fatal(err)
			}
			_, err = a.Process(pending.Message())
			check(err)
			if !bytes.Equal(mustMarshal(t, a), before) {
				t.Error("the refused commit changed the group")
			}

			proposal, err := b.ProposeUpdate(LeafChanges{Identity: &wrong}, ProposeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := a.Process(proposal); err != nil {
				check(err) // refused at once
			} else if left, err := a.Commit(CommitOptions{}); err != nil {
				t.Error(err)
			} else if got := left.Group().Members()[1].Leaf.Credential; got.Equal(wrong.Credential) {
				t.Error("the Update was committed")
			}
		})
	}
}

func TestASecondMemberWithABadCertificateIsNotAdded(t *testing.T) {
	authority, stranger := newCA(t, "root", nil, nil), newCA(t, "root", nil, nil)
	as := &X509AuthenticationService{Roots: pool(authority.certificate), Now: atTestTime}
	a, b := x509Pair(t, authority, 2, as)
	cfg, outsider := x509Client(t, stranger, 2, as, "c.example")
	bundle, err := NewKeyPackage(cfg, KeyPackageOptions{Suite: 2, Identity: outsider})
	if err != nil {
		t.Fatal(err)
	}
	before := mustMarshal(t, a)
	_, err = a.Commit(CommitOptions{Proposals: []Proposal{&Add{KeyPackage: bundle.KeyPackage()}}})
	wantCheck(t, err, CheckLeafCredential)
	if !bytes.Equal(mustMarshal(t, a), before) {
		t.Error("the refused key package changed the group")
	}
	checkPair(t, a, b)
}

func TestBasicCredentialsKeepTheirIdentity(t *testing.T) {
	service := &BasicAuthenticationService{Accept: AllowKeys(map[string][][]byte{"alice": {{1}, {2}}, "bob": {{3}}})}
	leaf := func(name string, key ...byte) *LeafNode {
		return &LeafNode{Credential: BasicCredential([]byte(name)), SignatureKey: key}
	}
	x509Leaf := &LeafNode{Credential: Credential{Type: CredentialX509}, SignatureKey: []byte{1}}
	for _, test := range []struct {
		name           string
		leaf, previous *LeafNode
		want           error
	}{
		{"known", leaf("alice", 1), nil, nil},
		{"second key", leaf("alice", 2), nil, nil},
		{"change of key", leaf("alice", 2), leaf("alice", 1), nil},
		{"unknown key", leaf("alice", 3), nil, ErrUnknownClient},
		{"change to an unknown key", leaf("alice", 3), leaf("alice", 1), ErrUnknownClient},
		{"unknown identity", leaf("carol", 1), nil, ErrUnknownClient},
		{"change of identity", leaf("bob", 3), leaf("alice", 1), ErrOtherClient},
		{"another type", x509Leaf, nil, ErrCredentialType},
		{"another type before", leaf("alice", 1), x509Leaf, ErrOtherClient},
	} {
		if err := service.ValidateLeaf(test.leaf, test.previous); !errors.Is(err, test.want) {
			t.Errorf("%s: error is %v, want %v", test.name, err, test.want)
		}
		if test.previous == nil {
			sender := &ExternalSender{Credential: test.leaf.Credential, SignatureKey: test.leaf.SignatureKey}
			if err := service.ValidateExternalSender(sender); !errors.Is(err, test.want) {
				t.Errorf("%s, as a sender: error is %v, want %v", test.name, err, test.want)
			}
		}
	}
	if err := new(BasicAuthenticationService).ValidateLeaf(leaf("alice", 1), nil); err == nil {
		t.Error("a service without Accept accepts")
	}
}

// membersOnly is a service that knows no external senders.
type membersOnly struct{ AuthenticationService }

func TestCredentialMuxAsksTheServiceOfTheType(t *testing.T) {
	mux := CredentialMux{
		CredentialBasic: &BasicAuthenticationService{Accept: func(identity, signatureKey []byte) error { return nil }},
		CredentialX509:  membersOnly{acceptAll{}},
	}
	basic := &LeafNode{Credential: BasicCredential([]byte("alice"))}
	certified := &LeafNode{Credential: Credential{Type: CredentialX509}}
	for _, leaf := range []*LeafNode{basic, certified} {
		if err := mux.ValidateLeaf(leaf, nil); err != nil {
			t.Error(err)
		}
	}
	if err := mux.ValidateLeaf(basic, certified); !errors.Is(err, ErrOtherClient) {
		t.Errorf("basic after X.509: %v", err)
	}
	if err := mux.ValidateLeaf(&LeafNode{Credential: Credential{Type: 0xf000}}, nil); !errors.Is(err, ErrCredentialType) {
		t.Errorf("unknown type: %v", err)
	}
	if err := mux.ValidateExternalSender(&ExternalSender{Credential: basic.Credential}); err != nil {
		t.Error(err)
	}
	if err := mux.ValidateExternalSender(&ExternalSender{Credential: certified.Credential}); !errors.Is(err, ErrCredentialType) {
		t.Errorf("sender of a type whose service has no senders: %v", err)
	}
}
