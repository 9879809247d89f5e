package netconn

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// A wardrobe is an IdentitySource that is changed by hand.
type wardrobe struct {
	mu                   sync.Mutex
	identities, previous []mls.Identity
	watchers             map[int]func()
	next                 int
}

func newWardrobe(identities ...mls.Identity) *wardrobe {
	return &wardrobe{identities: identities, watchers: make(map[int]func())}
}

func (w *wardrobe) Identities() []mls.Identity {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.identities
}

func (w *wardrobe) PreviousIdentities() []mls.Identity {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.previous
}

func (w *wardrobe) Watch(changed func()) (stop func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	id := w.next
	w.next++
	w.watchers[id] = changed
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.watchers, id)
	}
}

func (w *wardrobe) watched() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.watchers)
}

func (w *wardrobe) change(identities ...mls.Identity) {
	w.mu.Lock()
	w.previous, w.identities = append(w.identities, w.previous...), identities
	var all []func()
	for _, changed := range w.watchers {
		all = append(all, changed)
	}
	w.mu.Unlock()
	for _, changed := range all {
		changed()
	}
}

// peerBecomes waits until c's peer has this name. Data flows meanwhile between client and an end that echoes.
func peerBecomes(t *testing.T, c, client *Conn, want string) {
	t.Helper()
	within(t, "the identity "+want, func() {
		for string(c.ConnectionState().Peer.Credential.Identity) != want && !t.Failed() {
			roundTrip(t, client)
		}
	})
}

// living returns the configurations of two ends whose identities come from wardrobes, and
// who accept everybody until their validators change their minds.
func living(t *testing.T) (ic, rc *Config, a, b *wardrobe) {
	t.Helper()
	ic, rc = newConfigs(t)
	a, b = newWardrobe(newIdentity(t, "a")), newWardrobe(newIdentity(t, "b"))
	ic.Identity, ic.Identities, ic.Validator = mls.Identity{}, a, new(fickle)
	rc.Identity, rc.Identities, rc.Validator = mls.Identity{}, b, new(fickle)
	return ic, rc, a, b
}

func TestLivingConnectionsGoOnWithTheIdentityOfTheirSource(t *testing.T) {
	checkGoroutines(t)
	ic, rc, a, b := living(t)
	ic.Store, rc.Store, ic.PeerName = newStore(), newStore(), "peer"
	transportA, transportB := tcpPair(t)
	client, server := connect(t, transportA, transportB, ic, rc)
	echo(server)
	for _, name := range []string{"1", "2", "3"} {
		a.change(newIdentity(t, "a"+name))
		roundTrip(t, client) // whatever is under way
		b.change(newIdentity(t, "b"+name))
		peerBecomes(t, server, client, "a"+name)
		peerBecomes(t, client, client, "b"+name)
		roundTrip(t, client)
	}
	// What is no change is no update.
	roundTrip(t, client)
	update(t, client)
	epoch := client.ConnectionState().Epoch
	a.change(a.Identities()...)
	client.driver.KeepUp()
	if now := client.ConnectionState().Epoch; now != epoch {
		t.Errorf("epoch %d, then %d", epoch, now)
	}
	id := client.ConnectionState().SessionID
	client.Close()
	server.Close()
	if n := a.watched() + b.watched(); n != 0 {
		t.Errorf("%d still watch", n)
	}

	// A session that was stored under another identity goes on under today's.
	a.change(newIdentity(t, "a4"))
	b.change(newIdentity(t, "b4"))
	transportA, transportB = tcpPair(t)
	client, server = connect(t, transportA, transportB, ic, rc)
	echo(server)
	roundTrip(t, client)
	peerBecomes(t, server, client, "a4")
	peerBecomes(t, client, client, "b4")
	if s := client.ConnectionState(); !s.Resumed || s.SessionID != id {
		t.Errorf("%+v, want a resumption", s)
	}
}

