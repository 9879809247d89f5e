package etcd

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/mls/ciphersuite"
	"github.com/mendlink/mendlink/netconn"
)

var (
	numLinks     = flag.Int("links", 200, "number of links of TestLinksOutliveTheirResponders")
	linkDuration = flag.Duration("links.duration", 10*time.Second, "how long responders are killed and started in it; a minute is the full test")
)

// linkConfig is that of one end of a link. All processes know all keys by heart.
func linkConfig(own string, store channel.Store, peers ...string) (*netconn.Config, error) {
	signer := func(name string) crypto.Signer {
		return ed25519.NewKeyFromSeed(fmt.Appendf(nil, "%-*s", ed25519.SeedSize, name))
	}
	var keys []crypto.PublicKey
	for _, peer := range peers {
		keys = append(keys, signer(peer).Public())
	}
	pinned, err := identity.NewPinned(keys...)
	if err != nil {
		return nil, err
	}
	return &netconn.Config{
		Identity:         identity.New(signer(own), own),
		Validator:        pinned,
		Suites:           []ciphersuite.ID{ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519},
		Store:            store,
		PeerName:         "responders",
		HandshakeTimeout: patience,
	}, nil
}

func initiatorName(n int) string { return fmt.Sprintf("initiator %d", n) }

func initiatorNames(n int) (names []string) {
	for i := range n {
		names = append(names, initiatorName(i))
	}
	return names
}

// A responder is one of several processes with one identity and one store.
type responder struct {
	Endpoints  []string
	Prefix     string
	Initiators int
}

// start starts the process and returns its address.
func (r responder) start(t *testing.T) (*exec.Cmd, string) {
	t.Helper()
	value, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	cmd, address, err := child(responderVariable, string(value))
	if err != nil {
		t.Fatal(err)
	}
	return cmd, address
}

func runResponder(value string) {
	endWithParent()
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, "a responder has ended:", err)
			os.Exit(1)
		}
	}
	var r responder
	fail(json.Unmarshal([]byte(value), &r))
	client, err := newClient(r.Endpoints)
	fail(err)
	store, err := New(context.Background(), &Config{Client: client, Keys: keyring(1), Prefix: r.Prefix, Timeout: patience})
	fail(err)
	config, err := linkConfig("responder", store, initiatorNames(r.Initiators)...)
	fail(err)
	listener, err := netconn.Listen("tcp", "127.0.0.1:0", config)
	fail(err)
	fmt.Println(listener.Addr())
	for {
		conn, err := listener.Accept()
		fail(err)
		go func() {
			defer conn.Close()
			io.Copy(conn, conn)
		}()
	}
}

