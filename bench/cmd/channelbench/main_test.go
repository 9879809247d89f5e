package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Everything can be measured; how long it takes is not tested.
func TestRun(t *testing.T) {
	file := filepath.Join(t.TempDir(), "figures.json")
	var out strings.Builder
	o := &options{only: regexp.MustCompile(""), rounds: 1, batch: time.Millisecond}
	if err := run(&out, o, file); err != nil {
		t.Fatal(err)
	}
	for _, b := range bounds {
		if !strings.Contains(out.String(), b.text+" (the floor: ") {
			t.Errorf("no verdict on %s", b.text)
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var rows []row
	if err := json.Unmarshal(data, &rows); err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if r.Name == "" || r.Ours <= 0 && r.Unit == "us" || r.PeerName != "" && r.Ratio <= 0 && r.Unit == "us" {
			t.Errorf("row %+v", r)
		}
	}
	const operations, quantities = 10, 3
	if len(rows) < operations*quantities {
		t.Errorf("%d rows, want %d at the least", len(rows), operations*quantities)
	}
	if t.Failed() {
		t.Log(out.String())
	}
}

func TestOnlyOurs(t *testing.T) {
	var out strings.Builder
	o := &options{only: regexp.MustCompile("^classical update"), rounds: 1, batch: time.Millisecond, oursOnly: true}
	if err := run(&out, o, ""); err != nil {
		t.Fatal(err)
	}
	if s := out.String(); strings.Contains(s, "TLS") || strings.Contains(s, "hybrid") || !strings.Contains(s, "classical update") {
		t.Error(s)
	}
}
