package identity

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/netconn"
)

// hang is how long something takes that will never come.
const hang = time.Minute

// A clock stands still until somebody moves it.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

// newClock returns a clock at a full second, as certificates know no others.
func newClock() *clock { return &clock{now: time.Now().Truncate(time.Second)} }

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

// An end is one end of a connection, whose identity, authorities and revocations are files.
type end struct {
	t      testing.TB
	name   string
	place  *place
	ca     *authority
	clock  *clock
	tick   chan time.Time
	live   *Live
	config *netconn.Config
	serial string // of the certificate that is in the file

	mu      sync.Mutex
	refused []error
}

// newEnd returns the end of that name, which trusts the authority and expects the other.
func newEnd(t testing.TB, ca *authority, clock *clock, name, peer string) *end {
	t.Helper()
	e := &end{t: t, name: name, place: newPlace(t), ca: ca, clock: clock, tick: make(chan time.Time)}
	e.renew(lifetime)
	e.live = open(t, Files{
		Pairs:   []KeyPair{e.place.pair},
		Roots:   []string{e.place.write("ca.crt", pemOf(ca.certificate))},
		Revoked: []string{e.place.write("revoked", nil)},
		Tick:    e.tick,
		Now:     clock.Now,
	})
	e.config = &netconn.Config{
		Identities: e.live,
		Validator:  mustValidator(t, X509Options{RootsFor: e.live.RootsFor, Names: mustSPIFFE(t, peer), Revoked: e.live.Revoked, Now: clock.Now}),
		Time:       clock.Now,
		Suites:     []ciphersuite.ID{ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519},
		Rekey:      netconn.RekeyPolicy{Every: -1, Bytes: -1, Records: -1},
		// The tests wait for what is shown.
		IdentitySpread: -1,
		Trace: &channel.Trace{Event: func(_ channel.SessionID, event channel.Event) {
			if refused, ok := event.(channel.PeerRefused); ok {
				e.mu.Lock()
				defer e.mu.Unlock()
				e.refused = append(e.refused, refused.Err)
			}
		}},
	}
	return e
}

// renew puts another key and certificate into the files.
func (e *end) renew(validFor time.Duration) {
	e.t.Helper()
	key := newEd25519Key(e.t)
	certificate := e.ca.issue(e.t, key.Public(), e.name, func(c *x509.Certificate) { c.NotAfter = e.clock.Now().Add(validFor) })
	e.place.renew(key, certificate)
	e.serial = certificate.SerialNumber.Text(16)
}

// look has the files looked at twice, by the goroutine whose task it is.
func (e *end) look() {
	for range 3 { // the third is taken only when the second is done
		e.tick <- time.Time{}
	}
}

func (e *end) refusals() []error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.refused
}

// connectTCP returns the two ends of a connection after the handshake.
func connectTCP(t testing.TB, initiator, responder *netconn.Config) (client, server *netconn.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	client, server = netconn.Client(a, initiator), netconn.Server(b, responder)
	t.Cleanup(func() { client.Close(); server.Close() })
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	if err := errors.Join(client.Handshake(), <-done); err != nil {
		t.Fatal(err)
	}
	return client, server
}

// converse echoes data on a connection all the time, until stop is called, which returns how
// often it came back and what ended it.
func converse(client, server *netconn.Conn) (stop func() (rounds int, err error)) {
	quit := make(chan struct{})
	ended := make(chan error, 2)
	go func() {
		_, err := io.Copy(server, server)
		ended <- err
	}()
	rounds := 0
	go func() {
		want, got := []byte("there and back"), make([]byte, 14)
		for {
			select {
			case <-quit:
				ended <- client.CloseWrite()
				return
			default:
			}
			if _, err := client.Write(want); err != nil {
				ended <- err
				return
			}
			if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, want) {
				ended <- errors.Join(err, errors.New("what came back: "+string(got)))
				return
			}
			rounds++
			time.Sleep(time.Millisecond) // leave the processor to others
		}
	}()
	return func() (int, error) {
		close(quit)
		err := errors.Join(<-ended, <-ended)
		return rounds, err
	}
}

