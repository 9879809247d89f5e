package quicmls

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/quicmls/tlspsk"
)

// keepAccepting accepts connections of a listener until that is closed, and performs their handshakes.
func keepAccepting(t *testing.T, l *Listener) <-chan *Conn {
	t.Helper()
	accepted := make(chan *Conn, 8)
	go func() {
		for {
			c, err := l.Accept(context.Background())
			if err != nil {
				return
			}
			if err := c.HandshakeContext(context.Background()); err == nil {
				accepted <- c
			}
		}
	}()
	return accepted
}

// newKeyedPair returns a connection whose responder takes keyed ones, too.
func newKeyedPair(t *testing.T) (client, server *Conn) {
	t.Helper()
	ic, rc := newConfigs(t)
	rc.Keyed = true
	l := listenOn(t, rc)
	return dialKeeping(t, l.Addr().String(), ic, keepAccepting(t, l))
}

func dialKeeping(t *testing.T, address string, ic *Config, accepted <-chan *Conn) (client, server *Conn) {
	t.Helper()
	client, err := Dial(t.Context(), address, ic)
	if err != nil {
		t.Fatal(err)
	}
	server = <-accepted
	t.Cleanup(func() {
		client.CloseWithError(0, "")
		server.CloseWithError(0, "")
	})
	return client, server
}

