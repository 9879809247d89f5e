package ciphersuite

import (
	"fmt"
	"slices"
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
// because their numbers are provisional. Whoever wants another order or
// other numbers makes a Registry with [NewRegistry].
func Default() *Registry {
	suites := make([]*Suite, len(builtin))
	for i := range builtin {
		suites[i] = &builtin[i]
	}
	r, err := NewRegistry(suites...)
	if err != nil {
		panic(err) // the table has a duplicate
	}
	return r
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
