package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func pemBlockOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// sec1 returns a key as openssl ecparam -genkey writes it.
func sec1(t testing.TB, key *ecdsa.PrivateKey) string {
	t.Helper()
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pemBlockOf("EC PARAMETERS", []byte{6, 1, 0}) + pemBlockOf("EC PRIVATE KEY", der)
}

func TestPrivateKeysOfEachKindLoad(t *testing.T) {
	p256, p384, p521 := newECDSAKey(t, elliptic.P256()), newECDSAKey(t, elliptic.P384()), newECDSAKey(t, elliptic.P521())
	ed := newEd25519Key(t)
	certificate := string(pemOf(newAuthority(t, "root").certificate))
	for name, c := range map[string]struct {
		key  crypto.Signer
		text string
	}{
		"Ed25519":                     {ed, string(pemOfKey(t, ed))},
		"P-256":                       {p256, string(pemOfKey(t, p256))},
		"P-384":                       {p384, string(pemOfKey(t, p384))},
		"P-521":                       {p521, string(pemOfKey(t, p521))},
		"P-256 in SEC 1":              {p256, sec1(t, p256)},
		"P-384 in SEC 1":              {p384, sec1(t, p384)},
		"behind text and certificate": {ed, "Subject: x\n" + certificate + "\nBag Attributes\n" + string(pemOfKey(t, ed))},
		"with CRLF":                   {ed, strings.ReplaceAll(string(pemOfKey(t, ed)), "\n", "\r\n")},
	} {
		path := write(t, filepath.Join(t.TempDir(), "key"), []byte(c.text))
		key, err := LoadPrivateKey(path)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !key.Public().(publicKey).Equal(c.key.Public()) {
			t.Errorf("%s: another key", name)
		}
	}
}

func TestErrorsOfKeyFilesNameFileLineAndField(t *testing.T) {
	ed := string(pemOfKey(t, newEd25519Key(t)))
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rsaDER, err := x509.MarshalPKCS8PrivateKey(rsaKey)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := x509.MarshalECPrivateKey(newECDSAKey(t, elliptic.P224()))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		text string
		want error
		line int
	}{
		"empty":                     {"", ErrKey, 0},
		"no PEM":                    {"a key\n", ErrKey, 0},
		"certificate only":          {string(pemOf(newAuthority(t, "x").certificate)), ErrKey, 0},
		"RSA":                       {"\n\n" + pemBlockOf("PRIVATE KEY", rsaDER), ErrKey, 3},
		"P-224":                     {pemBlockOf("EC PRIVATE KEY", p224), ErrKey, 1},
		"encrypted":                 {pemBlockOf("ENCRYPTED PRIVATE KEY", []byte{1}), ErrKey, 1},
		"of OpenSSH":                {pemBlockOf("OPENSSH PRIVATE KEY", []byte{1}), ErrKey, 1},
		"no DER":                    {"x\n" + pemBlockOf("PRIVATE KEY", []byte("x")), ErrKey, 2},
		"two":                       {ed + ed, ErrKey, 4},
		"cut short":                 {"x\n" + ed[:len(ed)-10], ErrPEM, 2},
		"cut short, another behind": {"x\n" + ed[:40] + "\n" + ed, ErrPEM, 2},
		"damaged, another before":   {ed + "\n" + strings.Replace(ed, "MC4C", "M!4C", 1), ErrPEM, 5},
	} {
		path := write(t, filepath.Join(t.TempDir(), "key"), []byte(c.text))
		_, err := LoadPrivateKey(path)
		var at *FileError
		if !errors.Is(err, c.want) || !errors.As(err, &at) || at.Path != path || at.Line != c.line || at.Field == "" {
			t.Errorf("%s: %+v, want %v at line %d", name, err, c.want, c.line)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "identity: "+path) {
			t.Errorf("%s: %v does not begin with the file", name, err)
		}
	}
}

func TestKeyFilesThatOthersCanReadAreRefused(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Log("there are no mode bits")
		return
	}
	place := newPlace(t)
	ca, key := newAuthority(t, "root"), newEd25519Key(t)
	place.renew(key, ca.issue(t, key.Public(), "peer"))
	group := place.pair
	group.GroupReadable = true
	for _, c := range []struct {
		mode         fs.FileMode
		owner, group error
	}{
		{0o600, nil, nil},
		{0o400, nil, nil},
		{0o700, nil, nil},
		{0o640, ErrPermissions, nil},
		{0o440, ErrPermissions, nil},
		{0o660, ErrPermissions, ErrPermissions},
		{0o604, ErrPermissions, ErrPermissions},
		{0o602, ErrPermissions, ErrPermissions},
		{0o601, ErrPermissions, ErrPermissions},
		{0o644, ErrPermissions, ErrPermissions},
	} {
		if err := os.Chmod(place.pair.Key, c.mode); err != nil {
			t.Fatal(err)
		}
		_, err := LoadPrivateKey(place.pair.Key)
		_, pairErr := place.pair.Load()
		_, groupErr := group.Load()
		if !errors.Is(err, c.owner) || !errors.Is(pairErr, c.owner) || !errors.Is(groupErr, c.group) {
			t.Errorf("%#o: %v, %v, for the group %v; want %v and %v", c.mode, err, pairErr, groupErr, c.owner, c.group)
		}
	}
	// The certificate is no secret.
	if err := errors.Join(os.Chmod(place.pair.Key, 0o600), os.Chmod(place.pair.Certificate, 0o644)); err != nil {
		t.Fatal(err)
	}
	if _, err := place.pair.Load(); err != nil {
		t.Error(err)
	}
}

func TestFilesThatCannotBeReadAreNamed(t *testing.T) {
	dir := t.TempDir()
	if _, err := LoadPrivateKey(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := LoadRoots(dir); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a directory: %v", err)
	}
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, maxFileSize+1); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadPrivateKey(large); !errors.Is(err, ErrFileSize) {
		t.Errorf("a large file: %v", err)
	}
}

func FuzzPEMFiles(f *testing.F) {
	ca, key := newAuthority(f, "root"), newEd25519Key(f)
	f.Add(append(pemOfKey(f, key), pemOf(ca.issue(f, key.Public(), "peer"), ca.certificate)...))
	f.Add([]byte(sec1(f, newECDSAKey(f, elliptic.P256()))))
	f.Add([]byte("-----BEGIN X-----\n-----BEGIN X-----\n\n-----END X-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		lines := strings.Count(string(text), "\n") + 1
		blocks, err := pemBlocks("file", text)
		at := 0
		for _, b := range blocks {
			if b.line <= at || b.line > lines {
				t.Fatalf("block at line %d of %d, behind line %d", b.line, lines, at)
			}
			at = b.line
		}
		check := func(err error) {
			var e *FileError
			if err != nil && (!errors.As(err, &e) || e.Line < 0 || e.Line > lines) {
				t.Fatalf("%v names no line of %d", err, lines)
			}
		}
		check(err)
		_, err = parseKeyFile("file", text)
		check(err)
		_, err = parseRoots([]string{"file"}, [][]byte{text})
		check(err)
		_, _, err = KeyPair{Certificate: "file", Key: "file"}.parse([][]byte{text, text})
		check(err)
	})
}