// The identity changes after the Conn was made and before the handshake is complete.
func TestWhatChangesDuringTheHandshakeIsNotMissed(t *testing.T) {
	for _, during := range []bool{false, true} {
		t.Run(fmt.Sprintf("during: %t", during), func(t *testing.T) {
			checkGoroutines(t)
			ic, rc, a, _ := living(t)
			transportA, transportB := tcpPair(t)
			client := Client(transportA, ic)
			a.change(newIdentity(t, "a1"))
			want := "a1"
			if during {
				want = "a2"
				rc.Trace = &channel.Trace{Transition: func(_ channel.SessionID, _, to channel.State) {
					if to == channel.StateSynced {
						a.change(newIdentity(t, want))
					}
				}}
			}
			server := Server(transportB, rc)
			t.Cleanup(func() { client.Close(); server.Close() })
			done := make(chan error, 1)
			go func() { done <- server.Handshake() }()
			if err := errors.Join(client.Handshake(), <-done); err != nil {
				t.Fatal(err)
			}
			echo(server)
			roundTrip(t, client)
			peerBecomes(t, server, client, want)
		})
	}
}

func TestAPeerIsAskedAboutAgainWhenSomethingChanges(t *testing.T) {
	for _, action := range []channel.RefusalAction{0, channel.RefusalKeep, channel.RefusalWarn, channel.RefusalClose} {
		checkGoroutines(t)
		ic, rc, _, b := living(t)
		validator := new(fickle)
		warned := make(chan error, 10)
		rc.Validator, rc.Refused = validator, action
		rc.Trace = &channel.Trace{Event: func(_ channel.SessionID, e channel.Event) {
			if e, ok := e.(channel.PeerRefused); ok {
				warned <- e.Err
			}
		}}
		x, y := tcpPair(t)
		client, server := connect(t, x, y, ic, rc)
		server.driver.KeepUp() // or its first look, after the handshake, comes late and warns as well
		revoked := errors.New("revoked")
		validator.refuse(revoked)
		b.change(b.Identities()...)
		switch action {
		case channel.RefusalWarn:
			within(t, "a warning", func() {
				if err := <-warned; !errors.Is(err, revoked) {
					t.Errorf("warned of %v", err)
				}
			})
		case channel.RefusalKeep:
			server.driver.KeepUp()
		default:
			within(t, "the end", func() {
				if _, err := server.Read(make([]byte, 1)); !errors.Is(err, revoked) {
					t.Errorf("%v: Read: %v", action, err)
				}
			})
			continue
		}
		// It goes on, keys change, and the peer becomes nobody else.
		echo(server)
		roundTrip(t, client)
		update(t, client)
		roundTrip(t, client)
		var told *AlertError
		if err := client.Rotate(t.Context(), newIdentity(t, "another")); !errors.As(err, &told) {
			t.Errorf("%v: another identity of a refused peer: %v", action, err)
		}
		if len(warned) != 0 {
			t.Errorf("%v: %v", action, <-warned)
		}
	}
	ic, _, _, _ := living(t)
	ic.Refused = 77
	if _, err := Listen("tcp", "127.0.0.1:0", ic); err == nil || !strings.Contains(err.Error(), "Refused 77") {
		t.Errorf("an action that does not exist: %v", err)
	}
}

// What becomes of a connection whose peer is refused is asked each time, as it may have changed.
func TestWhatBecomesOfARefusedPeerChanges(t *testing.T) {
	checkGoroutines(t)
	ic, rc, _, b := living(t)
	validator := new(fickle)
	var action atomic.Uint32
	warned := make(chan error, 10)
	rc.Validator, rc.RefusedBy = validator, func() channel.RefusalAction { return channel.RefusalAction(action.Load()) }
	rc.Trace = &channel.Trace{Event: func(_ channel.SessionID, e channel.Event) {
		if e, ok := e.(channel.PeerRefused); ok {
			warned <- e.Err
		}
	}}
	action.Store(uint32(channel.RefusalWarn))
	x, y := tcpPair(t)
	client, server := connect(t, x, y, ic, rc)
	revoked := errors.New("revoked")
	validator.refuse(revoked)
	b.change(b.Identities()...)
	within(t, "a warning", func() {
		if err := <-warned; !errors.Is(err, revoked) {
			t.Errorf("warned of %v", err)
		}
	})
	done := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, server)
		done <- err
	}()
	update(t, client) // it goes on
	action.Store(uint32(channel.RefusalClose))
	b.change(b.Identities()...)
	within(t, "the end", func() {
		if err := <-done; !errors.Is(err, revoked) {
			t.Errorf("Read: %v", err)
		}
	})
}

