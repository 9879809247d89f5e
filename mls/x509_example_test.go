package mls_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log"
	"math/big"
	"sync/atomic"
	"time"

	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// A client with a certificate, and peers that trust who issued it.
func ExampleX509AuthenticationService() {
	authority, authorityKey := newAuthority()
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	certificate := newCertificate(&x509.Certificate{
		DNSNames:    []string{"replica-7.example"},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, authority, signer, authorityKey)

	// The roots may be replaced at any time.
	var roots atomic.Pointer[x509.CertPool]
	trusted := x509.NewCertPool()
	trusted.AddCert(authority)
	roots.Store(trusted)
	cfg := &mls.Config{
		Now: time.Now,
		AuthenticationService: &mls.X509AuthenticationService{
			Roots: roots.Load,
			Now:   time.Now,
			Verify: func(chains [][]*x509.Certificate) error {
				return chains[0][0].VerifyHostname("replica-7.example")
			},
		},
	}
	bundle, err := mls.NewKeyPackage(cfg, mls.KeyPackageOptions{
		Suite:    ciphersuite.MLS_128_DHKEMP256_AES128GCM_SHA256_P256,
		Identity: mls.Identity{Credential: mls.X509Credential(certificate), Signer: signer},
	})
	if err != nil {
		log.Fatal(err)
	}
	leaf := bundle.KeyPackage().LeafNode
	fmt.Println(cfg.AuthenticationService.ValidateLeaf(&leaf, nil))
	// Output: <nil>
}

func newAuthority() (*x509.Certificate, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "authority"},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	return newCertificate(template, template, key, key), key
}

func newCertificate(template, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) *x509.Certificate {
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		log.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		log.Fatal(err)
	}
	return certificate
}
