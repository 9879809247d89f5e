package tunnel

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/config"
	"github.com/mendlink/mendlink/cmd/mlstunnel/internal/testbed"
)

// reload goes over to another configuration, which is a copy: c may be the one that is in force.
func reload(t *testing.T, tunnel *Tunnel, c *config.File) {
	t.Helper()
	copied := *c
	copied.Forwards = slices.Clone(c.Forwards)
	c = &copied
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	if err := tunnel.Reload(c); err != nil {
		t.Fatal(err)
	}
}

// with is a configuration like c with these forwards.
func with(c *config.File, forwards ...config.Forward) *config.File {
	return &config.File{Admin: c.Admin, Drain: c.Drain, Forwards: forwards}
}

func TestAReloadKeepsConnectionsAndTakesTheRestOver(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		e := pinnedEnds(t, transport, testbed.Echo(t))
		server, client := e.startBoth(t, nil)
		c := testbed.Dial(t, "tcp", addressOf(client, "client"))
		testbed.SayAndHear(t, c, "before")
		other := testbed.Service(t, func(c *net.TCPConn) { io.WriteString(c, "the other service"); c.CloseWrite() })
		changed, second := e.server.Forwards[0], e.server.Forwards[0]
		changed.Forward = other
		second.Name = "second"
		reload(t, server, with(e.server, changed, second))
		testbed.SayAndHear(t, c, "the connection from before still goes to the service of before")
		next := testbed.Dial(t, "tcp", addressOf(client, "client")).(*net.TCPConn)
		next.CloseWrite()
		if got, err := io.ReadAll(next); string(got) != "the other service" || err != nil {
			t.Errorf("a new connection got %q, %v", got, err)
		}
		if to := statusOf(server).Forward; to != other {
			t.Errorf("the status says that connections go to %s, want %s", to, other)
		}
		if len(server.Status().Forwards) != 2 {
			t.Errorf("there are %d forwards, want 2", len(server.Status().Forwards))
		}
		reload(t, server, with(e.server, changed))
		testbed.Eventually(t, "the forward that is gone has drained", func() bool { return len(server.Status().Forwards) == 1 })
		testbed.SayAndHear(t, c, "still there")
		if s := server.Status(); s.Reloads != 2 || s.ReloadsFailed != 0 {
			t.Errorf("got %d reloads and %d that failed", s.Reloads, s.ReloadsFailed)
		}
	})
}

// A link over QUIC that begins after a reload has room for as many streams as the configuration says by then.
func TestAReloadMakesRoomForStreams(t *testing.T) {
	e := pinnedEnds(t, config.QUIC, testbed.Echo(t))
	e.server.Forwards[0].MaxConnections = 1
	server := start(t, e.server, Options{})
	changed := e.server.Forwards[0]
	changed.MaxConnections = 3 // the link, and two streams
	reload(t, server, with(e.server, changed))
	e.client.Forwards[0].Forward = addressOf(server, "server")
	client := start(t, e.client, Options{})
	first, second := testbed.Dial(t, "tcp", addressOf(client, "client")), testbed.Dial(t, "tcp", addressOf(client, "client"))
	testbed.SayAndHear(t, first, "one")
	testbed.SayAndHear(t, second, "two")
}