// keyedPair returns the two ends of a keyed connection.
func keyedPair(t *testing.T, client, server *Conn) (a, b *quic.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	a, err := client.DialKeyed(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if b, err = server.AcceptKeyed(ctx); err != nil {
		t.Fatal(err)
	}
	for _, q := range []*quic.Conn{a, b} {
		if s := q.ConnectionState(); !s.TLS.DidResume || s.Used0RTT {
			t.Errorf("by a key: %t, on 0-RTT: %t", s.TLS.DidResume, s.Used0RTT)
		}
	}
	return a, b
}

// talk sends a text on a new stream and checks that it comes out at the other end.
func talk(t *testing.T, from, to *quic.Conn, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := from.OpenUniStreamSync(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(out, text); err != nil {
		t.Fatal(err)
	}
	out.Close()
	in, err := to.AcceptUniStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(in); err != nil || string(got) != text {
		t.Fatalf("%q, %v, want %q", got, err, text)
	}
}

// ended waits for the end of a keyed connection.
func ended(t *testing.T, q *quic.Conn) {
	t.Helper()
	select {
	case <-q.Context().Done():
	case <-time.After(time.Minute):
		t.Error("a keyed connection lives on")
	}
}

func TestTheSessionKeysConnections(t *testing.T) {
	for name, edit := range map[string]func(ic, rc *Config){
		"as it is":     func(ic, rc *Config) {},
		"beside 0-RTT": func(ic, rc *Config) { rc.Allow0RTT = true },
		"of a hybrid":  func(ic, rc *Config) { ic.Suites, rc.Suites = nil, nil },
		"with a store": func(ic, rc *Config) { ic.Store, rc.Store = channel.NewMemoryStore(0), channel.NewMemoryStore(0) },
		"of a caller's own TLS": func(ic, rc *Config) {
			tls, err := rc.serverTLS()
			if err != nil {
				t.Fatal(err)
			}
			rc.TLS = tls
		},
	} {
		t.Run(name, func(t *testing.T) {
			checkGoroutines(t)
			ic, rc := newConfigs(t)
			rc.Keyed = true
			edit(ic, rc)
			l := listenOn(t, rc)
			client, server := dialKeeping(t, l.Addr().String(), ic, keepAccepting(t, l))
			old, oldPeer := keyedPair(t, client, server)
			epoch := client.ConnectionState().Epoch
			fresh, freshPeer := keyedPair(t, client, server)
			if now := client.ConnectionState().Epoch; now != epoch+1 {
				t.Errorf("epochs %d and %d: there was no update between two connections", epoch, now)
			}
			talk(t, old, oldPeer, "make before break")
			if err := old.CloseWithError(7, "moved"); err != nil {
				t.Error(err)
			}
			ended(t, oldPeer)
			talk(t, fresh, freshPeer, "on the new one")
			talk(t, freshPeer, fresh, "and back")
			a, b := openPair(t, client, server)
			exchange(t, a, b)
		})
	}
}

// A knownAs is a store that finds one session, whoever is asked for: those of a responder have no peer's name.
type knownAs struct {
	channel.Store
	id channel.SessionID
}

func (s knownAs) FindByPeer(context.Context, string) ([]channel.SessionID, error) {
	return []channel.SessionID{s.id}, nil
}

// After a resumption at which the end dials that has accepted at first, it is the session's responder that dials.
func TestTheSessionKeysConnectionsOfAResponderThatDials(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	for _, c := range []*Config{ic, rc} {
		c.Store, c.PeerName, c.Keyed = channel.NewMemoryStore(0), "peer", true
	}
	l := listenOn(t, rc)
	client, server := dialKeeping(t, l.Addr().String(), ic, keepAccepting(t, l))
	update(t, client)
	rc.Store = knownAs{rc.Store, client.ConnectionState().SessionID}
	client.CloseWithError(0, "")
	server.CloseWithError(0, "")
	l = listenOn(t, ic)
	client, server = dialKeeping(t, l.Addr().String(), rc, keepAccepting(t, l))
	if s := client.ConnectionState(); !s.Resumed || s.Role != channel.RoleResponder {
		t.Fatalf("resumed: %t, by the %v", s.Resumed, s.Role)
	}
	a, b := keyedPair(t, client, server)
	talk(t, a, b, "dialed by the responder")
}

func TestTheSessionKeysConnectionsOnACallersTransport(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	rc.Keyed = true
	from := newTransport(t)
	l, err := ListenTransport(newTransport(t), rc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	accepted := keepAccepting(t, l)
	client, err := DialTransport(t.Context(), from, l.Addr(), ic)
	if err != nil {
		t.Fatal(err)
	}
	server := <-accepted
	t.Cleanup(func() {
		client.CloseWithError(0, "")
		server.CloseWithError(0, "")
	})
	a, b := keyedPair(t, client, server)
	talk(t, a, b, "over one socket")
	if a.LocalAddr().String() != from.Conn.LocalAddr().String() {
		t.Errorf("dialed from %v, want the transport's %v", a.LocalAddr(), from.Conn.LocalAddr())
	}
}

func TestWhichEndsHaveKeyedConnections(t *testing.T) {
	checkGoroutines(t)
	client, server := newKeyedPair(t)
	if _, err := server.DialKeyed(t.Context()); !errors.Is(err, ErrNotKeyed) {
		t.Errorf("the accepting end dials: %v", err)
	}
	if _, err := client.AcceptKeyed(t.Context()); !errors.Is(err, ErrNotKeyed) {
		t.Errorf("the dialing end accepts: %v", err)
	}
	plainClient, plainServer := newConnPair(t)
	if _, err := plainServer.AcceptKeyed(t.Context()); !errors.Is(err, ErrNotKeyed) {
		t.Errorf("an end without Keyed accepts: %v", err)
	}
	before := plainClient.ConnectionState().Epoch
	var refused *quic.TransportError
	if _, err := plainClient.DialKeyed(t.Context()); !errors.As(err, &refused) || !refused.ErrorCode.IsCryptoError() {
		t.Errorf("a listener without Keyed: %v", err)
	}
	if now := plainClient.ConnectionState().Epoch; now != before+1 {
		t.Errorf("epochs %d and %d: a listener without Keyed is asked again and again", before, now)
	}
	a, b := openPair(t, plainClient, plainServer)
	exchange(t, a, b)
}

func TestCallsForKeyedConnectionsEnd(t *testing.T) {
	checkGoroutines(t)
	client, server := newKeyedPair(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := server.AcceptKeyed(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("AcceptKeyed: %v", err)
	}
	if _, err := client.DialKeyed(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("DialKeyed: %v", err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := server.AcceptKeyed(context.Background())
		done <- err
	}()
	client.CloseWithError(3, "")
	within(t, "AcceptKeyed", func() {
		if err := <-done; err == nil {
			t.Error("AcceptKeyed returns a connection of a session that has ended")
		}
	})
	if _, err := client.DialKeyed(t.Context()); err == nil {
		t.Error("a connection that is closed dials")
	}
}

// stealKey copies the key that the next, or the last, keyed connection of an epoch has.
func stealKey(t *testing.T, victim *Conn) (key *tlspsk.Key) {
	t.Helper()
	var err error
	victim.driver.Look(func(s *channel.Session) { key, err = tlspsk.Export(s, channel.RoleInitiator, 0) })
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// dialStolen connects by a copied key.
func dialStolen(t *testing.T, key *tlspsk.Key, at *Conn) (*quic.Conn, error) {
	t.Helper()
	client, err := keyedClient()
	if err != nil {
		t.Fatal(err)
	}
	config, err := client.Config(key)
	if err != nil {
		t.Fatal(err)
	}
	q, err := quic.DialAddr(t.Context(), at.RemoteAddr().String(), config, nil)
	if err == nil {
		t.Cleanup(func() { q.CloseWithError(0, "") })
	}
	return q, err
}

// Who has copied the secrets of an epoch gets a connection in it, and none after an update of either end.
func TestAnUpdateTakesTheKeyOfTheEpochBeforeAway(t *testing.T) {
	for _, dialing := range []bool{true, false} {
		t.Run(fmt.Sprintf("the dialing end updates: %t", dialing), func(t *testing.T) {
			checkGoroutines(t)
			client, server := newKeyedPair(t)
			update(t, client)
			if _, err := dialStolen(t, stealKey(t, client), client); err != nil {
				t.Errorf("the thief of an epoch gets no connection in it: %v", err) // or this test shows nothing
			}
			update(t, client)
			key := stealKey(t, client)
			if dialing {
				update(t, client)
			} else {
				update(t, server)
			}
			if _, err := dialStolen(t, key, client); !keyGone(err) {
				t.Errorf("the thief of the epoch before: %v", err)
			}
			a, b := keyedPair(t, client, server)
			_ = b // perhaps the thief's, which nobody has accepted
			a.CloseWithError(0, "")
		})
	}
}

// A connection that has come by the key of an epoch is not lost where the listener accepts it in a later one.
func TestAListenerMayAcceptAKeyedConnectionLate(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	rc.Keyed = true
	l := listenOn(t, rc)
	first := make(chan *Conn, 1)
	go func() {
		c, err := l.Accept(t.Context())
		if err == nil {
			err = c.HandshakeContext(t.Context())
		}
		if err != nil {
			t.Error(err)
		}
		first <- c
	}()
	client, server := dialKeeping(t, l.Addr().String(), ic, first)
	var all []*quic.Conn
	for range maxKeyed + 1 {
		q, err := client.DialKeyed(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, q)
	}
	update(t, client)
	update(t, server)
	keepAccepting(t, l)
	came := make(map[int]bool)
	within(t, "AcceptKeyed", func() {
		for range maxKeyed {
			b, err := server.AcceptKeyed(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			came[b.RemoteAddr().(*net.UDPAddr).Port] = true
		}
	})
	for i, q := range all {
		if want := i > 0; came[q.LocalAddr().(*net.UDPAddr).Port] != want { // the first one is one too many
			t.Errorf("connection %d of %d: accepted: %t", i, len(all), !want)
		}
	}
	ended(t, all[0])
	server.accepting.mu.Lock()
	defer server.accepting.mu.Unlock()
	if n := len(server.accepting.late); n > 0 {
		t.Errorf("%d keys are remembered of connections that were accepted", n)
	}
}

// A peer may update between the update of DialKeyed and its hello, and takes the key away by that.
func TestDialKeyedTriesAgain(t *testing.T) {
	checkGoroutines(t)
	client, server := newKeyedPair(t)
	d := client.keyedDialer()
	d.want()
	update(t, client)
	key := d.take()
	update(t, server)
	if _, err := dialStolen(t, key, client); !keyGone(err) {
		t.Fatalf("a key of the epoch before: %v", err)
	}
	a, b := keyedPair(t, client, server)
	talk(t, a, b, "by another key")
}

// Another own update may end between the one of DialKeyed and its hello. It leaves the key alone that was taken.
func TestAnotherUpdateDoesNotEraseTheKeyOfAKeyedConnection(t *testing.T) {
	checkGoroutines(t)
	client, _ := newKeyedPair(t)
	d := client.keyedDialer()
	d.want()
	update(t, client)
	key := d.take()
	update(t, client)
	if d.key != nil {
		t.Error("a key is drawn that nobody wants any more")
	}
	kept, err := keyedClient()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kept.Config(key); err != nil {
		t.Error(err)
	}
	key.Erase()
}

func TestKeyedConnectionsWhileBothEndsUpdate(t *testing.T) {
	checkGoroutines(t)
	client, server := newKeyedPair(t)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for _, c := range []*Conn{client, server} {
		wg.Go(func() {
			// More and more seldom: between two of them has to be time for a handshake, however slow the machine is.
			for pause := 10 * time.Millisecond; ctx.Err() == nil; pause += time.Millisecond {
				if err := c.Update(ctx); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
				time.Sleep(pause)
			}
		})
	}
	var dialing sync.WaitGroup
	for i := range 3 {
		dialing.Go(func() {
			for j := range 4 {
				q, err := client.DialKeyed(ctx)
				for keyGone(err) { // a peer may update as often as there are attempts
					q, err = client.DialKeyed(ctx)
				}
				var s *quic.SendStream
				if err == nil {
					s, err = q.OpenUniStream()
				}
				if err == nil {
					_, err = fmt.Fprintf(s, "%d of %d", j, i)
				}
				if err != nil {
					t.Error(err)
					cancel() // or the other end waits for this one
					return
				}
				s.Close()
			}
		})
	}
	within(t, "keyed connections", func() {
		seen := make(map[string]bool)
		for range 12 {
			q, err := server.AcceptKeyed(ctx)
			if err != nil {
				t.Error(err)
				return
			}
			s, err := q.AcceptUniStream(ctx)
			if err != nil {
				t.Error(err)
				return
			}
			b, err := io.ReadAll(s)
			if err != nil || seen[string(b)] {
				t.Errorf("%q, seen before: %t, %v", b, seen[string(b)], err)
			}
			seen[string(b)] = true
		}
		dialing.Wait()
	})
}

func TestAKeyedConnectionEndsWithItsSession(t *testing.T) {
	for name, end := range map[string]func(client, server *Conn){
		"closed by the dialing end":   func(client, server *Conn) { client.CloseWithError(1, "") },
		"closed by the accepting end": func(client, server *Conn) { server.CloseWithError(1, "") },
		"refused": func(client, server *Conn) {
			server.abort(channel.ErrPeerRefused)
		},
	} {
		t.Run(name, func(t *testing.T) {
			checkGoroutines(t)
			client, server := newKeyedPair(t)
			a, b := keyedPair(t, client, server)
			c, err := client.DialKeyed(t.Context()) // which nobody accepts
			if err != nil {
				t.Fatal(err)
			}
			update(t, client) // so that there is a key
			end(client, server)
			for _, q := range []*quic.Conn{a, b, c} {
				ended(t, q)
			}
			k := server.accepting.listener
			eventually(t, "the keys are forgotten", func() bool {
				k.mu.Lock()
				defer k.mu.Unlock()
				return len(k.conns) == 0
			})
		})
	}
}

// Each end alone sees to it, whatever the other does.
func TestEachEndEndsItsKeyedConnections(t *testing.T) {
	checkGoroutines(t)
	client, server := newKeyedPair(t)
	update(t, client)
	thiefs, err := dialStolen(t, stealKey(t, client), client) // at the dialing end nobody knows of it
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.AcceptKeyed(t.Context()); err != nil {
		t.Fatal(err)
	}
	server.CloseWithError(0, "")
	ended(t, thiefs)

	from, to := newTransport(t), newTransport(t)
	ic, rc := newConfigs(t)
	rc.Keyed = true
	client, _ = connectOn(t, from, to, ic, rc)
	q, err := client.DialKeyed(t.Context()) // at the accepting end nobody accepts it
	if err != nil {
		t.Fatal(err)
	}
	client.CloseWithError(0, "")
	ended(t, q)
}

// Each keyed connection gets to the session that has keyed it, of all that a listener has.
func TestKeyedConnectionsGetToTheirSession(t *testing.T) {
	checkGoroutines(t)
	first, second := newIdentity(t, "first"), newIdentity(t, "second")
	responder := newIdentity(t, "responder")
	rc := newConfig(responder, pin(t, first, second))
	rc.Keyed = true
	l := listenOn(t, rc)
	accepted := keepAccepting(t, l)
	var clients, servers [2]*Conn
	for i, id := range []struct{ config *Config }{{newConfig(first, pin(t, responder))}, {newConfig(second, pin(t, responder))}} {
		clients[i], servers[i] = dialKeeping(t, l.Addr().String(), id.config, accepted)
	}
	for range 3 {
		for i := range clients {
			a, b := keyedPair(t, clients[i], servers[i])
			talk(t, a, b, fmt.Sprint("session ", i))
		}
	}
}

func TestKeyedConnectionsThatNobodyAcceptsAreBounded(t *testing.T) {
	checkGoroutines(t)
	client, server := newKeyedPair(t)
	var all []*quic.Conn
	for i := range maxKeyed + 1 {
		q, err := client.DialKeyed(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, q)
		want := min(i+1, maxKeyed)
		eventually(t, "it has come", func() bool { return len(server.accepting.waiting) == want })
	}
	ended(t, all[maxKeyed])
	for range maxKeyed {
		if _, err := server.AcceptKeyed(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	a, b := keyedPair(t, client, server)
	talk(t, a, b, "there is room again")
}

// Keys are erased where they are used or not needed any more.
func TestKeysOfKeyedConnectionsAreErased(t *testing.T) {
	checkGoroutines(t)
	client, server := newKeyedPair(t)
	update(t, client)
	d := client.keyedDialer()
	if d.key != nil {
		t.Error("a key is drawn that nobody wants")
	}
	d.want()
	update(t, client)
	first := d.key
	update(t, client)
	second := d.key
	d.forget()
	kept, err := keyedClient()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []*tlspsk.Key{first, second} {
		if _, err := kept.Config(key); !errors.Is(err, tlspsk.ErrKeyUsed) {
			t.Errorf("a key that was dropped: %v", err)
		}
	}
	server.accepting.mu.Lock()
	expected := server.accepting.key
	server.accepting.mu.Unlock()
	if id := second.ID(); expected == nil || !bytes.Equal(id[:], idOf(expected)) {
		t.Error("the ends have drawn different keys")
	}
	update(t, server)
	server.accepting.mu.Lock()
	defer server.accepting.mu.Unlock()
	if server.accepting.key != nil {
		t.Error("a key is expected in an epoch that the accepting end has made")
	}
}

func idOf(k *tlspsk.Key) []byte {
	id := k.ID()
	return id[:]
}