// until waits for something that will come, or never.
func until(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(hang); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<16)
			t.Fatalf("%s does not come:\n%s", what, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// peerSerial returns the serial number of the certificate that the peer shows.
func peerSerial(t testing.TB, c *netconn.Conn) string {
	t.Helper()
	certificate, err := x509.ParseCertificate(c.ConnectionState().Peer.Credential.Certificates[0])
	if err != nil {
		t.Fatal(err)
	}
	return certificate.SerialNumber.Text(16)
}

const (
	clientID = "spiffe://example.org/client"
	serverID = "spiffe://example.org/server"
)

// lifetime is that of the certificates, by a clock that the tests move.
const lifetime = 2 * time.Minute

// Certificates live for two minutes, and are renewed on disk again and again. The
// connection outlives many of them, data flows all the time, and each end sees each new certificate.
func TestOneConnectionOutlivesManyCertificates(t *testing.T) {
	const renewals = 30
	ca, clock := newAuthority(t, "root"), newClock()
	a, b := newEnd(t, ca, clock, clientID, serverID), newEnd(t, ca, clock, serverID, clientID)
	client, server := connectTCP(t, a.config, b.config)
	stop := converse(client, server)
	first := client.ConnectionState()
	for i := range renewals {
		clock.advance(lifetime * 3 / 4)
		ends := []*end{a, b}
		if i%2 == 1 {
			ends = []*end{b, a}
		}
		for _, e := range ends {
			e.renew(lifetime)
			e.look()
		}
		until(t, "the new certificates", func() bool {
			return peerSerial(t, client) == b.serial && peerSerial(t, server) == a.serial
		})
	}
	until(t, "the epoch of the last one", func() bool { // which the peer has before it is confirmed
		return client.ConnectionState().Epoch >= first.Epoch+2*renewals
	})
	if rounds, err := stop(); err != nil || rounds == 0 {
		t.Errorf("%d rounds, %v", rounds, err)
	}
	last := client.ConnectionState()
	if last.SessionID != first.SessionID || last.Epoch < first.Epoch+2*renewals || last.LastUpdateError != nil {
		t.Errorf("it began with %+v and ends with %+v", first, last)
	}
	if refused := append(a.refusals(), b.refusals()...); len(refused) != 0 {
		t.Errorf("a peer was refused: %v", refused)
	}
}

// A certificate that nobody renews ends the connection, or has somebody warned, when it
// expires; and so does one that is revoked, when the file says so.
func TestAPeerThatIsTrustedNoMoreIsDroppedOrWarnedOf(t *testing.T) {
	for name, spoil := range map[string]func(a, b *end){
		"the certificate expires": func(a, b *end) {
			b.clock.advance(2 * time.Second)
		},
		"its serial number is revoked": func(a, b *end) {
			b.place.write("revoked", []byte("serial "+a.serial+"\n"))
			b.look()
		},
		"its key is revoked": func(a, b *end) {
			key, err := EncodePublicKey(a.live.Identities()[0].Signer.Public())
			if err != nil {
				a.t.Fatal(err)
			}
			b.place.write("revoked", []byte("key "+Fingerprint(key)+"\n"))
			b.look()
		},
		"its authority is trusted no more": func(a, b *end) {
			b.place.write("ca.crt", pemOf(newAuthority(b.t, "another").certificate))
			b.look()
		},
	} {
		for action, want := range map[channel.RefusalAction]string{0: "dropped", channel.RefusalWarn: "warned", channel.RefusalKeep: "kept"} {
			t.Run(name+", "+want, func(t *testing.T) {
				t.Parallel()
				ca, clock := newAuthority(t, "root"), newClock()
				a, b := newEnd(t, ca, clock, clientID, serverID), newEnd(t, ca, clock, serverID, clientID)
				a.renew(time.Second)
				a.look()
				b.config.Refused = action
				client, server := connectTCP(t, a.config, b.config)
				reading := make(chan error, 1)
				go func() {
					_, err := io.Copy(server, server)
					reading <- err
				}()
				roundTrip(t, client)
				spoil(a, b)
				if action == 0 {
					select {
					case err := <-reading:
						if !errors.Is(err, channel.ErrPeerRefused) {
							t.Errorf("Read: %v, want ErrPeerRefused", err)
						}
					case <-time.After(hang):
						t.Fatal("the connection lives on")
					}
					var told *netconn.AlertError
					if err := client.Update(t.Context()); !errors.As(err, &told) || told.Alert != channel.AlertBadCertificate {
						t.Errorf("the peer is told %v", err)
					}
					return
				}
				until(t, "the refusal", func() bool { return refusalOf(b, server) != nil })
				if action == channel.RefusalWarn {
					until(t, "the warning", func() bool { return len(b.refusals()) > 0 })
				}
				// It goes on as who it is, also with other keys, and as nobody else.
				roundTrip(t, client)
				if err := client.Update(t.Context()); err != nil {
					t.Errorf("an update: %v", err)
				}
				roundTrip(t, client)
				b.place.write("ca.crt", pemOf(newAuthority(t, "another").certificate))
				b.look()
				var told *netconn.AlertError
				if err := client.Rotate(t.Context(), newBasic(t)); !errors.As(err, &told) || told.Alert != channel.AlertBadCertificate {
					t.Errorf("another identity: %v", err)
				}
				if n := len(b.refusals()); action == channel.RefusalKeep && n != 0 {
					t.Errorf("%d warnings", n)
				}
			})
		}
	}
}

func newBasic(t testing.TB) mls.Identity {
	t.Helper()
	id, err := Generate(rand.Reader, "somebody else")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// roundTrip sends a little to a peer that echoes.
func roundTrip(t testing.TB, c *netconn.Conn) {
	t.Helper()
	want, got := []byte("there and back"), make([]byte, 14)
	if _, err := c.Write(want); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%q, %v", got, err)
	}
}

// refusalOf asks the validator about the peer that is shown, without any consequence.
func refusalOf(e *end, c *netconn.Conn) error {
	return e.config.Validator.ValidateLeaf(c.ConnectionState().Peer, nil)
}

// A session that was stored goes on under the certificates of today, though those that it
// was stored under have expired meanwhile.
func TestASessionIsResumedUnderRenewedCertificates(t *testing.T) {
	ca, clock := newAuthority(t, "root"), newClock()
	a, b := newEnd(t, ca, clock, clientID, serverID), newEnd(t, ca, clock, serverID, clientID)
	a.config.Store, b.config.Store, a.config.PeerName = channel.NewMemoryStore(0), channel.NewMemoryStore(0), "peer"
	client, server := connectTCP(t, a.config, b.config)
	go io.Copy(server, server)
	roundTrip(t, client)
	id := client.ConnectionState().SessionID
	for range 3 {
		client.Close()
		server.Close()
		clock.advance(2 * lifetime)
		for _, e := range []*end{a, b} {
			e.renew(lifetime)
			e.look()
		}
		client, server = connectTCP(t, a.config, b.config)
		go io.Copy(server, server)
		roundTrip(t, client)
		if s := client.ConnectionState(); !s.Resumed || s.SessionID != id {
			t.Errorf("%+v, want a resumption", s)
		}
		if peerSerial(t, client) != b.serial || peerSerial(t, server) != a.serial {
			t.Error("an end does not show the certificate of today")
		}
	}
}

// A key that is revoked in a known hosts file drops the living connection.
func TestARevokedHostIsDropped(t *testing.T) {
	place, tick := newPlace(t), make(chan time.Time)
	path := place.path("known_hosts")
	known := knownHosts(t, path, KnownHostsOptions{FirstUse: TrustOnFirstUse})
	host, self := newBasic(t), newBasic(t)
	pinned, err := NewPinned(self.Signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	initiator := &netconn.Config{Identity: self, Validator: peerOf(t, known, "db.example:7400")}
	responder := &netconn.Config{Identity: host, Validator: pinned}
	connectTCP(t, initiator, responder) // the first use, by which there is a file
	live := open(t, Files{Also: []string{path}, Tick: tick})
	initiator.Identities = live
	client, server := connectTCP(t, initiator, responder)
	go io.Copy(server, server)
	roundTrip(t, client)
	key, err := EncodePublicKey(host.Signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	if err := known.Revoke("db.example:7400", key); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		tick <- time.Time{}
	}
	client.SetReadDeadline(time.Now().Add(hang))
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, channel.ErrPeerRefused) || !errors.Is(err, ErrRevoked) {
		t.Errorf("Read: %v, want ErrRevoked", err)
	}
}
