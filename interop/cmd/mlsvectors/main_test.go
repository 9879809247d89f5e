package main

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mendlink/mendlink/mls/ciphersuite"
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
		{"both", []string{"-kind", "welcome", "-generate", "welcome"}, "", notRun, 0, ""},
		{"generate, with a file", []string{"-generate", "welcome", goodFile}, "", notRun, 0, ""},
		{"generate what is unknown", []string{"-generate", "nothing"}, "", notRun, 0, ""},
		{"generate what is only checked", []string{"-generate", "tree-math"}, "", notRun, 0, ""},
		{"generate no cases", []string{"-generate", "psk_secret", "-count", "0"}, "", notRun, 0, ""},
		{"generate for an unknown suite", []string{"-generate", "psk_secret", "-suites", "1,8"}, "", notRun, 0, ""},
		{"generate for no suite", []string{"-generate", "psk_secret", "-suites", "1,x"}, "", notRun, 0, ""},
		{"generate for an empty range", []string{"-generate", "psk_secret", "-suites", "3-1"}, "", notRun, 0, ""},
		{"generate", []string{"-generate", "psk_secret", "-suites", "1,0xF001-0xf00b", "-count", "2"}, "", allPassed, 26, "]"},
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

// What was generated passes, and is the same again if the seed is.
func TestGenerate(t *testing.T) {
	generate := func(seed string) string {
		var stdout, stderr bytes.Buffer
		args := []string{"-generate", "passive-client-successor", "-suites", "1-2", "-seed", seed}
		if status := run(args, nil, &stdout, &stderr); status != allPassed {
			t.Fatalf("status %d: %s", status, &stderr)
		}
		return stdout.String()
	}
	vectors := generate("a")
	if generate("a") != vectors {
		t.Error("the same seed makes other vectors")
	}
	if generate("b") == vectors {
		t.Error("another seed makes the same vectors")
	}
	var stdout, stderr bytes.Buffer
	status := run([]string{"-kind", "passive-client", "-"}, strings.NewReader(vectors), &stdout, &stderr)
	if want := "2 passed, 0 failed\n"; status != allPassed || stdout.String() != want {
		t.Errorf("status %d and output %q, want %q\n%s", status, &stdout, want, &stderr)
	}
}

func TestParseSuites(t *testing.T) {
	for _, c := range []struct {
		list string
		want []ciphersuite.ID
	}{
		{"", ciphersuite.Default().IDs()},
		{"7", []ciphersuite.ID{7}},
		{"1-3,0xF001", []ciphersuite.ID{1, 2, 3, 0xF001}},
		{"0xfffe-65535, 1", []ciphersuite.ID{0xFFFE, 0xFFFF, 1}},
	} {
		if got, err := parseSuites(c.list); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%q is %v, %v, want %v", c.list, got, err, c.want)
		}
	}
	for _, list := range []string{",", "1,", "-1", "1-", "1-2-3", "65536", "P256", "2-1"} {
		if got, err := parseSuites(list); err == nil {
			t.Errorf("%q is %v", list, got)
		}
	}
}
