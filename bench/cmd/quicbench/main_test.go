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
	for _, r := range rows {
		// The processor's clock may be too coarse for CPU time in a run this short.
		elapsed := r.Unit == "us" && !strings.HasSuffix(r.Name, "CPU")
		if r.Name == "" || r.PeerName == "" || elapsed && (r.Ours <= 0 || r.Peer <= 0 || r.Ratio <= 0) {
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

func TestOnlySomeOfOne(t *testing.T) {
	var out strings.Builder
	o := quick
	o.only, o.both = regexp.MustCompile("^request"), "ours"
	if err := run(&out, &o, ""); err != nil {
		t.Fatal(err)
	}
	if s := out.String(); strings.Contains(s, "throughput") || !strings.Contains(s, "1 KiB, p99") {
		t.Error(s)
	}
	o.both = "nobody"
	if err := run(&out, &o, ""); err == nil {
		t.Error("nobody is measured")
	}
}
