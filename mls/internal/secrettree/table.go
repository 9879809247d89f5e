package secrettree

import (
	"cmp"
	"slices"
)

// A table is a map with its keys in ascending order. Most trees have one or two
// entries, for which a map would take ten times the room.
type table[K cmp.Ordered, V any] []row[K, V]

type row[K cmp.Ordered, V any] struct {
	key   K
	value V
}

// find returns where key is, or would be.
func (t table[K, V]) find(key K) (int, bool) {
	return slices.BinarySearchFunc(t, key, func(r row[K, V], key K) int { return cmp.Compare(r.key, key) })
}

// get returns the value of key, zero if there is none.
func (t table[K, V]) get(key K) (value V, ok bool) {
	i, ok := t.find(key)
	if ok {
		value = t[i].value
	}
	return value, ok
}

// put adds key, which must not be there.
func (t *table[K, V]) put(key K, value V) {
	i, _ := t.find(key)
	*t = slices.Insert(*t, i, row[K, V]{key, value})
}

// remove forgets key.
func (t *table[K, V]) remove(key K) {
	if i, ok := t.find(key); ok {
		*t = slices.Delete(*t, i, i+1)
	}
}

// keys returns the keys in ascending order.
func (t table[K, V]) keys() []K {
	keys := make([]K, len(t))
	for i, r := range t {
		keys[i] = r.key
	}
	return keys
}