// A peer that is refused does not come back over another connection, whatever becomes of the one it has.
func TestARefusedPeerIsNotToleratedInAResumption(t *testing.T) {
	checkGoroutines(t)
	ic, rc, _, _ := living(t)
	validator := new(fickle)
	rc.Validator, rc.Refused = validator, channel.RefusalWarn
	ic.Store, rc.Store, ic.PeerName = newStore(), newStore(), "peer"
	x, y := tcpPair(t)
	client, server := connect(t, x, y, ic, rc)
	exchange(t, client, server)
	client.Close()
	validator.refuse(errors.New("revoked"))
	x, y = tcpPair(t)
	client, server = Client(x, ic), Server(y, rc)
	defer client.Close()
	defer server.Close()
	go client.Handshake()
	if err := server.Handshake(); !errors.Is(err, channel.ErrPeerRefused) {
		t.Errorf("got %v, want ErrPeerRefused", err)
	}
}

func TestAnIdentityThatCannotBeShownIsTriedAgain(t *testing.T) {
	checkGoroutines(t)
	ic, rc, a, _ := living(t)
	store := &failingStore{Store: newStore()}
	ic.Store, ic.PeerName = store, "peer"
	x, y := tcpPair(t)
	client, server := connect(t, x, y, ic, rc)
	echo(server)
	store.fail.Store(true)
	a.change(newIdentity(t, "a1"))
	within(t, "the error", func() {
		for !errors.Is(client.ConnectionState().LastUpdateError, errDisk) {
			time.Sleep(time.Millisecond)
		}
	})
	roundTrip(t, client)
	peerIs(t, server, "a")
	store.fail.Store(false)
	peerBecomes(t, server, client, "a1")
	within(t, "the error to go", func() {
		for client.ConnectionState().LastUpdateError != nil {
			time.Sleep(time.Millisecond)
		}
	})

	// One that does not fit the suite changes nothing either.
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a.change(identity.New(key, "P-256"))
	within(t, "the error", func() {
		for !errors.Is(client.ConnectionState().LastUpdateError, ErrNoIdentityFits) {
			time.Sleep(time.Millisecond)
		}
	})
	update(t, client)
	roundTrip(t, client)
	peerIs(t, server, "a1")
}

// With keys of two kinds, an end shows the one that fits the suite, at first and later.
func TestTheSuiteChoosesAmongTheIdentities(t *testing.T) {
	checkGoroutines(t)
	onP256 := func(name string) mls.Identity {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return identity.New(key, name)
	}
	for suite, kind := range map[ciphersuite.ID]string{
		ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519: "Ed25519",
		ciphersuite.MLS_128_DHKEMP256_AES128GCM_SHA256_P256:      "P-256",
	} {
		ic, rc, a, b := living(t)
		a.change(newIdentity(t, "a Ed25519"), onP256("a P-256"))
		b.change(onP256("b P-256"), newIdentity(t, "b Ed25519"))
		ic.Suites, rc.Suites = []ciphersuite.ID{suite}, nil
		x, y := tcpPair(t)
		client, server := connect(t, x, y, ic, rc)
		echo(server)
		roundTrip(t, client)
		peerIs(t, server, "a "+kind)
		peerIs(t, client, "b "+kind)
		a.change(newIdentity(t, "a2 Ed25519"), onP256("a2 P-256"))
		peerBecomes(t, server, client, "a2 "+kind)
	}
}

// A configuration that was selected brings its own source.
func TestASelectedConfigurationBringsItsSource(t *testing.T) {
	checkGoroutines(t)
	ic, rc, _, b := living(t)
	chosen, other := *rc, newWardrobe(newIdentity(t, "other"))
	chosen.Identities = other
	rc.Select = func(channel.ClientHello) (*Config, error) { return &chosen, nil }
	x, y := tcpPair(t)
	client, server := connect(t, x, y, ic, rc)
	echo(server)
	roundTrip(t, client)
	peerIs(t, client, "other")
	if b.watched() != 0 || other.watched() != 1 {
		t.Errorf("the first source has %d watchers, the chosen one %d", b.watched(), other.watched())
	}
	other.change(newIdentity(t, "other 2"))
	peerBecomes(t, client, client, "other 2")
}

