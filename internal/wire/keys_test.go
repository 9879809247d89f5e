package wire

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestSortedKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.MapOf(rapid.Uint32(), rapid.Bool()).Draw(t, "map")
		if got, want := SortedKeys(m), slices.Sorted(maps.Keys(m)); !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}
