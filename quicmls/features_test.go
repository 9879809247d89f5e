package quicmls

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/channel/record"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// sharedKeys is a Config.PSK that knows the keys of these identities.
func sharedKeys(known ...string) func([]byte) ([]byte, error) {
	return func(id []byte) ([]byte, error) {
		for _, k := range known {
			if string(id) == k {
				return []byte("the key of " + k), nil
			}
		}
		return nil, mls.ErrUnknownPSK
	}
}

func TestBothEndsSeeWhatWasNegotiated(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	withStores(ic, rc)
	ic.PeerName, ic.ServerName = "peer", "db.example"
	ic.Protocols, rc.Protocols = []string{"one", "two"}, []string{"three", "two", "one"}
	ic.Features, rc.Features = 1<<16|1<<20, 1<<20
	ic.MaxRecordSize, rc.MaxRecordSize = 1000, 2000
	ic.TransportBinding, rc.TransportBinding = []byte("more"), []byte("more")
	ic.PSK, rc.PSK = sharedKeys("known", "to the initiator"), sharedKeys("known")
	ic.PSKIdentities, rc.RequirePSK = [][]byte{[]byte("to the initiator"), []byte("known")}, true
	for i := range 2 { // the second time in a resumption
		client, server := connect(t, ic, rc)
		alive(t, client, server)
		for _, c := range []*Conn{client, server} {
			s := c.ConnectionState()
			n := s.Negotiated
			if s.Resumed != (i == 1) || n.Protocol != "two" || n.ServerName != "db.example" || n.Features != 1<<20 || len(n.PSKs) != 1 || string(n.PSKs[0]) != "known" {
				t.Errorf("%+v", s)
			}
		}
		cn, sn := client.ConnectionState().Negotiated, server.ConnectionState().Negotiated
		if cn.SendRecordSize != 2000 || cn.ReceiveRecordSize != 1000 || sn.SendRecordSize != 1000 || sn.ReceiveRecordSize != 2000 {
			t.Errorf("sizes: %+v, %+v", cn, sn)
		}
		client.CloseWithError(0, "")
		server.CloseWithError(0, "")
	}
}

func TestARefusedHandshakeNamesItsReason(t *testing.T) {
	for name, c := range map[string]struct {
		change func(ic, rc *Config)
		alert  channel.Alert // that the initiator gets
		cause  error         // at the responder
	}{
		"server name": {func(ic, rc *Config) {
			ic.ServerName = "other.example"
			rc.Select = func(channel.ClientHello) (*channel.Config, error) { return nil, channel.ErrUnknownName }
		}, channel.AlertUnrecognizedName, channel.ErrUnknownName},
		"selection": {func(ic, rc *Config) {
			rc.Select = func(channel.ClientHello) (*channel.Config, error) { return nil, errors.New("not you") }
		}, channel.AlertAccessDenied, channel.ErrPeerRefused},
		"protocol": {func(ic, rc *Config) { ic.Protocols, rc.Protocols = []string{"a"}, []string{"b"} },
			channel.AlertNoApplicationProtocol, channel.ErrNoCommonProtocol},
		"binding": {func(ic, rc *Config) { ic.TransportBinding, rc.TransportBinding = []byte("a"), []byte("b") },
			channel.AlertHandshakeFailure, channel.ErrTransportBinding},
		"pre-shared key": {func(ic, rc *Config) {
			ic.PSK, ic.PSKIdentities = sharedKeys("x"), [][]byte{[]byte("x")}
			rc.PSK, rc.RequirePSK = sharedKeys(), true
		}, channel.AlertUnknownPSKIdentity, channel.ErrPSK},
		"peer": {func(ic, rc *Config) { rc.Validator = pin(t, newIdentity(t, "another")) },
			channel.AlertBadCertificate, channel.ErrPeerRefused},
	} {
		t.Run(name, func(t *testing.T) {
			checkGoroutines(t)
			ic, rc := newConfigs(t)
			c.change(ic, rc)
			_, _, clientErr, serverErr := dialThrough(t, ic, rc, func(address string) string { return address })
			var told *AlertError
			if !errors.As(clientErr, &told) || told.Alert != c.alert {
				t.Errorf("initiator: %v, want the alert %v", clientErr, c.alert)
			}
			if !errors.Is(serverErr, c.cause) {
				t.Errorf("responder: %v, want %v", serverErr, c.cause)
			}
		})
	}
}