func TestAReloadThatFailsChangesNothing(t *testing.T) {
	e := pinnedEnds(t, config.TCP, testbed.Echo(t))
	server, client := e.startBoth(t, nil)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	changed, third, bad := e.server.Forwards[0], e.server.Forwards[0], e.server.Forwards[0]
	changed.Forward = taken.Addr().String() // nobody answers there
	third.Name = "third"
	bad.Name, bad.Listen = "bad", taken.Addr().String()
	noKey := e.server.Forwards[0]
	noKey.Identity = &config.Identity{Key: "/nowhere"}
	for name, c := range map[string]*config.File{
		"an address that is taken":       with(e.server, changed, third, bad),
		"a key that is not there":        with(e.server, noKey, third),
		"another address for the status": {Admin: "127.0.0.1:0", Forwards: []config.Forward{changed}},
		"another format of the log":      {Admin: "off", Log: config.Log{Format: "json"}, Forwards: []config.Forward{changed}},
	} {
		if err := c.Check(); err != nil {
			t.Fatal(err)
		}
		if err := server.Reload(c); err == nil {
			t.Errorf("%s: no error", name)
		}
		if s := server.Status(); len(s.Forwards) != 1 || s.Healthy() {
			t.Errorf("%s: there are %d forwards, healthy %v", name, len(s.Forwards), s.Healthy())
		}
		testbed.SayAndHear(t, testbed.Dial(t, "tcp", addressOf(client, "client")), "as before")
	}
	reload(t, server, e.server)
	if s := server.Status(); !s.Healthy() || s.ReloadsFailed != 4 {
		t.Errorf("after a good reload: problems %q, %d reloads that failed", s.Problems(), s.ReloadsFailed)
	}
}

// What a reload had read when it failed is let go: nobody looks at those files any more, and nothing of them is in force.
func TestAReloadThatFailsLetsCredentialsGo(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		e, authority, _, _ := certifiedEnds(t, transport)
		server, client := e.startBoth(t, nil)
		c := testbed.Dial(t, "tcp", addressOf(client, "client"))
		testbed.SayAndHear(t, c, "before")
		before, watching := statusOf(server).Fingerprint, watchersOfFiles()
		other := filepath.Join(t.TempDir(), "other.pem")
		fingerprint := authority.Issue(t, other, "spiffe://example.org/server")
		changed, bad := e.server.Forwards[0], e.server.Forwards[0]
		changed.Identity = &config.Identity{Certificate: other, Key: other}
		bad.Name, bad.Identity = "bad", &config.Identity{Certificate: other, Key: filepath.Join(t.TempDir(), "absent")}
		broken := with(e.server, changed, bad)
		if err := broken.Check(); err != nil {
			t.Fatal(err)
		}
		if err := server.Reload(broken); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("got %v, want a key that is not there", err)
		}
		if n := watchersOfFiles(); n != watching || n < 2 {
			t.Errorf("%d are looking at files, want %d as before", n, watching)
		}
		if s := statusOf(server); s.Fingerprint != before || s.Links[0].Peer == "" {
			t.Errorf("the server shows %s, want %s", s.Fingerprint, before)
		}
		testbed.SayAndHear(t, c, "after")
		if s := statusOf(client); s.Links[0].Peer != before || s.PeerRotations != 0 {
			t.Errorf("the client sees %s after %d rotations, want %s", s.Links[0].Peer, s.PeerRotations, before)
		}
		reload(t, server, with(e.server, changed))
		testbed.Eventually(t, "the client sees what a good reload takes over", func() bool {
			testbed.SayAndHear(t, c, "meanwhile")
			return statusOf(client).Links[0].Peer == fingerprint
		})
		if n := watchersOfFiles(); n != watching {
			t.Errorf("%d are looking at files after a good reload, want %d", n, watching)
		}
	})
}

// watchersOfFiles is how many goroutines look at files that may change.
func watchersOfFiles() int { return goroutinesIn("identity.(*Live).run(") }

// goroutinesIn is how many goroutines are in a function.
func goroutinesIn(function string) int {
	stacks := make([]byte, 16<<20)
	return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), function)
}

func TestAPeerThatIsTakenOutIsDropped(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		e := pinnedEnds(t, transport, testbed.Echo(t))
		server, client := e.startBoth(t, nil)
		c := testbed.Dial(t, "tcp", addressOf(client, "client"))
		testbed.SayAndHear(t, c, "hello")
		_, other := testbed.Key(t, "other")
		without := e.server.Forwards[0]
		without.Peers = &config.Peers{Fingerprints: []string{other}}
		reload(t, server, with(e.server, without))
		wantReset(t, c)
		if s := statusOf(server); s.PeerRefusals == 0 {
			t.Errorf("the server says %+v", s)
		}
	})
}

