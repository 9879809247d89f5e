package netconn

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/channel/record"
	"github.com/mendlink/mendlink/internal/netsim"
)

// newEarlyConfigs returns configurations of ends that resume, and of which the
// responder accepts early data, with a session between them in their stores.
func newEarlyConfigs(t *testing.T) (ic, rc *Config) {
	t.Helper()
	ic, rc = newConfigs(t)
	ic.Store, rc.Store, ic.PeerName = newStore(), newStore(), "peer"
	rc.MaxEarlyData = 1000
	makeSession(t, ic, rc)
	return ic, rc
}

func makeSession(t *testing.T, ic, rc *Config) {
	t.Helper()
	a, b := tcpPair(t)
	client, server := connect(t, a, b, ic, rc)
	client.Close()
	server.Close()
}

func withEarlyData(t *testing.T, c *Conn, data []byte) *Conn {
	t.Helper()
	if err := c.SetEarlyData(data); err != nil {
		t.Fatal(err)
	}
	return c
}

// rest is what tests write behind the handshake.
const rest = "and the rest"

// finish writes the rest at one end and returns all that the other end reads.
func finish(t *testing.T, client, server *Conn) string {
	t.Helper()
	go func() {
		if _, err := client.Write([]byte(rest)); err != nil {
			t.Error(err)
		}
		client.CloseWrite()
	}()
	all, err := io.ReadAll(server)
	if err != nil {
		t.Error(err)
	}
	return string(all)
}

func TestThePeerReadsEarlyDataFirstWhateverBecomesOfIt(t *testing.T) {
	for _, c := range []struct {
		name   string
		size   int
		change func(ic, rc *Config)
		want   channel.EarlyDataFate
	}{
		{"taken", 1000, func(ic, rc *Config) {}, channel.EarlyDataDelivered},
		{"too much", 1001, func(ic, rc *Config) {}, channel.EarlyDataRejected},
		{"far too much", 300 << 10, func(ic, rc *Config) {}, channel.EarlyDataRejected},
		{"not accepted any more", 10, func(ic, rc *Config) { rc.MaxEarlyData = 0 }, channel.EarlyDataRejected},
		{"full handshake", 10, func(ic, rc *Config) { ic.PeerName = "" }, channel.EarlyDataRejected},
		{"nothing", 0, func(ic, rc *Config) {}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			checkGoroutines(t)
			ic, rc := newEarlyConfigs(t)
			c.change(ic, rc)
			early := bytes.Repeat([]byte("early"), c.size/5+1)[:c.size]
			a, b := tcpPair(t)
			client, server := withEarlyData(t, Client(a, ic), early), Server(b, rc)
			defer client.Close()
			defer server.Close()
			handshaken := make(chan error, 1)
			go func() { handshaken <- client.Handshake() }()
			first := make([]byte, len(early))
			if _, err := io.ReadFull(server, first); err != nil || !bytes.Equal(first, early) {
				t.Fatalf("other octets come first, or %v", err)
			}
			if err := server.Handshake(); err != nil {
				t.Fatal(err)
			}
			if err := <-handshaken; err != nil {
				t.Fatal(err)
			}
			if got := finish(t, client, server); got != rest {
				t.Errorf("behind them there is %q", got)
			}
			if s := client.ConnectionState(); s.EarlyData != c.want {
				t.Errorf("its fate is %v, want %v", s.EarlyData, c.want)
			}
			if s := server.ConnectionState(); s.EarlyData != 0 {
				t.Errorf("the responder's fate is %v", s.EarlyData)
			}
		})
	}
}

// held is a transport on which nothing is read before release is closed.
type held struct {
	net.Conn
	release chan struct{}
}

func (h *held) Read(p []byte) (int, error) {
	<-h.release
	return h.Conn.Read(p)
}

