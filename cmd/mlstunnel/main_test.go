package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/links"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/testbed"
	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/store/seal"
)

// TestMain lets the test binary be mlstunnel, for tests of it as a process.
func TestMain(m *testing.M) {
	if os.Getenv("MLSTUNNEL_TEST_PROCESS") != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A process is a running mlstunnel.
type process struct {
	t   *testing.T
	cmd *exec.Cmd

	mu   sync.Mutex
	text bytes.Buffer        // all that it has logged
	logs chan map[string]any // lines of its log, as it comes; closed at its end
	end  chan error          // how it ended
}

// startProcess starts mlstunnel. prepare changes the command before.
func startProcess(t *testing.T, prepare func(*exec.Cmd), args ...string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command(self, args...), logs: make(chan map[string]any, 10000), end: make(chan error, 1)}
	p.cmd.Env = append(os.Environ(), "MLSTUNNEL_TEST_PROCESS=1")
	if prepare != nil {
		prepare(p.cmd)
	}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		lines := bufio.NewScanner(stderr)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			p.mu.Lock()
			p.text.Write(append(lines.Bytes(), '\n'))
			p.mu.Unlock()
			var line map[string]any
			if json.Unmarshal(lines.Bytes(), &line) == nil {
				p.logs <- line
			}
		}
		close(p.logs)
		p.end <- p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill() // no error matters: it may have ended
		if t.Failed() {
			t.Logf("%v logged:\n%s", args, p.output())
		}
	})
	return p
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// logged waits for a line of the log with this message.
func (p *process) logged(message string) map[string]any {
	p.t.Helper()
	for line := range p.logs {
		if line["msg"] == message {
			return line
		}
	}
	p.t.Fatalf("%q was never logged; the log is\n%s", message, p.output())
	return nil
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// ended waits for the end of the process.
func (p *process) ended() error {
	for range p.logs {
	}
	return <-p.end
}

// writeConfig writes a configuration that logs as JSON.
func writeConfig(t *testing.T, path, admin, forwards string) {
	t.Helper()
	testbed.Write(t, path, fmt.Appendf(nil, "log: {format: json, level: debug}\nadmin: %s\ndrain: 30s\nforwards:\n%s", admin, forwards))
}

func forwardYAML(name, role, listen, forward, key, peer string) string {
	return fmt.Sprintf("  - {name: %s, role: %s, listen: '%s', forward: '%s', connect_timeout: 60s, identity: {key: '%s', name: %s}, peers: {fingerprints: ['%s']}}\n",
		name, role, listen, forward, key, name, peer)
}

// newPair writes the configurations of a server and a client of an echo service, whose addresses are only
// known later, and starts the server.
type pair struct {
	serverKey, clientKey     string
	serverPrint, clientPrint string
	serverConfig             string
	server, client           *process
	address                  string // of the client
	serverAddress            string
}

func startPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{serverConfig: filepath.Join(t.TempDir(), "server.yaml")}
	p.serverKey, p.serverPrint = testbed.Key(t, "server")
	p.clientKey, p.clientPrint = testbed.Key(t, "client")
	writeConfig(t, p.serverConfig, "127.0.0.1:0", forwardYAML("server", "server", "127.0.0.1:0", testbed.Echo(t), p.serverKey, p.clientPrint))
	p.server = startProcess(t, nil, "run", "--config", p.serverConfig)
	p.serverAddress = p.server.logged("listening")["address"].(string)
	clientConfig := filepath.Join(t.TempDir(), "client.yaml")
	writeConfig(t, clientConfig, "'off'", forwardYAML("client", "client", "127.0.0.1:0", p.serverAddress, p.clientKey, p.serverPrint))
	p.client = startProcess(t, nil, "client", "--config", clientConfig)
	p.address = p.client.logged("listening")["address"].(string)
	return p
}