func TestAKeyIsReplacedByAReloadWhileAConnectionLives(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		e := pinnedEnds(t, transport, testbed.Echo(t))
		server, client := e.startBoth(t, nil)
		c := testbed.Dial(t, "tcp", addressOf(client, "client"))
		testbed.SayAndHear(t, c, "with the first key")
		next, fingerprint := testbed.Key(t, "client")
		both := e.server.Forwards[0]
		both.Peers = &config.Peers{Fingerprints: append(slices.Clone(both.Peers.Fingerprints), fingerprint)}
		reload(t, server, with(e.server, both))
		text, err := os.ReadFile(next)
		if err != nil {
			t.Fatal(err)
		}
		testbed.Write(t, e.client.Forwards[0].Identity.Key, text)
		reload(t, client, e.client)
		testbed.Eventually(t, "the server sees the new key", func() bool {
			if err := testbed.Exchange(c, "meanwhile"); err != nil {
				t.Fatal(err)
			}
			return statusOf(server).Links[0].Peer == fingerprint
		})
		if s := statusOf(server); s.HandshakesFull != 1 || s.HandshakesResumed != 0 || s.PeerRotations != 1 {
			t.Errorf("the server says %+v", s)
		}
	})
}

// moves has a reload move a client of the first server to a second one. What has begun stays where it is.
func moves(t *testing.T, e *ends, client, second *Tunnel) {
	t.Helper()
	c := testbed.Dial(t, "tcp", addressOf(client, "client"))
	testbed.SayAndHear(t, c, "to the first server")
	moved := e.client.Forwards[0]
	moved.Forward = addressOf(second, "server")
	reload(t, client, with(e.client, moved))
	testbed.Eventually(t, "connections reach the second server", func() bool {
		testbed.SayAndHear(t, testbed.Dial(t, "tcp", addressOf(client, "client")), "to the second")
		return statusOf(second).Connections > 0
	})
	testbed.SayAndHear(t, c, "still to the first")
}

func TestAClientMovesToAnotherServer(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		e := pinnedEnds(t, transport, testbed.Echo(t))
		_, client := e.startBoth(t, nil)
		moves(t, e, client, start(t, with(e.server, e.server.Forwards[0]), Options{}))
	})
}

// The client calls each server by the address under which it has dialled it: the key of one is not that of another.
func TestEachServerIsKnownByItsOwnAddress(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		e := pinnedEnds(t, transport, testbed.Echo(t))
		key, _ := testbed.Key(t, "second")
		other := e.server.Forwards[0]
		other.Identity = &config.Identity{Key: key, Name: "second"}
		second := start(t, with(e.server, other), Options{})
		hosts := filepath.Join(t.TempDir(), "hosts")
		_, client := e.startBoth(t, func(address string) string {
			testbed.Write(t, hosts, append(hostLine(t, address, publicOf(t, e.server.Forwards[0].Identity.Key)), hostLine(t, addressOf(second, "server"), publicOf(t, key))...))
			e.client.Forwards[0].Peers = &config.Peers{KnownHosts: hosts}
			return address
		})
		moves(t, e, client, second)
	})
}

// A connection that waits for its way to be open goes where the others go after a reload.
func TestAConnectionThatWaitsMovesToAnotherServer(t *testing.T) {
	e := pinnedEnds(t, config.TCP, testbed.Echo(t))
	e.client.Forwards[0].Forward = "127.0.0.1:1" // nobody is there
	client := start(t, e.client, Options{})
	c := testbed.Dial(t, "tcp", addressOf(client, "client"))
	testbed.Eventually(t, "an attempt has failed", func() bool { return statusOf(client).DialsFailed > 0 })
	moved := e.client.Forwards[0]
	moved.Forward = addressOf(start(t, e.server, Options{}), "server")
	reload(t, client, with(e.client, moved))
	testbed.SayAndHear(t, c, "it has moved")
}

