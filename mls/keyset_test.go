package mls

import (
	"testing"

	"pgregory.net/rapid"
)

// A keySet answers as a map does, whether it holds few keys or many.
func TestKeySetIsASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Of few different octets, so that keys come again and end alike.
		keys := rapid.SliceOfN(rapid.SliceOfN(rapid.ByteRange(0, 2), 0, 4), 0, 4*maxFewKeys).Draw(t, "keys")
		var set keySet
		model := make(map[string]bool)
		for i, k := range keys {
			if got, want := set.contains(k), model[string(k)]; got != want {
				t.Fatalf("key %d, %x: contains is %t, want %t", i, k, got, want)
			}
			if got, want := set.add(k), !model[string(k)]; got != want {
				t.Fatalf("key %d, %x: add is %t, want %t", i, k, got, want)
			}
			model[string(k)] = true
		}
		for k := range model {
			if !set.contains([]byte(k)) {
				t.Fatalf("key %x is lost", k)
			}
		}
	})
}