func TestTERMDrainsAProcess(t *testing.T) {
	p := startPair(t)
	c := testbed.Dial(t, "tcp", p.address).(*net.TCPConn)
	testbed.SayAndHear(t, c, "before")
	p.server.signal(syscall.SIGTERM)
	p.server.logged("draining")
	testbed.SayAndHear(t, c, "while it drains")
	c.CloseWrite()
	if rest, err := io.ReadAll(c); len(rest) != 0 || err != nil {
		t.Errorf("got %q, %v", rest, err)
	}
	if err := p.server.ended(); err != nil {
		t.Errorf("the server ended with %v", err)
	}
	// A second signal does not wait.
	testbed.Dial(t, "tcp", p.address) // has no server, and waits for one
	p.client.logged("dialling the server")
	p.client.signal(syscall.SIGTERM)
	p.client.logged("draining")
	p.client.signal(syscall.SIGTERM)
	var exit *exec.ExitError
	if err := p.client.ended(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("the client ended with %v, want status 1", err)
	}
	if !strings.Contains(p.client.output(), "mlstunnel: "+errCutNow.Error()+"\n") {
		t.Errorf("the client does not say why it ended with status 1; it said\n%s", p.client.output())
	}
}

func TestHUPReloadsAProcess(t *testing.T) {
	p := startPair(t)
	c := testbed.Dial(t, "tcp", p.address)
	testbed.SayAndHear(t, c, "before")
	first := forwardYAML("server", "server", "127.0.0.1:0", testbed.Echo(t), p.serverKey, p.clientPrint)
	writeConfig(t, p.serverConfig, "127.0.0.1:0", first+"  - {rolle: server}\n")
	p.server.signal(syscall.SIGHUP)
	if line := p.server.logged("reload: all stays as it was"); !strings.Contains(fmt.Sprint(line["error"]), p.serverConfig+":6: forwards[1].rolle: unknown key") {
		t.Errorf("got %v", line)
	}
	testbed.SayAndHear(t, c, "after a reload that failed")
	writeConfig(t, p.serverConfig, "127.0.0.1:0", first+forwardYAML("second", "server", "127.0.0.1:0", testbed.Echo(t), p.serverKey, p.clientPrint))
	p.server.signal(syscall.SIGHUP)
	if line := p.server.logged("listening"); line["forward"] != "second" {
		t.Errorf("got %v", line)
	}
	p.server.logged("reloaded")
	testbed.SayAndHear(t, c, "after a reload")
}

func TestAReloadChangesHowMuchIsLogged(t *testing.T) {
	key, fingerprint := testbed.Key(t, "client")
	path := filepath.Join(t.TempDir(), "client.yaml")
	write := func(level string) {
		testbed.Write(t, path, fmt.Appendf(nil, "log: {format: json, level: %s}\nadmin: 'off'\nforwards:\n%s", level,
			forwardYAML("client", "client", "127.0.0.1:0", "127.0.0.1:1", key, fingerprint)))
	}
	write("info")
	p := startProcess(t, nil, "run", "--config", path)
	address := p.logged("listening")["address"].(string)
	write("debug")
	p.signal(syscall.SIGHUP)
	p.logged("reloaded")
	testbed.Dial(t, "tcp", address)
	p.logged("dialling the server") // which is of no interest, unless one looks for something
}

func TestSocketsOfTheServiceManagerAreUsed(t *testing.T) {
	for _, transport := range []string{"tcp", "quic"} {
		t.Run(transport, func(t *testing.T) {
			var socket interface{ File() (*os.File, error) }
			var address string
			if transport == "tcp" {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				socket, address = l.(*net.TCPListener), l.Addr().String()
			} else {
				c, err := net.ListenPacket("udp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				socket, address = c.(*net.UDPConn), c.LocalAddr().String()
			}
			file, err := socket.File()
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			directory := t.TempDir()
			notified, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(directory, "notify"), Net: "unixgram"})
			if err != nil {
				t.Fatal(err)
			}
			defer notified.Close()
			serverKey, serverPrint := testbed.Key(t, "server")
			clientKey, clientPrint := testbed.Key(t, "client")
			path := filepath.Join(directory, "mlstunnel.yaml")
			writeConfig(t, path, "unix:"+filepath.Join(directory, "admin"),
				strings.Replace(forwardYAML("server", "server", "systemd:front", testbed.Echo(t), serverKey, clientPrint), "role:", "transport: "+transport+", role:", 1))
			server := startProcess(t, func(c *exec.Cmd) {
				withSocket(c, file)
				c.Env = append(c.Env, "NOTIFY_SOCKET="+filepath.Join(directory, "notify"))
			}, "run", "--config", path)
			wantNotified(t, notified, "READY=1")
			client := startProcess(t, nil, "client", "--transport", transport, "--listen", "127.0.0.1:0", "--forward", address, "--key", clientKey, "--peer", serverPrint,
				"--admin", "off", "--log-format", "json")
			testbed.SayAndHear(t, testbed.Dial(t, "tcp", client.logged("listening")["address"].(string)), "through a socket that was there before")
			server.signal(syscall.SIGHUP)
			wantNotified(t, notified, "RELOADING=1\nMONOTONIC_USEC=")
			wantNotified(t, notified, "READY=1")
			server.signal(syscall.SIGTERM)
			wantNotified(t, notified, "STOPPING=1")
		})
	}
}