func TestDrainingWaitsForConnectionsAndThenCutsThem(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		for _, end := range []string{"server", "client"} {
			t.Run(end, func(t *testing.T) {
				server, client := pinnedEnds(t, transport, testbed.Echo(t)).startBoth(t, nil)
				address := addressOf(client, "client")
				leaving := map[string]*Tunnel{"server": server, "client": client}[end]
				finishing, staying := testbed.Dial(t, "tcp", address).(*net.TCPConn), testbed.Dial(t, "tcp", address)
				testbed.SayAndHear(t, finishing, "a")
				testbed.SayAndHear(t, staying, "b")
				cut, drained := drainNow(leaving)
				defer cut()
				testbed.Eventually(t, "nobody listens", func() bool { return leaving.Reload(leaving.config) == ErrDraining })
				testbed.SayAndHear(t, finishing, "while it drains")
				finishing.CloseWrite()
				if rest, err := io.ReadAll(finishing); len(rest) != 0 || err != nil {
					t.Errorf("got %q, %v", rest, err)
				}
				testbed.SayAndHear(t, staying, "the last one")
				select {
				case <-drained:
					t.Fatal("drained with a connection left")
				default:
				}
				cut()
				<-drained
				wantReset(t, staying)
			})
		}
	})
}

// A forward that a reload has taken out drains by itself, but for no longer than the tunnel.
// What a forward listened on is free for another one as soon as a reload has taken it out, though its connections drain.
func TestAnAddressIsFreeAfterAReload(t *testing.T) {
	e := pinnedEnds(t, config.TCP, testbed.Echo(t))
	directory := t.TempDir()
	e.client.Forwards[0].Listen = "unix:" + filepath.Join(directory, "front")
	_, client := e.startBoth(t, nil)
	c := testbed.Dial(t, "unix", filepath.Join(directory, "front"))
	testbed.SayAndHear(t, c, "before")
	elsewhere, renamed := e.client.Forwards[0], e.client.Forwards[0]
	elsewhere.Listen = "unix:" + filepath.Join(directory, "elsewhere")
	for i := range 20 {
		reload(t, client, with(e.client, elsewhere))
		renamed.Name = fmt.Sprintf("client-%d", i)
		reload(t, client, with(e.client, renamed))
	}
	testbed.SayAndHear(t, testbed.Dial(t, "unix", filepath.Join(directory, "front")), "to the forward of another name")
	testbed.SayAndHear(t, c, "while the first one drains")
}

// Whoever is told to take no more in has no problem.
func TestAClientThatDrainsIsHealthy(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		e := pinnedEnds(t, transport, testbed.Echo(t))
		_, client := e.startBoth(t, nil)
		c := testbed.Dial(t, "tcp", addressOf(client, "client"))
		testbed.SayAndHear(t, c, "before")
		client.Forward("client").Stop()
		if problems := client.Status().Problems(); len(problems) > 0 {
			t.Errorf("the client has the problems %q", problems)
		}
		testbed.SayAndHear(t, c, "while it drains")
	})
}

func TestWhatDrainsSinceAReloadIsCutWithTheRest(t *testing.T) {
	transports(t, func(t *testing.T, transport string) {
		e := pinnedEnds(t, transport, testbed.Echo(t))
		server, client := e.startBoth(t, nil)
		staying := testbed.Dial(t, "tcp", addressOf(client, "client"))
		testbed.SayAndHear(t, staying, "before")
		other := e.server.Forwards[0]
		other.Name = "other"
		patient := with(e.server, other)
		patient.Drain = time.Hour
		reload(t, server, patient)
		testbed.SayAndHear(t, staying, "while its forward drains")
		cut, drained := drainNow(server)
		cut()
		select {
		case <-drained:
		case <-time.After(testbed.HangBound):
			t.Fatal("what drains since the reload is not cut")
		}
		wantReset(t, staying)
	})
}
