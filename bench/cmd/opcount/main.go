// Opcount executes each operation once and writes how often it called the functions
// of package ciphersuite, as the coverage counters of one folder per operation. It
// has to be built for that:
//
//	go build -cover -covermode=atomic -coverpkg=./cmd/opcount,github.com/mendlink/mendlink/mls/ciphersuite ./cmd/opcount
//
// The test of package floor does so, and compares.
package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"runtime/coverage"
	"strconv"

	"github.com/mendlink/mendlink/bench/internal/measure"
	"github.com/mendlink/mendlink/bench/internal/ours"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: opcount FOLDER MEMBERS")
	}
	members, err := strconv.Atoi(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	if err := run(os.Args[1], members); err != nil {
		log.Fatal(err)
	}
}

func run(folder string, members int) error {
	s, err := ciphersuite.Default().Lookup(ciphersuite.MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519)
	if err != nil {
		return err
	}
	handshake, err := ours.Handshake(s)
	if err != nil {
		return err
	}
	if err := count(filepath.Join(folder, "handshake"), handshake); err != nil {
		return err
	}
	for _, tree := range []ours.Tree{ours.Fresh, ours.Warm} {
		g, err := ours.NewGroup(s, tree, members)
		if err != nil {
			return err
		}
		process, err := g.Process()
		if err != nil {
			return err
		}
		add, err := g.Add()
		if err != nil {
			return err
		}
		unprotect, err := g.Unprotect()
		if err != nil {
			return err
		}
		for name, op := range map[string]measure.Op{
			"create": g.Create(), "process": process, "add": add, "join": g.Join(),
			"protect": g.Protect(), "unprotect": unprotect,
		} {
			if err := count(filepath.Join(folder, fmt.Sprintf("%s-%s", name, tree)), op); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

// count writes the counters of one execution.
func count(folder string, op measure.Op) error {
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return err
	}
	execute, err := op(1)
	if err != nil {
		return err
	}
	if err := coverage.ClearCounters(); err != nil {
		return err
	}
	if err := execute(); err != nil {
		return err
	}
	if err := coverage.WriteMetaDir(folder); err != nil {
		return err
	}
	return coverage.WriteCountersDir(folder)
}