// A reload that fails takes nothing away from the next one, and a forward that is gone nothing from one that comes back.
func TestASocketOfTheServiceManagerOutlivesReloads(t *testing.T) {
	file := listeningSocket(t, "tcp", "127.0.0.1:0")
	key, fingerprint := testbed.Key(t, "server")
	path := filepath.Join(t.TempDir(), "mlstunnel.yaml")
	first := forwardYAML("first", "server", "127.0.0.1:0", "127.0.0.1:1", key, fingerprint)
	front := forwardYAML("front", "server", "systemd:front", "127.0.0.1:1", key, fingerprint)
	bad := forwardYAML("bad", "server", "127.0.0.1:0", "127.0.0.1:1", "absent.key", fingerprint)
	writeConfig(t, path, "'off'", first)
	p := startProcess(t, func(c *exec.Cmd) { withSocket(c, file) }, "run", "--config", path)
	p.logged("listening")
	for _, reload := range []struct{ forwards, want string }{
		{first + front + bad, "reload: all stays as it was"},
		{first + front, "reloaded"},
		{first, "reloaded"},
		{first + front, "reloaded"},
	} {
		writeConfig(t, path, "'off'", reload.forwards)
		p.signal(syscall.SIGHUP)
		for line := range p.logs {
			if msg := line["msg"]; msg == "reloaded" || msg == "reload: all stays as it was" {
				if msg != reload.want {
					t.Errorf("got %v, want %q", line, reload.want)
				}
				break
			}
		}
	}
}

func TestSessionsFromFlagsOutliveAProcess(t *testing.T) {
	p := startPair(t)
	file := filepath.Join(t.TempDir(), "sessions.db")
	for _, resumed := range []bool{false, true} {
		client := startProcess(t, nil, "client", "--listen", "127.0.0.1:0", "--forward", p.serverAddress, "--key", p.clientKey, "--peer", p.serverPrint,
			"--admin", "off", "--log-format", "json", "--log-level", "debug", "--sessions", file, "--sessions-key", file+".key", "--connect-timeout", "60s")
		address := client.logged("listening")["address"].(string)
		client.signal(syscall.SIGHUP) // which takes the same flags again
		client.logged("reloaded")
		c := testbed.Dial(t, "tcp", address)
		testbed.SayAndHear(t, c, "hello")
		if line := client.logged("link is up"); line["resumed"] != resumed {
			t.Errorf("got %v, want resumed %v", line, resumed)
		}
		c.Close()
		client.signal(syscall.SIGTERM)
		if err := client.ended(); err != nil {
			t.Errorf("the client ended with %v", err)
		}
	}
}

func TestAServerRefusesASocketThatIsNotTCP(t *testing.T) {
	file := listeningSocket(t, "unix", filepath.Join(t.TempDir(), "front"))
	key, fingerprint := testbed.Key(t, "server")
	path := filepath.Join(t.TempDir(), "mlstunnel.yaml")
	writeConfig(t, path, "'off'", forwardYAML("server", "server", "systemd:front", "127.0.0.1:1", key, fingerprint))
	p := startProcess(t, func(c *exec.Cmd) { withSocket(c, file) }, "run", "--config", path)
	defer time.AfterFunc(testbed.HangBound, func() { p.cmd.Process.Kill() }).Stop()
	if err := p.ended(); err == nil || !strings.Contains(p.output(), "systemd:front is a socket of the kind unix, want tcp") {
		t.Errorf("ended with %v, and said\n%s", err, p.output())
	}
}

