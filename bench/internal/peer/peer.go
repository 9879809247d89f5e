package peer

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// A Peer is an implementation by others.
type Peer struct {
	Name string
	// MaxMembers is the size of groups up to which it is measured.
	MaxMembers int
	// Numbers are those of suites that have no registered number, by our number.
	Numbers map[ciphersuite.ID]ciphersuite.ID

	tools   []string // that have to be there
	build   []string
	program []string
}

// All are the peers that can be had through package managers, at the versions of
// the lock files.
var All = []*Peer{
	{
		Name:       "ts-mls",
		MaxMembers: 100, // beyond, a join takes half a minute
		tools:      []string{"node", "npm"},
		build:      []string{"npm", "ci", "--no-audit", "--no-fund", "--prefix", "tsmls"},
		program:    []string{"node", "tsmls/peer.js"},
	},
	rust("openmls", "mendlink-bench-openmls", map[ciphersuite.ID]ciphersuite.ID{
		ciphersuite.MLS_128_MLKEM768X25519_AES128GCM_SHA256_Ed25519: 0x004F,
		ciphersuite.MLS_128_MLKEM768X25519_AES256GCM_SHA384_Ed25519: 0x004E,
	}),
	rust("mls-rs", "mendlink-bench-mlsrs", nil),
}

func rust(name, crate string, numbers map[ciphersuite.ID]ciphersuite.ID) *Peer {
	return &Peer{
		Name:       name,
		MaxMembers: 1000,
		Numbers:    numbers,
		tools:      []string{"cargo"},
		build:      []string{"cargo", "build", "--quiet", "--release", "--locked", "--package", crate},
		program:    []string{filepath.Join("target", "release", crate)},
	}
}

// Missing returns an error if a tool that the peer needs is not there.
func (p *Peer) Missing() error {
	for _, tool := range p.tools {
		if _, err := exec.LookPath(tool); err != nil {
			return err
		}
	}
	return nil
}

// Start builds the peer and starts it. dir is where the peers' sources are.
func (p *Peer) Start(dir string) (*Process, error) {
	build := exec.Command(p.build[0], p.build[1:]...)
	build.Dir = dir
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("building %s: %w", p.Name, err)
	}
	command := slices.Clone(p.program)
	last := len(command) - 1
	path, err := filepath.Abs(filepath.Join(dir, command[last]))
	if err != nil {
		return nil, err
	}
	command[last] = path
	return start(p, command...)
}
