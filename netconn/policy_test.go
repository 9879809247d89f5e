package netconn

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/mls"
)

// A clock stands still until somebody moves it.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Now()} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func epochComes(t *testing.T, c *Conn, epoch uint64) {
	t.Helper()
	within(t, "an update by the policy", func() {
		for c.ConnectionState().Epoch < epoch {
			time.Sleep(time.Millisecond)
		}
	})
}

func TestRekeyingByRecordsCountsBothDirections(t *testing.T) {
	checkGoroutines(t)
	for name, change := range map[string]func(ic, rc *Config){
		"of what is sent":     func(ic, rc *Config) { ic.Rekey.Records = 10 },
		"of what is received": func(ic, rc *Config) { rc.Rekey.Records = 10 },
	} {
		ic, rc := newConfigs(t)
		change(ic, rc)
		a, b := tcpPair(t)
		client, server := connect(t, a, b, ic, rc)
		go io.Copy(io.Discard, server)
		go client.Read(make([]byte, 1))
		for range 9 / 2 { // the responder begins with half of them
			client.Write([]byte("x"))
		}
		if client.driver.Schedule().Due(time.Now()) != 0 || client.ConnectionState().Epoch != 1 {
			t.Errorf("%s: an update before it is due", name)
		}
		for client.ConnectionState().Epoch == 1 && !t.Failed() {
			if _, err := client.Write([]byte("x")); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestAnUpdateOfThePeerServesTheTraffic(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	ic.Rekey.Records = 100
	a, b := tcpPair(t)
	client, server := connect(t, a, b, ic, rc)
	echo(client)
	for range 40 {
		roundTrip(t, server) // two records, for either end
	}
	update(t, server)
	for range 20 {
		roundTrip(t, server)
	}
	if reason := client.driver.Schedule().Due(time.Now()); reason != 0 || client.ConnectionState().Epoch != 2 {
		t.Errorf("an update is due: %v, or was made: epoch %d", reason, client.ConnectionState().Epoch)
	}
}

// After some silence there is one update, and no other before data flows.
func TestRekeyingBySilence(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	ic.Rekey.Idle = 5 * time.Millisecond
	a, b := tcpPair(t)
	client, server := connect(t, a, b, ic, rc)
	echo(server)
	for range 3 {
		before := client.ConnectionState().Epoch
		roundTrip(t, client)
		epochComes(t, client, before+1)
		// Nothing more is due behind an update: but what came back may have come after one.
		within(t, "silence", func() {
			for !client.driver.Schedule().Next().IsZero() {
				time.Sleep(time.Millisecond)
			}
		})
	}
}

// Time is Config.Time's alone.
func TestRekeyingByAGivenClock(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	clock := newClock()
	ic.Rekey.Every, ic.Time = time.Hour, clock.Now
	a, b := tcpPair(t)
	client, server := connect(t, a, b, ic, rc)
	echo(server)
	for epoch := range uint64(3) {
		clock.advance(time.Minute)
		client.driver.FollowPolicy()
		roundTrip(t, client)
		if got := client.ConnectionState().Epoch; got != epoch+1 {
			t.Fatalf("epoch is %d, want %d", got, epoch+1)
		}
		clock.advance(time.Hour)
		client.driver.FollowPolicy()
		epochComes(t, client, epoch+2)
	}
}

func TestAnIdleConnectionHasNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	ic, rc := newConfigs(t)
	ic.Rekey, rc.Rekey = RekeyPolicy{}, RekeyPolicy{Idle: time.Hour, Initiative: channel.InTurns}
	a, b := tcpPair(t)
	client, server := connect(t, a, b, ic, rc)
	exchange(t, client, server)
	go io.CopyN(io.Discard, server, 1)
	update(t, client)
	client.Write([]byte("x"))
	within(t, "coming to rest", func() {
		for runtime.NumGoroutine() > before+1 { // within's own
			time.Sleep(time.Millisecond)
		}
	})
	for _, c := range []*Conn{client, server} {
		if !c.driver.HasTimer() {
			t.Error("no timer is set")
		}
	}
}

func TestAnUpdateThatFailsIsTriedAgainLater(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	store, clock := &failingStore{Store: newStore()}, newClock()
	ic.Store, ic.PeerName, ic.Time = store, "peer", clock.Now
	ic.Rekey.Every = time.Hour
	a, b := tcpPair(t)
	client, server := connect(t, a, b, ic, rc)
	echo(server)
	store.fail.Store(true)
	clock.advance(time.Hour)
	client.driver.FollowPolicy()
	if err := client.ConnectionState().LastUpdateError; !errors.Is(err, errDisk) {
		t.Errorf("LastUpdateError is %v", err)
	}
	if in := client.driver.Schedule().Next().Sub(clock.Now()); in < time.Second || in > time.Hour {
		t.Errorf("it is tried again in %v", in)
	}
	store.fail.Store(false)
	clock.advance(time.Hour)
	client.driver.FollowPolicy()
	roundTrip(t, client)
	epochComes(t, client, 2)
	if err := client.ConnectionState().LastUpdateError; err != nil {
		t.Errorf("LastUpdateError is %v", err)
	}
}

// An update does not come through, for as long as one likes, and data flows on.
func TestAConnectionNeverEndsByAnExhaustedKey(t *testing.T) {
	for name, hinder := range map[string]func(client *Conn, stores []*failingStore) (release func()){
		"the acknowledgement is not read": func(client *Conn, _ []*failingStore) func() {
			client.SetReadDeadline(longAgo)
			return func() { client.SetReadDeadline(time.Time{}) }
		},
		"no update can be begun": func(_ *Conn, stores []*failingStore) func() {
			set := func(fail bool) {
				for _, s := range stores {
					s.fail.Store(fail)
				}
			}
			set(true)
			return func() { set(false) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			checkGoroutines(t)
			ic, rc := newConfigs(t)
			stores := []*failingStore{{Store: newStore()}, {Store: newStore()}}
			ic.Store, rc.Store, ic.PeerName, ic.keyRecords, rc.keyRecords = stores[0], stores[1], "peer", 64, 64
			clock := newClock()
			ic.Time, rc.Time = clock.Now, clock.Now
			a, b := tcpPair(t)
			client, server := connect(t, a, b, ic, rc)
			release := hinder(client, stores)
			stream(t, client, server, 2000, 1, 1) // a record each
			if epoch := client.ConnectionState().Epoch; epoch != 1 {
				t.Errorf("epoch is %d, so nothing was hindered", epoch)
			}
			for _, s := range stores {
				if n := s.failures.Load(); n > 1 {
					t.Errorf("%d updates are tried in no time", n)
				}
			}
			release()
			echo(server)
			roundTrip(t, client)
			update(t, client)
			roundTrip(t, client)
		})
	}
}

// certified returns an identity with a certificate that ends at some time.
func certified(t *testing.T, notAfter time.Time) mls.Identity {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: notAfter.Add(-time.Hour), NotAfter: notAfter}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return mls.Identity{Credential: mls.X509Credential(certificate), Signer: private}
}

func TestACredentialIsRenewedBeforeItExpires(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	clock := newClock()
	errCA := errors.New("the authority is closed")
	var calls atomic.Int32
	results := make(chan func() (mls.Identity, error))
	ic.Identity = certified(t, clock.Now().Add(24*time.Hour))
	ic.Time, ic.Rekey.BeforeExpiry = clock.Now, time.Hour
	ic.Renew = func(ctx context.Context) (mls.Identity, error) {
		calls.Add(1)
		select {
		case f := <-results:
			return f()
		case <-ctx.Done():
			return mls.Identity{}, ctx.Err()
		}
	}
	rc.Validator = new(fickle)
	a, b := tcpPair(t)
	client, server := connect(t, a, b, ic, rc)
	echo(server)
	lastErrorIs := func(want error) {
		t.Helper()
		within(t, "the outcome", func() {
			for !errors.Is(client.ConnectionState().LastUpdateError, want) {
				time.Sleep(time.Millisecond)
			}
		})
	}
	client.driver.FollowPolicy()
	if calls.Load() != 0 {
		t.Fatal("a credential is renewed that is good for a day")
	}
	clock.advance(23*time.Hour + time.Minute)
	for range 3 {
		client.driver.FollowPolicy()
	}
	results <- func() (mls.Identity, error) { return mls.Identity{}, errCA }
	lastErrorIs(errCA)
	client.driver.FollowPolicy()
	if n := calls.Load(); n != 1 {
		t.Errorf("%d calls, want one at a time, and none right after an error", n)
	}
	clock.advance(10 * time.Minute)
	client.driver.FollowPolicy()
	results <- func() (mls.Identity, error) { return certified(t, clock.Now().Add(time.Minute)), nil }
	lastErrorIs(ErrExpiresTooSoon)
	client.driver.FollowPolicy()
	if n := calls.Load(); n != 2 {
		t.Errorf("%d calls, want 2", n)
	}
	roundTrip(t, client)
	epochComes(t, client, 2)
	good := clock.Now().Add(48 * time.Hour)
	clock.advance(10 * time.Minute)
	client.driver.FollowPolicy()
	results <- func() (mls.Identity, error) { return certified(t, good), nil }
	lastErrorIs(nil)
	roundTrip(t, client)
	epochComes(t, client, 3)
	roundTrip(t, client)
	leaf, err := channel.CredentialExpiry(server.ConnectionState().Peer.Credential)
	if err != nil || !leaf.Equal(good.Truncate(time.Second)) {
		t.Errorf("the peer's certificate ends at %v, want %v; %v", leaf, good, err)
	}
	if next := client.driver.Schedule().Next(); next.Sub(clock.Now()) < 46*time.Hour {
		t.Errorf("the next renewal is due at %v", next)
	}
}

// Who renews may take its time: neither the other updates nor Close wait for it.
func TestCloseDoesNotWaitForARenewal(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	release := make(chan struct{})
	began := make(chan context.Context, 1)
	ic.Identity = certified(t, time.Now().Add(time.Minute))
	ic.Rekey.BeforeExpiry, ic.Rekey.Every = time.Hour, 5*time.Millisecond
	ic.Renew = func(ctx context.Context) (mls.Identity, error) {
		began <- ctx
		<-release
		return newIdentity(t, "late"), nil
	}
	rc.Validator = new(fickle)
	a, b := tcpPair(t)
	client, server := connect(t, a, b, ic, rc)
	go io.Copy(io.Discard, client)
	echo(server)
	within(t, "closing", func() {
		ctx := <-began
		epochComes(t, client, 3)
		if err := client.Close(); err != nil {
			t.Error(err)
		}
		<-ctx.Done()
	})
	close(release)
}