func TestEarlyDataCanBeReadBeforeTheHandshakeIsComplete(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newEarlyConfigs(t)
	a, b := tcpPair(t)
	h := &held{a, make(chan struct{})}
	client, server := withEarlyData(t, Client(h, ic), []byte("early")), Server(b, rc)
	defer client.Close()
	defer server.Close()
	done := make(chan error, 1)
	go func() { done <- client.Handshake() }()
	within(t, "reading early data", func() {
		if early, err := server.ReadEarlyData(t.Context()); string(early) != "early" || err != nil {
			t.Errorf("%q, %v", early, err)
		}
	})
	if server.ConnectionState().HandshakeComplete {
		t.Error("the handshake is complete already")
	}
	close(h.release)
	if got := finish(t, client, server); got != rest {
		t.Errorf("what follows is %q", got)
	}
	if early, err := server.ReadEarlyData(t.Context()); early != nil || err != nil {
		t.Errorf("once more: %q, %v", early, err)
	}
	if err := <-done; err != nil || client.ConnectionState().EarlyData != channel.EarlyDataDelivered {
		t.Errorf("%v, %v", err, client.ConnectionState().EarlyData)
	}
}

func TestReadEarlyDataCompletesAHandshakeWithout(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newEarlyConfigs(t)
	a, b := tcpPair(t)
	client, server := Client(a, ic), Server(b, rc)
	defer client.Close()
	defer server.Close()
	go client.Handshake()
	if early, err := server.ReadEarlyData(t.Context()); early != nil || err != nil || !server.ConnectionState().HandshakeComplete {
		t.Errorf("%q, %v", early, err)
	}
	exchange(t, client, server)
}

// lossy is a transport that loses all that comes once it is told to.
type lossy struct {
	net.Conn
	now atomic.Bool
}

func (l *lossy) Read(p []byte) (int, error) {
	for {
		if n, err := l.Conn.Read(p); err != nil || !l.now.Load() {
			return n, err
		}
	}
}

// The peer has applied an update and this end has not learned of it: what comes with the request to resume by it is
// never delivered, and so it is sent again.
func TestEarlyDataBehindAnUpdateWhoseConfirmationIsLostIsSentAgain(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newEarlyConfigs(t)
	a, b := tcpPair(t)
	l := &lossy{Conn: a}
	client, server := connect(t, l, b, ic, rc)
	l.now.Store(true)
	before := server.ConnectionState().Epoch
	ctx, cancel := context.WithCancel(t.Context())
	updated := make(chan error, 1)
	go func() { updated <- client.Update(ctx) }()
	go io.Copy(io.Discard, server) // until the end
	within(t, "the update", func() {
		for server.ConnectionState().Epoch == before {
			time.Sleep(time.Millisecond)
		}
	})
	cancel()
	if err := <-updated; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	a.Close()
	client.Close()
	server.Close()

	a, b = tcpPair(t)
	client, server = withEarlyData(t, Client(a, ic), []byte("early")), Server(b, rc)
	defer client.Close()
	defer server.Close()
	if got := finish(t, client, server); got != "early"+rest {
		t.Errorf("the peer reads %q", got)
	}
	if s := client.ConnectionState(); s.EarlyData != channel.EarlyDataRejected || !s.Resumed {
		t.Errorf("%+v", s)
	}
}

// Whoever refuses to resume in the clear may be anybody: nobody knows where the data is.
func TestEarlyDataOfUnknownFateIsNotSentAgain(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newEarlyConfigs(t)
	rc.Store = newStore()
	a, b := tcpPair(t)
	client, server := withEarlyData(t, Client(a, ic), []byte("early")), Server(b, rc)
	defer client.Close()
	defer server.Close()
	if got := finish(t, client, server); got != rest {
		t.Errorf("the peer reads %q", got)
	}
	if s := client.ConnectionState(); s.EarlyData != channel.EarlyDataUnknown || s.Resumed {
		t.Errorf("%+v", s)
	}
}

// Somebody on the network brings a copy of the first flight to another connection, and
// before the flight itself.
func TestEarlyDataThatACopyTookIsNotPartOfTheStream(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newEarlyConfigs(t)
	a, am := net.Pipe()
	client := withEarlyData(t, Client(a, ic), []byte("early"))
	defer client.Close()
	go client.Handshake()
	flight := make([]byte, record.MaxRecord)
	n, err := am.Read(flight)
	if err != nil {
		t.Fatal(err)
	}
	x, y := net.Pipe()
	copied := Server(y, rc)
	defer copied.Close()
	go func() {
		x.Write(flight[:n])
		io.Copy(io.Discard, x)
	}()
	if early, err := copied.ReadEarlyData(t.Context()); string(early) != "early" || err != nil {
		t.Fatalf("the copy: %q, %v", early, err)
	}
	x.Close()

	bm, b := net.Pipe()
	server := Server(b, rc)
	defer server.Close()
	go func() {
		bm.Write(flight[:n])
		io.Copy(bm, am)
		bm.Close()
	}()
	go io.Copy(am, bm)
	if got := finish(t, client, server); got != rest {
		t.Errorf("the peer reads %q", got)
	}
	if s := client.ConnectionState(); s.EarlyData != channel.EarlyDataUnknown || !s.Resumed {
		t.Errorf("%+v", s)
	}
}

