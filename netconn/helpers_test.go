package netconn

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// quiet is a policy without updates of its own.
var quiet = RekeyPolicy{Every: -1, Bytes: -1, Records: -1}

// newConfigs returns the configurations of two ends that accept each other, and
// nobody else. They use the cheapest suite, make no updates by themselves and show other identities at once.
func newConfigs(t testing.TB) (initiator, responder *Config) {
	t.Helper()
	a, b := newIdentity(t, "initiator"), newIdentity(t, "responder")
	config := func(own, peer mls.Identity) *Config {
		return &Config{
			Identity: own, Validator: pin(t, peer), Suites: []ciphersuite.ID{1}, Rekey: quiet, IdentitySpread: -1,
			HandshakeTimeout: time.Minute, // many at once may share a busy machine
		}
	}
	return config(a, b), config(b, a)
}

func newIdentity(t testing.TB, name string) mls.Identity {
	t.Helper()
	id, err := identity.Generate(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func pin(t testing.TB, peers ...mls.Identity) *identity.Pinned {
	t.Helper()
	var keys []crypto.PublicKey
	for _, p := range peers {
		keys = append(keys, p.Signer.Public())
	}
	pinned, err := identity.NewPinned(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return pinned
}

// tcpPair returns the two ends of a TCP connection over loopback.
func tcpPair(t testing.TB) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return a, b
}

// connect performs the handshake between two ends over the given transports, and
// closes them at the end of the test.
func connect(t testing.TB, a, b net.Conn, initiator, responder *Config) (client, server *Conn) {
	t.Helper()
	client, server = Client(a, initiator), Server(b, responder)
	t.Cleanup(func() {
		for _, c := range []*Conn{client, server} {
			c.NetConn().Close() // nobody may be there to take close_notify
			c.Close()
		}
	})
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	if err := errors.Join(client.Handshake(), <-done); err != nil {
		t.Fatal(err)
	}
	return client, server
}

func newConnPair(t testing.TB) (client, server *Conn) {
	t.Helper()
	ic, rc := newConfigs(t)
	a, b := tcpPair(t)
	return connect(t, a, b, ic, rc)
}

// checkGoroutines fails the test if goroutines are left once all else is cleaned up.
// It must be called first.
func checkGoroutines(t testing.TB) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		var after int
		for range 3000 { // half a minute
			if after = runtime.NumGoroutine(); after <= before {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		stacks := make([]byte, 1<<16)
		t.Errorf("%d goroutines, %d before:\n%s", after, before, stacks[:runtime.Stack(stacks, true)])
	})
}

// within fails the test if f takes so long that it must have hung.
func within(t testing.TB, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(60 * time.Second):
		stacks := make([]byte, 1<<18)
		t.Fatalf("%s hangs:\n%s", what, stacks[:runtime.Stack(stacks, true)])
	}
}

// exchange sends a little both ways.
func exchange(t testing.TB, client, server *Conn) {
	t.Helper()
	for _, c := range []struct{ from, to *Conn }{{client, server}, {server, client}} {
		want := []byte("over to you")
		done := make(chan error, 1)
		go func() {
			_, err := c.from.Write(want)
			done <- err
		}()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(c.to, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("read %q, %v", got, err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

func newStore() channel.Store { return channel.NewMemoryStore(16) }
