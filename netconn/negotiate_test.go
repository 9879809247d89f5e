package netconn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/channel/record"
	"github.com/mendlink/mendlink/mls"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

func TestBothEndsSeeWhatWasNegotiated(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	ic.Store, rc.Store, ic.PeerName = newStore(), newStore(), "peer"
	ic.Protocols, rc.Protocols = []string{"one", "two"}, []string{"three", "two", "one"}
	ic.ServerName = "db.example"
	ic.Features, rc.Features = 1<<16|1<<20, 1<<20
	ic.MaxRecordSize, rc.MaxRecordSize = 1000, 2000
	ic.MaxEarlyData, rc.MaxEarlyData = 10, 20
	ic.TransportBinding, rc.TransportBinding = []byte("transport"), []byte("transport")
	psk := func(id []byte) ([]byte, error) {
		if string(id) != "known" {
			return nil, mls.ErrUnknownPSK
		}
		return []byte("pre-shared key"), nil
	}
	ic.PSK, rc.PSK = psk, psk
	ic.PSKIdentities, rc.RequirePSK = [][]byte{[]byte("known")}, true
	ic.OneSignature, rc.OneSignature = true, true
	for i := range 2 { // the second time in a resumption
		a, b := tcpPair(t)
		client, server := connect(t, a, b, ic, rc)
		exchange(t, client, server)
		for _, c := range []*Conn{client, server} {
			s := c.ConnectionState()
			n := s.Negotiated
			if s.Resumed != (i == 1) || n.Protocol != "two" || n.ServerName != "db.example" || n.Features != 1<<20 || len(n.PSKs) != 1 || string(n.PSKs[0]) != "known" {
				t.Errorf("%+v", s)
			}
		}
		cn, sn := client.ConnectionState().Negotiated, server.ConnectionState().Negotiated
		if cn.SendRecordSize != 2000 || cn.ReceiveRecordSize != 1000 || sn.SendRecordSize != 1000 || sn.ReceiveRecordSize != 2000 ||
			cn.SendEarlyData != 20 || sn.SendEarlyData != 10 {
			t.Errorf("sizes: %+v, %+v", cn, sn)
		}
		client.Close()
		server.Close()
	}
}

func TestARefusedHandshakeNamesItsReason(t *testing.T) {
	unknown := func([]byte) ([]byte, error) { return nil, mls.ErrUnknownPSK }
	for name, c := range map[string]struct {
		change func(ic, rc *Config)
		alert  channel.Alert
		text   string
		cause  error // at the responder
	}{
		"server name": {func(ic, rc *Config) {
			ic.ServerName = "other.example"
			rc.Select = func(channel.ClientHello) (*Config, error) { return nil, channel.ErrUnknownName }
		}, channel.AlertUnrecognizedName, "unrecognized_name", channel.ErrUnknownName},
		"selection": {func(ic, rc *Config) {
			rc.Select = func(channel.ClientHello) (*Config, error) { return nil, errors.New("not you") }
		}, channel.AlertAccessDenied, "access_denied", channel.ErrPeerRefused},
		"unusable selection": {func(ic, rc *Config) {
			rc.Select = func(channel.ClientHello) (*Config, error) { return &Config{}, nil }
		}, channel.AlertAccessDenied, "access_denied", nil},
		"protocol": {func(ic, rc *Config) { ic.Protocols, rc.Protocols = []string{"a"}, []string{"b"} },
			channel.AlertNoApplicationProtocol, "no_application_protocol", channel.ErrNoCommonProtocol},
		"transport": {func(ic, rc *Config) { ic.TransportBinding, rc.TransportBinding = []byte("a"), []byte("b") },
			channel.AlertHandshakeFailure, "handshake_failure", channel.ErrTransportBinding},
		"hello with one signature": {func(ic, rc *Config) { ic.OneSignature = true },
			channel.AlertHandshakeFailure, "handshake_failure", mls.ErrUnsupported},
		"pre-shared key": {func(ic, rc *Config) {
			ic.PSK, ic.PSKIdentities = func([]byte) ([]byte, error) { return []byte("x"), nil }, [][]byte{[]byte("x")}
			rc.PSK, rc.RequirePSK = unknown, true
		}, channel.AlertUnknownPSKIdentity, "unknown_psk_identity", channel.ErrPSK},
	} {
		t.Run(name, func(t *testing.T) {
			checkGoroutines(t)
			ic, rc := newConfigs(t)
			c.change(ic, rc)
			a, b := tcpPair(t)
			client, server := Client(a, ic), Server(b, rc)
			defer client.Close()
			defer server.Close()
			clientErr, serverErr := handshakeBoth(client, server)
			var told *AlertError
			if !errors.As(clientErr, &told) || told.Alert != c.alert || !containsText(told, c.text) {
				t.Errorf("initiator: %v, want the alert %v", clientErr, c.alert)
			}
			if serverErr == nil || c.cause != nil && !errors.Is(serverErr, c.cause) {
				t.Errorf("responder: %v, want %v", serverErr, c.cause)
			}
		})
	}
}