// No connection is made: the process ends at once.
func TestAnAdminSocketThatOthersReachIsRefused(t *testing.T) {
	file := listeningSocket(t, "tcp4", "0.0.0.0:0")
	key, fingerprint := testbed.Key(t, "server")
	path := filepath.Join(t.TempDir(), "mlstunnel.yaml")
	writeConfig(t, path, "systemd:front", forwardYAML("server", "server", "127.0.0.1:0", "127.0.0.1:1", key, fingerprint))
	p := startProcess(t, func(c *exec.Cmd) { withSocket(c, file) }, "run", "--config", path)
	defer time.AfterFunc(testbed.HangBound, func() { p.cmd.Process.Kill() }).Stop()
	if err := p.ended(); err == nil || !strings.Contains(p.output(), "admin: systemd:front listens on 0.0.0.0:") {
		t.Errorf("ended with %v, and said\n%s", err, p.output())
	}
}

// listeningSocket returns a socket that is there before the process, to be handed over to it.
func listeningSocket(t *testing.T, network, address string) *os.File {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	file, err := l.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file
}

// withSocket hands a socket of the name front over, as the service manager does.
func withSocket(c *exec.Cmd, socket *os.File) {
	// LISTEN_PID is only known in the process itself.
	c.Args = append([]string{"sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, c.Path}, c.Args[1:]...)
	c.Path = "/bin/sh"
	c.ExtraFiles = []*os.File{socket}
	c.Env = append(c.Env, "LISTEN_FDS=1", "LISTEN_FDNAMES=front")
}

func TestTheWatchdogIsFedWhileTheProcessIsAlive(t *testing.T) {
	notified, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer notified.Close()
	key, fingerprint := testbed.Key(t, "client")
	path := filepath.Join(t.TempDir(), "mlstunnel.yaml")
	writeConfig(t, path, "'off'", forwardYAML("client", "client", "127.0.0.1:0", "127.0.0.1:1", key, fingerprint))
	p := startProcess(t, func(c *exec.Cmd) {
		c.Env = append(c.Env, "WATCHDOG_USEC=20000", "NOTIFY_SOCKET="+notified.LocalAddr().String())
	}, "run", "--config", path)
	wantNotified(t, notified, "READY=1")
	for range 3 {
		wantNotified(t, notified, "WATCHDOG=1")
	}
	// A server that is away is no reason to be started again, nor is draining.
	testbed.Dial(t, "tcp", p.logged("listening")["address"].(string))
	p.logged("dialling the server")
	p.signal(syscall.SIGTERM)
	for stopping, after := false, 0; after < 3; {
		message := make([]byte, 1024)
		n, err := notified.Read(message)
		if err != nil {
			t.Fatal(err)
		}
		switch string(message[:n]) {
		case "STOPPING=1":
			stopping = true
		case "WATCHDOG=1":
			if stopping {
				after++
			}
		default:
			t.Fatalf("the service manager got %q", message[:n])
		}
	}
	go io.Copy(io.Discard, notified) // or it waits, with its last message, for somebody who takes that
	p.signal(syscall.SIGTERM)
	p.ended() // its status is that of a process that cuts
}

func TestTheWatchdogIsNotFedWhileSomethingIsWrong(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var logged bytes.Buffer
	asked, told := 0, 0
	watch(ctx, time.Millisecond, func() error {
		asked++
		switch {
		case asked == 10:
			cancel()
		case asked%2 == 1:
			return errors.New("a loop has ended")
		}
		return nil
	}, func() error { told++; return nil }, slog.New(slog.NewTextHandler(&logged, nil)))
	if asked != 10 || told != 5 || strings.Count(logged.String(), "a loop has ended") != 5 {
		t.Errorf("asked %d times and told %d times; logged\n%s", asked, told, &logged)
	}
}

func wantNotified(t *testing.T, c *net.UnixConn, want string) {
	t.Helper()
	message := make([]byte, 1024)
	n, err := c.Read(message)
	if err != nil || !strings.HasPrefix(string(message[:n]), want) {
		t.Fatalf("the service manager got %q, %v, want %q", message[:n], err, want)
	}
}

// command runs mlstunnel to its end.
func command(t *testing.T, args ...string) (out string, err error) {
	t.Helper()
	c := root()
	var b bytes.Buffer
	c.SetArgs(args)
	c.SetOut(&b)
	c.SetErr(&b)
	err = c.ExecuteContext(t.Context())
	return b.String(), err
}

// admin returns where the status page is, once the process has logged that.
func (p *process) admin() (address string) {
	for line := range strings.Lines(p.output()) {
		var m map[string]any
		if json.Unmarshal([]byte(line), &m) == nil && m["msg"] == "status page, metrics and health" {
			address = m["address"].(string)
		}
	}
	return address
}

func TestRekeyHealsARunningProcess(t *testing.T) {
	p := startPair(t)
	admin := p.server.admin()
	if out, err := command(t, "rekey", "--admin", admin); err != nil || out != "0 of 0 links have fresh keys\n" {
		t.Errorf("without links: got %q, %v", out, err)
	}
	c := testbed.Dial(t, "tcp", p.address)
	testbed.SayAndHear(t, c, "before")
	for i, args := range [][]string{nil, {"--forward", "server"}, {"--peer", p.clientPrint}} {
		out, err := command(t, append([]string{"rekey", "--admin", admin}, args...)...)
		if err != nil || !strings.Contains(out, p.clientPrint) || !strings.HasSuffix(out, "1 of 1 links have fresh keys\n") {
			t.Errorf("%q: got %q, %v", args, out, err)
		}
		text, err := command(t, "status", "--json", "--admin", admin)
		var s links.Status
		if err = errors.Join(err, json.Unmarshal([]byte(text), &s)); err != nil {
			t.Fatal(err)
		}
		if l := s.Forwards[0].Links[0]; l.UpdatesOwn != uint64(i+1) || l.UpdatesPeer != 0 || l.LastHeal == nil {
			t.Errorf("%q: got %+v", args, l)
		}
	}
	testbed.SayAndHear(t, c, "after")
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--forward", "absent"}, "there is no forward of that name"},
		{[]string{"--peer", p.serverPrint}, "no link is up with that peer"},
		{[]string{"--wait", "1h"}, "at most 25s"},
	} {
		if _, err := command(t, append([]string{"rekey", "--admin", admin}, test.args...)...); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: got %v, want %q", test.args, err, test.want)
		}
	}
}