func TestTheHostsNameIsSentUnlessThereIsNone(t *testing.T) {
	for address, want := range map[string]string{
		"db.example:7000": "db.example", "192.0.2.1:7000": "", "[2001:db8::1]:7000": "", ":7000": "", "nonsense": "",
	} {
		c := new(Config)
		c.named(address)
		if c.ServerName != want || c.PeerName != address {
			t.Errorf("%s: the name is %q, want %q", address, c.ServerName, want)
		}
	}
}

func TestASelectedConfigHoldsForTheConnection(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	virtual := rc.Config
	virtual.Identity = newIdentity(t, "virtual")
	virtual.Protocols = []string{"p"}
	ic.ServerName, ic.Protocols, ic.Validator = "virtual.example", []string{"p"}, pin(t, virtual.Identity)
	rc.Select = func(hello channel.ClientHello) (*channel.Config, error) {
		if hello.ServerName != "virtual.example" || len(hello.Protocols) != 1 || string(hello.Credential.Identity) != "initiator" {
			return nil, errors.New("another hello")
		}
		return &virtual, nil
	}
	client, server := connect(t, ic, rc)
	alive(t, client, server)
	if s := client.ConnectionState(); string(s.Peer.Credential.Identity) != "virtual" || s.Negotiated.Protocol != "p" {
		t.Errorf("%+v", s)
	}
}

