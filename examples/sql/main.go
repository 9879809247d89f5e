// Sql runs database/sql over Mendlink: an unmodified PostgreSQL driver, whose DialFunc is
// a [netconn.Dialer]'s.
//
// The server speaks PostgreSQL's protocol for a handful of statements. It asks for no password: who
// the user is, it knows from the handshake. Keys are updated between two
// statements, in the middle of a transaction and while a large result comes in. Then the
// connection is cut in a transaction, which is rolled back; the driver dials again,
// and resumes the session. At the end four connections work at once.
//
// The exit status is 0 only if all of it really happened.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"maps"
	"os"
	"sync"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/netconn"
)

func main() {
	log.SetFlags(0)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := run(ctx); err != nil {
		log.Printf("FAILED: %v", err)
		os.Exit(1)
	}
	log.Print("all of it happened: queries and transactions, rekeyed, cut, resumed, and by a pool")
}

func run(ctx context.Context) error {
	clientConfig, serverConfig, err := newConfigs()
	if err != nil {
		return err
	}
	clientConfig.Store, serverConfig.Store = channel.NewMemoryStore(0), channel.NewMemoryStore(0)
	server, err := newServer(serverConfig, newDatabase(map[string]int64{"alice": 100, "bob": 100}))
	if err != nil {
		return err
	}
	defer server.close()
	db, err := open(server.addr(), "client", clientConfig)
	if err != nil {
		return err
	}
	defer db.Close()
	if err := withConn(ctx, db, showQueries); err != nil {
		return err
	}
	if err := showCut(ctx, db, server); err != nil {
		return err
	}
	return showPool(ctx, db)
}

// withConn takes a connection out of the pool for f.
func withConn(ctx context.Context, db *sql.DB, f func(ctx context.Context, conn *sql.Conn, link *netconn.Conn) error) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	link, err := linkOf(conn)
	if err != nil {
		return err
	}
	return f(ctx, conn, link)
}

func showQueries(ctx context.Context, conn *sql.Conn, link *netconn.Conn) error {
	var user string
	if err := conn.QueryRowContext(ctx, selectUser).Scan(&user); err != nil {
		return err
	}
	if user != "client" {
		return fmt.Errorf("the database takes the client for %q", user)
	}
	log.Printf("connected without a password: the database knows %q", user)

	update := func() error { return link.Update(ctx) }
	for range 4 {
		if err := transfer(ctx, conn, "alice", "bob", 10, update); err != nil {
			return err
		}
		if err := update(); err != nil {
			return err
		}
	}
	got, err := balances(ctx, conn)
	if err != nil {
		return err
	}
	if want := map[string]int64{"alice": 60, "bob": 140}; !maps.Equal(got, want) {
		return fmt.Errorf("balances %v, want %v", got, want)
	}
	epoch := link.ConnectionState().Epoch
	if epoch < 9 {
		return fmt.Errorf("epoch %d after 8 updates", epoch)
	}
	log.Printf("4 transactions with an update in each and after each: %v, epoch %d", got, epoch)
	return showLargeResult(ctx, conn, link)
}

// showLargeResult updates the keys while rows come in. An update needs its answer to be
// read, which comes behind them: so somebody else waits for it.
func showLargeResult(ctx context.Context, conn *sql.Conn, link *netconn.Conn) error {
	const size, n = 64 << 10, 256
	updated := make(chan error, 1)
	octets, err := fetch(ctx, conn, size, n, func() {
		go func() { updated <- link.Update(ctx) }()
	})
	if err != nil {
		return err
	}
	if octets != size*n {
		return fmt.Errorf("%d octets in %d rows of %d", octets, n, size)
	}
	if err := <-updated; err != nil {
		return err
	}
	log.Printf("%d MiB in %d rows, with an update meanwhile: epoch %d", octets>>20, n, link.ConnectionState().Epoch)
	return nil
}

// showCut cuts the connection in the middle of a transaction.
func showCut(ctx context.Context, db *sql.DB, server *server) error {
	var session channel.SessionID
	err := withConn(ctx, db, func(ctx context.Context, conn *sql.Conn, link *netconn.Conn) error {
		session = link.ConnectionState().SessionID
		driver, err := driverOf(conn)
		if err != nil {
			return err
		}
		err = transfer(ctx, conn, "alice", "bob", 10, func() error {
			server.cut()
			return nil
		})
		if err == nil {
			return errors.New("a transaction went on after the connection was cut")
		}
		log.Printf("cut in a transaction: %v", err)
		// The driver cleans up, and dials to cancel what is lost already. With that
		// the session is in use until it is done.
		select {
		case <-driver.CleanupDone():
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	if err != nil {
		return err
	}
	return withConn(ctx, db, func(ctx context.Context, conn *sql.Conn, link *netconn.Conn) error {
		got, err := balances(ctx, conn)
		if err != nil {
			return err
		}
		if want := map[string]int64{"alice": 60, "bob": 140}; !maps.Equal(got, want) {
			return fmt.Errorf("balances %v, want %v: the transaction was not rolled back", got, want)
		}
		state := link.ConnectionState()
		if !state.Resumed || state.SessionID != session {
			return errors.New("the session was not resumed")
		}
		log.Printf("the transaction was rolled back: %v; the session was resumed, epoch %d", got, state.Epoch)
		return nil
	})
}

// showPool uses several connections at once.
func showPool(ctx context.Context, db *sql.DB) error {
	const connections, transfers = 4, 8
	var open, done sync.WaitGroup
	open.Add(connections)
	errs := make(chan error, connections)
	for range connections {
		done.Go(func() {
			opened := sync.OnceFunc(open.Done)
			defer opened()
			errs <- withConn(ctx, db, func(ctx context.Context, conn *sql.Conn, link *netconn.Conn) error {
				opened()
				open.Wait() // so that there are as many as that
				for range transfers {
					if err := transfer(ctx, conn, "bob", "alice", 1, func() error { return link.Update(ctx) }); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
	done.Wait()
	for range connections {
		if err := <-errs; err != nil {
			return err
		}
	}
	return withConn(ctx, db, func(ctx context.Context, conn *sql.Conn, _ *netconn.Conn) error {
		got, err := balances(ctx, conn)
		if err != nil {
			return err
		}
		if want := map[string]int64{"alice": 92, "bob": 108}; !maps.Equal(got, want) {
			return fmt.Errorf("balances %v, want %v", got, want)
		}
		log.Printf("%d connections at once, %d transactions each: %v", connections, transfers, got)
		return nil
	})
}
