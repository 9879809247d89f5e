package quicmls

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls"
)

// A watchedFeed counts who watches it.
type watchedFeed struct {
	identity.Feed
	watching atomic.Int32
}

func feedOf(identities ...mls.Identity) *watchedFeed {
	f := new(watchedFeed)
	f.SetIdentities(identities...)
	return f
}

func (f *watchedFeed) Watch(changed func()) (stop func()) {
	f.watching.Add(1)
	unwatch := f.Feed.Watch(changed)
	return func() {
		unwatch()
		f.watching.Add(-1)
	}
}

// peerBecomes waits until c's peer has this name.
func peerBecomes(t testing.TB, c *Conn, want string) {
	t.Helper()
	eventually(t, "the peer is "+want, func() bool { return string(c.ConnectionState().Peer.Credential.Identity) == want })
}

// livingConfigs returns the configurations of two ends whose identities come from feeds, and
// who accept everybody until their validators change their minds.
func livingConfigs(t testing.TB) (ic, rc *Config, a, b *watchedFeed) {
	t.Helper()
	ic, rc = newConfigs(t)
	a, b = feedOf(newIdentity(t, "a")), feedOf(newIdentity(t, "b"))
	ic.Identity, ic.Identities, ic.Validator = mls.Identity{}, a, new(moody)
	rc.Identity, rc.Identities, rc.Validator = mls.Identity{}, b, new(moody)
	return ic, rc, a, b
}

func TestLivingConnectionsGoOnWithTheIdentityOfTheirSource(t *testing.T) {
	checkGoroutines(t)
	ic, rc, a, b := livingConfigs(t)
	withStores(ic, rc)
	h := newHost(t, "127.0.0.1:0", rc)
	client, server := dialTo(t, h.address(), ic, h)
	a.SetIdentities(newIdentity(t, "a1"))
	peerBecomes(t, server, "a1")
	b.SetIdentities(newIdentity(t, "b1"))
	peerBecomes(t, client, "b1")
	alive(t, client, server)
	before := client.ConnectionState()
	client.CloseWithError(0, "")
	<-server.Context().Done()
	eventually(t, "nobody watches", func() bool { return a.watching.Load()+b.watching.Load() == 0 })

	// The listener and the configuration are those of before. The session was stored under the identities
	// of before as well.
	a.SetIdentities(newIdentity(t, "a2"))
	b.SetIdentities(newIdentity(t, "b2"))
	client, server = dialTo(t, h.address(), ic, h)
	isResumed(t, client, server, before)
	peerBecomes(t, server, "a2")
	peerBecomes(t, client, "b2")
	alive(t, client, server)

	if _, err := Listen("127.0.0.1:0", &Config{Identities: feedOf(), Config: channel.Config{Validator: new(moody)}}); err == nil {
		t.Error("no identity: no error")
	}
}

// A new connection begins with the identity of the moment, in its full handshake.
func TestNewConnectionsShowTheIdentityOfTheMoment(t *testing.T) {
	checkGoroutines(t)
	ic, rc, a, b := livingConfigs(t)
	h := newHost(t, "127.0.0.1:0", rc)
	a.SetIdentities(newIdentity(t, "a1"))
	b.SetIdentities(newIdentity(t, "b1"))
	client, server := dialTo(t, h.address(), ic, h)
	for c, want := range map[*Conn]string{client: "b1", server: "a1"} {
		if s := c.ConnectionState(); string(s.Peer.Credential.Identity) != want || s.Epoch != 1 {
			t.Errorf("epoch %d, the peer is %q, want %q from the first", s.Epoch, s.Peer.Credential.Identity, want)
		}
	}
}

// What becomes of a connection whose peer is refused is asked each time, as it may have changed.
func TestWhatBecomesOfARefusedPeerChanges(t *testing.T) {
	checkGoroutines(t)
	ic, rc, _, b := livingConfigs(t)
	validator, revoked := new(moody), errors.New("revoked")
	var action atomic.Uint32
	warned := make(chan error, 10)
	rc.Validator, rc.RefusedBy = validator, func() channel.RefusalAction { return channel.RefusalAction(action.Load()) }
	rc.Trace = &channel.Trace{Event: func(_ channel.SessionID, e channel.Event) {
		if e, ok := e.(channel.PeerRefused); ok {
			warned <- e.Err
		}
	}}
	action.Store(uint32(channel.RefusalWarn))
	client, server := connect(t, ic, rc)
	validator.refuse(revoked)
	b.SetIdentities(b.Identities()...)
	within(t, "a warning", func() {
		if err := <-warned; !errors.Is(err, revoked) {
			t.Errorf("warned of %v", err)
		}
	})
	alive(t, client, server)
	action.Store(uint32(channel.RefusalClose))
	b.SetIdentities(b.Identities()...)
	within(t, "the end", func() { <-server.Context().Done() })
	if err := context.Cause(server.Context()); !errors.Is(err, revoked) {
		t.Errorf("it ends with %v", err)
	}
}

