package config

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// whole is a configuration with nothing wrong; line numbers below count from its first line.
const whole = `identity:
  key: end.key
peers:
  fingerprints: ["SHA256:XOeKKyIgN8MXOeKKyIgN8MXOeKKyIgN8MXOeKKyIgN8"]
forwards:
  - name: postgres
    role: server
    listen: ":7000"
    forward: 127.0.0.1:5432
  - name: redis
    role: client
    transport: quic
    listen: unix:/run/redis.sock
    forward: cache.example:7001
    rekey: {every: 30s, bytes: 64MiB}
`

func TestWhatIsNotSaidIsInherited(t *testing.T) {
	f, err := Parse("/etc/mlstunnel/mlstunnel.yaml", []byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	if f.Admin != DefaultAdmin || f.Drain != DefaultDrain || f.Log != (Log{"info", "text"}) {
		t.Errorf("got admin %q, drain %v, log %v", f.Admin, f.Drain, f.Log)
	}
	server, client := f.Forwards[0], f.Forwards[1]
	if server.FilesEvery != DefaultFilesEvery || server.MaxHandshakes != DefaultMaxHandshakes || client.MaxHandshakes != 0 {
		t.Errorf("files are looked at each %v, and %d handshakes may be under way, %d of the client", server.FilesEvery, server.MaxHandshakes, client.MaxHandshakes)
	}
	if server.Transport != TCP || server.MaxConnections != DefaultMaxConnections || server.ConnectTimeout != DefaultConnectTimeout || server.KeepAlive != DefaultKeepAlive {
		t.Errorf("got %+v", server)
	}
	if server.Identity.Key != "/etc/mlstunnel/end.key" || client.Identity != server.Identity || client.Peers != f.Peers {
		t.Errorf("got the key %q, and others for the client", server.Identity.Key)
	}
	if *server.Rekey != (Rekey{}) || *client.Rekey != (Rekey{Every: 30 * time.Second, Bytes: 64 << 20}) {
		t.Errorf("got rekey %v and %v", *server.Rekey, *client.Rekey)
	}
}

func TestFilesAreLookedAtAsOftenAsIsSaid(t *testing.T) {
	text := strings.Replace("files_every: 1s\n"+whole, "    role: client\n", "    role: client\n    files_every: 2s\n", 1)
	f, err := Parse("x", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if server, client := f.Forwards[0].FilesEvery, f.Forwards[1].FilesEvery; server != time.Second || client != 2*time.Second {
		t.Errorf("each %v and %v, want a second and two", server, client)
	}
}

func TestErrorsNameFileLineAndField(t *testing.T) {
	const path = "/etc/mlstunnel.yaml"
	fingerprint := "SHA256:XOeKKyIgN8MXOeKKyIgN8MXOeKKyIgN8MXOeKKyIgN8"
	for _, test := range []struct {
		name, old, new string // what is replaced in whole
		want           string
	}{
		{"unknown key", "    role: server", "    rolle: server", ":7: forwards[0].rolle: unknown key"},
		{"unknown key at the top", "identity:\n", "identiti: 3\nidentity:\n", ":1: identiti: unknown key"},
		{"unknown key in a value", "bytes: 64MiB", "octets: 64MiB", ":15: forwards[1].rekey.octets: unknown key"},
		{"key twice", "    role: server", "    role: server\n    role: client", ":8: forwards[0].role: is there twice"},
		{"not YAML", "forwards:\n", "forwards: [\n", ":5: "},
		{"tab", "  key: end.key", "\tkey: end.key", ":2: "},
		{"list for a value", "role: server", "role: [server]", ":7: forwards[0].role: wants one value"},
		{"value for a list", `["` + fingerprint + `"]`, fingerprint, ":4: peers.fingerprints: wants a list"},
		{"value for keys", "  key: end.key", "  end.key", ":1: identity: wants keys and values"},
		{"duration", "every: 30s", "every: 30", ":15: forwards[1].rekey.every: wants a duration"},
		{"size", "bytes: 64MiB", "bytes: 64MB", ":15: forwards[1].rekey.bytes: wants a number"},
		{"size that does not fit", "bytes: 64MiB", "bytes: 9999999999999GiB", ":15: forwards[1].rekey.bytes: wants a number"},
		{"number", "    role: server", "    role: server\n    max_connections: many", ":8: forwards[0].max_connections: wants a whole number"},
		{"negative number", "    role: server", "    role: server\n    max_connections: -1", ":8: forwards[0].max_connections: must not be negative"},
		{"bool", "  key: end.key", "  key: end.key\n  group_readable: maybe", ":3: identity.group_readable: wants true or false"},
		{"role", "role: server", "role: both", ":7: forwards[0].role: wants one of server, client"},
		{"transport", "transport: quic", "transport: sctp", ":12: forwards[1].transport: wants one of tcp, quic"},
		{"missing address", `    listen: ":7000"` + "\n", "", ":6: forwards[0].listen: is missing"},
		{"address without port", "127.0.0.1:5432", "127.0.0.1", ":9: forwards[0].forward: wants host:port"},
		{"port", "127.0.0.1:5432", "127.0.0.1:70000", ":9: forwards[0].forward: wants a port"},
		{"no host to connect to", "127.0.0.1:5432", `":5432"`, ":9: forwards[0].forward: wants a host and a port"},
		{"unix socket for Mendlink", `":7000"`, "unix:/run/x", ":8: forwards[0].listen: wants host:port"},
		{"connecting to a passed socket", "cache.example:7001", "systemd:x", ":14: forwards[1].forward: wants where to connect to"},
		{"same name", "name: redis", "name: postgres", `:10: forwards[1].name: "postgres" is the name of forwards[0]`},
		{"name", "name: redis", `name: "a b"`, ":10: forwards[1].name: wants 1 to 64"},
		{"fingerprint", fingerprint, "SHA256:abc", ":4: peers.fingerprints[0]: wants SHA256:"},
		{"no key", "  key: end.key", "  name: x", ":1: identity.key: is missing"},
		{"nobody is trusted", `  fingerprints: ["` + fingerprint + `"]`, "  fingerprints: []", ":3: peers: wants one of"},
		{"two ways", "forwards:\n", "  known_hosts: hosts\nforwards:\n", ":3: peers: wants one of fingerprints or keys, roots, and known_hosts, got 2"},
		{"roots without names", `  fingerprints: ["` + fingerprint + `"]`, "  roots: [ca.crt]", ":3: peers.names: wants names, or any_name"},
		{"SPIFFE ID", `  fingerprints: ["` + fingerprint + `"]`, "  roots: [ca.crt]\n  names: ['spiffe://UPPER/x']", ":5: peers.names[0]: "},
		{"what becomes of refused peers", "forwards:\n", "  refused: ignore\nforwards:\n", ":5: peers.refused: wants one of drop, warn"},
		{"proxy protocol of a client", "    transport: quic", "    transport: quic\n    proxy_protocol: {send: true}", ":13: forwards[1].proxy_protocol: is for a server"},
		{"balancers over QUIC", "    role: server", "    role: server\n    transport: quic\n    proxy_protocol: {from: [10.0.0.1]}", ":9: forwards[0].proxy_protocol.from: is for tcp"},
		{"name of a balancer", "    role: server", "    role: server\n    proxy_protocol: {from: [10.0.0.1, lb.example]}", ":8: forwards[0].proxy_protocol.from[1]: wants an IP address or a network"},
		{"zone of a balancer", "    role: server", "    role: server\n    proxy_protocol: {from: ['fe80::1%eth0']}", ":8: forwards[0].proxy_protocol.from[0]: wants an IP address or a network"},
		{"network that is an address", "    role: server", "    role: server\n    proxy_protocol: {from: [10.0.0.1/8]}", ":8: forwards[0].proxy_protocol.from[0]: wants a network, which is 10.0.0.0/8,"},
		{"network of IPv4 in IPv6", "    role: server", "    role: server\n    proxy_protocol: {from: ['::ffff:10.0.0.0/104']}", ":8: forwards[0].proxy_protocol.from[0]: wants a network of IPv4 as such"},
		{"network that is none", "    role: server", "    role: server\n    proxy_protocol: {from: [10.0.0.0/33]}", ":8: forwards[0].proxy_protocol.from[0]: wants an IP address or a network"},
		{"admin for everybody", "identity:\n", "admin: 0.0.0.0:9470\nidentity:\n", ":1: admin: wants a loopback address"},
		{"sessions without a file", "identity:\n", "sessions:\n  key: k\nidentity:\n", ":1: sessions.file: is missing"},
		{"sessions without a key", "identity:\n", "sessions:\n  file: f\nidentity:\n", ":1: sessions.key: is missing"},
		{"sessions with two keys", "identity:\n", "sessions:\n  file: f\n  key: k\n  key_env: K\nidentity:\n", ":4: sessions.key_env: stands beside key"},
		{"sessions in their key", "identity:\n", "sessions:\n  file: f\n  key: f\nidentity:\n", ":3: sessions.key: is the file of the sessions"},
		{"alias", "identity:\n  key: end.key", "identity: &a\n  key: end.key\nrekey: *a", ":3: rekey: aliases are not supported"},
		{"too often", "every: 30s", "every: 1ms", ":15: forwards[1].rekey.every: must be 100ms at least"},
		{"negative number of handshakes", "    role: server", "    role: server\n    max_handshakes: -1", ":8: forwards[0].max_handshakes: must not be negative"},
		{"handshakes of a client", "    transport: quic", "    transport: quic\n    max_handshakes: 1", ":13: forwards[1].max_handshakes: is for a server"},
		{"spread over more than a day", "  key: end.key", "  key: end.key\n  spread: 25h", ":3: identity.spread: must be 24h0m0s at most"},
		{"looking too often", "identity:\n", "files_every: 1ms\nidentity:\n", ":1: files_every: must be 100ms at least"},
		{"looking never", "    role: server", "    role: server\n    files_every: -1s", ":8: forwards[0].files_every: must be 100ms at least"},
		{"two documents", "identity:\n", "--- {}\n---\nidentity:\n", ": there is a second document"},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := strings.Replace(whole, test.old, test.new, 1)
			if text == whole {
				t.Fatal("the test changes nothing")
			}
			_, err := Parse(path, []byte(text))
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, not an Error", err)
			}
			if !slices.ContainsFunc(strings.Split(err.Error(), "\n"), func(line string) bool { return strings.HasPrefix(line, path+test.want) }) {
				t.Errorf("got\n%v\nnot %s%s", err, path, test.want)
			}
		})
	}
}