func TestStatusShowsARunningProcess(t *testing.T) {
	p := startPair(t)
	c := testbed.Dial(t, "tcp", p.address)
	testbed.SayAndHear(t, c, "twelve bytes")
	admin := p.server.admin()
	out, err := command(t, "status", "--admin", admin)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"server: server over tcp", p.clientPrint, p.serverPrint, "1 open of 1", `"client"`} {
		if !strings.Contains(out, want) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
	testbed.Eventually(t, "twelve octets are counted", func() bool { // they are once they are written, which the service may notice first
		text, err := command(t, "status", "--json", "--admin", admin)
		var s links.Status
		if err = errors.Join(err, json.Unmarshal([]byte(text), &s)); err != nil {
			t.Fatal(err)
		}
		return s.Forwards[0].Links[0].BytesFromPeer == 12
	})
}

func TestStatusShowsNamesAsTheyAreAndNothingElse(t *testing.T) {
	var out strings.Builder
	names := []string{"CN=Jürgen Groß,O=Example", "spiffe://example.org/db", "a\x1b[2J\n  2\tSHA256:forged"}
	var s links.Status
	for _, name := range names {
		s.Forwards = append(s.Forwards, links.ForwardStatus{Links: []links.LinkStatus{{Name: name}}})
	}
	if err := show(&out, s); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{names[0], names[1], `"a\x1b[2J\n  2\tSHA256:forged"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in %q", want, out.String())
		}
	}
	if strings.Contains(out.String(), "\x1b") || strings.Count(out.String(), "\n") != 4*len(names) {
		t.Errorf("a name does more than to be shown: %q", out.String())
	}
}

func TestACrashShowsNoSecrets(t *testing.T) {
	const payload = "what-is-carried-must-not-show"
	for _, client := range []bool{false, true} {
		p := startPair(t)
		testbed.SayAndHear(t, testbed.Dial(t, "tcp", p.address), payload)
		process, key := p.server, p.serverKey
		if client {
			process, key = p.client, p.clientKey
		}
		process.signal(syscall.SIGQUIT) // the runtime prints all goroutines and ends
		process.ended()                 // its status is that of a crash
		text := process.output()
		if !strings.Contains(text, "goroutine ") || !strings.Contains(text, "netconn") {
			t.Errorf("this is no crash:\n%s", text)
		}
		file, err := os.ReadFile(key)
		if err != nil {
			t.Fatal(err)
		}
		signer, err := identity.ParsePrivateKey(file)
		if err != nil {
			t.Fatal(err)
		}
		seed := signer.(interface{ Seed() []byte }).Seed()
		secrets := []string{payload, string(seed), hex.EncodeToString(seed), base64.StdEncoding.EncodeToString(seed), strings.Split(string(file), "\n")[1]}
		for i := 0; i < len(seed); i += 8 { // as words of an argument
			word := uint64(0)
			for j := range 8 {
				word |= uint64(seed[i+j]) << (8 * j)
			}
			secrets = append(secrets, fmt.Sprintf("%#x", word))
		}
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%q shows", secret)
			}
		}
	}
}

func TestDemoCarriesALineAndSaysWhatToTry(t *testing.T) {
	for _, transport := range []string{"tcp", "quic"} {
		out, err := command(t, "demo", "--transport", transport, "--duration", "1ms")
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"over " + transport, "A line has gone through it", "mlstunnel status --admin", "metrics"} {
			if !strings.Contains(out, want) {
				t.Errorf("%s: no %q in\n%s", transport, want, out)
			}
		}
	}
}

func TestKeysAreMadeOnceAndForTheOwnerAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "end.key")
	out, err := command(t, "keygen", path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
	fingerprint := strings.TrimSpace(out)
	want := fmt.Sprintf("%s  %s\n%s  %s.pub\n", fingerprint, path, fingerprint, path)
	if out, err := command(t, "fingerprint", path, path+".pub"); out != want || err != nil {
		t.Errorf("got %q, %v, want %q", out, err, want)
	}
	if _, err := command(t, "keygen", path); !errors.Is(err, os.ErrExist) {
		t.Errorf("got %v for a key that is there", err)
	}
	other := filepath.Join(t.TempDir(), "other.key")
	testbed.Write(t, other+".pub", []byte("the public key of before"))
	if _, err := command(t, "keygen", other); !errors.Is(err, os.ErrExist) {
		t.Errorf("got %v for a public key that is there", err)
	}
	if _, err := os.Stat(other); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a private key is beside the public one of another: %v", err)
	}
	if text, err := os.ReadFile(other + ".pub"); string(text) != "the public key of before" || err != nil {
		t.Errorf("the public key is %q, %v", text, err)
	}
	certified := filepath.Join(t.TempDir(), "end.pem")
	fingerprint = testbed.NewAuthority(t).Issue(t, certified, "spiffe://example.org/end")
	if out, err := command(t, "fingerprint", certified); out != fingerprint+"  "+certified+"\n" || err != nil {
		t.Errorf("got %q, %v, want %s", out, err, fingerprint)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := command(t, "fingerprint", path); !errors.Is(err, identity.ErrPermissions) {
		t.Errorf("got %v for a key that others can read", err)
	}
}

func TestExamplesAreRight(t *testing.T) {
	examples, err := filepath.Glob("examples/*.yaml")
	if err != nil || len(examples) < 3 {
		t.Fatalf("got %v, %v", examples, err)
	}
	for _, example := range examples {
		text, err := os.ReadFile(example)
		if err != nil {
			t.Fatal(err)
		}
		directory := t.TempDir()
		path := filepath.Join(directory, filepath.Base(example))
		testbed.Write(t, path, text)
		// The files that the examples name are beside them.
		for _, name := range []string{"server.key", "client.key"} {
			if _, err := command(t, "keygen", filepath.Join(directory, name)); err != nil {
				t.Fatal(err)
			}
		}
		authority := testbed.NewAuthority(t)
		authority.Issue(t, filepath.Join(directory, "tls.crt"), "spiffe://example.org/ns/prod/web")
		both, err := os.ReadFile(filepath.Join(directory, "tls.crt"))
		if err != nil {
			t.Fatal(err)
		}
		key := bytes.Index(both, []byte("-----BEGIN PRIVATE KEY"))
		testbed.Write(t, filepath.Join(directory, "tls.crt"), both[:key])
		testbed.Write(t, filepath.Join(directory, "tls.key"), both[key:])
		root, err := os.ReadFile(authority.File)
		if err != nil {
			t.Fatal(err)
		}
		testbed.Write(t, filepath.Join(directory, "ca.crt"), root)
		testbed.Write(t, filepath.Join(directory, "revoked"), nil)
		if out, err := command(t, "check-config", "--config", path); err != nil || !strings.Contains(out, "all is well") {
			t.Errorf("%s: %q, %v", example, out, err)
		}
	}
}

func TestCheckConfigNamesWhatIsWrongWithTheFilesOfAConfiguration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mlstunnel.yaml")
	_, fingerprint := testbed.Key(t, "x")
	writeConfig(t, path, "'off'", forwardYAML("db", "server", ":7000", "127.0.0.1:5432", "absent.key", fingerprint))
	_, err := command(t, "check-config", "--config", path)
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), filepath.Join(filepath.Dir(path), "absent.key")) {
		t.Errorf("got %v", err)
	}
	key, _ := testbed.Key(t, "db")
	writeConfig(t, path, "'off'", forwardYAML("db", "server", ":7000", "127.0.0.1:5432", key, fingerprint)+"sessions: {file: sessions.db, key: sessions.key}\n")
	sessions := filepath.Join(filepath.Dir(path), "sessions.key")
	if _, err := command(t, "check-config", "--config", path); err != nil {
		t.Errorf("got %v for a key of the sessions that is yet to be made", err)
	}
	if _, err := os.Stat(sessions); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("check-config has made a key: %v", err)
	}
	testbed.Write(t, sessions, []byte("not a key"))
	if _, err := command(t, "check-config", "--config", path); !errors.Is(err, seal.ErrKey) || !strings.Contains(err.Error(), sessions) {
		t.Errorf("got %v for what is no key of the sessions", err)
	}
}

func TestFlagsAreCheckedLikeAFile(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"server"}, "--listen: is missing"},
		{[]string{"server", "--listen", ":7000", "--forward", "127.0.0.1:5432"}, "--key: is missing"},
		{[]string{"client", "--listen", ":1", "--forward", "x:1", "--key", "k"}, "--peer: wants one of"},
		{[]string{"client", "--listen", ":1", "--forward", "x:1", "--key", "k", "--peer", "SHA256:x"}, "--peer: wants SHA256:"},
		{[]string{"client", "--listen", ":1", "--forward", "x:1", "--key", "k", "--transport", "carrier"}, "--transport: wants one of tcp, quic"},
		{[]string{"client", "--listen", ":1", "--forward", "x:1", "--key", "k", "--peer", "SHA256:x", "--refused", "ignore"}, "--refused: wants one of drop, warn"},
		{[]string{"server", "--listen", ":1", "--forward", "x:1", "--key", "k", "--peer", "SHA256:x", "--proxy-protocol-from", "lb.example"}, "--proxy-protocol-from: wants an IP address"},
		{[]string{"client", "--listen", ":1", "--forward", "x:1", "--key", "k", "--peer", "SHA256:x", "--files-every", "1ms"}, "--files-every: must be 100ms at least"},
		{[]string{"client", "--listen", ":1", "--forward", "x:1", "--key", "k", "--peer", "SHA256:x", "--sessions", "s"}, "--sessions-key: is missing"},
		{[]string{"client", "--listen", ":1", "--forward", "x:1", "--key", "k", "--peer", "SHA256:x", "--sessions-key", "s"}, "--sessions: is missing"},
		{[]string{"client", "--proxy-protocol"}, "unknown flag: --proxy-protocol"},
		{[]string{"client", "--admin", ":80"}, "--admin: wants a loopback address"},
		{[]string{"client", "--config", "x", "--listen", ":1"}, "there are no other flags"},
		{[]string{"client", "--listn", ":1"}, "unknown flag: --listn"},
		{[]string{"demo", "--log-level", "loud"}, `--log-level: wants debug, info, warn or error, got "loud"`},
	} {
		if _, err := command(t, test.args...); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: got %v, want %q", test.args, err, test.want)
		}
	}
}
