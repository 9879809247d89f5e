// Package rivals has what channels are compared to: mutual TLS 1.3 of crypto/tls
// and Noise, both ends in memory, and a TCP connection.
package rivals

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"iter"
	"math/big"
	"net"
	"time"

	"github.com/mendlink/mendlink/bench/internal/measure"
)

const serverName = "server.example"

// Chain says what the ends of a TLS connection verify.
type Chain bool

const (
	// Issued certificates come from an authority that both ends know: each
	// verifies the signature in one certificate.
	Issued Chain = true
	// Pinned certificates are signed with their own keys, and known to the
	// peer themselves: no signature in a certificate is verified.
	Pinned Chain = false
)

// A TLS is two ends that show each other Ed25519 certificates.
type TLS struct {
	client, server *tls.Config
	curve          tls.CurveID
}

// NewTLS returns two ends that agree on keys with curve.
func NewTLS(curve tls.CurveID, chain Chain) (*TLS, error) {
	client, clientPool, err := newCertificate("client.example", x509.ExtKeyUsageClientAuth, chain)
	if err != nil {
		return nil, err
	}
	server, serverPool, err := newCertificate(serverName, x509.ExtKeyUsageServerAuth, chain)
	if err != nil {
		return nil, err
	}
	both := &tls.Config{MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{curve}, SessionTicketsDisabled: true}
	t := &TLS{client: both, server: both.Clone(), curve: curve}
	t.client.Certificates, t.client.RootCAs, t.client.ServerName = []tls.Certificate{*client}, serverPool, serverName
	t.server.Certificates, t.server.ClientCAs, t.server.ClientAuth = []tls.Certificate{*server}, clientPool, tls.RequireAndVerifyClientCert
	return t, nil
}

// newCertificate returns a certificate, and who the peer has to trust.
func newCertificate(name string, usage x509.ExtKeyUsage, chain Chain) (*tls.Certificate, *x509.CertPool, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage},
	}
	issuer, issuerKey := template, private
	if chain == Issued {
		if issuer, issuerKey, err = newAuthority(); err != nil {
			return nil, nil, err
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, public, issuerKey)
	if err != nil {
		return nil, nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, err
	}
	pool := x509.NewCertPool()
	if pool.AddCert(leaf); chain == Issued {
		pool = x509.NewCertPool()
		pool.AddCert(issuer)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private, Leaf: leaf}, pool, nil
}

func newAuthority() (*x509.Certificate, ed25519.PrivateKey, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		return nil, nil, err
	}
	parsed, err := x509.ParseCertificate(der)
	return parsed, private, err
}

// Handshake is a full handshake in memory.
func (t *TLS) Handshake() measure.Op {
	return measure.Repeat(func() error {
		_, _, err := t.handshake()
		return err
	})
}

// Reconnect is a full handshake and, beside it, a TCP connection on loopback.
func (t *TLS) Reconnect(d *Dialer) measure.Op {
	return measure.Repeat(func() error {
		if err := d.connect(); err != nil {
			return err
		}
		_, _, err := t.handshake()
		return err
	})
}

// Octets returns how many the client and the server send in a handshake.
func (t *TLS) Octets() (client, server int, err error) { return t.handshake() }

func (t *TLS) handshake() (sentByClient, sentByServer int, err error) {
	a, b := newPipe()
	client, server := tls.Client(a, t.client), tls.Server(b, t.server)
	var serverErr error
	next, stop := iter.Pull(func(yield func(struct{}) bool) {
		b.wait = func() { yield(struct{}{}) }
		serverErr = server.Handshake()
	})
	defer stop()
	a.wait = func() { next() }
	err = client.Handshake()
	next() // the server reads the client's last flight
	if err := errors.Join(err, serverErr); err != nil {
		return 0, 0, err
	}
	return a.octets, b.octets, t.Check(client.ConnectionState(), server.ConnectionState())
}

// Connect returns connections over the two transports whose handshake is complete.
func (t *TLS) Connect(a, b net.Conn) (client, server *tls.Conn, err error) {
	client, server = tls.Client(a, t.client), tls.Server(b, t.server)
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	if err := errors.Join(client.Handshake(), <-done); err != nil {
		return nil, nil, err
	}
	return client, server, t.Check(client.ConnectionState(), server.ConnectionState())
}

// Configs returns configurations for a transport that does the handshake itself and needs
// a protocol by ALPN, as QUIC does.
func (t *TLS) Configs(protocol string) (client, server *tls.Config) {
	client, server = t.client.Clone(), t.server.Clone()
	client.NextProtos, server.NextProtos = []string{protocol}, []string{protocol}
	return client, server
}

// Check makes sure that what was measured is what was to be compared to.
func (t *TLS) Check(ends ...tls.ConnectionState) error {
	for _, s := range ends {
		if !s.HandshakeComplete || s.Version != tls.VersionTLS13 || s.CurveID != t.curve || s.DidResume || len(s.VerifiedChains) == 0 ||
			s.CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
			return fmt.Errorf("TLS version %x, %s, curve %v, resumed: %t, %d chains",
				s.Version, tls.CipherSuiteName(s.CipherSuite), s.CurveID, s.DidResume, len(s.VerifiedChains))
		}
	}
	return nil
}
