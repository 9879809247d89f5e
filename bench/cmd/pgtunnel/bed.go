package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A bed has a database and what leads to it.
type bed struct {
	directory string
	mlstunnel string // the program
	database  *database
	prints    map[string]string // of the keys of mlstunnel's ends
}

func newBed(ctx context.Context, o *options) (b *bed, err error) {
	directory, err := os.MkdirTemp("", "pgtunnel")
	if err != nil {
		return nil, err
	}
	b = &bed{directory: directory, mlstunnel: filepath.Join(directory, "mlstunnel"), prints: make(map[string]string)}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if err := os.Chmod(directory, 0o755); err != nil { // the database's user has to get through
		return nil, err
	}
	build := exec.CommandContext(ctx, "go", "-C", tunnelModule(), "build", "-o", b.mlstunnel, ".")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building mlstunnel: %w: %s", err, out)
	}
	for _, end := range []string{"server", "client"} {
		out, err := exec.CommandContext(ctx, b.mlstunnel, "keygen", b.file(end+".key")).Output()
		if err != nil {
			return nil, fmt.Errorf("mlstunnel keygen: %w", err)
		}
		b.prints[end] = strings.TrimSpace(string(out))
	}
	b.database, err = startDatabase(ctx, directory, o.scale)
	return b, err
}

// tunnelModule returns the directory of mlstunnel's module: this program is run in that of bench, or tested in its own.
func tunnelModule() string {
	for _, directory := range []string{"../cmd/mlstunnel", "../../../cmd/mlstunnel"} {
		if _, err := os.Stat(filepath.Join(directory, "go.mod")); err == nil {
			return directory
		}
	}
	return "cmd/mlstunnel"
}

func (b *bed) file(name string) string { return filepath.Join(b.directory, name) }

func (b *bed) close() (err error) {
	if b.database != nil {
		err = b.database.server.end()
	}
	return errors.Join(err, os.RemoveAll(b.directory))
}
