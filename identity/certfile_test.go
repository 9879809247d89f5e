package identity

import (
	"crypto"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"strings"
	"testing"

	"github.com/mendlink/mendlink/mls"
)

func TestAKeyPairBecomesAnIdentity(t *testing.T) {
	ca := newAuthority(t, "root")
	middle := ca.sub(t, "middle")
	for name, key := range map[string]crypto.Signer{
		"Ed25519": newEd25519Key(t), "P-256": newECDSAKey(t, elliptic.P256()), "P-384": newECDSAKey(t, elliptic.P384()),
	} {
		place := newPlace(t)
		leaf := middle.issue(t, key.Public(), "peer")
		place.renew(key, leaf, middle.certificate)
		id, err := place.pair.Load()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !id.Credential.Equal(mls.X509Credential(leaf, middle.certificate)) || !id.Signer.Public().(publicKey).Equal(key.Public()) {
			t.Errorf("%s: another identity", name)
		}
		// All in one file, the key first.
		both := place.write("both", append(pemOfKey(t, key), pemOf(leaf, middle.certificate)...))
		if again, err := (KeyPair{Certificate: both, Key: both}).Load(); err != nil || !again.Credential.Equal(id.Credential) {
			t.Errorf("%s in one file: %v", name, err)
		}
		// The key is somewhere else.
		elsewhere := KeyPair{Certificate: place.pair.Certificate, Signer: func(public crypto.PublicKey) (crypto.Signer, error) {
			if !public.(publicKey).Equal(key.Public()) {
				t.Errorf("%s: another key is asked for", name)
			}
			return key, nil
		}}
		if again, err := elsewhere.Load(); err != nil || !again.Credential.Equal(id.Credential) {
			t.Errorf("%s with a signer: %v", name, err)
		}
	}
}

func TestWhatIsWrongWithAKeyPairIsNamed(t *testing.T) {
	ca, other := newAuthority(t, "root"), newAuthority(t, "root")
	middle := ca.sub(t, "middle")
	key, another := newEd25519Key(t), newEd25519Key(t)
	leaf := middle.issue(t, key.Public(), "peer")
	signing := *middle.certificate
	signing.KeyUsage |= x509.KeyUsageDigitalSignature
	renamed := ca.sub(t, "renamed")
	renamed.key = middle.key
	renamed.certificate = sign(t, renamed.certificate, ca.certificate, middle.key.Public(), ca.key)
	lines := strings.Count(string(pemOf(leaf)), "\n")
	for name, c := range map[string]struct {
		key   crypto.Signer
		chain []*x509.Certificate
		want  error
		inKey bool
		line  int
	}{
		"another key":                     {another, []*x509.Certificate{leaf}, ErrKeyMismatch, true, 0},
		"no certificate":                  {key, nil, ErrCertificate, false, 0},
		"the authority comes first":       {key, []*x509.Certificate{middle.certificate, leaf}, ErrCertificate, false, 1},
		"an authority alone":              {middle.key, []*x509.Certificate{sign(t, &signing, ca.certificate, middle.key.Public(), ca.key)}, ErrCertificate, false, 1},
		"the authority's other name":      {key, []*x509.Certificate{leaf, renamed.certificate}, ErrCertificate, false, lines + 1},
		"not in order":                    {key, []*x509.Certificate{leaf, ca.certificate}, ErrCertificate, false, lines + 1},
		"an authority of that name":       {key, []*x509.Certificate{ca.issue(t, key.Public(), "peer"), other.certificate}, ErrCertificate, false, 0},
		"not for signing":                 {key, []*x509.Certificate{middle.issue(t, key.Public(), "peer", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment })}, ErrCertificate, false, 1},
		"the key of the chain is another": {middle.key, []*x509.Certificate{leaf, middle.certificate}, ErrKeyMismatch, true, 0},
	} {
		place := newPlace(t)
		place.renew(c.key, c.chain...)
		_, err := place.pair.Load()
		var at *FileError
		if !errors.Is(err, c.want) || !errors.As(err, &at) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
			continue
		}
		path := place.pair.Certificate
		if c.inKey {
			path = place.pair.Key
		}
		if at.Path != path || c.line != 0 && at.Line != c.line || at.Field == "" {
			t.Errorf("%s: %v, want it in %s at line %d", name, err, path, c.line)
		}
	}

	place := newPlace(t)
	place.renew(key, leaf)
	place.write("tls.crt", append(pemOf(leaf), pemOfKey(t, key)...))
	var at *FileError
	if _, err := place.pair.Load(); !errors.Is(err, ErrPEM) || !errors.As(err, &at) || at.Line != lines+1 {
		t.Errorf("a key among the certificates: %v", err)
	}
	if _, err := LoadRoots(place.write("leaf", pemOf(ca.certificate, leaf))); !errors.Is(err, ErrCertificate) || !errors.As(err, &at) || at.Line < 2 {
		t.Errorf("an end entity's certificate among the roots: %v", err)
	}
	locked := errors.New("the token is locked")
	pair := KeyPair{Certificate: place.write("tls.crt", pemOf(leaf)), Signer: func(crypto.PublicKey) (crypto.Signer, error) { return nil, locked }}
	if _, err := pair.Load(); !errors.Is(err, locked) {
		t.Errorf("a signer that is not there: %v", err)
	}
	if _, err := NewX509(nil, leaf); !errors.Is(err, ErrKey) {
		t.Errorf("no signer: %v", err)
	}
	if _, err := NewX509(key); !errors.Is(err, ErrCertificate) {
		t.Errorf("no chain: %v", err)
	}
}