func TestNobodyWatchesForAConnectionThatHasFailed(t *testing.T) {
	checkGoroutines(t)
	ic, rc, a, b := living(t)
	refusing := new(fickle)
	refusing.refuse(errors.New("no"))
	rc.Validator = refusing
	x, y := tcpPair(t)
	client, server := Client(x, ic), Server(y, rc)
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	if client.Handshake() == nil || <-done == nil {
		t.Fatal("no error")
	}
	if n := a.watched() + b.watched(); n != 0 {
		t.Errorf("%d still watch after the handshakes failed", n)
	}
	client.Close()
	server.Close()
	// Nor for one that is closed before it has begun.
	x, _ = net.Pipe()
	client = Client(x, ic)
	client.Close()
	if err := client.Handshake(); !errors.Is(err, net.ErrClosed) || a.watched() != 0 {
		t.Errorf("%v, %d watch", err, a.watched())
	}
}

// The timer goes by Config.Time and is set again with each certificate of the peer.
func TestThePeersExpiryIsWatched(t *testing.T) {
	checkGoroutines(t)
	clock := newClock()
	clock.now = clock.now.Truncate(time.Second)
	ic, rc, a, _ := living(t)
	a.change(certified(t, clock.Now().Add(time.Second)))
	validator := new(fickle)
	rc.Validator, rc.Time, ic.Time = validator, clock.Now, clock.Now
	x, y := tcpPair(t)
	client, server := connect(t, x, y, ic, rc)
	echo(client)
	roundTrip(t, server)
	validator.refuse(errors.New("expired"))
	clock.advance(2 * time.Second)
	within(t, "the end", func() {
		if _, err := server.Read(make([]byte, 1)); !errors.Is(err, channel.ErrPeerRefused) {
			t.Errorf("Read: %v", err)
		}
	})

	a.change(certified(t, clock.Now().Add(time.Second)))
	validator.refuse(nil)
	x, y = tcpPair(t)
	client, server = connect(t, x, y, ic, rc)
	echo(client)
	a.change(certified(t, clock.Now().Add(1000*time.Hour)))
	within(t, "the new certificate", func() {
		for {
			expiry, err := channel.CredentialExpiry(server.ConnectionState().Peer.Credential)
			if err != nil {
				t.Error(err)
			}
			if expiry.After(clock.Now().Add(time.Hour)) {
				return
			}
			roundTrip(t, server)
		}
	})
	if in := server.driver.PeerExpiry().Sub(clock.Now()); in < 999*time.Hour {
		t.Errorf("the peer's credential is taken to expire in %v", in)
	}
	roundTrip(t, server)
}

// A Listener and a Dialer are made once; what their connections show is of the moment.
func TestNewConnectionsShowTheIdentityOfTheMoment(t *testing.T) {
	checkGoroutines(t)
	ic, rc, a, b := living(t)
	l, err := Listen("tcp", "127.0.0.1:0", rc)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialer := Dialer{Config: ic}
	for _, n := range []string{"1", "2"} {
		a.change(newIdentity(t, "a"+n))
		b.change(newIdentity(t, "b"+n))
		accepted := make(chan *Conn, 1)
		go func() {
			c, err := l.Accept()
			if err != nil {
				t.Error(err)
			}
			server := c.(*Conn)
			echo(server)
			accepted <- server
		}()
		c, err := dialer.DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		client, server := c.(*Conn), <-accepted
		roundTrip(t, client)
		peerIs(t, server, "a"+n)
		peerIs(t, client, "b"+n)
		client.Close()
		server.Close()
	}
	if _, err := Listen("tcp", "127.0.0.1:0", &Config{Identities: newWardrobe(), Validator: rc.Validator}); err == nil {
		t.Error("no identity: no error")
	}
}
