package main

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The header of a vector of 13 octets, and one that is wrong about it.
const (
	good = `[{"vlbytes_header": "0d", "length": 13}]`
	bad  = `[{"vlbytes_header": "0d", "length": 13}, {"vlbytes_header": "0d", "length": 14}]`
)

func compressed(t *testing.T, s string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte(s))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	goodFile, badFile, packed := file("good.json", good), file("bad.json", bad), file("good.json.gz", compressed(t, good))
	cut := file("cut.json", bad[:50])
	cutPacked := file("cut.json.gz", compressed(t, bad)[:30])

	for _, c := range []struct {
		name   string
		args   []string
		stdin  string
		status int
		lines  int
		last   string
	}{
		{"passes", []string{"-kind", "deserialization", goodFile}, "", allPassed, 1, "1 passed, 0 failed"},
		{"compressed", []string{"-kind", "deserialization", packed}, "", allPassed, 1, "1 passed, 0 failed"},
		{"standard input", []string{"-kind", "deserialization", "-"}, good, allPassed, 1, "1 passed, 0 failed"},
		{"fails", []string{"-kind", "deserialization", badFile}, "", someFailed, 2, "1 passed, 1 failed"},
		{"several files", []string{"-kind=deserialization", goodFile, badFile, packed}, "", someFailed, 2, "3 passed, 1 failed"},
		{"another kind", []string{"-kind", "welcome", goodFile}, "", someFailed, 2, "0 passed, 1 failed"},
		{"alias", []string{"-kind", "passive-client-random", goodFile}, "", someFailed, 2, "0 passed, 1 failed"},
		{"help", []string{"-h"}, "", allPassed, 0, ""},
		{"no arguments", nil, "", notRun, 0, ""},
		{"no kind", []string{goodFile}, "", notRun, 0, ""},
		{"no file", []string{"-kind", "welcome"}, "", notRun, 0, ""},
		{"unknown kind", []string{"-kind", "nothing", goodFile}, "", notRun, 0, ""},
		{"unknown flag", []string{"-sort", "welcome", goodFile}, "", notRun, 0, ""},
		{"no such file", []string{"-kind", "welcome", filepath.Join(dir, "nowhere")}, "", notRun, 0, ""},
		{"directory", []string{"-kind", "welcome", dir}, "", notRun, 0, ""},
		{"truncated", []string{"-kind", "deserialization", cut}, "", notRun, 0, ""},
		{"truncated, compressed", []string{"-kind", "deserialization", cutPacked}, "", notRun, 0, ""},
		{"empty input", []string{"-kind", "deserialization", "-"}, "", notRun, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			status := run(c.args, strings.NewReader(c.stdin), &stdout, &stderr)
			lines := strings.Split(strings.TrimSuffix(stdout.String(), "\n"), "\n")
			if stdout.Len() == 0 {
				lines = nil
			}
			if status != c.status || len(lines) != c.lines || c.lines > 0 && lines[len(lines)-1] != c.last {
				t.Errorf("status %d and output %q, want %d and %d lines that end with %q\n%s", status, lines, c.status, c.lines, c.last, &stderr)
			}
			if wantHelp := c.lines == 0; wantHelp != (stderr.Len() > 0) {
				t.Errorf("standard error is %q", &stderr)
			}
		})
	}
}
