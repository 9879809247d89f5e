package storetest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/mendlink/mendlink/mls"
)

// A brokenStore breaks one rule.
type brokenStore struct {
	mu      sync.Mutex
	records map[string]mls.Record
	breaks  string
}

var rules = []string{
	"none", "keep no values", "share no values", "all or nothing", "compare versions", "keep the version that a change says",
	"compare versions of deletions", "find by prefix", "empty is a value", "say ErrConflict",
	"say ErrNotStored", "save what succeeds", "change nothing when cancelled",
}

func (s *brokenStore) Get(_ context.Context, name string) (mls.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.records[name]
	switch {
	case !ok && s.breaks == "say ErrNotStored":
		return r, errors.New("no such record")
	case !ok:
		return r, mls.ErrNotStored
	case s.breaks != "share no values":
		r.Value = bytes.Clone(r.Value)
	}
	return r, nil
}

func (s *brokenStore) Update(ctx context.Context, changes []mls.Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range changes {
		if err := s.check(c); err != nil && s.breaks != "all or nothing" {
			return err
		}
	}
	for _, c := range changes {
		if err := s.check(c); err != nil && s.breaks == "all or nothing" {
			return err
		}
		s.change(c)
	}
	if s.breaks == "change nothing when cancelled" {
		return ctx.Err()
	}
	return nil
}

func (s *brokenStore) check(c mls.Change) error {
	r := s.records[c.Name]
	if r.Version == c.Version || s.breaks == "compare versions" || c.Value == nil && s.breaks == "compare versions of deletions" {
		return nil
	}
	if s.breaks == "say ErrConflict" {
		return errors.New("another version")
	}
	return mls.ErrConflict
}

func (s *brokenStore) change(c mls.Change) {
	r := mls.Record{Value: c.Value, Version: c.Next}
	if s.breaks != "keep no values" {
		r.Value = append([]byte{}, c.Value...)
	}
	if s.breaks == "keep the version that a change says" {
		r.Version = c.Version + 1
	}
	switch {
	case s.breaks == "save what succeeds":
	case c.Value == nil || len(c.Value) == 0 && s.breaks == "empty is a value":
		delete(s.records, c.Name)
	default:
		s.records[c.Name] = r
	}
}

func (s *brokenStore) Names(_ context.Context, prefix string) (names []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.records {
		if strings.HasPrefix(name, prefix) || s.breaks == "find by prefix" && strings.Contains(name, prefix) {
			names = append(names, name)
		}
	}
	return names, nil
}

// Test has to fail for stores that break a rule. So it runs on them in processes of
// their own.
func TestStoresThatBreakARuleAreFoundOut(t *testing.T) {
	const variable = "MLS_STORETEST_BREAKS"
	if rule := os.Getenv(variable); rule != "" {
		Test(t, func() mls.Store { return &brokenStore{records: make(map[string]mls.Record), breaks: rule} })
		return
	}
	for _, rule := range rules {
		t.Run(rule, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestStoresThatBreakARuleAreFoundOut$")
			cmd.Env = append(os.Environ(), variable+"="+rule)
			out, err := cmd.CombinedOutput()
			if passed := err == nil; passed != (rule == "none") {
				t.Errorf("passed: %t\n%s", passed, out)
			}
		})
	}
}
