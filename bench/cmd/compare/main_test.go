package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/mendlink/mendlink/bench/internal/report"
)

// Everything can be measured; what comes out is not tested.
func TestRun(t *testing.T) {
	file := filepath.Join(t.TempDir(), "figures.json")
	var out strings.Builder
	o := quick
	o.only = regexp.MustCompile("")
	if err := run(&out, &o, file); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var rows []report.Row
	if err := json.Unmarshal(data, &rows); err != nil {
		t.Fatal(err)
	}
	for _, c := range comparisons() {
		if !strings.Contains(out.String(), c.name) {
			t.Errorf("no figure of %s", c.name)
		}
	}
	found := make(map[string]bool)
	for _, r := range rows {
		if what := r.Name + ", " + r.Unit; found[what] {
			t.Errorf("%s comes twice", what)
		} else {
			found[what] = true
		}
		// The processor's clock may be too coarse for CPU time in a run this short.
		if r.Name == "" || r.PeerName == "" || r.Unit == "us" && (r.Ours <= 0 || r.Peer <= 0 || r.Ratio <= 0) {
			t.Errorf("row %+v", r)
		}
	}
	if verdicts := strings.Count(out.String(), ": goal "); verdicts < len(comparisons()) {
		t.Errorf("%d verdicts on %d comparisons", verdicts, len(comparisons()))
	}
	if t.Failed() {
		t.Log(out.String())
	}
}

func TestOnlySome(t *testing.T) {
	var out strings.Builder
	o := quick
	o.only = regexp.MustCompile("^ping-pong 1 B")
	if err := run(&out, &o, ""); err != nil {
		t.Fatal(err)
	}
	if s := out.String(); strings.Contains(s, "throughput") || !strings.Contains(s, "ping-pong 1 B, p99") {
		t.Error(s)
	}
}
