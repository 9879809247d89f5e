package tlspsk

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"time"
)

// A decoy is a certificate whose private key is gone. A client of crypto/tls wants to
// know which certificate a session once came from, and to trust it; so it is made to trust this one
// and no other. Nobody can use it, so that a handshake with a certificate
// cannot succeed even if all other checks were taken out.
type decoy struct {
	der  []byte
	pool *x509.CertPool
	// session is one that came from this certificate. While it is there, crypto/tls has the
	// certificate in its cache, and others do not parse it again.
	session *tls.SessionState
}

func newDecoy(name string) (*decoy, error) {
	der, _, err := newCertificate(name) // and nobody keeps the key
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParseCertificate(der)
	if err == nil {
		err = parsed.VerifyHostname(name) // crypto/tls would not use the session else
	}
	if err != nil {
		return nil, fmt.Errorf("%w: ServerName %q: %w", ErrConfig, name, err)
	}
	d := &decoy{der: der, pool: x509.NewCertPool()}
	d.pool.AddCert(parsed)
	d.session, _, err = newState(clientState, make([]byte, secretSize), der, time.Now())
	return d, err
}

// newCertificate returns a self-signed certificate and its key.
func newCertificate(name string) ([]byte, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("tlspsk: making a certificate: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{name},
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // "no end": RFC 5280, Section 4.1.2.5
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: ServerName %q: %w", ErrConfig, name, err)
	}
	return der, key, nil
}
