package identity_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/netconn"
)

// A certificate is renewed on disk, and the peer of a living connection sees the new one.
func ExampleOpen() {
	ca, directory := newCA(), newDirectory()
	defer os.RemoveAll(directory)
	in := func(name string) string { return filepath.Join(directory, name) }
	ca.write(in("ca.crt"))

	// Each end has files of its own.
	end := func(name string) (*identity.Live, *netconn.Config) {
		ca.renew(in(name+".crt"), in(name+".key"), "spiffe://example.org/"+name)
		live, err := identity.Open(identity.Files{
			Pairs:  []identity.KeyPair{{Certificate: in(name + ".crt"), Key: in(name + ".key")}},
			Roots:  []string{in("ca.crt")},
			Every:  10 * time.Millisecond,
			Report: func(err error) { log.Print(err) },
		})
		if err != nil {
			log.Fatal(err)
		}
		names, err := identity.SPIFFE("spiffe://example.org/**")
		if err != nil {
			log.Fatal(err)
		}
		peers, err := identity.NewX509Validator(identity.X509Options{RootsFor: live.RootsFor, Names: names, Revoked: live.Revoked})
		if err != nil {
			log.Fatal(err)
		}
		return live, &netconn.Config{Identities: live, Validator: peers}
	}
	web, initiator := end("web")
	defer web.Close()
	db, responder := end("db")
	defer db.Close()

	a, b := net.Pipe()
	client, server := netconn.Client(a, initiator), netconn.Server(b, responder)
	defer client.Close()
	defer server.Close()
	go io.Copy(server, server)
	serial := func() string {
		certificate, err := x509.ParseCertificate(client.ConnectionState().Peer.Credential.Certificates[0])
		if err != nil {
			log.Fatal(err)
		}
		return certificate.SerialNumber.String()
	}
	if err := client.Handshake(); err != nil {
		log.Fatal(err)
	}
	before := serial()
	ca.renew(in("db.crt"), in("db.key"), "spiffe://example.org/db")
	for serial() == before {
		client.Write([]byte("x"))
		client.Read(make([]byte, 1))
	}
	fmt.Printf("the peer's serial number is %s, then %s\n", before, serial())
	// Output: the peer's serial number is 3, then 4
}

// For a host name, without files.
func ExampleNewX509Validator() {
	ca := newCA()
	roots := x509.NewCertPool()
	roots.AddCert(ca.certificate)
	peer, err := identity.NewX509Validator(identity.X509Options{
		RootsFor: identity.NewTrustBundle(roots, nil).RootsFor,
		Names:    identity.ServerName("db.example"),
	})
	if err != nil {
		log.Fatal(err)
	}
	certificate, key := ca.issue("https://web.example")
	err = peer.ValidateLeaf(&mls.LeafNode{
		SignatureKey: key.Public().(ed25519.PublicKey),
		Credential:   mls.X509Credential(certificate),
	}, nil)
	fmt.Println(errors.Is(err, identity.ErrName))
	// Output: true
}

func ExampleOpenKnownHosts() {
	directory := newDirectory()
	defer os.RemoveAll(directory)
	known, err := identity.OpenKnownHosts(filepath.Join(directory, "known_hosts"), identity.KnownHostsOptions{
		FirstUse: identity.TrustOnFirstUse,
	})
	if err != nil {
		log.Fatal(err)
	}
	peer, err := known.Peer("db.example:7400") // for netconn.Config.Validator
	if err != nil {
		log.Fatal(err)
	}
	for _, key := range []string{"the key of the first time", "the key of the first time", "another key"} {
		leaf := &mls.LeafNode{SignatureKey: fmt.Appendf(nil, "%-32s", key)}
		err := peer.ValidateLeaf(leaf, nil)
		fmt.Println(key, "has changed:", errors.Is(err, identity.ErrHostKeyChanged))
	}
	// Output:
	// the key of the first time has changed: false
	// the key of the first time has changed: false
	// another key has changed: true
}

func ExampleKeyPair() {
	ca, directory := newCA(), newDirectory()
	defer os.RemoveAll(directory)
	pair := identity.KeyPair{Certificate: filepath.Join(directory, "tls.crt"), Key: filepath.Join(directory, "tls.key")}
	ca.renew(pair.Certificate, pair.Key, "spiffe://example.org/db")
	self, err := pair.Load() // for netconn.Config.Identity
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("a chain of %d\n", len(self.Credential.Certificates))
	os.Chmod(pair.Key, 0o644)
	_, err = pair.Load()
	fmt.Println(errors.Is(err, identity.ErrPermissions))
	// Output:
	// a chain of 1
	// true
}