// dial connects through the balancer.
func dial(ctx context.Context, address string, config *netconn.Config) (*netconn.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := (&netconn.Dialer{Config: config}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return conn.(*netconn.Conn), nil
}

// exchange has something echoed, and updates the keys meanwhile if update is set.
func exchange(conn *netconn.Conn, update bool) error {
	conn.SetDeadline(time.Now().Add(patience))
	updated := make(chan error, 1)
	go func() {
		if !update {
			updated <- nil
			return
		}
		err := conn.Update(context.Background())
		if err == nil {
			_, err = conn.Write([]byte("again")) // which the reader waits for
		}
		updated <- err
	}()
	size := 5
	if update {
		size = 10
	}
	_, err := conn.Write([]byte("hello"))
	if err == nil {
		_, err = io.ReadFull(conn, make([]byte, size))
	}
	if err != nil {
		conn.Close()
	}
	return errors.Join(err, <-updated)
}

// Whichever responder the balancer chooses resumes the session, also while a member of
// the cluster is killed.
func TestAnyResponderResumesAnySession(t *testing.T) {
	c := testCluster(t)
	r := responder{Endpoints: c.endpoints(), Prefix: newPrefix(), Initiators: 1}
	b := newBalancer(t, 3)
	for n := range 3 {
		cmd, address := r.start(t)
		t.Cleanup(func() { kill(cmd) })
		b.set(n, address)
	}
	config, err := linkConfig(initiatorName(0), channel.NewMemoryStore(0), "responder")
	if err != nil {
		t.Fatal(err)
	}
	var session channel.SessionID
	var epoch uint64
	connect := func(n int) *netconn.Conn {
		t.Helper()
		conn, err := dial(t.Context(), b.address(), config)
		if err != nil {
			t.Fatalf("connection %d: %v", n, err)
		}
		state := conn.ConnectionState()
		if resumed := n > 0; state.Resumed != resumed || resumed && (state.SessionID != session || state.Epoch <= epoch) {
			t.Fatalf("connection %d: %+v; before it session %v was in epoch %d", n, state, session, epoch)
		}
		if err := exchange(conn, true); err != nil {
			t.Fatalf("connection %d: %v", n, err)
		}
		session, epoch = state.SessionID, conn.ConnectionState().Epoch
		return conn
	}
	for n := range 6 {
		connect(n).Close()
	}
	killed := c.leader(t, c.client(t))
	conn := connect(6)
	kill(killed.process)
	if err := exchange(conn, true); err != nil { // on a connection that there was
		t.Errorf("while the cluster has no leader: %v", err)
	}
	epoch = conn.ConnectionState().Epoch
	conn.Close()
	for n := 7; n < 13; n++ {
		connect(n).Close()
	}
	if err := killed.start(); err != nil {
		t.Fatal(err)
	}
	for n := 13; n < 16; n++ {
		connect(n).Close()
	}
	for n, served := range b.served() {
		if served < 4 {
			t.Errorf("responder %d has served %d connections: the balancer does not balance", n, served)
		}
	}
}

// Responders are killed and started at random, while many links go through a
// balancer: each link comes back, and no session has ever gone two ways.
func TestLinksOutliveTheirResponders(t *testing.T) {
	c := testCluster(t)
	r := responder{Endpoints: c.endpoints(), Prefix: newPrefix(), Initiators: *numLinks}
	const responders = 3
	b := newBalancer(t, responders)
	var processes [responders]*exec.Cmd
	start := func(n int) {
		var address string
		processes[n], address = r.start(t)
		b.set(n, address)
	}
	for n := range responders {
		start(n)
	}
	t.Cleanup(func() {
		for _, p := range processes {
			kill(p)
		}
	})

	running, stop := context.WithCancel(t.Context())
	links := make([]*link, *numLinks)
	var wg sync.WaitGroup
	for n := range links {
		l, err := newLink(n, b.address())
		if err != nil {
			t.Fatal(err)
		}
		links[n] = l
		wg.Go(func() { l.run(t, running) })
	}
	rng := rand.New(rand.NewPCG(7, 8))
	pause := func(least, most int) {
		time.Sleep(time.Duration(least+rng.IntN(most-least)) * time.Millisecond)
	}
	waitForAll(t, links)
	kills := 0
	for end := time.Now().Add(*linkDuration); time.Now().Before(end); kills++ {
		victims := rng.Perm(responders)[:1+rng.IntN(responders-1)] // one is left
		for _, n := range victims {
			kill(processes[n])
			pause(0, 50)
		}
		pause(50, 600)
		for _, n := range victims {
			start(n)
		}
		pause(50, 400)
	}
	waitForAll(t, links) // each has to come back from the last kill
	stop()
	wg.Wait()
	report(t, links, kills)
	verifyHistories(t, c, r.Prefix, links)
}

// A link is an initiator that goes on for as long as it is to.
type link struct {
	name    string
	address string
	config  *netconn.Config
	store   *recordingStore

	mu        sync.Mutex
	exchanges int
	resumed   int
	began     int // sessions, after the first
	outages   []time.Duration
}

func newLink(n int, address string) (l *link, err error) {
	l = &link{name: initiatorName(n), address: address, store: &recordingStore{Store: channel.NewMemoryStore(0)}}
	l.config, err = linkConfig(l.name, l.store, "responder")
	return l, err
}

// run connects again whenever the connection is lost, until ctx ends.
func (l *link) run(t *testing.T, ctx context.Context) {
	var lost time.Time // zero before the first connection
	for ctx.Err() == nil {
		conn, err := dial(ctx, l.address, l.config)
		if err != nil {
			if errors.Is(err, channel.ErrPeerRefused) {
				t.Errorf("%s: %v", l.name, err)
				return
			}
			time.Sleep(10 * time.Millisecond)
			continue
		}
		for n := 0; ctx.Err() == nil; n++ {
			if exchange(conn, n%20 == 10) != nil {
				break
			}
			if n == 0 {
				l.noteConnection(conn.ConnectionState().Resumed, lost)
			}
			l.noteExchange()
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
		}
		lost = time.Now()
		conn.Close()
	}
}

func (l *link) noteConnection(resumed bool, lost time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case lost.IsZero():
		return
	case resumed:
		l.resumed++
	default:
		l.began++
	}
	l.outages = append(l.outages, time.Since(lost))
}

func (l *link) noteExchange() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.exchanges++
}

// waitForAll returns when each link has begun and ended an exchange from now on. Only a link that hangs
// takes too long.
func waitForAll(t *testing.T, links []*link) {
	t.Helper()
	before := make([]int, len(links))
	for n, l := range links {
		before[n] = l.exchanged()
	}
	end := time.Now().Add(2 * patience)
	for n, l := range links {
		for ; l.exchanged() < before[n]+2; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s does not come back", l.name)
			}
		}
	}
}

func (l *link) exchanged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.exchanges
}

// report tells how long links were away. It is no condition: the machine may be busy.
func report(t *testing.T, links []*link, kills int) {
	t.Helper()
	var outages []time.Duration
	var exchanges, resumed, began int
	for _, l := range links {
		outages = append(outages, l.outages...)
		exchanges, resumed, began = exchanges+l.exchanges, resumed+l.resumed, began+l.began
	}
	if len(outages) == 0 {
		t.Fatal("no link was ever lost: the test shows nothing")
	}
	slices.Sort(outages)
	late := len(outages) - slices.IndexFunc(append(outages, 1<<62), func(d time.Duration) bool { return d > 2*time.Second })
	at := func(part float64) time.Duration {
		return outages[int(part*float64(len(outages)-1))].Round(time.Millisecond)
	}
	t.Logf("%d links, %d rounds of kills: %d exchanges; links came back %d times by resumption, %d by a full handshake; from the loss to the first echo half within %v, 99 %% within %v, the last after %v, %d above 2 s",
		len(links), kills, exchanges, resumed, began, at(0.5), at(0.99), at(1), max(0, late))
}
