package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mendlink/mendlink/channel"
)

// quickly returns options for a run that measures and simulates little.
func quickly(t *testing.T) options {
	o := defaults()
	o.hurry(nil)
	o.fleet.Links, o.effort.dir = 500, t.TempDir()
	return o
}

// Everything can be measured, and what was measured serves again. How much it is, is not tested.
func TestRun(t *testing.T) {
	o := quickly(t)
	file := filepath.Join(t.TempDir(), "figures.json")
	var out strings.Builder
	if err := run(&out, &o, file); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all figures
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	if len(all.Estimates) != len(o.suites) {
		t.Fatalf("%d estimates for %d suites", len(all.Estimates), len(o.suites))
	}
	for i, e := range all.Estimates {
		p := e.Prices
		if p.Suite != o.suites[i].String() || !strings.Contains(out.String(), p.Suite+": what a server's end takes") {
			t.Errorf("estimate %d is for %s", i, p.Suite)
		}
		// What the protocol says, and the clock has no part in.
		for name, op := range map[string]Price{"handshake": p.Handshake, "resumption": p.Resumption, "refused": p.Refused, "own update": p.OwnUpdate, "peer's update": p.PeerUpdate} {
			if op.Saves < 1 || op.Saves > 3 || op.Octets < 500 {
				t.Errorf("%s: %s: %+v", p.Suite, name, op)
			}
		}
		if p.Refused.Octets <= p.Handshake.Octets || p.State < 1000 || p.IdleHeap < 1000 || p.Stores[inMemory].PerSecond <= 0 || p.Stores[onDisk].PerSecond <= 0 {
			t.Errorf("%+v", p)
		}
		if e.Counts.OwnUpdates == 0 || e.Whole.Saves.Mean <= 0 || len(e.Herds) != len(o.herd) {
			t.Errorf("%+v", e)
		}
	}

	prices, err := loadPrices(file)
	if err != nil {
		t.Fatal(err)
	}
	again := o
	again.prices = prices
	var second strings.Builder
	if err := run(&second, &again, ""); err != nil {
		t.Fatal(err)
	}
	if out.String() != second.String() {
		t.Errorf("the same prices give\n%s\nand\n%s", out.String(), second.String())
	}
}

func TestPricesOfNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "none.json")
	for _, content := range []string{"{}", "no JSON"} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if p, err := loadPrices(file); err == nil {
			t.Errorf("%q gives the prices %v", content, p)
		}
	}
}

func TestVerify(t *testing.T) {
	for name, change := range map[string]func(*fleet){
		"no links":         func(f *fleet) { f.Links = 0 },
		"no server":        func(f *fleet) { f.Servers = 0 },
		"refuses too many": func(f *fleet) { f.Refused = 1.5 },
		"no backoff":       func(f *fleet) { f.Backoff = 0 },
		"unknown store":    func(f *fleet) { f.Store = "paper" },
		"policy":           func(f *fleet) { f.Policy.Jitter = 2 },
	} {
		f := defaults().fleet
		if err := f.verify(); err != nil {
			t.Fatalf("defaults: %v", err)
		}
		if change(&f); f.verify() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestParse(t *testing.T) {
	if i, err := parseInitiative("turns"); err != nil || i != channel.InTurns {
		t.Errorf("turns: %v, %v", i, err)
	}
	if i, err := parseInitiative("nobody"); err == nil {
		t.Errorf("nobody: %v", i)
	}
}