func TestAPeerIsAskedAboutAgainWhenSomethingChanges(t *testing.T) {
	for _, action := range []channel.RefusalAction{0, channel.RefusalWarn} {
		t.Run(fmt.Sprint(action), func(t *testing.T) {
			checkGoroutines(t)
			ic, rc, _, b := livingConfigs(t)
			validator, revoked := new(moody), errors.New("revoked")
			warned := make(chan error, 10)
			rc.Validator, rc.Refused = validator, action
			rc.Trace = &channel.Trace{Event: func(_ channel.SessionID, e channel.Event) {
				if e, ok := e.(channel.PeerRefused); ok {
					warned <- e.Err
				}
			}}
			client, server := connect(t, ic, rc)
			validator.refuse(revoked)
			b.SetIdentities(b.Identities()...)
			if action != channel.RefusalWarn {
				within(t, "the end", func() { <-server.Context().Done() })
				if err := context.Cause(server.Context()); !errors.Is(err, revoked) || !errors.Is(err, channel.ErrPeerRefused) {
					t.Errorf("it ends with %v", err)
				}
				var told *AlertError
				if _, err := client.AcceptStream(t.Context()); !errors.As(err, &told) || told.Alert != channel.AlertBadCertificate {
					t.Errorf("the peer gets %v, want bad_certificate", err)
				}
				return
			}
			within(t, "a warning", func() {
				if err := <-warned; !errors.Is(err, revoked) {
					t.Errorf("warned of %v", err)
				}
			})
			// It goes on, keys change, and the peer becomes nobody else.
			alive(t, client, server)
			var told *AlertError
			if err := client.Rotate(t.Context(), newIdentity(t, "another")); !errors.As(err, &told) {
				t.Errorf("another identity of a refused peer: %v", err)
			}
		})
	}
	ic, _, _, _ := livingConfigs(t)
	ic.Refused = 77
	if _, err := Listen("127.0.0.1:0", ic); err == nil || !strings.Contains(err.Error(), "Refused 77") {
		t.Errorf("an action that does not exist: %v", err)
	}
}

// A configuration that was selected has an identity of its own. Its validator is asked again all the same.
func TestASelectedConfigKeepsItsIdentity(t *testing.T) {
	checkGoroutines(t)
	ic, rc, a, b := livingConfigs(t)
	validator := new(moody)
	rc.Select = func(channel.ClientHello) (*channel.Config, error) {
		chosen := rc.Config
		chosen.Identity, chosen.Validator, chosen.Select = newIdentity(t, "chosen"), validator, nil
		return &chosen, nil
	}
	client, server := connect(t, ic, rc)
	server.driver.KeepUp()
	b.SetIdentities(newIdentity(t, "b1"))
	a.SetIdentities(newIdentity(t, "a1"))
	peerBecomes(t, server, "a1")
	alive(t, client, server)
	if s := client.ConnectionState(); string(s.Peer.Credential.Identity) != "chosen" || server.ConnectionState().LastUpdateError != nil {
		t.Errorf("the peer is %q; %v", s.Peer.Credential.Identity, server.ConnectionState().LastUpdateError)
	}
	validator.refuse(errors.New("revoked"))
	b.SetIdentities(b.Identities()...)
	within(t, "the end", func() { <-server.Context().Done() })
	if err := context.Cause(server.Context()); !errors.Is(err, channel.ErrPeerRefused) {
		t.Errorf("it ends with %v", err)
	}
	chosen := channel.Config{Identity: newIdentity(t, "chosen")}
	rc.Select = func(channel.ClientHello) (*channel.Config, error) { return &chosen, nil }
	rc.Refused = channel.RefusalWarn
	if _, _, _, err := dialThrough(t, ic, rc, func(address string) string { return address }); err == nil {
		t.Error("a chosen configuration without a Validator: no error")
	}
}

// A savingStore calls saved after each save.
type savingStore struct {
	channel.Store
	saved func()
}

func (s *savingStore) Save(ctx context.Context, session channel.StoredSession) (uint64, error) {
	version, err := s.Store.Save(ctx, session)
	s.saved()
	return version, err
}

// A session is in the store before the handshake that makes it is complete. Another Dial that
// finds it there must leave it alone.
func TestASessionIsHeldFromItsBeginning(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	withStores(ic, rc)
	h := newHost(t, "127.0.0.1:0", rc)
	store := &savingStore{Store: ic.Store}
	ic.Store = store
	var second, secondServer *Conn
	store.saved = func() {
		store.saved = func() {}
		second, secondServer = dialTo(t, h.address(), ic, h)
	}
	first, firstServer := dialTo(t, h.address(), ic, h)
	if second == nil || second.ConnectionState().Resumed || second.ConnectionState().SessionID == first.ConnectionState().SessionID {
		t.Fatal("the second connection has the session of the first")
	}
	alive(t, first, firstServer)
	alive(t, second, secondServer)
}
