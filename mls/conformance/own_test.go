package conformance

import (
	"bytes"
	"compress/gzip"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

var update = flag.Bool("update", false, "write our own vectors anew")

// ownSeed is what our own vectors are generated from.
const ownSeed = "mendlink"

// The suites of RFC 9420, and the post-quantum ones.
var (
	classical   = []ciphersuite.ID{1, 2, 3, 4, 5, 6, 7}
	postQuantum = []ciphersuite.ID{0xF001, 0xF002, 0xF003, 0xF004, 0xF005, 0xF006, 0xF007, 0xF008, 0xF009, 0xF00A, 0xF00B}
	allSuites   = slices.Concat(classical, postQuantum)
	// For what does not depend on the suite: the official files show no such
	// thing with any of them.
	classicalAndOne = append(slices.Clone(classical), 0xF001)
)

// An ownFile has vectors of our own.
type ownFile struct {
	name        string
	suites      []ciphersuite.ID
	count       int // of cases, for each suite
	comparisons int
}

var ownFiles = []ownFile{
	{"crypto-basics", postQuantum, 1, 209},
	{"secret-tree", postQuantum, 2, 5511},
	{"message-protection", postQuantum, 1, 1023},
	{"key-schedule", postQuantum, 1, 605},
	{"psk_secret", postQuantum, 4, 88},
	{"transcript-hashes", postQuantum, 1, 44},
	{"welcome", postQuantum, 1, 44},
	{"tree-operations", postQuantum, 1, 77},
	{"tree-validation", postQuantum, 1, 254},
	{"treekem", postQuantum, 1, 854},
	{"passive-client-welcome", postQuantum, 1, 88},
	{"passive-client-handling-commit", []ciphersuite.ID{0xF001}, 7, 120},
	{"passive-client-random", postQuantum, 1, 344},
	{"passive-client-private", classicalAndOne, 1, 242},
	{"passive-client-outside", classicalAndOne, 1, 272},
	{"passive-client-successor", classicalAndOne, 1, 204},
	{"passive-client-components", classicalAndOne, 1, 256},
	{"external-init", allSuites, 1, 126},
	{"safe-export", allSuites, 1, 360},
	{"component-data", []ciphersuite.ID{0}, 6, 126},

	{"application-psks", allSuites, 3, 216},
	{"safe-operations", allSuites, 1, 270},
	{"web-token-credentials", []ciphersuite.ID{0}, 4, 60},
	{"wire-formats", []ciphersuite.ID{0}, 5, 15},
	{"passive-client-self-remove", classicalAndOne, 1, 224},
	{"passive-client-fewer-signatures", []ciphersuite.ID{1, 2, 3}, 1, 72},

	{"targeted-messages", classicalAndOne, 1, 64},
	{"multi-targeted-messages", classicalAndOne, 1, 136},
	{"last-resort", classicalAndOne, 2, 96},
	{"passive-client-app-data", []ciphersuite.ID{1, 2}, 1, 182},
	{"app-content", []ciphersuite.ID{0}, 6, 72},
	{"multi-credentials", allSuites, 2, 504},
	{"apq", []ciphersuite.ID{1, 2, 3, 7}, 1, 224},
}

func (f *ownFile) path() string { return filepath.Join("testdata", f.name+".json.gz") }

func (f *ownFile) generate(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Generate(&b, f.name, GenerateOptions{Suites: f.suites, Count: f.count, Seed: []byte(ownSeed)}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func (f *ownFile) read(t testing.TB) []byte {
	t.Helper()
	packed, err := os.ReadFile(f.path())
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	vectors, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return vectors
}

func (f *ownFile) write(t *testing.T, vectors []byte) {
	t.Helper()
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(vectors); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.path(), b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Every case of our own files passes, and the files are what the generator makes
// today, to the octet.
func TestOwnVectors(t *testing.T) {
	for _, f := range ownFiles {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			generated := f.generate(t)
			if *update {
				f.write(t, generated)
			}
			vectors := f.read(t)
			if !bytes.Equal(vectors, generated) {
				t.Error("what is generated differs from the file; -update writes it anew")
			}
			cases := make(map[ciphersuite.ID]int)
			for _, id := range f.suites {
				cases[id] = f.count
			}
			checkAll(t, f.name, bytes.NewReader(vectors), cases, f.comparisons)
		})
	}
}

// The repository has our own files, no others, and does not swell with them.
func TestOwnFiles(t *testing.T) {
	const most = 3_500_000
	got, err := filepath.Glob("testdata/*.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	var total int64
	var want []string
	for _, f := range ownFiles {
		info, err := os.Stat(f.path())
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
		want = append(want, f.path())
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the files are %q, want %q", got, want)
	}
	if total > most {
		t.Errorf("they have %d octets together, want %d at the most", total, most)
	}
}

// There is a file of ours of each kind that can be generated.
func TestAllGeneratorsHaveFiles(t *testing.T) {
	var names []string
	for _, f := range ownFiles {
		names = append(names, f.name)
	}
	slices.Sort(names)
	if !slices.Equal(names, Generators()) {
		t.Errorf("the files are %q, want %q", names, Generators())
	}
}
