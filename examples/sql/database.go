package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// A database keeps accounts in memory and knows a handful of statements. Transactions
// follow each other: one that has begun has the database for itself.
type database struct {
	mu       sync.Mutex
	balances map[string]int64
}

func newDatabase(balances map[string]int64) *database {
	return &database{balances: maps.Clone(balances)}
}

// A transaction is what one session does to the database until it commits.
type transaction struct {
	db     *database
	before map[string]int64
}

func (d *database) begin() *transaction {
	d.mu.Lock()
	return &transaction{db: d, before: maps.Clone(d.balances)}
}

func (t *transaction) commit() { t.db.mu.Unlock() }

func (t *transaction) rollback() {
	t.db.balances = t.before
	t.db.mu.Unlock()
}

// A result is what a statement returns.
type result struct {
	columns []column
	rows    [][]string
	tag     string // says what was done
}

type column struct {
	name string
	oid  uint32
}

// Types of columns, by their numbers in PostgreSQL.
const (
	oidInt8 = 20
	oidText = 25
)

// errArguments means that a statement was given the wrong ones.
var errArguments = errors.New("wrong number of arguments")

// A statement does something within a transaction, for user.
type statement struct {
	arguments int
	columns   []column
	run       func(t *transaction, user string, args []string) (result, error)
}

const (
	selectUser    = "SELECT current_user"
	selectBalance = "SELECT balance FROM accounts WHERE name = $1"
	selectAll     = "SELECT name, balance FROM accounts ORDER BY name"
	selectRows    = "SELECT repeat('x', $1) FROM generate_series(1, $2)"
	updateBalance = "UPDATE accounts SET balance = balance + $1 WHERE name = $2"
)

// statements are all that the database understands. It does not parse SQL: a statement is
// known or it is not.
var statements = map[string]statement{
	selectUser: {0, []column{{"current_user", oidText}},
		func(_ *transaction, user string, _ []string) (result, error) {
			return result{rows: [][]string{{user}}, tag: "SELECT 1"}, nil
		}},
	selectBalance: {1, []column{{"balance", oidInt8}},
		func(t *transaction, _ string, args []string) (result, error) {
			b, ok := t.db.balances[args[0]]
			if !ok {
				return result{tag: "SELECT 0"}, nil
			}
			return result{rows: [][]string{{strconv.FormatInt(b, 10)}}, tag: "SELECT 1"}, nil
		}},
	selectAll: {0, []column{{"name", oidText}, {"balance", oidInt8}},
		func(t *transaction, _ string, _ []string) (r result, err error) {
			for _, name := range slices.Sorted(maps.Keys(t.db.balances)) {
				r.rows = append(r.rows, []string{name, strconv.FormatInt(t.db.balances[name], 10)})
			}
			r.tag = fmt.Sprintf("SELECT %d", len(r.rows))
			return r, nil
		}},
	selectRows: {2, []column{{"repeat", oidText}},
		func(_ *transaction, _ string, args []string) (result, error) {
			size, sizeErr := strconv.Atoi(args[0])
			n, err := strconv.Atoi(args[1])
			if err := errors.Join(sizeErr, err); err != nil || size < 0 || n < 0 {
				return result{}, fmt.Errorf("repeat: %d times %d: %w", size, n, err)
			}
			row := []string{strings.Repeat("x", size)}
			return result{rows: slices.Repeat([][]string{row}, n), tag: fmt.Sprintf("SELECT %d", n)}, nil
		}},
	updateBalance: {2, nil,
		func(t *transaction, _ string, args []string) (result, error) {
			amount, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil {
				return result{}, err
			}
			if _, ok := t.db.balances[args[1]]; !ok {
				return result{tag: "UPDATE 0"}, nil
			}
			t.db.balances[args[1]] += amount
			return result{tag: "UPDATE 1"}, nil
		}},
}

// execute runs a statement, in t or, if that is nil, in a transaction of its own.
func (d *database) execute(t *transaction, user, sql string, args []string) (result, error) {
	s, ok := statements[sql]
	if !ok {
		return result{}, fmt.Errorf("this database does not know %q", sql)
	}
	if len(args) != s.arguments {
		return result{}, errArguments
	}
	if t == nil {
		t = d.begin()
		defer t.commit()
	}
	r, err := s.run(t, user, args)
	r.columns = s.columns
	return r, err
}