// A key that somebody has put where the name of its file belongs is in no error: those are logged.
func TestAKeyInPlaceOfItsFileIsNotRepeated(t *testing.T) {
	const secret = "MC4CAQAwBQYDK2VwBCIEIPX5UJe8"
	const sealing = "deadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeef"
	pem := "|\n    -----BEGIN PRIVATE KEY-----\n    " + secret + "\n    -----END PRIVATE KEY-----"
	for _, test := range []struct {
		old, new string // what is replaced in whole
		want     string
	}{
		{"key: end.key", "key: " + pem, ":2: identity.key: wants the name of a file"},
		{"key: end.key", `key: "-----BEGIN PRIVATE KEY-----` + secret + `"`, ":2: identity.key: wants the name of a file"},
		{"key: end.key", "key: end.key\n  certificate: " + pem, ":3: identity.certificate: wants the name of a file"},
		{"forwards:\n", "  keys:\n  - " + pem + "\nforwards:\n", ": peers.keys[0]: wants the name of a file"},
		{"identity:\n", "sessions: {file: f, key: " + sealing + "}\nidentity:\n", ":1: sessions.key: wants the name of a file"},
		{"identity:\n", "sessions: {file: f, key_env: " + sealing + "}\nidentity:\n", ":1: sessions.key_env: wants the name of an environment variable"},
		{"identity:\n", "sessions: {file: f, key_env: 'abc+/" + secret + "'}\nidentity:\n", ":1: sessions.key_env: wants the name of an environment variable"},
	} {
		text := strings.Replace(whole, test.old, test.new, 1)
		_, err := Parse("x", []byte(text))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", test.new, err, test.want)
			continue
		}
		if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), sealing) {
			t.Errorf("%s: it shows in %v", test.new, err)
		}
	}
}

