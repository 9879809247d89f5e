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
	value weak.Pointer[T]
}

// get returns the value, computing it if need be.
func (c *cache[T]) get(compute func() (T, error)) (*T, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v := c.value.Value(); v != nil {
		return v, nil
	}
	v := new(T)
	var err error
	if *v, err = compute(); err != nil {
		return nil, err
	}
	c.value = weak.Make(v)
	return v, nil
}

// put replaces the value.
func (c *cache[T]) put(v T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	held := new(T)
	*held = v
	c.value = weak.Make(held)
}

// drop empties the cache.
func (c *cache[T]) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.value = weak.Pointer[T]{}
}
