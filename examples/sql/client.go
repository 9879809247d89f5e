package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/mendlink/mendlink/netconn"
)

// open returns the database at addr, to which the driver dials through Mendlink. It is told
// not to ask for TLS: the connection that it is given is secure already.
func open(addr, user string, config *netconn.Config) (*sql.DB, error) {
	driver, err := pgx.ParseConfig(fmt.Sprintf("postgres://%s@%s/bank?sslmode=disable&default_query_exec_mode=exec", user, addr))
	if err != nil {
		return nil, err
	}
	driver.DialFunc = (&netconn.Dialer{Config: config}).DialContext
	return stdlib.OpenDB(*driver), nil
}

// driverOf returns the driver's end of a connection that was taken out of the pool.
func driverOf(conn *sql.Conn) (driver *pgconn.PgConn, err error) {
	err = conn.Raw(func(c any) error {
		driver = c.(*stdlib.Conn).Conn().PgConn()
		return nil
	})
	return driver, err
}

// linkOf returns the secure channel beneath it.
func linkOf(conn *sql.Conn) (*netconn.Conn, error) {
	driver, err := driverOf(conn)
	if err != nil {
		return nil, err
	}
	return driver.Conn().(*netconn.Conn), nil
}

// transfer moves an amount in a transaction, and calls between in the middle of it.
func transfer(ctx context.Context, conn *sql.Conn, from, to string, amount int64, between func() error) error {
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // without effect after Commit
	if err := add(ctx, tx, from, -amount); err != nil {
		return err
	}
	if err := between(); err != nil {
		return err
	}
	if err := add(ctx, tx, to, amount); err != nil {
		return err
	}
	return tx.Commit()
}

func add(ctx context.Context, tx *sql.Tx, name string, amount int64) error {
	r, err := tx.ExecContext(ctx, updateBalance, amount, name)
	if err != nil {
		return err
	}
	if n, err := r.RowsAffected(); err != nil || n != 1 {
		return errors.Join(fmt.Errorf("%d accounts are called %q", n, name), err)
	}
	return nil
}

// balances returns all accounts.
func balances(ctx context.Context, conn *sql.Conn) (map[string]int64, error) {
	rows, err := conn.QueryContext(ctx, selectAll)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := make(map[string]int64)
	for rows.Next() {
		var name string
		var balance int64
		if err := rows.Scan(&name, &balance); err != nil {
			return nil, err
		}
		all[name] = balance
	}
	return all, rows.Err()
}

// fetch reads n rows of size octets each, and returns how many octets there were. It calls
// begun after the first row.
func fetch(ctx context.Context, conn *sql.Conn, size, n int, begun func()) (octets int, err error) {
	rows, err := conn.QueryContext(ctx, selectRows, size, n)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for first := true; rows.Next(); first = false {
		var row sql.RawBytes
		if err := rows.Scan(&row); err != nil {
			return octets, err
		}
		octets += len(row)
		if first {
			begun()
		}
	}
	return octets, rows.Err()
}
