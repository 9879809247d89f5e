package netconn

import (
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/internal/driver"
)

// listening returns the address of a listener whose connections echo, and the
// configuration of an initiator that remembers sessions.
func listening(t *testing.T) (address string, ic *Config) {
	t.Helper()
	ic, rc := newConfigs(t)
	ic.Store, rc.Store = channel.NewMemoryStore(0), channel.NewMemoryStore(0)
	l, err := Listen("tcp", "127.0.0.1:0", rc)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				io.Copy(conn, conn)
			})
		}
	})
	t.Cleanup(wg.Wait)
	t.Cleanup(func() { l.Close() })
	return l.Addr().String(), ic
}

func dialTo(t *testing.T, address string, config *Config) *Conn {
	t.Helper()
	c, err := Dial("tcp", address, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// echoes checks that a connection is alive, and heals.
func echoes(c *Conn) error {
	if _, err := c.Write([]byte("x")); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		return err
	}
	return c.Update(c.life.context())
}

func TestASecondDialLeavesTheSessionOfALivingConnectionAlone(t *testing.T) {
	address, config := listening(t)
	first, second := dialTo(t, address, config), dialTo(t, address, config)
	if second.ConnectionState().Resumed || first.ConnectionState().SessionID == second.ConnectionState().SessionID {
		t.Error("the second connection has the session of the first")
	}
	if err := errors.Join(echoes(first), echoes(second)); err != nil {
		t.Error(err)
	}
	// Once the first is closed, or lost, its session is there for the next.
	id := first.ConnectionState().SessionID
	first.Close()
	third := dialTo(t, address, config)
	if s := third.ConnectionState(); !s.Resumed || s.SessionID != id {
		t.Errorf("resumed: %t, session %v, want %v", s.Resumed, s.SessionID, id)
	}
	third.NetConn().Close()
	third.Read(make([]byte, 1))
	if s := dialTo(t, address, config).ConnectionState(); !s.Resumed || s.SessionID != id {
		t.Errorf("after a loss: resumed: %t, session %v, want %v", s.Resumed, s.SessionID, id)
	}
	if err := echoes(second); err != nil {
		t.Error(err)
	}
}

func TestManyDialAtOnce(t *testing.T) {
	address, config := listening(t)
	for range 3 { // those of later rounds resume
		var wg sync.WaitGroup
		var mu sync.Mutex
		var conns []*Conn
		for range 16 {
			wg.Go(func() {
				c, err := Dial("tcp", address, config)
				if err == nil {
					err = echoes(c)
				}
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
					return
				}
				conns = append(conns, c)
			})
		}
		wg.Wait()
		seen := map[channel.SessionID]bool{}
		for _, c := range conns {
			seen[c.ConnectionState().SessionID] = true
		}
		if len(seen) != len(conns) {
			t.Errorf("%d connections have %d sessions", len(conns), len(seen))
		}
		for _, c := range conns {
			c.Close()
		}
	}
	if n := driver.Leased(config.Store); n != 0 {
		t.Errorf("closed connections hold %d sessions still", n)
	}
}

// unhashable is a store that cannot be told from another by comparison.
type unhashable struct {
	channel.Store
	_ []int
}

func TestStoreThatCannotBeComparedIsNoFault(t *testing.T) {
	ic, rc := newConfigs(t)
	ic.Store, ic.PeerName = unhashable{Store: channel.NewMemoryStore(0)}, "peer"
	rc.Store = channel.NewMemoryStore(0)
	for i := range 2 {
		a, b := tcpPair(t)
		c, s := connect(t, a, b, ic, rc)
		if c.ConnectionState().Resumed != (i > 0) {
			t.Errorf("connection %d, resumed: %t", i, c.ConnectionState().Resumed)
		}
		c.Close()
		s.Close()
	}
}

// A session is in the store before the handshake that makes it is complete. Another Dial that
// finds it there must leave it alone.
func TestASessionIsHeldFromItsBeginning(t *testing.T) {
	address, config := listening(t)
	store := &savingStore{Store: config.Store, saved: func() {}}
	config.Store = store
	var second *Conn
	store.saved = func() {
		store.saved = func() {}
		second = dialTo(t, address, config)
	}
	first := dialTo(t, address, config)
	if second == nil || second.ConnectionState().Resumed || second.ConnectionState().SessionID == first.ConnectionState().SessionID {
		t.Fatal("the second connection has the session of the first")
	}
	if err := errors.Join(echoes(first), echoes(second)); err != nil {
		t.Error(err)
	}
}
