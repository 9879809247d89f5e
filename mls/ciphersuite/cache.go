package ciphersuite

import (
	"sync"
	"weak"
)

// A cache holds a value that can be computed again, until the next garbage
// collection at most. So a key in use is expanded once, and a key at rest, be it
// that of an idle connection or one of a thousand in a tree, costs only its
// encoding. It is safe for concurrent use. The zero cache is empty.
type cache[T any] struct {
	mu    sync.Mutex
	value weak.Pointer[cached[T]]
}

// A cached is a value of its own, for a weak pointer to point to. The runtime
// searches a list of all weak pointers to a span: were this small, many would
// share one.
type cached[T any] struct {
	value T
	_     [512]byte
}

// get returns the value, computing it if need be.
func (c *cache[T]) get(compute func() (T, error)) (T, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v := c.value.Value(); v != nil {
		return v.value, nil
	}
	v, err := compute()
	if err == nil {
		c.value = weak.Make(&cached[T]{value: v})
	}
	return v, err
}

// put replaces the value.
func (c *cache[T]) put(v T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.value = weak.Make(&cached[T]{value: v})
}

// drop empties the cache.
func (c *cache[T]) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.value = weak.Pointer[cached[T]]{}
}
