package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// An authority certifies keys, for tests.
type authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	key := newEd25519Key(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, SubjectKeyId: []byte(name),
	}
	return &authority{sign(t, template, template, key.Public(), key), key}
}

// sub returns an authority that this one certifies.
func (a *authority) sub(t testing.TB, name string) *authority {
	t.Helper()
	key := newEd25519Key(t)
	template := &x509.Certificate{
		SerialNumber: newSerial(t), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, SubjectKeyId: []byte(name),
	}
	return &authority{sign(t, template, a.certificate, key.Public(), a.key), key}
}

// issue certifies a key for a name: a SPIFFE ID if it looks like a URL, else that of a host. change
// makes of the certificate what else a test needs.
func (a *authority) issue(t testing.TB, key crypto.PublicKey, name string, change ...func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: newSerial(t), Subject: pkix.Name{CommonName: "peer"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if uri, err := url.Parse(name); err == nil && uri.Scheme != "" {
		template.URIs = []*url.URL{uri}
	} else {
		template.DNSNames = []string{name}
	}
	for _, f := range change {
		f(template)
	}
	return sign(t, template, a.certificate, key, a.key)
}

func sign(t testing.TB, template, parent *x509.Certificate, key crypto.PublicKey, signer crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, signer)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func newSerial(t testing.TB) *big.Int {
	t.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 96))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func newEd25519Key(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newECDSAKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func pemOf(certificates ...*x509.Certificate) []byte {
	var text []byte
	for _, c := range certificates {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return text
}

func pemOfKey(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	text, err := MarshalPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// write puts a file in place as a whole, as whoever renews certificates should.
func write(t testing.TB, path string, text []byte) string {
	t.Helper()
	if err := replaceFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A place is a directory with the files of an end.
type place struct {
	t    testing.TB
	pair KeyPair
	dir  string
}

func newPlace(t testing.TB) *place {
	dir := t.TempDir()
	return &place{t, KeyPair{Certificate: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}, dir}
}

func (p *place) path(name string) string { return filepath.Join(p.dir, name) }

func (p *place) write(name string, text []byte) string {
	p.t.Helper()
	return write(p.t, p.path(name), text)
}

// renew puts another key with a chain of certificates in place.
func (p *place) renew(key crypto.Signer, chain ...*x509.Certificate) {
	p.t.Helper()
	write(p.t, p.pair.Key, pemOfKey(p.t, key))
	write(p.t, p.pair.Certificate, pemOf(chain...))
}

func open(t testing.TB, files Files) *Live {
	t.Helper()
	l, err := Open(files)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func mustValidator(t testing.TB, o X509Options) *X509 {
	t.Helper()
	v, err := NewX509Validator(o)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func mustSPIFFE(t testing.TB, patterns ...string) NameRule {
	t.Helper()
	rule, err := SPIFFE(patterns...)
	if err != nil {
		t.Fatal(err)
	}
	return rule
}

func remove(t testing.TB, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}
