package ciphersuite

import (
	"fmt"
	"slices"
	"sync"
)

// A Registry maps code points to suites. It never changes after creation, so
// it is safe for concurrent use.
type Registry struct {
	ids    []ID
	suites map[ID]*Suite
}

// NewRegistry returns a Registry of suites, in the caller's order of
// preference. Two suites with one code point are an error that matches
// [ErrDuplicate].
func NewRegistry(suites ...*Suite) (*Registry, error) {
	r := &Registry{suites: make(map[ID]*Suite, len(suites))}
	for _, s := range suites {
		if _, ok := r.suites[s.id]; ok {
			return nil, fmt.Errorf("%w %v", ErrDuplicate, s.id)
		}
		r.suites[s.id] = s
		r.ids = append(r.ids, s.id)
	}
	return r, nil
}

// Default returns a Registry of all built-in suites under their default
// numbers: those of RFC 9420, then the post-quantum ones, which come last
// because their numbers are provisional: [Registry.Renumber] gives them others.
// Whoever wants another order makes a Registry with [NewRegistry].
func Default() *Registry { return defaultRegistry() }

var defaultRegistry = sync.OnceValue(func() *Registry {
	r, err := NewRegistry(builtin[:]...)
	if err != nil {
		panic(err) // the table has a duplicate
	}
	return r
})

// Renumber returns a Registry of the same suites in the same order, in which
// numbers maps code points to new ones; the others stay. It is how peers that
// number the post-quantum suites in another way are met, all in one call. An
// old number that r lacks is an [*UnsupportedError]; two suites that end up with
// one code point are an error that matches [ErrDuplicate].
func (r *Registry) Renumber(numbers map[ID]ID) (*Registry, error) {
	for old := range numbers {
		if _, err := r.Lookup(old); err != nil {
			return nil, err
		}
	}
	suites := make([]*Suite, 0, len(r.ids))
	for _, id := range r.ids {
		s := r.suites[id]
		if number, ok := numbers[id]; ok {
			s = s.WithID(number)
		}
		suites = append(suites, s)
	}
	return NewRegistry(suites...)
}

// Lookup returns the suite with code point id, or an [*UnsupportedError].
func (r *Registry) Lookup(id ID) (*Suite, error) {
	if s, ok := r.suites[id]; ok {
		return s, nil
	}
	return nil, &UnsupportedError{ID: id}
}

// IDs returns the code points in order of registration, which is the order of
// preference.
func (r *Registry) IDs() []ID { return slices.Clone(r.ids) }