func containsText(err error, text string) bool {
	return err.Error() == fmt.Sprintf("netconn: the peer ended the handshake: %s (not authenticated)", text)
}

// It is the initiator who finds that there is no suite, once the responder has said which it has.
func TestNoCommonSuiteEndsBothHandshakes(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	rc.Suites = []ciphersuite.ID{3}
	a, b := tcpPair(t)
	client, server := Client(a, ic), Server(b, rc)
	defer client.Close()
	defer server.Close()
	clientErr, serverErr := handshakeBoth(client, server)
	var told *AlertError
	if !errors.Is(clientErr, channel.ErrNoCommonSuite) || !errors.As(serverErr, &told) || told.Alert != channel.AlertHandshakeFailure {
		t.Errorf("%v; %v", clientErr, serverErr)
	}
}

func TestAnotherSuiteIsFoundByARetry(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	ic.Suites, rc.Suites = []ciphersuite.ID{1, 3}, []ciphersuite.ID{3}
	a, b := tcpPair(t)
	client, server := connect(t, a, b, ic, rc)
	exchange(t, client, server)
	if s := client.ConnectionState(); s.Suite != 3 {
		t.Errorf("the suite is %v", s.Suite)
	}
}

func TestHostNamesAreSentAndAddressesAreNot(t *testing.T) {
	for _, c := range []struct{ network, address, want string }{
		{"tcp", "db.example:7000", "db.example"},
		{"tcp4", "db.example.:7000", "db.example"},
		{"tcp", "192.0.2.1:7000", ""},
		{"tcp6", "[2001:db8::1]:7000", ""},
		{"tcp", "[fe80::1%eth0]:7000", ""},
		{"tcp", ":7000", ""},
		{"tcp", "nonsense", ""},
		{"unix", "/run/secret:path", ""},
	} {
		if got := hostName(c.network, c.address); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.network, c.address, got, c.want)
		}
	}
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	address, _ := echoServer(t, rc)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ host, name, want string }{
		{"localhost", "", "localhost"}, {"localhost", "alias.example", "alias.example"}, {"127.0.0.1", "", ""},
	} {
		config := *ic
		config.ServerName = c.name
		conn := dial(t, net.JoinHostPort(c.host, port), &config)
		if got := conn.ConnectionState().Negotiated.ServerName; got != c.want {
			t.Errorf("%s: %q, want %q", c.host, got, c.want)
		}
		conn.Close()
	}
}

