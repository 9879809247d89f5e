// Package testbed has what tests of the tunnel need around it: keys and certificates in files, and plain services.
package testbed

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/credentials"
	"github.com/mendlink/mendlink/identity"
)

// HangBound is how long something may take that has to happen. No test is over because of it unless it fails.
const HangBound = 60 * time.Second

// Key makes a private key in a file, and returns that and the key's fingerprint.
func Key(t testing.TB, name string) (path, fingerprint string) {
	t.Helper()
	id, err := identity.Generate(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	text, err := identity.MarshalPrivateKey(id.Signer)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), name+".key")
	Write(t, path, text)
	if fingerprint, err = credentials.Fingerprint(id.Signer.Public()); err != nil {
		t.Fatal(err)
	}
	return path, fingerprint
}

// Write puts a file in place as a whole, which only its owner can read.
func Write(t testing.TB, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// An Authority certifies keys.
type Authority struct {
	File        string // with its certificate
	certificate *x509.Certificate
	key         ed25519.PrivateKey
}

// NewAuthority makes one.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a := &Authority{File: filepath.Join(t.TempDir(), "ca.crt"), key: key}
	der := a.sign(t, template, template, key.Public())
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	Write(t, a.File, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return a
}

func (a *Authority) sign(t testing.TB, template, parent *x509.Certificate, public any) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// Issue writes a new key and a certificate for a SPIFFE ID, valid for an hour, to one file: so they change together.
func (a *Authority) Issue(t testing.TB, path, id string) (fingerprint string) {
	t.Helper()
	return a.IssueFor(t, path, id, time.Hour)
}

// IssueFor is [Authority.Issue] with a certificate that is valid for so long.
func (a *Authority) IssueFor(t testing.TB, path, id string, life time.Duration) (fingerprint string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	uri, err := url.Parse(id)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	der := a.sign(t, &x509.Certificate{SerialNumber: serial, URIs: []*url.URL{uri}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(life),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true},
		a.certificate, public)
	key, err := identity.MarshalPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	Write(t, path, append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key...))
	if fingerprint, err = credentials.Fingerprint(public); err != nil {
		t.Fatal(err)
	}
	return fingerprint
}

// Service listens on loopback, and has each connection handled until the test ends.
func Service(t testing.TB, handle func(*net.TCPConn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var all []net.Conn
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			all = append(all, c)
			mu.Unlock()
			running.Go(func() {
				defer c.Close()
				handle(c.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range all {
			c.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return l.Addr().String()
}

// FreeAddress returns an address where nobody listens, and where nobody else will by chance: its port is below those
// that systems give to whoever asks for any. So it may be listened on later, or never.
func FreeAddress(t testing.TB) string {
	t.Helper()
	const low, high = 15000, 32000
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", low+mathrand.IntN(high-low))
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		l.Close()
		p, err := net.ListenPacket("udp", address)
		if err != nil {
			continue
		}
		p.Close()
		return address
	}
	t.Fatal("no port is free")
	return ""
}

// Echo is a service that sends back what it gets, and ends when its client does.
func Echo(t testing.TB) (address string) {
	return Service(t, func(c *net.TCPConn) {
		io.Copy(c, c) // its error is the end of the connection
		c.CloseWrite()
	})
}

// Dial connects to an address, of host and port or of a Unix socket.
func Dial(t testing.TB, network, address string) net.Conn {
	t.Helper()
	c, err := net.DialTimeout(network, address, HangBound)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(HangBound)); err != nil {
		t.Fatal(err)
	}
	return c
}

// SayAndHear sends something over a connection to an [Echo] and wants it back.
func SayAndHear(t testing.TB, c net.Conn, text string) {
	t.Helper()
	if err := Exchange(c, text); err != nil {
		t.Fatal(err)
	}
}

// Exchange is [SayAndHear] that returns what went wrong.
func Exchange(c net.Conn, text string) error {
	if _, err := io.WriteString(c, text); err != nil {
		return err
	}
	back := make([]byte, len(text))
	if _, err := io.ReadFull(c, back); err != nil {
		return err
	}
	if !bytes.Equal(back, []byte(text)) {
		return errors.New("something else came back")
	}
	return nil
}

// Eventually waits until something is so.
func Eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(HangBound); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not so after %v: %s", HangBound, what)
		}
	}
}

// Ended is a context that has: whoever drains within it cuts.
func Ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
