package conformance

import (
	"io"
	"maps"
	"testing"

	"github.com/mendlink/mendlink/internal/testvectors"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// Every case of every suite of every official file passes, and no less is
// checked of them than was before.
func TestOfficialVectors(t *testing.T) {
	each := func(n int) map[ciphersuite.ID]int {
		return map[ciphersuite.ID]int{1: n, 2: n, 3: n, 4: n, 5: n, 6: n, 7: n}
	}
	without := func(n int) map[ciphersuite.ID]int { return map[ciphersuite.ID]int{0: n} }
	for _, file := range []struct {
		name        string
		cases       map[ciphersuite.ID]int // by suite
		comparisons int
	}{
		{"tree-math", without(10), 14292},
		{"deserialization", without(14), 42},
		{"crypto-basics", each(1), 133},
		{"secret-tree", each(3), 15848},
		{"message-protection", each(1), 651},
		{"key-schedule", each(1), 637},
		{"psk_secret", each(11), 154},
		{"transcript-hashes", each(1), 28},
		{"welcome", each(1), 28},
		{"tree-operations", map[ciphersuite.ID]int{1: 5}, 35},
		{"tree-validation", each(14), 6748},
		{"treekem", each(11), 22456},
		{"messages", without(300), 15600},
		{"passive-client-welcome", each(8), 448},
		{"passive-client-handling-commit", each(13), 1624},
		{"passive-client-random", map[ciphersuite.ID]int{1: 1}, 3892},
	} {
		t.Run(file.name, func(t *testing.T) {
			t.Parallel()
			checkAll(t, file.name, testvectors.Open(t, file.name), file.cases, file.comparisons)
		})
	}
}

// checkAll checks that all cases of a file pass, and that there are as many of
// each suite, with as many comparisons, as there have to be.
func checkAll(t *testing.T, name string, file io.Reader, wantCases map[ciphersuite.ID]int, wantComparisons int) {
	t.Helper()
	results, err := Check(name, file)
	if err != nil {
		t.Fatal(err)
	}
	cases, comparisons := make(map[ciphersuite.ID]int), 0
	for i, r := range results {
		cases[r.Suite]++
		comparisons += r.Comparisons
		if r.Err != nil {
			t.Errorf("case %d, suite %v: %v", i, r.Suite, r.Err)
		}
	}
	if !maps.Equal(cases, wantCases) {
		t.Errorf("checked cases %v, want %v", cases, wantCases)
	}
	if comparisons != wantComparisons {
		t.Errorf("made %d comparisons, want %d", comparisons, wantComparisons)
	}
}