func TestASelectedConfigHoldsForTheConnection(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	virtual := *rc
	virtual.Identity = newIdentity(t, "virtual")
	virtual.Protocols = []string{"p"}
	virtual.Rekey.Every = 5 * time.Millisecond
	ic.ServerName, ic.Protocols, ic.Validator = "virtual.example", []string{"p"}, pin(t, virtual.Identity)
	rc.Select = func(hello channel.ClientHello) (*Config, error) {
		if hello.ServerName != "virtual.example" || len(hello.Protocols) != 1 || string(hello.Credential.Identity) != "initiator" {
			return nil, fmt.Errorf("the hello is %+v", hello)
		}
		return &virtual, nil
	}
	a, b := tcpPair(t)
	client, server := connect(t, a, b, ic, rc)
	for _, c := range []*Conn{client, server} {
		go io.Copy(io.Discard, c)
	}
	within(t, "updating by the policy that was selected", func() {
		for client.ConnectionState().Epoch < 4 {
			time.Sleep(time.Millisecond)
		}
	})
	s := client.ConnectionState()
	if string(s.Peer.Credential.Identity) != "virtual" || s.Negotiated.Protocol != "p" {
		t.Errorf("%+v", s)
	}
}

// measured notes the largest protected record that is written to a transport.
type measured struct {
	net.Conn
	mu      sync.Mutex
	rest    []byte
	largest int // of what follows the header
}

func (m *measured) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rest = append(m.rest, p...)
	for len(m.rest) >= record.HeaderSize {
		n := int(binary.BigEndian.Uint16(m.rest[3:]))
		if len(m.rest) < record.HeaderSize+n {
			break
		}
		if m.rest[0] == byte(record.ContentApplicationData) {
			m.largest = max(m.largest, n)
		}
		m.rest = m.rest[record.HeaderSize+n:]
	}
	return m.Conn.Write(p)
}

func TestRecordsAreNoLargerThanThePeerWants(t *testing.T) {
	checkGoroutines(t)
	for _, sizes := range [][2]int{{63, 16384}, {100, 63}, {1000, 2000}} {
		ic, rc := newConfigs(t)
		ic.MaxRecordSize, rc.MaxRecordSize = sizes[0], sizes[1]
		ic.Store, rc.Store, ic.PeerName = newStore(), newStore(), "peer"
		for i := range 2 { // the second time in a resumption
			a, b := tcpPair(t)
			ma, mb := &measured{Conn: a}, &measured{Conn: b}
			client, server := connect(t, ma, mb, ic, rc)
			stream(t, client, server, 200<<10, 50<<10, 30<<10)
			stream(t, server, client, 200<<10, 50<<10, 30<<10)
			go io.Copy(io.Discard, server)
			update(t, client)
			if client.ConnectionState().Resumed != (i == 1) {
				t.Error("resumed, or not")
			}
			client.Close()
			server.Close()
			for j, m := range []*measured{mb, ma} {
				if want := sizes[j] + 1 + record.TagSize; m.largest != want {
					t.Errorf("sizes %v: the largest record is %d, want %d", sizes, m.largest, want)
				}
			}
		}
	}
}

func TestALargerRecordIsRefused(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	rc.MaxRecordSize = 1000
	a, b := tcpPair(t)
	client, server := connect(t, a, b, ic, rc)
	client.sender.mu.Lock()
	client.sender.protection.LimitContent(1001)
	client.sender.mu.Unlock()
	if _, err := client.Write(make([]byte, 1001)); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Read(make([]byte, 2000)); !errors.Is(err, record.ErrOverflow) {
		t.Errorf("%v, want record.ErrOverflow", err)
	}
	var told *AlertError
	if _, err := client.Read(make([]byte, 1)); !errors.As(err, &told) || told.Alert != channel.AlertRecordOverflow {
		t.Errorf("%v, want record_overflow", err)
	}
}

func TestSmallRecordsDoNotAllocate(t *testing.T) {
	ic, rc := newConfigs(t)
	ic.MaxRecordSize, rc.MaxRecordSize = 63, 63
	a, b := tcpPair(t)
	client, server := connect(t, a, b, ic, rc)
	for _, size := range []int{1, 3 << 10, 16 << 10, 60 << 10} {
		p, q := make([]byte, size), make([]byte, size)
		there := func() {
			if _, err := client.Write(p); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(server, q); err != nil {
				t.Fatal(err)
			}
		}
		there()
		if n := testing.AllocsPerRun(50, there); n >= 1 && !raceEnabled {
			t.Errorf("%d octets: %v allocations, want 0", size, n)
		}
	}
}
