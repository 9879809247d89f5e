package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/identity"
	"github.com/mendlink/mendlink/netconn"
)

// testContext bounds what a test waits for.
func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// TestRun runs the whole program.
func TestRun(t *testing.T) {
	if err := run(testContext(t)); err != nil {
		t.Fatal(err)
	}
}

// newPair returns a server and a pool of connections to it, which live until the test ends.
// adapt, if any, changes the two ends' configurations first.
func newPair(t *testing.T, user string, adapt func(client, server *netconn.Config)) (*server, *sql.DB) {
	t.Helper()
	cc, sc, err := newConfigs()
	if err != nil {
		t.Fatal(err)
	}
	if adapt != nil {
		adapt(cc, sc)
	}
	s, err := newServer(sc, newDatabase(map[string]int64{"alice": 100, "bob": 100}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	db, err := open(s.addr(), user, cc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return s, db
}

func TestUserIsWhomTheHandshakeAuthenticated(t *testing.T) {
	_, db := newPair(t, "mallory", nil)
	err := db.PingContext(testContext(t))
	if refused := new(pgconn.PgError); !errors.As(err, &refused) || refused.Code != "28000" {
		t.Errorf("got %v, want code 28000", err)
	}
}

func TestUnknownPeersAreRefused(t *testing.T) {
	_, db := newPair(t, "client", func(client, _ *netconn.Config) { client.Validator, _ = identity.NewPinned() })
	if err := db.PingContext(testContext(t)); !errors.Is(err, identity.ErrUnknownPeer) {
		t.Errorf("the client: got %v, want ErrUnknownPeer", err)
	}
	_, db = newPair(t, "client", func(_, server *netconn.Config) { server.Validator, _ = identity.NewPinned() })
	err := db.PingContext(testContext(t))
	if alert := new(netconn.AlertError); !errors.As(err, &alert) {
		t.Errorf("the server: got %v, want its alert", err)
	}
}

// A peer that speaks another protocol is not taken for one that speaks this.
func TestOtherProtocolIsRefused(t *testing.T) {
	_, db := newPair(t, "client", func(client, _ *netconn.Config) { client.Protocols = []string{"h2"} })
	if err := db.PingContext(testContext(t)); err == nil {
		t.Error("h2 was taken for postgresql")
	}
}

// A statement that fails leaves its connection, and its transaction, usable.
func TestErrorsLeaveTheConnectionUsable(t *testing.T) {
	_, db := newPair(t, "client", nil)
	ctx := testContext(t)
	err := withConn(ctx, db, func(ctx context.Context, conn *sql.Conn, link *netconn.Conn) error {
		for _, wrong := range []struct {
			sql  string
			args []any
		}{
			{"SELECT something else", nil},
			{"SELECT something else", []any{1}},
			{selectBalance, []any{"alice", "bob"}},
			{selectRows, []any{-1, 1}},
		} {
			_, err := conn.ExecContext(ctx, wrong.sql, wrong.args...)
			if refused := new(pgconn.PgError); !errors.As(err, &refused) {
				t.Errorf("%q of %v: got %v, want the server's error", wrong.sql, wrong.args, err)
			}
			if err := link.Update(ctx); err != nil {
				return err
			}
		}
		var balance int64
		if err := conn.QueryRowContext(ctx, selectBalance, "nobody").Scan(&balance); !errors.Is(err, sql.ErrNoRows) {
			t.Errorf("balance of nobody: got %v, want ErrNoRows", err)
		}
		if err := transfer(ctx, conn, "alice", "nobody", 1, func() error { return nil }); err == nil {
			t.Error("nobody got something")
		}
		return conn.QueryRowContext(ctx, selectBalance, "alice").Scan(&balance)
	})
	if err != nil {
		t.Error(err)
	}
}

// The driver ends a query by a deadline on its connection, which it gives up then. The pool
// dials again.
func TestCancelledQueryLeavesThePoolUsable(t *testing.T) {
	s, db := newPair(t, "client", func(client, server *netconn.Config) {
		client.Store, server.Store = channel.NewMemoryStore(0), channel.NewMemoryStore(0)
	})
	db.SetMaxOpenConns(1)
	ctx := testContext(t)
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	short, cancelShort := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancelShort()
	for _, c := range []struct {
		ctx  context.Context
		want error
	}{{cancelled, context.Canceled}, {short, context.DeadlineExceeded}} {
		held := s.db.begin() // so that queries wait
		err := withConn(ctx, db, func(_ context.Context, conn *sql.Conn, _ *netconn.Conn) error {
			_, err := balances(c.ctx, conn)
			return err
		})
		held.commit()
		if !errors.Is(err, c.want) {
			t.Errorf("got %v, want %v", err, c.want)
		}
		err = withConn(ctx, db, func(ctx context.Context, conn *sql.Conn, _ *netconn.Conn) error {
			_, err := balances(ctx, conn)
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// Connections that live at the same time have a session each; those that come after them go on
// with these.
func TestConnectionsTakeTheSessionsOfThoseBefore(t *testing.T) {
	_, db := newPair(t, "client", func(client, server *netconn.Config) {
		client.Store, server.Store = channel.NewMemoryStore(0), channel.NewMemoryStore(0)
	})
	db.SetMaxIdleConns(-1) // each connection is closed when it comes back
	ctx := testContext(t)
	var sessions [2]map[channel.SessionID]bool
	for round := range sessions {
		sessions[round] = make(map[channel.SessionID]bool)
		var conns []*sql.Conn
		for range 3 {
			conn, err := db.Conn(ctx)
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, conn)
		}
		for _, conn := range conns {
			link, err := linkOf(conn)
			if err == nil {
				err = link.Update(ctx)
			}
			if err != nil {
				t.Fatal(err)
			}
			state := link.ConnectionState()
			if state.Resumed != (round > 0) {
				t.Errorf("round %d: resumed %v", round, state.Resumed)
			}
			sessions[round][state.SessionID] = true
			conn.Close()
		}
	}
	if len(sessions[0]) != 3 || !maps.Equal(sessions[0], sessions[1]) {
		t.Errorf("%d sessions and then %d, which should be the same 3", len(sessions[0]), len(sessions[1]))
	}
}

// The policy puts fresh keys in while results come in, with nobody who asks for it.
func TestPolicyRekeysWhileRowsComeIn(t *testing.T) {
	_, db := newPair(t, "client", func(client, server *netconn.Config) {
		client.Rekey = netconn.RekeyPolicy{Every: -1, Bytes: 64 << 10}
		server.Rekey = netconn.RekeyPolicy{Every: -1, Bytes: 64 << 10}
	})
	err := withConn(testContext(t), db, func(ctx context.Context, conn *sql.Conn, link *netconn.Conn) error {
		const size, n = 32 << 10, 64
		for link.ConnectionState().Epoch < 5 {
			if got, err := fetch(ctx, conn, size, n, func() {}); err != nil || got != size*n {
				return fmt.Errorf("%d octets, %w; want %d", got, err, size*n)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestVerdictsCanFail shows that the program would notice a wrong balance.
func TestVerdictsCanFail(t *testing.T) {
	ctx := testContext(t)
	s, db := newPair(t, "client", nil)
	s.db.balances["alice"]++
	if err := withConn(ctx, db, showQueries); err == nil {
		t.Error("a wrong balance was taken")
	}
	if err := showCut(ctx, db, s); err == nil {
		t.Error("neither the balances nor the session are as they should be, and it was not noticed")
	}
}
