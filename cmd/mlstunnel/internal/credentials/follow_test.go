package credentials

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/config"
	"github.com/mendlink/mendlink/identity"
)

// writePair writes a new key and its certificate to a file, and returns the key's fingerprint.
func writePair(t *testing.T, path string) (fingerprint string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := identity.MarshalPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key...), 0o600); err != nil {
		t.Fatal(err)
	}
	return fingerprintOf(public)
}

// An acting log lets something happen when it is told of something.
type acting struct {
	slog.Handler
	act func()
}

func (a *acting) Handle(context.Context, slog.Record) error {
	a.act()
	return nil
}

// A certificate is renewed once more while a reload takes over the one that it has read. The newest stays.
func TestAReloadDoesNotPutAnOldIdentityBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "own.pem")
	f := &config.Forward{Identity: &config.Identity{Certificate: path, Key: path}, Peers: &config.Peers{}, FilesEvery: -1}
	log := &acting{slog.NewTextHandler(io.Discard, nil), func() {}}
	writePair(t, path)
	s, err := Open(f, slog.New(log))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	writePair(t, path)
	var want string
	log.act = func() { // the reload has read, and not yet set
		log.act = func() {}
		want = writePair(t, path)
		if err := s.current.live.Reload(); err != nil {
			t.Error(err)
		}
	}
	if err := s.Replace(f); err != nil {
		t.Fatal(err)
	}
	if got := s.Fingerprint(); want == "" || got != want {
		t.Errorf("shows %s, want %s", got, want)
	}
}

// A file of known hosts that cannot be understood permits nobody, which somebody has to hear of.
func TestADamagedFileOfKnownHostsIsAProblem(t *testing.T) {
	own, hosts := filepath.Join(t.TempDir(), "own.pem"), filepath.Join(t.TempDir(), "hosts")
	writePair(t, own)
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(hosts, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# nobody yet\n")
	f := &config.Forward{Role: config.Server, Identity: &config.Identity{Certificate: own, Key: own}, Peers: &config.Peers{KnownHosts: hosts}, FilesEvery: -1}
	s, err := Open(f, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	look := func() error {
		t.Helper()
		if err := s.current.live.Reload(); err != nil {
			t.Fatal(err)
		}
		return s.Err()
	}
	if err := look(); err != nil {
		t.Errorf("got %v", err)
	}
	write("# nobody yet\ndb.example ed25519\n")
	if e, ok := errors.AsType[*identity.FileError](look()); !ok || e.Path != hosts || e.Line != 2 {
		t.Errorf("got %v, want line 2 of %s", s.Err(), hosts)
	}
	if err := s.Replace(f); err == nil || s.Err() == nil {
		t.Errorf("a reload ended with %v, and what is wrong is %v", err, s.Err())
	}
	write("# nobody again\n")
	if err := look(); err != nil {
		t.Errorf("got %v for a file that is right again", err)
	}
}
