package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A database is a PostgreSQL server in a directory of its own, on loopback, whose disk is never waited for.
type database struct {
	host, port string
	programs   string // directory
	server     *process
}

// programOf finds a program of PostgreSQL, which Debian keeps out of the PATH.
func programOf(name string) (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if len(found) > 0 {
		return found[len(found)-1], nil
	}
	return exec.LookPath(name)
}

// startDatabase makes and starts a database below directory, and fills pgbench's tables.
func startDatabase(ctx context.Context, directory string, scale int) (*database, error) {
	initdb, err := programOf("initdb")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL is needed: %w", err)
	}
	d := &database{host: "127.0.0.1", port: freePort(), programs: filepath.Dir(initdb)}
	data := filepath.Join(directory, "database")
	if err := os.Mkdir(data, 0o700); err != nil {
		return nil, err
	}
	as, err := unprivileged(data)
	if err != nil {
		return nil, err
	}
	make := exec.CommandContext(ctx, initdb, "-D", data, "-U", "bench", "--auth=trust", "--no-sync")
	make.SysProcAttr, make.Dir = as, data
	if out, err := make.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	server := exec.Command(filepath.Join(d.programs, "postgres"), "-D", data, "-h", d.host, "-p", d.port, "-k", data,
		"-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "log_min_messages=fatal", "-c", "max_connections=200")
	server.SysProcAttr, server.Dir = as, data
	if d.server, err = start(server, os.Interrupt); err != nil {
		return nil, err
	}
	if err := await(ctx, func() error { return d.command(ctx, "pg_isready").Run() }); err != nil {
		return nil, errors.Join(fmt.Errorf("PostgreSQL is not ready: %w", err), d.server.end())
	}
	if out, err := d.command(ctx, "pgbench", "-i", "-q", "-s", strconv.Itoa(scale), "postgres").CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("pgbench -i: %w: %s", err, out), d.server.end())
	}
	return d, nil
}

// unprivileged returns what makes a process run as a user whom PostgreSQL accepts, and gives the directory to it.
func unprivileged(directory string) (*syscall.SysProcAttr, error) {
	if os.Getuid() != 0 {
		return &syscall.SysProcAttr{Setpgid: true}, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return nil, err
	}
	return &syscall.SysProcAttr{Setpgid: true, Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, os.Chown(directory, uid, gid)
}

// command returns a client program that connects to the database itself.
func (d *database) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return d.commandTo(ctx, d.host+":"+d.port, name, args...)
}

// commandTo returns a client program that connects to an address.
func (d *database) commandTo(ctx context.Context, address, name string, args ...string) *exec.Cmd {
	host, port, _ := strings.Cut(address, ":")
	c := exec.CommandContext(ctx, filepath.Join(d.programs, name), args...)
	c.Env = append(os.Environ(), "PGHOST="+host, "PGPORT="+port, "PGUSER=bench", "PGDATABASE=postgres", "PGSSLMODE=disable", "PGGSSENCMODE=disable", "PGCONNECT_TIMEOUT=30")
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return c
}

// query returns the one figure that a query yields.
func (d *database) query(ctx context.Context, sql string) (int64, error) {
	out, err := d.command(ctx, "psql", "-X", "-A", "-t", "-c", sql).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("psql: %w: %s", err, out)
	}
	return strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
}

// await tries until something holds, for half a minute.
func await(ctx context.Context, try func() error) (err error) {
	for range 300 {
		if err = try(); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return err
}
