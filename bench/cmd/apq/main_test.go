package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mendlink/mendlink/bench/internal/report"
)

// Everything can be measured; how long it takes is not tested. What goes over the wire is always the
// same.
func TestRun(t *testing.T) {
	file := filepath.Join(t.TempDir(), "figures.json")
	var out strings.Builder
	o := &options{every: 10 * time.Second, fullEvery: 10 * time.Minute, rounds: 1, batch: time.Millisecond}
	if err := run(&out, o, file); err != nil {
		t.Fatal(err)
	}
	t.Log(out.String())
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var rows []report.Row
	if err := json.Unmarshal(data, &rows); err != nil {
		t.Fatal(err)
	}
	if len(rows) != 6 {
		t.Errorf("%d rows, want 6", len(rows))
	}
	for _, r := range rows {
		if r.Ours <= 0 || r.Peer <= 0 || r.Ratio <= 0 {
			t.Errorf("row %+v", r)
		}
		if r.Unit == "kB on the wire" && (r.PeerName == "classical" && (r.Ratio > 1 || r.Ratio < 1/allowed) || r.PeerName == "hybrid" && r.Ratio < 2) {
			t.Errorf("row %+v", r)
		}
	}
}

func TestAlone(t *testing.T) {
	var out strings.Builder
	o := &options{every: 5 * time.Minute, fullEvery: time.Hour, rounds: 1, batch: time.Millisecond, alone: true}
	if err := run(&out, o, ""); err != nil {
		t.Fatal(err)
	}
	if s := out.String(); strings.Contains(s, "hybrid") || !strings.Contains(s, "12, of which 1 are full") {
		t.Error(s)
	}
}

func TestWhatCannotBeMeasured(t *testing.T) {
	for name, o := range map[string]*options{
		"no rounds":                 {every: time.Minute, fullEvery: time.Hour},
		"no updates":                {every: 2 * time.Hour, fullEvery: 2 * time.Hour, rounds: 1},
		"more full than any others": {every: time.Minute, fullEvery: time.Second, rounds: 1},
	} {
		if err := run(new(strings.Builder), o, ""); err == nil {
			t.Errorf("%s: measured", name)
		}
	}
}