// Cut at any point, and tried again: the second stream is what the second fate says, and
// nothing is read from the first.
func TestEarlyDataOfAResumptionThatIsCut(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newEarlyConfigs(t)
	fates := make(map[channel.EarlyDataFate]int)
	stride := int64(41)
	if raceEnabled {
		stride = 97
	}
	for direction := range 2 {
		for i := int64(0); i < 700; i += stride {
			server, serverErr := handshakeThrough(ic, rc, []byte("early"), in(direction, netsim.CutAt(i, netsim.CutClosed)))
			if n, err := server.Read(make([]byte, 10)); n > 0 || serverErr != nil && err == nil {
				t.Fatalf("cut at octet %d of direction %d: Read gives %d octets of a connection that failed, %v", i, direction, n, err)
			}
			a, b := tcpPair(t)
			client, server := withEarlyData(t, Client(a, ic), []byte("early")), Server(b, rc)
			got := finish(t, client, server)
			fate := client.ConnectionState().EarlyData
			fates[fate]++
			if want := map[bool]string{true: rest, false: "early" + rest}[fate == channel.EarlyDataUnknown]; got != want {
				t.Fatalf("cut at octet %d of direction %d: the fate is %v and the stream %q", i, direction, fate, got)
			}
			client.Close()
			server.Close()
		}
	}
	t.Logf("fates: %v", fates)
	if fates[channel.EarlyDataDelivered] == 0 || fates[channel.EarlyDataUnknown] == 0 {
		t.Error("the cuts do not lead to different fates")
	}
}

// A deadline in the middle of what the Conn sends by itself is not the end of it.
func TestRejectedEarlyDataGoesOnAfterADeadline(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newEarlyConfigs(t)
	early := bytes.Repeat([]byte("0123456789"), 60<<10)
	a, b := net.Pipe()
	client, server := withEarlyData(t, Client(a, ic), early), Server(b, rc)
	defer client.Close()
	defer server.Close()
	handshaken := make(chan error, 1)
	go func() { handshaken <- server.Handshake() }()
	for timeouts := 0; timeouts < 3; {
		client.SetDeadline(time.Now().Add(20 * time.Millisecond))
		err := client.Handshake()
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("%v, want a timeout: nobody reads so much", err)
		}
		if client.ConnectionState().HandshakeComplete { // but for the data
			timeouts++
		}
	}
	client.SetDeadline(time.Time{})
	if err := <-handshaken; err != nil {
		t.Fatal(err)
	}
	if got := finish(t, client, server); got != string(early)+rest {
		t.Errorf("%d octets arrive, or others", len(got))
	}
	server.SetWriteDeadline(time.Now()) // nobody is there to take close_notify
}

func TestEarlyDataIsForInitiatorsBeforeTheHandshake(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	if err := client.SetEarlyData([]byte("late")); !errors.Is(err, channel.ErrStarted) {
		t.Errorf("after the handshake: %v", err)
	}
	_, rc := newConfigs(t)
	a, b := net.Pipe()
	defer b.Close()
	unused := Server(a, rc)
	defer unused.Close()
	if err := unused.SetEarlyData([]byte("x")); err == nil {
		t.Error("a responder has early data")
	}
	exchange(t, client, server)
}

func TestADialerSendsEarlyData(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	ic.Store, rc.Store, rc.MaxEarlyData = newStore(), newStore(), 100
	address, ends := echoServer(t, rc)
	for _, want := range []channel.EarlyDataFate{channel.EarlyDataRejected, channel.EarlyDataDelivered} {
		dialed, err := (&Dialer{Config: ic, EarlyData: []byte("early")}).DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		c := dialed.(*Conn)
		if fate := c.ConnectionState().EarlyData; fate != want {
			t.Errorf("%v, want %v", fate, want)
		}
		got := make([]byte, 5)
		if _, err := io.ReadFull(c, got); err != nil || string(got) != "early" {
			t.Errorf("%q, %v", got, err)
		}
		c.Close()
		<-ends
	}
}
