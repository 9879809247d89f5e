package tlspsk

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"
)

const sessionsHaveChanged = `This version of Go encodes a tls.SessionState in another way than package tlspsk does.
Nothing is insecure: keys are refused with ErrEncoding. Read the comment in crypto/tls/ticket.go, change
encodeState in state.go, and check docs/quic-keying.md against the new source.`

// Go's encoding of sessions is none of its promises. This test looks at sessions that
// crypto/tls has made by itself, in a handshake with certificates, and compares them with what we write
// for the same values.
func TestGoEncodesSessionsAsWeDo(t *testing.T) {
	onEachCarrier(t, func(t *testing.T, c carrier) {
		certificate := newImpostor(t, "server.example")
		states := make(map[uint8][]byte)
		var mu sync.Mutex
		keep := func(kind uint8, state *tls.SessionState, err error) {
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				state.EarlyData, state.Extra = false, nil
				states[kind], err = state.Bytes()
			}
			if err != nil {
				t.Error(err)
			}
		}
		server := &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: testConfig.Protocols, MinVersion: tls.VersionTLS13}
		server.WrapSession = func(_ tls.ConnectionState, state *tls.SessionState) ([]byte, error) {
			keep(serverState, state, nil)
			return []byte("ticket"), nil
		}
		tickets := &collector{ClientSessionCache: tls.NewLRUClientSessionCache(1), session: make(chan *tls.ClientSessionState, 1)}
		client := &tls.Config{NextProtos: testConfig.Protocols, ServerName: "server.example", ClientSessionCache: tickets}
		client.RootCAs = x509.NewCertPool()
		client.RootCAs.AddCert(certificate.Leaf)
		c.meet(t, client, server).verify(t)
		select {
		case session := <-tickets.session:
			_, state, err := session.ResumptionState()
			keep(clientState, state, err)
		case <-time.After(hang):
			t.Fatal("no ticket came")
		}
		for kind, want := range states {
			// What stands in them is read by hand.
			created := binary.BigEndian.Uint64(want[5:])
			secret := want[secretOffset:][:secretSize]
			certificates := [][]byte{nil, nil, certificate.Certificate[0]}
			got := encodeState(kind, secret, certificates[kind], created)
			if kind == clientState { // until when it may be used is the server's, and how its age is hidden
				end := len(got) - 12
				copy(got[end:], want[min(end, len(want)):])
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s\nkind %d: we write\n%x\nand Go\n%x", sessionsHaveChanged, kind, got, want)
			}
			if _, err := parseState(got); err != nil {
				t.Errorf("%s\nkind %d: %v", sessionsHaveChanged, kind, err)
			}
		}
		if len(states) != 2 {
			t.Errorf("sessions of %d ends", len(states))
		}
	})
}

// What is written stays as it is.
func TestEncodingOfSessions(t *testing.T) {
	secret, decoy := bytes.Repeat([]byte{0xab}, 4), []byte{0xde, 0xc0}
	for kind, want := range map[uint8]string{
		serverState: "0304" + "01" + "1301" + "0000000000000102" + "04abababab" + "000000" + "00" + "00" + "000000" + "000000",
		clientState: "0304" + "02" + "1301" + "0000000000000102" + "04abababab" + "000000" + "00" + "00" +
			"000007" + "000002dec0" + "0000" + "000003000000" + "0000000000000f12" + "00000000",
	} {
		got := encodeState(kind, secret, decoy, 0x102)
		if hex.EncodeToString(got) != want {
			t.Errorf("kind %d: got %x, want %s", kind, got, want)
		}
		if !bytes.Equal(got[secretOffset:][:len(secret)], secret) {
			t.Errorf("kind %d: the secret is not where it is erased", kind)
		}
	}
}

// laterGo are ways in which a version of Go could read what we write. None of them leads
// to a connection.
var laterGo = map[string]func([]byte) (*tls.SessionState, error){
	"refuses it": func([]byte) (*tls.SessionState, error) { return nil, errors.New("tls: invalid session encoding") },
	"reads another secret": func(b []byte) (*tls.SessionState, error) {
		b = bytes.Clone(b)
		b[secretOffset] ^= 1
		return tls.ParseSessionState(b)
	},
	"reads another version": func(b []byte) (*tls.SessionState, error) {
		b = bytes.Clone(b)
		b[1] = 3
		return tls.ParseSessionState(append(b, 0, 0))
	},
	"has a field more": func(b []byte) (*tls.SessionState, error) {
		state, err := tls.ParseSessionState(b)
		if err == nil {
			state.Extra = [][]byte{{}}
		}
		return state, err
	},
	"allows early data": func(b []byte) (*tls.SessionState, error) {
		state, err := tls.ParseSessionState(b)
		if err == nil {
			state.EarlyData = true
		}
		return state, err
	},
}

