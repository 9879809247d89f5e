package netconn

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls"
)

// peerIs fails the test unless c's peer has this name.
func peerIs(t *testing.T, c *Conn, want string) {
	t.Helper()
	if got := string(c.ConnectionState().Peer.Credential.Identity); got != want {
		t.Errorf("the peer is %q, want %q", got, want)
	}
}

func TestRotateGivesThePeerAnotherIdentity(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	alice, next := ic.Identity, newIdentity(t, "alice's next")
	rc.Validator = pin(t, alice, next)
	var mu sync.Mutex
	var changes []string
	rc.Trace = &channel.Trace{Event: func(_ channel.SessionID, e channel.Event) {
		if e, ok := e.(channel.PeerChanged); ok {
			mu.Lock()
			defer mu.Unlock()
			changes = append(changes, string(e.Previous.Credential.Identity)+" -> "+string(e.Leaf.Credential.Identity))
		}
	}}
	ic.Store, rc.Store, ic.PeerName = newStore(), newStore(), "peer"
	a, b := tcpPair(t)
	client, server := connect(t, a, b, ic, rc)
	echo(server)
	roundTrip(t, client)
	peerIs(t, server, "initiator")
	if err := client.Rotate(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	roundTrip(t, client)
	update(t, client)
	roundTrip(t, client)
	peerIs(t, server, "alice's next")
	peerIs(t, client, "responder")
	mu.Lock()
	if len(changes) != 1 || changes[0] != "initiator -> alice's next" {
		t.Errorf("changes are %q", changes)
	}
	mu.Unlock()
	id := client.ConnectionState().SessionID
	client.Close()

	// Under the old identity the session is of no use, under the new one it is; and who
	// goes back to the old one, with the new one before, moves it there.
	for _, c := range []struct {
		identity mls.Identity
		previous []mls.Identity
		want     string
	}{
		{next, nil, "alice's next"},
		{alice, []mls.Identity{next}, "initiator"},
	} {
		ic.Identity, ic.PreviousIdentities = c.identity, c.previous
		a, b = tcpPair(t)
		client, server = connect(t, a, b, ic, rc)
		echo(server)
		roundTrip(t, client)
		update(t, client)
		roundTrip(t, client)
		if s := client.ConnectionState(); !s.Resumed || s.SessionID != id {
			t.Errorf("%s: %+v, want a resumption", c.want, s)
		}
		peerIs(t, server, c.want)
		client.Close()
	}
}

func TestAnIdentityThatThePeerRefusesEndsTheConnection(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	done := make(chan error, 1)
	go func() {
		_, err := server.Read(make([]byte, 1))
		done <- err
	}()
	go client.Read(make([]byte, 1))
	err := client.Rotate(t.Context(), newIdentity(t, "stranger"))
	var told *AlertError
	if !errors.As(err, &told) || told.Alert != channel.AlertBadCertificate || !told.Authenticated {
		t.Errorf("%v, want an authentic bad_certificate", err)
	}
	var unknown *identity.UnknownPeerError
	if err := <-done; !errors.Is(err, channel.ErrPeerRefused) || !errors.As(err, &unknown) {
		t.Errorf("%v, want ErrPeerRefused", err)
	}
}

func TestAnIdentityThatDoesNotFitTheSuiteChangesNothing(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	echo(server)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []mls.Identity{identity.New(key, "P-256"), {}} {
		if err := client.Rotate(t.Context(), id); err == nil {
			t.Error("no error")
		}
	}
	update(t, client)
	roundTrip(t, client)
	peerIs(t, server, "initiator")
}

func TestRotationsAndUpdatesOfBothEndsAtOnce(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	ics, rcs := []mls.Identity{ic.Identity, newIdentity(t, "a")}, []mls.Identity{rc.Identity, newIdentity(t, "b")}
	ic.Validator, rc.Validator = pin(t, rcs...), pin(t, ics...)
	a, b := tcpPair(t)
	client, server := connect(t, a, b, ic, rc)
	for _, c := range []*Conn{client, server} {
		go io.Copy(io.Discard, c)
	}
	within(t, "rotating", func() {
		for i := range 10 {
			var wg sync.WaitGroup
			for _, end := range []struct {
				c  *Conn
				id mls.Identity
			}{{client, ics[1-i%2]}, {server, rcs[1-i%2]}} {
				wg.Go(func() { update(t, end.c) })
				wg.Go(func() {
					if err := end.c.Rotate(t.Context(), end.id); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
		}
	})
	peerIs(t, server, "initiator")
	peerIs(t, client, "responder")
}

// fickle is a validator that may change its mind.
type fickle struct {
	mu  sync.Mutex
	err error
}

func (f *fickle) ValidateLeaf(leaf, previous *mls.LeafNode) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

func (f *fickle) refuse(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

// What has arrived already, but was not read, is not read any more.
func TestNothingOfAPeerThatIsRefusedIsRead(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	validator := new(fickle)
	rc.Validator = validator
	a, b := tcpPair(t)
	client, server := connect(t, a, b, ic, rc)
	client.sender.mu.Lock()
	client.sender.room(1)
	for _, record := range []string{"first", "second"} {
		if err := client.sender.seal(23, []byte(record)); err != nil {
			t.Fatal(err)
		}
	}
	client.sender.flush()
	client.sender.mu.Unlock()
	p := make([]byte, 5)
	if _, err := server.Read(p); err != nil || string(p) != "first" {
		t.Fatalf("%q, %v", p, err)
	}
	validator.refuse(errors.New("revoked"))
	if err := server.Revalidate(channel.RefusalClose); !errors.Is(err, channel.ErrPeerRefused) {
		t.Errorf("Revalidate: %v", err)
	}
	server.SetReadDeadline(time.Time{})
	if n, err := server.Read(p); n != 0 || !errors.Is(err, channel.ErrPeerRefused) {
		t.Errorf("Read: %d octets, %v", n, err)
	}
}

func TestRevalidateDoesToTheConnectionWhatItIsTold(t *testing.T) {
	revoked := errors.New("revoked")
	for _, action := range []channel.RefusalAction{channel.RefusalKeep, channel.RefusalWarn, channel.RefusalClose} {
		checkGoroutines(t)
		ic, rc := newConfigs(t)
		validator := new(fickle)
		store := channel.NewMemoryStore(1)
		rc.Validator, rc.Store = validator, store
		a, b := tcpPair(t)
		client, server := connect(t, a, b, ic, rc)
		echo(client)
		roundTrip(t, server)
		if err := server.Revalidate(action); err != nil {
			t.Errorf("%v: a peer that is accepted: %v", action, err)
		}
		validator.refuse(revoked)
		reading := make(chan error, 1)
		go func() {
			_, err := server.Read(make([]byte, 1))
			reading <- err
		}()
		err := server.Revalidate(action)
		switch action {
		case channel.RefusalKeep:
			if err != nil {
				t.Errorf("keep: %v", err)
			}
		case channel.RefusalWarn:
			if !errors.Is(err, channel.ErrPeerRefused) || !errors.Is(err, revoked) {
				t.Errorf("warn: %v", err)
			}
		case channel.RefusalClose:
			if !errors.Is(err, channel.ErrPeerRefused) || !errors.Is(err, revoked) {
				t.Errorf("close: %v", err)
			}
			within(t, "Read", func() {
				if err := <-reading; !errors.Is(err, channel.ErrPeerRefused) {
					t.Errorf("Read: %v", err)
				}
			})
			if _, err := server.Write([]byte("x")); err == nil {
				t.Error("Write goes on")
			}
			var told *AlertError
			if err := client.Update(t.Context()); !errors.As(err, &told) || told.Alert != channel.AlertBadCertificate {
				t.Errorf("the peer gets %v", err)
			}
			if n := store.Len(); n != 0 {
				t.Errorf("%d sessions are left in the store", n)
			}
			continue
		}
		if _, err := server.Write([]byte("x")); err != nil {
			t.Error(err)
		}
		if err := <-reading; err != nil {
			t.Errorf("%v: the connection is over: %v", action, err)
		}
	}
}
