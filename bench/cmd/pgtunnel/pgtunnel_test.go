package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func TestTheTallyNoticesWhatIsLostOrDoneTwice(t *testing.T) {
	good := tally{transport: "tcp", clients: 8, cuts: 2, transactions: 100, lost: 2, written: 101, resumed: 2, updates: 5, balances: 7, tellers: 7, deltas: 7}
	if err := good.check(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*tally){
		"a transaction failed":              func(t *tally) { t.failed = 1 },
		"a connection too many was lost":    func(t *tally) { t.lost, t.written = 3, 100 },
		"no connection was lost":            func(t *tally) { t.lost, t.written = 0, 100 },
		"a row is missing":                  func(t *tally) { t.written = 99 },
		"rows of transactions done twice":   func(t *tally) { t.written = 103 },
		"branches and history do not agree": func(t *tally) { t.balances = 8 },
		"tellers and history do not agree":  func(t *tally) { t.tellers = 6 },
		"a session was not resumed":         func(t *tally) { t.resumed = 1 },
		"no key was replaced":               func(t *tally) { t.updates = 0 },
	} {
		bad := good
		change(&bad)
		if bad.check() == nil {
			t.Errorf("%s: nothing is noticed", name)
		}
	}
	quic := good
	quic.transport, quic.lost = "quic", 16 // all connections of a link
	if err := quic.check(); err != nil {
		t.Error(err)
	}
	if quic.lost = 17; quic.check() == nil {
		t.Error("more connections were lost than were on the links that were cut, and nothing is noticed")
	}
}

func TestMediansAreOfRounds(t *testing.T) {
	ours, peer := []sample{{10, 1}, {40, 4}, {30, 2}}, []sample{{20, 1}, {20, 2}, {10, 8}}
	rate := func(s sample) float64 { return s.perSecond }
	if m := median(ours, rate); m != 30 {
		t.Errorf("median %v, want 30", m)
	}
	if r := medianRatio(ours, peer, rate); r != 2 { // of 0.5, 2, 3
		t.Errorf("median of the ratios %v, want 2", r)
	}
}

// A cut ends one link, and the next one goes through.
func TestATCPNetworkCutsOneLink(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			go io.Copy(c, c)
		}
	}()
	n, err := newNetwork("tcp", server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", n.addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(time.Minute))
		if err := say(c); err != nil {
			t.Fatal(err)
		}
		return c
	}
	first, second := dial(), dial()
	if err := n.cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := say(first); err == nil {
		t.Error("the first link is not cut")
	}
	if err := say(second); err != nil {
		t.Errorf("the second link: %v", err)
	}
	dial()
}

func say(c net.Conn) error {
	const text = "hello"
	if _, err := io.WriteString(c, text); err != nil {
		return err
	}
	b := make([]byte, len(text))
	if _, err := io.ReadFull(c, b); err != nil {
		return err
	}
	if string(b) != text {
		return fmt.Errorf("heard %q", b)
	}
	return nil
}

func TestAServerThatEndsByItselfIsAnError(t *testing.T) {
	d := &database{programs: "/bin"}
	p, err := start(d.commandTo(context.Background(), "nowhere:1", "sh", "-c", "echo the reason; exit 3"), nil)
	if err != nil {
		t.Fatal(err)
	}
	<-p.ended
	if err := p.end(); err == nil || !strings.Contains(err.Error(), "the reason") {
		t.Errorf("got %v, want an error with what it said", err)
	}
}