// playLaterGo reads sessions in another way until restore is called.
func playLaterGo(reads func([]byte) (*tls.SessionState, error)) (restore func()) {
	parse = reads
	return func() { parse = tls.ParseSessionState }
}

func TestAnotherEncodingIsAnError(t *testing.T) {
	client, server := newEnds(t)
	for name, reads := range laterGo {
		a, b := newKeys(t)
		restore := playLaterGo(reads)
		_, clientErr := NewClient(testConfig)
		_, serverErr := NewServer(testConfig)
		_, configErr := client.Config(a)
		expectErr := server.Expect(b)
		restore()
		for what, err := range map[string]error{"NewClient": clientErr, "NewServer": serverErr, "Config": configErr, "Expect": expectErr} {
			if !errors.Is(err, ErrEncoding) {
				t.Errorf("%s: %s: %v", name, what, err)
			}
		}
		server.expect(t, b) // nothing was used up
		client.config(t, a)
	}
}

// Even if the checks above had gone well, a handshake with a session that was read in
// another way would fail, and not go on without a key.
func TestAnotherEncodingFailsClosed(t *testing.T) {
	onEachCarrier(t, func(t *testing.T, c carrier) {
		for name, reads := range laterGo {
			t.Log(name)
			client, server := newEnds(t)
			a, b := newKeys(t)
			server.expect(t, b)
			config := client.config(t, a.clone())
			restore := playLaterGo(reads)
			m := c.meet(t, config, server.Config())
			restore()
			m.refused(t, nil)
		}
		// At one end alone.
		client, server := newEnds(t)
		a, b := newKeys(t)
		server.expect(t, b)
		restore := playLaterGo(func(data []byte) (*tls.SessionState, error) {
			if data[2] == serverState {
				return nil, errors.New("tls: invalid session encoding")
			}
			return tls.ParseSessionState(data)
		})
		m := c.meet(t, client.config(t, a), server.Config())
		restore()
		m.refused(t, ErrEncoding)
	})
}

// After the handshake the key is gone from both ends, and from the sessions that crypto/tls
// was given.
func TestKeysAreErasedInTheHandshake(t *testing.T) {
	onEachCarrier(t, func(t *testing.T, c carrier) {
		client, server := newEnds(t)
		a, b := newKeys(t)
		secret := bytes.Clone(a.secret)
		memory := [][]byte{a.secret, b.secret}
		var mu sync.Mutex
		var states []*tls.SessionState
		restore := playLaterGo(func(data []byte) (*tls.SessionState, error) {
			state, err := tls.ParseSessionState(data)
			if bytes.Contains(data, secret) {
				mu.Lock()
				defer mu.Unlock()
				states, memory = append(states, state), append(memory, data)
			}
			return state, err
		})
		defer restore()
		server.expect(t, b)
		c.meet(t, client.config(t, a), server.Config()).verify(t)
		mu.Lock()
		defer mu.Unlock()
		if len(states) != 2 {
			t.Fatalf("%d sessions with the key, want one of each end", len(states))
		}
		for i, state := range states {
			encoded, err := state.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(encoded, secret) {
				t.Errorf("session %d still has the key", i)
			}
		}
		for i, m := range memory {
			if bytes.Contains(m, secret) {
				t.Errorf("memory %d still has the key", i)
			}
		}
	})
}

// Sessions share their certificate with one another. Erasing one must not harm the rest.
func TestErasingASessionLeavesTheCertificate(t *testing.T) {
	der, _, err := newCertificate(DefaultServerName)
	if err != nil {
		t.Fatal(err)
	}
	state, memory, err := newState(clientState, bytes.Repeat([]byte{1}, secretSize), der, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	clear(memory)
	if _, _, err := newState(clientState, bytes.Repeat([]byte{2}, secretSize), der, time.Now()); err != nil {
		t.Error(err)
	}
	runtime.KeepAlive(state) // and with it the certificate in crypto/tls's cache
}

// Nothing that a client may send as a name makes a server do more than say no.
func FuzzNames(f *testing.F) {
	server, err := NewServer(testConfig)
	if err != nil {
		f.Fatal(err)
	}
	key := &Key{id: ID{1}, secret: make([]byte, secretSize)}
	if err := server.Expect(key); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{})
	f.Add(key.id[:])
	f.Add(append(key.id[:], 0))
	f.Fuzz(func(t *testing.T, name []byte) {
		h := &serverHandshake{server: server}
		state, err := h.lookUp(name, tls.ConnectionState{})
		if err != nil || (state != nil) != bytes.Equal(name, key.id[:]) {
			t.Fatalf("%x: %v, %v", name, state, err)
		}
		if _, err := h.lookUp(name, tls.ConnectionState{}); state != nil && err == nil {
			t.Fatal("two keys in a hello")
		}
	})
}
