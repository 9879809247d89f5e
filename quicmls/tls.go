package quicmls

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"sync"
	"time"
)

// NextProto is the protocol that the QUIC connection negotiates by itself (RFC 7301). That of the
// application is negotiated within the session: see [Config].Protocols.
const NextProto = "mendlink"

// exporterLabel is that of RFC 9266: what it gives is the same at the two ends of one TLS
// connection, and at nobody else's.
const (
	exporterLabel = "EXPORTER-Channel-Binding"
	exporterSize  = 32
)

// clientTLS returns the TLS configuration of the end that dials.
func (c *Config) clientTLS() *tls.Config {
	if c.TLS != nil {
		return withNextProto(c.TLS)
	}
	return &tls.Config{
		// The certificate proves nothing, and need not: the exporter is bound into the
		// session, in which the peer is authenticated. A man in the middle of this TLS
		// connection has two, and fails there.
		InsecureSkipVerify: true,
		MinVersion:         tls.VersionTLS13,
		NextProtos:         []string{NextProto},
		CurvePreferences:   []tls.CurveID{tls.X25519},
	}
}

// serverTLS returns the TLS configuration of the end that listens.
func (c *Config) serverTLS() (*tls.Config, error) {
	if c.TLS != nil {
		return withNextProto(c.TLS), nil
	}
	certificate, err := throwAwayCertificate()
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		Certificates:           []tls.Certificate{certificate},
		MinVersion:             tls.VersionTLS13,
		NextProtos:             []string{NextProto},
		CurvePreferences:       []tls.CurveID{tls.X25519}, // cheap: a hybrid protects the session within
		SessionTicketsDisabled: !c.Allow0RTT,
	}, nil
}

// ticketCache keeps the TLS tickets that 0-RTT needs, of all peers. They say nothing about who the
// peer is.
var ticketCache = tls.NewLRUClientSessionCache(1 << 10)

// earlyTLS is clientTLS for 0-RTT.
func (c *Config) earlyTLS() *tls.Config {
	t := c.clientTLS()
	if c.TLS == nil {
		t.ClientSessionCache = ticketCache
	}
	return t
}

func withNextProto(c *tls.Config) *tls.Config {
	if len(c.NextProtos) == 0 {
		c = c.Clone()
		c.NextProtos = []string{NextProto}
	}
	return c
}

// throwAwayCertificate makes a certificate that says nothing, once.
var throwAwayCertificate = sync.OnceValues(func() (tls.Certificate, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // none: RFC 5280, Section 4.1.2.5
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, nil
})
