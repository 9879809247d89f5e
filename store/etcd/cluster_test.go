package etcd

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// The tests are about a cluster of three real members, each a process of its own that can be killed:
// this program, told by its environment to be one.
const (
	memberVariable    = "ETCD_TEST_MEMBER"
	responderVariable = "ETCD_TEST_RESPONDER"
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(memberVariable) != "":
		runMember(os.Getenv(memberVariable))
	case os.Getenv(responderVariable) != "":
		runResponder(os.Getenv(responderVariable))
	}
	code := m.Run()
	stopCluster()
	os.Exit(code)
}

// child starts this program as another one, which lasts no longer than this process, and
// returns it with what it says in its first line.
func child(variable, value string) (*exec.Cmd, string, error) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), variable+"="+value)
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil { // its end is the end of the child
		return nil, "", err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		kill(cmd)
		return nil, "", fmt.Errorf("%s %s says nothing: %w", variable, value, err)
	}
	return cmd, strings.TrimSpace(line), nil
}

// endWithParent ends the process when the one that has started it has ended.
func endWithParent() {
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
}

// kill is kill -9.
func kill(cmd *exec.Cmd) {
	cmd.Process.Kill()
	cmd.Wait()
}

// A member is one of a cluster's.
type member struct {
	Name, Dir, Client, Peer, Cluster string

	process *exec.Cmd
}

type cluster struct {
	dir     string
	members []*member
}

var theCluster = sync.OnceValues(startCluster)

// started is set once there is a cluster to be stopped.
var started *cluster

// testCluster returns the cluster that all tests share.
func testCluster(t testing.TB) *cluster {
	t.Helper()
	c, err := theCluster()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// startCluster tries again with other addresses when a member cannot start: another
// process may have taken one between freeURL and the member's own Listen.
func startCluster() (c *cluster, err error) {
	for range 5 {
		if c, err = startMembers(); err == nil {
			return c, nil
		}
		stopCluster()
	}
	return nil, err
}

func startMembers() (*cluster, error) {
	dir, err := os.MkdirTemp("", "etcd")
	if err != nil {
		return nil, err
	}
	c := &cluster{dir: dir}
	started = c
	var peers []string
	for n := range 3 {
		m := &member{Name: fmt.Sprintf("m%d", n), Dir: filepath.Join(dir, fmt.Sprint(n)), Client: freeURL(), Peer: freeURL()}
		c.members = append(c.members, m)
		peers = append(peers, m.Name+"="+m.Peer)
	}
	results := make(chan error)
	for _, m := range c.members {
		m.Cluster = strings.Join(peers, ",")
		go func() { results <- m.start() }()
	}
	for range c.members {
		if e := <-results; e != nil {
			err = e
		}
	}
	return c, err
}

func stopCluster() {
	if started == nil {
		return
	}
	for _, m := range started.members {
		if m.process != nil {
			kill(m.process)
		}
	}
	os.RemoveAll(started.dir)
	started = nil
}

// freeURL returns a loopback address that nobody listens on. Its port is below those
// that systems give to outgoing connections: one of these would be taken while the
// member that it belongs to starts, or starts again.
func freeURL() string {
	const low, high = 15000, 32000
	for range 1000 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", low+rand.IntN(high-low)))
		if err == nil {
			defer l.Close()
			return "http://" + l.Addr().String()
		}
	}
	panic("no port is free")
}

func (m *member) start() (err error) {
	value, err := json.Marshal(m)
	if err != nil {
		return err
	}
	m.process, _, err = child(memberVariable, string(value))
	return err
}

func runMember(value string) {
	endWithParent()
	var m member
	if err := json.Unmarshal([]byte(value), &m); err != nil {
		panic(err)
	}
	parse := func(s string) []url.URL {
		u, err := url.Parse(s)
		if err != nil {
			panic(err)
		}
		return []url.URL{*u}
	}
	c := embed.NewConfig()
	c.Name, c.Dir, c.InitialCluster = m.Name, m.Dir, m.Cluster
	c.ListenClientUrls, c.AdvertiseClientUrls = parse(m.Client), parse(m.Client)
	c.ListenPeerUrls, c.AdvertisePeerUrls = parse(m.Peer), parse(m.Peer)
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	server, err := embed.StartEtcd(c)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	<-server.Server.ReadyNotify()
	fmt.Println("ready")
	err = <-server.Err()
	fmt.Fprintln(os.Stderr, "a member has ended:", err)
	os.Exit(1)
}

func (c *cluster) endpoints() (urls []string) {
	for _, m := range c.members {
		urls = append(urls, m.Client)
	}
	return urls
}

func newClient(endpoints []string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop(), DialTimeout: time.Minute})
}

func (c *cluster) client(t testing.TB) *clientv3.Client {
	t.Helper()
	client, err := newClient(c.endpoints())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// leader returns the member that leads now.
func (c *cluster) leader(t *testing.T, client *clientv3.Client) *member {
	t.Helper()
	for range 600 {
		for _, m := range c.members {
			status, err := client.Status(t.Context(), m.Client)
			if err == nil && status.Leader == status.Header.MemberId {
				return m
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("the cluster has no leader")
	return nil
}
