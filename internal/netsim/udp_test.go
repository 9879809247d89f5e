package netsim

import (
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"
)

// between returns a client's socket, a server's and the network between them.
func between(t *testing.T, faults UDPFaults) (client, server *net.UDPConn, u *UDP) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		for range 3000 { // half a minute
			if runtime.NumGoroutine() <= before {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Error("goroutines are left")
	})
	server, err := listenUDP()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	if client, err = listenUDP(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if u, err = NewUDP(server.LocalAddr().String(), 1, faults); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := u.Close(); err != nil {
			t.Error(err)
		}
	})
	return client, server, u
}

func send(t *testing.T, from *net.UDPConn, to netip.AddrPort, text string) {
	t.Helper()
	if _, err := from.WriteToUDPAddrPort([]byte(text), to); err != nil {
		t.Fatal(err)
	}
}

// receive returns what comes, and from where.
func receive(t *testing.T, c *net.UDPConn) (string, netip.AddrPort) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	n, from, err := c.ReadFromUDPAddrPort(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n]), from
}

func addressOf(u *UDP) netip.AddrPort { return netip.MustParseAddrPort(u.Addr()) }

func TestDatagramsGoBothWaysInOrder(t *testing.T) {
	client, server, u := between(t, UDPFaults{})
	for i := range 100 {
		send(t, client, addressOf(u), fmt.Sprint(i))
		got, from := receive(t, server)
		if got != fmt.Sprint(i) {
			t.Fatalf("%q, want %d", got, i)
		}
		send(t, server, from, "re: "+got)
		if got, _ := receive(t, client); got != fmt.Sprint("re: ", i) {
			t.Fatalf("%q, want the answer to %d", got, i)
		}
	}
	if s := u.Stats(); s != (UDPStats{Relayed: 200}) {
		t.Errorf("%+v", s)
	}
}

// Each fault is seen at the other end as often as it is counted.
func TestFaultsHappenAsTheyAreCounted(t *testing.T) {
	client, server, u := between(t, UDPFaults{Drop: 0.2, Duplicate: 0.2, Reorder: 0.2, Delay: time.Millisecond, Jitter: time.Millisecond})
	const sent = 200 // all that arrive lie in the server's socket, which has room for about 500 where nobody has made it larger
	for i := range sent {
		send(t, client, addressOf(u), fmt.Sprint(i))
		if i%10 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	var got []string
	for s := u.Stats(); s.Relayed == 0 || s.Dropped+s.Relayed-s.Duplicated < sent; s = u.Stats() {
		time.Sleep(time.Millisecond)
	}
	s := u.Stats()
	for range s.Relayed {
		text, _ := receive(t, server)
		got = append(got, text)
	}
	slices.Sort(got)
	if twice := len(got) - len(slices.Compact(got)); twice != s.Duplicated || s.Dropped == 0 || s.Duplicated == 0 || s.Reordered == 0 {
		t.Errorf("%d came twice; %+v", twice, s)
	}
}

func TestADatagramThatIsDelayedIsOvertaken(t *testing.T) {
	client, server, u := between(t, UDPFaults{Delay: time.Hour, Reorder: 1})
	send(t, client, addressOf(u), "first")
	for u.Stats().Reordered == 0 {
		time.Sleep(time.Millisecond)
	}
	u.SetFaults(UDPFaults{})
	send(t, client, addressOf(u), "second")
	if got, _ := receive(t, server); got != "second" {
		t.Errorf("%q", got)
	}
}

func TestACutLosesEverythingUntilItHeals(t *testing.T) {
	client, server, u := between(t, UDPFaults{})
	u.Cut()
	send(t, client, addressOf(u), "lost")
	for u.Stats().Dropped == 0 {
		time.Sleep(time.Millisecond)
	}
	u.Heal()
	send(t, client, addressOf(u), "there")
	if got, _ := receive(t, server); got != "there" {
		t.Errorf("%q", got)
	}
}

func TestRebindGivesAnotherAddress(t *testing.T) {
	client, server, u := between(t, UDPFaults{})
	send(t, client, addressOf(u), "a")
	_, before := receive(t, server)
	if err := u.Rebind(); err != nil {
		t.Fatal(err)
	}
	send(t, server, before, "to nobody")
	send(t, client, addressOf(u), "b")
	_, after := receive(t, server)
	if before == after {
		t.Errorf("the address is %v still", after)
	}
	send(t, server, after, "to the client")
	if got, _ := receive(t, client); got != "to the client" {
		t.Errorf("%q", got)
	}
}
