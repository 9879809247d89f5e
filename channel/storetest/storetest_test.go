package storetest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/mendlink/mendlink/channel"
)

func TestMemoryStoreKeepsTheRules(t *testing.T) {
	Test(t, func(*testing.T) channel.Store { return channel.NewMemoryStore(0) })
}

// A brokenStore breaks one rule.
type brokenStore struct {
	*channel.MemoryStore
	breaks string
	shared map[channel.SessionID][]byte
}

var rules = []string{
	"none", "compare versions", "say ErrConflict", "say ErrNoSession", "keep no data", "share no data",
	"change the version", "delete", "unlink what is deleted", "delete what is not there", "newest first", "find by the whole label",
	"link nothing that was not saved", "save what succeeds", "change nothing when cancelled",
}

func (s *brokenStore) Load(ctx context.Context, id channel.SessionID) (channel.StoredSession, error) {
	stored, err := s.MemoryStore.Load(ctx, id)
	switch {
	case errors.Is(err, channel.ErrNoSession) && s.breaks == "say ErrNoSession":
		return stored, errors.New("nothing")
	case err == nil && s.breaks == "change the version":
		stored.Version = 1
	case err == nil && s.breaks == "share no data":
		if !bytes.Equal(s.shared[id], stored.Data) {
			s.shared[id] = stored.Data
		}
		stored.Data = s.shared[id]
	case err == nil && s.breaks == "keep no data":
		stored.Data = s.shared[id]
	}
	return stored, err
}

func (s *brokenStore) Save(ctx context.Context, session channel.StoredSession) (uint64, error) {
	switch s.breaks {
	case "compare versions":
		if old, err := s.MemoryStore.Load(ctx, session.ID); err == nil {
			session.Version = old.Version
		}
	case "save what succeeds":
		if session.Version != 0 {
			return session.Version + 1, nil
		}
	}
	version, err := s.MemoryStore.Save(ctx, session)
	switch {
	case err != nil && s.breaks == "say ErrConflict":
		return 0, errors.New("another version")
	case err == nil && s.breaks == "change nothing when cancelled":
		return version, ctx.Err()
	case err == nil && s.breaks == "keep no data":
		s.shared[session.ID] = session.Data
	case err == nil && s.breaks == "change the version":
		return 1, nil
	}
	return version, err
}

func (s *brokenStore) Delete(ctx context.Context, id channel.SessionID) error {
	switch s.breaks {
	case "delete":
		return nil
	case "unlink what is deleted":
		s.shared[id] = nil
	case "delete what is not there":
		if _, err := s.MemoryStore.Load(ctx, id); err != nil {
			return err
		}
	}
	return s.MemoryStore.Delete(ctx, id)
}

func (s *brokenStore) FindByPeer(ctx context.Context, peer string) ([]channel.SessionID, error) {
	found, err := s.MemoryStore.FindByPeer(ctx, peer)
	switch s.breaks {
	case "newest first":
		slices.Reverse(found)
	case "find by the whole label":
		if rest, ok := strings.CutSuffix(peer, "/"); ok {
			return s.FindByPeer(ctx, rest)
		}
	case "link nothing that was not saved":
		if peer == "q" {
			found = append(found, id(1))
		}
	case "unlink what is deleted":
		if peer == "p" {
			for id := range s.shared {
				found = append(found, id)
			}
		}
	}
	return found, err
}

// Test has to fail for stores that break a rule. So it runs on them in processes of
// their own.
func TestStoresThatBreakARuleAreFoundOut(t *testing.T) {
	const variable = "CHANNEL_STORETEST_BREAKS"
	if rule := os.Getenv(variable); rule != "" {
		Test(t, func(*testing.T) channel.Store {
			return &brokenStore{channel.NewMemoryStore(0), rule, make(map[channel.SessionID][]byte)}
		})
		return
	}
	for _, rule := range rules {
		t.Run(rule, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestStoresThatBreakARuleAreFoundOut$", "-test.timeout=1m")
			cmd.Env = append(os.Environ(), variable+"="+rule)
			out, err := cmd.CombinedOutput()
			if passed := err == nil; passed != (rule == "none") {
				t.Errorf("passed: %t\n%s", passed, out)
			}
		})
	}
}
