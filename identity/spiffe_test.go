package identity

import (
	"crypto/x509"
	"errors"
	"net/url"
	"strings"
	"testing"
)

func TestParseSPIFFEID(t *testing.T) {
	long := strings.Repeat("a", 255)
	for text, ok := range map[string]bool{
		"spiffe://example.org":                       true,
		"spiffe://example.org/db":                    true,
		"spiffe://ex-am_ple.0/A.b-c_9/...":           true,
		"spiffe://" + long:                           true,
		"spiffe://" + long + "a":                     false,
		"spiffe://a/" + strings.Repeat("b", 2048-11): true,
		"spiffe://a/" + strings.Repeat("b", 2048-10): false,
		"":                               false,
		"spiffe":                         false,
		"spiffe://":                      false,
		"spiffe:///path":                 false,
		"https://example.org/db":         false,
		"SPIFFE://example.org":           false,
		"spiffe://Example.org":           false,
		"spiffe://example.org/":          false,
		"spiffe://example.org/db/":       false,
		"spiffe://example.org//db":       false,
		"spiffe://example.org/./db":      false,
		"spiffe://example.org/a/..":      false,
		"spiffe://example.org/a b":       false,
		"spiffe://example.org/%61":       false,
		"spiffe://example.org/*":         false,
		"spiffe://user@example.org/db":   false,
		"spiffe://example.org:80/db":     false,
		"spiffe://example.org/db?x":      false,
		"spiffe://example.org/db#x":      false,
		"spiffe://example.org/d\xc3\xa9": false,
		"spiffe://\xd0\xb5xample.org/db": false,
	} {
		id, err := ParseSPIFFEID(text)
		if (err == nil) != ok || !ok && !errors.Is(err, ErrSPIFFEID) {
			t.Errorf("%q: %v", text, err)
		}
		if ok && id.String() != text {
			t.Errorf("%q is written %q", text, id)
		}
	}
}

func TestSPIFFEPatterns(t *testing.T) {
	for pattern, ids := range map[string]map[string]bool{
		"spiffe://example.org": {"spiffe://example.org": true, "spiffe://example.org/db": false},
		"spiffe://example.org/db": {
			"spiffe://example.org/db": true, "spiffe://example.org/dba": false, "spiffe://example.org/db/x": false,
			"spiffe://example.com/db": false, "spiffe://example.org/DB": false, "spiffe://example.org": false,
		},
		"spiffe://example.org/region/*/db": {
			"spiffe://example.org/region/eu/db": true, "spiffe://example.org/region/eu/x/db": false, "spiffe://example.org/region/eu": false,
			"spiffe://example.org/region/db": false, "spiffe://example.org/region/eu/dba": false,
		},
		"spiffe://example.org/ns/prod/**": {
			"spiffe://example.org/ns/prod/a": true, "spiffe://example.org/ns/prod/a/b": true, "spiffe://example.org/ns/prod": false,
			"spiffe://example.org/ns/production/a": false, "spiffe://example.org/x/ns/prod/a": false,
		},
		"spiffe://example.org/**": {
			"spiffe://example.org/a/b/c": true, "spiffe://example.org": false, "spiffe://example.org.evil/a": false, "spiffe://sub.example.org/a": false,
		},
		"spiffe://example.org/*/**": {"spiffe://example.org/a": false, "spiffe://example.org/a/b": true},
	} {
		p, err := parseSPIFFEPattern(pattern)
		if err != nil {
			t.Errorf("%s: %v", pattern, err)
			continue
		}
		for text, want := range ids {
			id, err := ParseSPIFFEID(text)
			if err != nil {
				t.Fatal(err)
			}
			if p.matches(id) != want {
				t.Errorf("%s matches %s: %t, want %t", pattern, text, !want, want)
			}
		}
	}
	for _, pattern := range []string{"", "*", "spiffe://*/db", "spiffe://example.org/**/db", "spiffe://example.org/d*", "spiffe://example.org/***", "spiffe://example.org/a//b", "spiffe://example.org/"} {
		if _, err := SPIFFE(pattern); !errors.Is(err, ErrSPIFFEID) {
			t.Errorf("pattern %q: %v", pattern, err)
		}
	}
	if _, err := SPIFFE(); !errors.Is(err, ErrSPIFFEID) {
		t.Errorf("no pattern: %v", err)
	}
}

func TestSPIFFEIDOfACertificate(t *testing.T) {
	ca, key := newAuthority(t, "root"), newEd25519Key(t)
	uri := func(text string) *url.URL {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	for name, c := range map[string]struct {
		change func(*x509.Certificate)
		want   error
	}{
		"as it should be":       {func(*x509.Certificate) {}, nil},
		"no URI":                {func(c *x509.Certificate) { c.URIs = nil }, ErrSPIFFEID},
		"two":                   {func(c *x509.Certificate) { c.URIs = append(c.URIs, uri("spiffe://example.org/other")) }, ErrSPIFFEID},
		"another URI beside it": {func(c *x509.Certificate) { c.URIs = append(c.URIs, uri("https://example.org")) }, ErrSPIFFEID},
		"percent encoding":      {func(c *x509.Certificate) { c.URIs = []*url.URL{uri("spiffe://example.org/%63lient")} }, ErrSPIFFEID},
		"a port":                {func(c *x509.Certificate) { c.URIs = []*url.URL{uri("spiffe://example.org:1/client")} }, ErrSPIFFEID},
		"it may certify":        {func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign }, ErrCertificate},
		"an authority's":        {func(c *x509.Certificate) { c.IsCA = true }, ErrCertificate},
		"not for signing":       {func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }, ErrCertificate},
		"for anything":          {func(c *x509.Certificate) { c.KeyUsage = 0 }, ErrCertificate},
	} {
		id, err := SPIFFEIDOf(ca.issue(t, key.Public(), clientID, c.change))
		if !errors.Is(err, c.want) || err == nil && id.String() != clientID {
			t.Errorf("%s: %v, %v; want %v", name, id, err, c.want)
		}
	}
}

func FuzzSPIFFE(f *testing.F) {
	f.Add("spiffe://example.org/ns/prod/**", "spiffe://example.org/ns/prod/db")
	f.Add("spiffe://example.org/region/*/db", "spiffe://example.org/region/eu/db")
	f.Add("spiffe://example.org", "spiffe://example.org")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		id, err := ParseSPIFFEID(text)
		if err != nil {
			return
		}
		if id.String() != text {
			t.Fatalf("%q is written %q", text, id)
		}
		exact, err := parseSPIFFEPattern(text)
		if err != nil || !exact.matches(id) {
			t.Fatalf("%q as a pattern does not match itself: %v", text, err)
		}
		p, err := parseSPIFFEPattern(pattern)
		if err == nil && p.matches(id) && !strings.HasPrefix(text+"/", "spiffe://"+p.trustDomain+"/") {
			t.Fatalf("%q of another trust domain matches %q", text, pattern)
		}
	})
}
