package identity

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"
)

func revocationList(t testing.TB, ca *authority, serials ...*big.Int) []byte {
	t.Helper()
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-2 * time.Hour), NextUpdate: time.Now().Add(-time.Hour)}
	for _, n := range serials {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: n, RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, ca.certificate, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

func TestWhatIsRevokedIsRefused(t *testing.T) {
	ca, namesake := newAuthority(t, "root"), newAuthority(t, "root")
	middle := ca.sub(t, "middle")
	key := newEd25519Key(t)
	leaf := middle.issue(t, key.Public(), "peer")
	other := middle.issue(t, newEd25519Key(t).Public(), "peer")
	sum := func(b []byte) string {
		s := sha256.Sum256(b)
		return base64.RawStdEncoding.EncodeToString(s[:])
	}
	sumHex := func(b []byte) string {
		s := sha256.Sum256(b)
		return strings.ToUpper(hex.EncodeToString(s[:]))
	}
	serial := leaf.SerialNumber.Text(16)
	place := newPlace(t)
	for name, c := range map[string]struct {
		text    string
		revoked bool
	}{
		"nothing":                             {"", false},
		"comments":                            {"# serial " + serial + "\n\n   # certificate\n", false},
		"the certificate":                     {"certificate SHA256:" + sum(leaf.Raw), true},
		"the certificate, padded":             {"certificate SHA256:" + sum(leaf.Raw) + "= # because", true},
		"the certificate in hex":              {"certificate " + sumHex(leaf.Raw), true},
		"the certificate in hex with colons":  {"certificate " + colons(sumHex(leaf.Raw)), true},
		"another certificate":                 {"certificate SHA256:" + sum(other.Raw), false},
		"the key":                             {"key SHA256:" + sum(key.Public().(ed25519.PublicKey)), true},
		"the serial number":                   {"\n\nserial " + serial, true},
		"the serial number as openssl has it": {"serial " + strings.ToUpper(colons(pad(serial))), true},
		"with its authority":                  {"serial " + serial + " " + hex.EncodeToString([]byte("middle")), true},
		"with another authority":              {"serial " + serial + " " + hex.EncodeToString([]byte("root")), false},
		"another serial number":               {"serial " + other.SerialNumber.Text(16), false},
		"the authority between":               {"serial " + middle.certificate.SerialNumber.Text(16), true},
		"its list":                            {string(revocationList(t, middle, leaf.SerialNumber)), true},
		"its list of others":                  {string(revocationList(t, middle, other.SerialNumber)), false},
		"an empty list":                       {string(revocationList(t, middle)), false},
		"a list of another authority":         {string(revocationList(t, ca, leaf.SerialNumber)), false},
		"the root's list of the authority":    {string(revocationList(t, ca, middle.certificate.SerialNumber)), true},
		"a namesake's list of it":             {string(revocationList(t, namesake, middle.certificate.SerialNumber)), false},
	} {
		r, err := LoadRevoked(place.write("revoked", []byte(c.text)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		v := mustValidator(t, X509Options{RootsFor: NewTrustBundle(pool(ca), nil).RootsFor, Names: AnyName, Revoked: r.Check})
		err = v.ValidateLeaf(leafOf(t, key.Public(), leaf, middle.certificate), nil)
		if c.revoked != errors.Is(err, ErrRevoked) || !c.revoked && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The root has two certificates, of which one is revoked.
	template := *ca.certificate
	template.SerialNumber = big.NewInt(2)
	again := sign(t, &template, &template, ca.key.Public(), ca.key)
	both := pool(ca, &authority{again, ca.key})
	for _, revoked := range []*x509.Certificate{ca.certificate, again} {
		r, err := LoadRevoked(place.write("revoked", []byte("certificate "+sumHex(revoked.Raw))))
		if err != nil {
			t.Fatal(err)
		}
		v := mustValidator(t, X509Options{RootsFor: NewTrustBundle(both, nil).RootsFor, Names: AnyName, Revoked: r.Check})
		if err := v.ValidateLeaf(leafOf(t, key.Public(), leaf, middle.certificate), nil); err != nil {
			t.Errorf("a chain of which nothing is revoked: %v", err)
		}
	}
}

func TestErrorsOfRevocationFilesNameFileLineAndField(t *testing.T) {
	place := newPlace(t)
	sum := base64.RawStdEncoding.EncodeToString(make([]byte, 32))
	for text, want := range map[string]struct {
		line  int
		field string
	}{
		"serial":                               {1, "line"},
		"# x\nserial":                          {2, "line"},
		"serial 1 2 3":                         {1, "line"},
		"\n\ncertificate SHA256:" + sum + " x": {3, "line"},
		"serial xyz":                           {1, "serial number"},
		"serial -1":                            {1, "serial number"},
		"serial 1 xyz":                         {1, "key identifier"},
		"serial 1 :":                           {1, "key identifier"},
		"certificate SHA256:x":                 {1, "fingerprint"},
		"serial 1\ncertificate SHA256:" + sum[:40]: {2, "fingerprint"},
		"key 0011": {1, "fingerprint"},
		"name x":   {1, "kind"},
		"x\n" + pemBlockOf("CERTIFICATE", []byte{1}): {2, "PEM block"},
		pemBlockOf("X509 CRL", []byte{1}):            {1, "revocation list"},
		strings.Repeat("x", 1<<17):                   {0, ""},
	} {
		path := place.write("revoked", []byte(text))
		_, err := LoadRevoked(path)
		var at *FileError
		if !errors.As(err, &at) || at.Path != path || at.Line != want.line || at.Field != want.field || !errors.Is(err, ErrRevokedFile) && !errors.Is(err, ErrPEM) {
			t.Errorf("%.40q: %v, want line %d, %q", text, err, want.line, want.field)
		}
	}
}

// What stands beside a revocation list would be passed over, as text for people is.
func TestLinesAreNotPassedOverBesideARevocationList(t *testing.T) {
	place := newPlace(t)
	list := revocationList(t, newAuthority(t, "root"), big.NewInt(7))
	for _, line := range []string{"serial 7f3a0c", " key SHA256:x", "certificate 00:11 # comment"} {
		for where, text := range map[int]string{
			1:                                   line + "\n" + string(list),
			1 + bytes.Count(list, []byte("\n")): string(list) + line,
		} {
			_, err := LoadRevoked(place.write("revoked", []byte(text)))
			at, ok := errors.AsType[*FileError](err)
			if !ok || at.Line != where || !errors.Is(err, ErrRevokedFile) {
				t.Errorf("%q in line %d: got %v", line, where, err)
			}
		}
	}
	for _, text := range []string{"Certificate Revocation List (CRL):\n        Serial Number: 07\n", "# serial 7f3a0c\n"} {
		if _, err := LoadRevoked(place.write("revoked", append([]byte(text), list...))); err != nil {
			t.Errorf("%q: got %v for what is for people", text, err)
		}
	}
}

func colons(hex string) string {
	var pairs []string
	for i := 0; i < len(hex); i += 2 {
		pairs = append(pairs, hex[i:i+2])
	}
	return strings.Join(pairs, ":")
}

func pad(hex string) string { return strings.Repeat("0", len(hex)%2) + hex }

func FuzzRevoked(f *testing.F) {
	ca := newAuthority(f, "root")
	key := newEd25519Key(f)
	leaf := ca.issue(f, key.Public(), "peer")
	f.Add([]byte(fmt.Sprintf("# x\nserial %x 01\nkey SHA256:%s\n", leaf.SerialNumber, base64.RawStdEncoding.EncodeToString(make([]byte, 32)))))
	f.Add(revocationList(f, ca, leaf.SerialNumber))
	f.Add([]byte("certificate 00:11\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := parseRevoked([]string{"file"}, [][]byte{text})
		if err != nil {
			var at *FileError
			if !errors.As(err, &at) {
				t.Fatalf("%v is no FileError", err)
			}
			return
		}
		if err := r.Check([]*x509.Certificate{leaf, ca.certificate}); err != nil && !errors.Is(err, ErrRevoked) {
			t.Fatal(err)
		}
	})
}