// An identity that a program renews itself, in a living connection.
func ExampleFeed() {
	var self identity.Feed
	renew := func(name string) mls.Identity {
		id, err := identity.Generate(rand.Reader, name)
		if err != nil {
			log.Fatal(err)
		}
		return id
	}
	first, second, peer := renew("Monday's key"), renew("Tuesday's key"), renew("peer")
	self.SetIdentities(first)
	pin := func(ids ...mls.Identity) *identity.Pinned {
		var keys []crypto.PublicKey
		for _, id := range ids {
			keys = append(keys, id.Signer.Public())
		}
		pinned, err := identity.NewPinned(keys...)
		if err != nil {
			log.Fatal(err)
		}
		return pinned
	}
	a, b := net.Pipe()
	client := netconn.Client(a, &netconn.Config{Identities: &self, Validator: pin(peer)})
	server := netconn.Server(b, &netconn.Config{Identity: peer, Validator: pin(first, second)})
	defer client.Close()
	defer server.Close()
	go io.Copy(server, server)
	shown := func() string { return string(server.ConnectionState().Peer.Credential.Identity) }
	client.Write([]byte("x"))
	client.Read(make([]byte, 1))
	fmt.Println(shown())
	self.SetIdentities(second)
	for shown() == "Monday's key" {
		client.Write([]byte("x"))
		client.Read(make([]byte, 1))
	}
	fmt.Println(shown())
	// Output:
	// Monday's key
	// Tuesday's key
}

func ExampleSPIFFE() {
	rule, err := identity.SPIFFE("spiffe://example.org/region/*/db", "spiffe://example.org/ns/prod/**")
	if err != nil {
		log.Fatal(err)
	}
	ca := newCA()
	for _, id := range []string{"spiffe://example.org/region/eu/db", "spiffe://example.org/ns/prod/web/7", "spiffe://example.org/ns/test/web"} {
		certificate, _ := ca.issue(id)
		fmt.Println(id, rule(certificate) == nil)
	}
	// Output:
	// spiffe://example.org/region/eu/db true
	// spiffe://example.org/ns/prod/web/7 true
	// spiffe://example.org/ns/test/web false
}

func ExampleLoadPrivateKey() {
	directory := newDirectory()
	defer os.RemoveAll(directory)
	path := filepath.Join(directory, "tls.key")
	put(path, []byte("my key:\n-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n"))
	_, err := identity.LoadPrivateKey(path)
	var at *identity.FileError
	fmt.Println(errors.As(err, &at), at.Path == path, at.Line, at.Field)
	// Output: true true 2 private key
}

func ExampleLoadRevoked() {
	ca, directory := newCA(), newDirectory()
	defer os.RemoveAll(directory)
	certificate, _ := ca.issue("spiffe://example.org/db")
	path := filepath.Join(directory, "revoked")
	put(path, fmt.Appendf(nil, "serial %x  # it was stolen\n", certificate.SerialNumber))
	revoked, err := identity.LoadRevoked(path)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(errors.Is(revoked.Check([]*x509.Certificate{certificate, ca.certificate}), identity.ErrRevoked))
	// Output: true
}

// exampleCA is an authority for the examples.
type exampleCA struct {
	certificate *x509.Certificate
	key         ed25519.PrivateKey
	serial      int64
}

func newCA() *exampleCA {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	ca := &exampleCA{key: key, serial: 1}
	ca.certificate = ca.sign(template, template, key.Public())
	return ca
}

func (ca *exampleCA) sign(template, parent *x509.Certificate, public any) *x509.Certificate {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, ca.key)
	if err != nil {
		log.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		log.Fatal(err)
	}
	return certificate
}

func (ca *exampleCA) issue(name string) (*x509.Certificate, ed25519.PrivateKey) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	uri, err := url.Parse(name)
	if err != nil {
		log.Fatal(err)
	}
	ca.serial++
	return ca.sign(&x509.Certificate{
		SerialNumber: big.NewInt(ca.serial), URIs: []*url.URL{uri}, NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}, ca.certificate, key.Public()), key
}

func (ca *exampleCA) renew(certificateFile, keyFile, name string) {
	certificate, key := ca.issue(name)
	text, err := identity.MarshalPrivateKey(key)
	if err != nil {
		log.Fatal(err)
	}
	put(keyFile, text)
	put(certificateFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw}))
}

func (ca *exampleCA) write(file string) {
	put(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.certificate.Raw}))
}

// put writes a file as a whole.
func put(file string, text []byte) {
	if err := os.WriteFile(file+".new", text, 0o600); err != nil {
		log.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		log.Fatal(err)
	}
}

func newDirectory() string {
	directory, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	return directory
}
