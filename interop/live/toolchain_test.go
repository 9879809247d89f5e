package live

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// buildTimeout bounds what installs or builds another implementation: the first
// time, Rust's take minutes.
const buildTimeout = 20 * time.Minute

// A peer is an implementation by others, that has to be installed or built.
type peer struct {
	name    string
	tools   []string // that have to be there
	library string   // that pkg-config has to find, if any
	// command builds what is to be built and returns the command to run.
	command func() ([]string, error)
}

var tsMLS = &peer{
	name:  "ts-mls",
	tools: []string{"node", "npm"},
	command: sync.OnceValues(func() ([]string, error) {
		const dir = "../tsmls"
		// npm leaves this file behind.
		if !newer(dir+"/node_modules/.package-lock.json", dir+"/package-lock.json") {
			if err := build(dir, "npm", "ci", "--no-audit", "--no-fund"); err != nil {
				return nil, err
			}
		}
		return []string{"node", dir + "/peer.js"}, nil
	}),
}

var openMLS = &peer{
	name:    "openmls",
	tools:   []string{"cargo"},
	command: sync.OnceValues(func() ([]string, error) { return buildRust("../openmls", "mendlink-interop-openmls") }),
}

var mlsRS = &peer{
	name:    "mls-rs",
	tools:   []string{"cargo", "pkg-config"},
	library: "openssl",
	command: sync.OnceValues(func() ([]string, error) { return buildRust("../mlsrs", "mendlink-interop-mlsrs") }),
}

// buildRust builds a crate, whose dependencies are those of its lock file, and
// returns the command to run its program. Cargo knows what is up to date.
func buildRust(dir, program string) ([]string, error) {
	target, err := filepath.Abs(dir + "/target")
	if err != nil {
		return nil, err
	}
	err = build(dir, "cargo", "build", "--quiet", "--release", "--locked", "--target-dir", target)
	return []string{filepath.Join(target, "release", program)}, err
}

// start starts the peer for a test. Without what it needs, the test is skipped,
// or fails where MENDLINK_INTEROP is "require".
func (p *peer) start(t *testing.T) *process {
	t.Helper()
	for _, tool := range p.tools {
		if _, err := exec.LookPath(tool); err != nil {
			p.missing(t, err)
		}
	}
	if p.library != "" {
		if output, err := exec.Command("pkg-config", "--print-errors", "--exists", p.library).CombinedOutput(); err != nil {
			p.missing(t, fmt.Errorf("pkg-config: %w: %s", err, output))
		}
	}
	command, err := p.command()
	if err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
	process, err := startProcess(p.name, command...)
	if err != nil {
		t.Fatalf("starting %s: %v", p.name, err)
	}
	t.Cleanup(func() {
		if err := process.Close(); err != nil && process.dead == nil {
			t.Errorf("%s: %v", p.name, err)
		}
	})
	return process
}

func (p *peer) missing(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("MENDLINK_INTEROP") == "require" {
		t.Fatalf("%s cannot be run: %v", p.name, err)
	}
	bar := strings.Repeat("!", 72)
	fmt.Fprintf(os.Stderr, "%s\n!! NOT TESTED against %s: %v\n%s\n", bar, p.name, err, bar)
	t.Skipf("NOT TESTED against %s: %v", p.name, err)
}

// build runs a command in a folder and reports its output if it fails.
func build(dir string, command ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), buildTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = filepath.FromSlash(dir)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(command, " "), err, output.String())
	}
	return nil
}

// newer reports whether a file is there and not older than another.
func newer(file, than string) bool {
	f, err := os.Stat(file)
	if err != nil {
		return false
	}
	o, err := os.Stat(than)
	return err == nil && !f.ModTime().Before(o.ModTime())
}
