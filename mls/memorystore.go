package mls

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
)

// A MemoryStore is a [Store] in memory, for tests and for clients that do not
// outlive their process. What is replaced or deleted is erased.
type MemoryStore struct {
	mu      sync.RWMutex
	records map[string]Record
}

var _ Store = (*MemoryStore)(nil)

// NewMemoryStore returns an empty store.
func NewMemoryStore() *MemoryStore { return &MemoryStore{records: make(map[string]Record)} }

// Get implements [Store].
func (s *MemoryStore) Get(_ context.Context, name string) (Record, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r, ok := s.records[name]
	if !ok {
		return Record{}, fmt.Errorf("%w: %s", ErrNotStored, name)
	}
	return Record{bytes.Clone(r.Value), r.Version}, nil
}

// Update implements [Store].
func (s *MemoryStore) Update(_ context.Context, changes []Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range changes {
		if at := s.records[c.Name].Version; at != c.Version {
			return fmt.Errorf("%w: %s has version %d, want %d", ErrConflict, c.Name, at, c.Version)
		}
	}
	for _, c := range changes {
		clear(s.records[c.Name].Value)
		if c.Value == nil {
			delete(s.records, c.Name)
		} else {
			s.records[c.Name] = Record{bytes.Clone(c.Value), c.Next}
		}
	}
	return nil
}

// Names implements [Store].
func (s *MemoryStore) Names(_ context.Context, prefix string) ([]string, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var names []string
	for name := range s.records {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	return names, nil
}