func TestBalancersAreThoseThatAreListed(t *testing.T) {
	p := &ProxyProtocol{From: []string{"192.0.2.1", "10.0.0.0/8", "2001:db8::/32", "::ffff:198.51.100.1"}}
	for address, want := range map[string]bool{
		"192.0.2.1": true, "192.0.2.2": false, "10.255.0.1": true, "11.0.0.1": false, "2001:db8::7": true, "2001:db9::7": false,
		"::ffff:192.0.2.1": true, "::ffff:10.1.1.1": true, "198.51.100.1": true, "2001:db8::7%eth0": true,
	} {
		if got := p.IsFrom(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: got %v", address, got)
		}
	}
	if (*ProxyProtocol)(nil).IsFrom(netip.MustParseAddr("192.0.2.1")) {
		t.Error("there is a balancer where none is listed")
	}
}

func TestAFileThatCannotBeReadIsNamed(t *testing.T) {
	directory := t.TempDir()
	large := filepath.Join(directory, "large.yaml")
	if err := os.WriteFile(large, make([]byte, maxFileSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(directory, "empty.yaml")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{large, empty, filepath.Join(directory, "absent.yaml")} {
		if _, err := Load(path); err == nil || !strings.HasPrefix(err.Error(), path+": ") {
			t.Errorf("%s: got %v", path, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(whole))
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := Parse("x", text)
		if (file == nil) == (err == nil) {
			t.Errorf("got %v and %v", file, err)
		}
	})
}

func ExampleParse() {
	_, err := Parse("mlstunnel.yaml", []byte("admin: off\nforwards:\n  - name: db\n    rolle: server\n"))
	fmt.Println(err)
	// Output:
	// mlstunnel.yaml:4: forwards[0].rolle: unknown key; known here: connect_timeout, files_every, forward, identity, keep_alive, listen, max_connections, max_handshakes, name, peers, proxy_protocol, rekey, role, transport
}