func TestRotateGivesThePeerAnotherIdentity(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	next := newIdentity(t, "next")
	rc.Validator = pin(t, ic.Identity, next)
	client, server := connect(t, ic, rc)
	if err := client.Rotate(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if got := string(server.ConnectionState().Peer.Credential.Identity); got != "next" {
		t.Errorf("the peer is %q", got)
	}
	alive(t, client, server)

	err := client.Rotate(t.Context(), newIdentity(t, "stranger"))
	var told *AlertError
	if !errors.As(err, &told) || told.Alert != channel.AlertBadCertificate {
		t.Errorf("%v, want bad_certificate", err)
	}
	if _, err := server.AcceptStream(t.Context()); err == nil {
		t.Error("the connection goes on")
	}
}

// A moody validator changes its mind.
type moody struct {
	mu  sync.Mutex
	err error
}

func (m *moody) ValidateLeaf(*mls.LeafNode, *mls.LeafNode) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

func (m *moody) refuse(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

func TestRevalidateAsksAgain(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	withStores(ic, rc)
	validator, revoked := new(moody), errors.New("revoked")
	rc.Validator = validator
	client, server := connect(t, ic, rc)
	if err := server.Revalidate(channel.RefusalClose); err != nil {
		t.Fatal(err)
	}
	validator.refuse(revoked)
	if err := server.Revalidate(channel.RefusalKeep); err != nil {
		t.Errorf("%v, though the refusal is to be kept", err)
	}
	if err := server.Revalidate(channel.RefusalWarn); !errors.Is(err, revoked) {
		t.Errorf("%v, want the validator's error", err)
	}
	a, b := openPair(t, client, server)
	exchange(t, a, b)
	if err := server.Revalidate(channel.RefusalClose); !errors.Is(err, revoked) || !errors.Is(err, channel.ErrPeerRefused) {
		t.Errorf("%v, want the validator's error", err)
	}
	var told *AlertError
	if _, err := a.Read(make([]byte, 1)); !errors.As(err, &told) || told.Alert != channel.AlertBadCertificate {
		t.Errorf("the peer gets %v, want bad_certificate", err)
	}
	if _, err := rc.Store.Load(t.Context(), server.ConnectionState().SessionID); !errors.Is(err, channel.ErrNoSession) {
		t.Errorf("the session is in the store still: %v", err)
	}
}

func TestAKeyIsInjected(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	ic.PSK, rc.PSK = sharedKeys("shared", "of the initiator alone"), sharedKeys("shared")
	client, server := connect(t, ic, rc)
	if err := client.InjectPSK(t.Context(), []byte("shared")); err != nil {
		t.Fatal(err)
	}
	if x, y := client.ConnectionState().Epoch, server.ConnectionState().Epoch; x != 2 || y != 2 {
		t.Errorf("epochs %d and %d, want 2", x, y)
	}
	alive(t, client, server)
	if err := client.InjectPSK(t.Context(), []byte("of nobody")); !errors.Is(err, mls.ErrUnknownPSK) {
		t.Errorf("%v, want mls.ErrUnknownPSK", err)
	}
	alive(t, client, server)
	var told *AlertError
	if err := client.InjectPSK(t.Context(), []byte("of the initiator alone")); !errors.As(err, &told) || told.Alert != channel.AlertUnknownPSKIdentity {
		t.Errorf("%v, want unknown_psk_identity", err)
	}
}

// epochComes waits until both ends have come to an epoch by themselves.
func epochComes(t *testing.T, epoch uint64, ends ...*Conn) {
	t.Helper()
	within(t, "an update by the policy", func() {
		for _, c := range ends {
			for c.ConnectionState().Epoch < epoch && c.Context().Err() == nil {
				time.Sleep(time.Millisecond)
			}
		}
	})
	for _, c := range ends {
		if got := c.ConnectionState().Epoch; got < epoch {
			t.Errorf("epoch is %d, want %d", got, epoch)
		}
	}
}

func TestKeysChangeByWhatFlows(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	ic.Rekey.Bytes = 1 << 20
	client, server := connect(t, ic, rc)
	a, b := openPair(t, client, server)
	go io.Copy(io.Discard, b)
	for epoch := range uint64(3) {
		if _, err := a.Write(make([]byte, 1<<20-1<<10)); err != nil {
			t.Fatal(err)
		}
		if got := client.ConnectionState().Epoch; got != epoch+1 {
			t.Fatalf("epoch is %d, want %d", got, epoch+1)
		}
		if _, err := a.Write(make([]byte, 1<<10)); err != nil {
			t.Fatal(err)
		}
		epochComes(t, epoch+2, client, server)
	}
	if err := client.ConnectionState().LastUpdateError; err != nil {
		t.Error(err)
	}
}

// Datagrams count like everything else.
func TestKeysChangeByDatagrams(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	ic.Rekey.Records = 10
	client, server := connect(t, ic, rc)
	for range 9 {
		if err := client.SendDatagram([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if got := client.ConnectionState().Epoch; got != 1 {
		t.Errorf("epoch is %d after 9 datagrams", got)
	}
	if err := client.SendDatagram([]byte("x")); err != nil {
		t.Fatal(err)
	}
	epochComes(t, 2, client, server)
}

func TestKeysChangeByTheirAge(t *testing.T) {
	checkGoroutines(t)
	for name, change := range map[string]func(ic, rc *Config){
		"of the initiator": func(ic, rc *Config) { ic.Rekey.Every = 5 * time.Millisecond },
		"of the responder": func(ic, rc *Config) { rc.Rekey.Every = 5 * time.Millisecond },
	} {
		ic, rc := newConfigs(t)
		change(ic, rc)
		client, server := connect(t, ic, rc)
		if epochComes(t, 5, client, server); t.Failed() {
			t.Errorf("age %s", name)
		}
		a, b := openPair(t, client, server)
		exchange(t, a, b)
	}
}

// certified returns an identity with a certificate that ends at some time.
func certified(t testing.TB, notAfter time.Time) mls.Identity {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: notAfter.Add(-100 * time.Hour), NotAfter: notAfter}
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
	rc.Validator = new(moody)
	ic.Identity = certified(t, time.Now().Add(time.Minute))
	ic.Rekey.BeforeExpiry = time.Hour
	next := certified(t, time.Now().Add(48*time.Hour))
	calls := make(chan context.Context, 10)
	ic.Renew = func(ctx context.Context) (mls.Identity, error) {
		calls <- ctx
		return next, nil
	}
	client, server := connect(t, ic, rc)
	epochComes(t, 2, client, server)
	if got := server.ConnectionState().Peer.Credential; string(got.Certificates[0]) != string(next.Credential.Certificates[0]) {
		t.Error("the peer has another certificate still")
	}
	alive(t, client, server)
	if len(calls) != 1 {
		t.Errorf("Renew was called %d times, want once", len(calls))
	}
	client.CloseWithError(0, "")
	if ctx := <-calls; ctx.Err() == nil {
		t.Error("Renew's context lives on after the connection")
	}
}

// sizes keeps the length of the largest record that is handed to QUIC.
type sizes struct {
	quicSender
	mu      sync.Mutex
	largest int
}

func (s *sizes) note(p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(p) > 0 {
		h, err := record.ParseStreamHeader(p)
		if err != nil {
			panic(err) // a write holds whole records
		}
		s.largest, p = max(s.largest, h.Length), p[record.StreamHeaderSize+h.Length:]
	}
}

func (s *sizes) Write(p []byte) (int, error) {
	s.note(p)
	return s.quicSender.Write(p)
}

func TestRecordsAreNoLargerThanThePeerWants(t *testing.T) {
	checkGoroutines(t)
	for _, limits := range [][2]int{{63, 16384}, {100, 63}, {1000, 2000}} {
		ic, rc := newConfigs(t)
		withStores(ic, rc)
		ic.MaxRecordSize, rc.MaxRecordSize, ic.PeerName = limits[0], limits[1], "peer"
		for i := range 2 { // the second time in a resumption
			client, server := connect(t, ic, rc)
			for j, ends := range [][2]*Conn{{server, client}, {client, server}} {
				s, err := ends[0].OpenUniStream()
				if err != nil {
					t.Fatal(err)
				}
				seen := &sizes{quicSender: s.quic}
				s.quic = seen
				const octets = 100 << 10
				var wg sync.WaitGroup
				wg.Go(func() {
					for range 2 { // the second time in another epoch
						if _, err := s.Write(make([]byte, octets)); err != nil {
							t.Error(err)
						}
						update(t, client)
					}
					s.Close()
				})
				r, err := ends[1].AcceptUniStream(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(r); err != nil || len(got) != 2*octets {
					t.Errorf("%d octets, %v", len(got), err)
				}
				wg.Wait()
				if want := limits[j] + 1 + record.TagSize; seen.largest != want {
					t.Errorf("limits %v: the largest record is %d, want %d", limits, seen.largest, want)
				}
			}
			if client.ConnectionState().Resumed != (i == 1) {
				t.Error("resumed, or not")
			}
			client.CloseWithError(0, "")
			server.CloseWithError(0, "")
		}
	}
}

func TestALargerRecordIsRefused(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	log := new(keyLog)
	ic.KeyLogWriter, rc.MaxRecordSize = log, 1000
	client, server := connect(t, ic, rc)
	a, b := openPair(t, client, server)
	update(t, server)
	settle(client)
	suite, err := ciphersuite.Default().Lookup(client.ConnectionState().Suite)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := record.NewEpochSecret(suite, 2, log.secrets[0][2], record.MaxPlaintext)
	if err != nil {
		t.Fatal(err)
	}
	client.sending.mu.Lock()
	client.sending.secret = secret
	client.sending.mu.Unlock()
	if _, err := a.Write(make([]byte, 1001)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Read(make([]byte, 2000)); !errors.Is(err, record.ErrOverflow) {
		t.Errorf("%v, want record.ErrOverflow", err)
	}
	var told *AlertError
	if _, err := a.Read(make([]byte, 1)); !errors.As(err, &told) || told.Alert != channel.AlertRecordOverflow {
		t.Errorf("%v, want record_overflow", err)
	}
}
