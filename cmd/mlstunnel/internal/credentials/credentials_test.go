package credentials

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"testing"
	"time"

	"github.com/mendlink/mendlink/mls"
)

func TestALogSaysWhenACredentialEnds(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	end := time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]mls.Credential{
		"expires=never":                         mls.BasicCredential([]byte("name")),
		"expires=2031-02-03 04:05:06 +0000 UTC": mls.X509Credential(certificate),
	} {
		if got := Expires(c).String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
