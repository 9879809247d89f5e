package wire

import (
	"cmp"
	"slices"
)

// SortedKeys returns the keys of m in ascending order, the order in which maps
// are written, so that equal ones are written equally.
func SortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
