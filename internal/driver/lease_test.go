package driver

import (
	"context"
	"errors"
	"testing"

	"github.com/mendlink/mendlink/channel"
)

// savingStore calls saved after each save.
type savingStore struct {
	channel.Store
	saved func(channel.SessionID)
}

func (s *savingStore) Save(ctx context.Context, session channel.StoredSession) (uint64, error) {
	version, err := s.Store.Save(ctx, session)
	s.saved(session.ID)
	return version, err
}

func storing(store channel.Store) func(*channel.Config, *Config) {
	return func(c *channel.Config, _ *Config) { c.Store, c.PeerName = store, "peer" }
}

// resumable returns an initiator's session with a store, which is resumed if it can be.
func resumable(t *testing.T, e *end) *channel.Session {
	t.Helper()
	s, err := e.Initiator(t.Context(), e.config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestASessionIsHeldForAsLongAsItsConnectionLives(t *testing.T) {
	store := channel.NewMemoryStore(0)
	a, b := newEnd(t, "a", storing(store)), newEnd(t, "b", storing(channel.NewMemoryStore(0)))
	connect(t, a, b)
	id := a.State().SessionID
	other := newEnd(t, "a", storing(store))
	other.config.Identity = a.config.Identity
	if s := resumable(t, other); s.Resumed() || Leased(store) != 1 {
		t.Errorf("resumed: %t, %d sessions are held", s.Resumed(), Leased(store))
	}
	a.Fail(errors.New("lost")) // Close may take a while
	s := resumable(t, other)
	if !s.Resumed() || s.ID() != id {
		t.Errorf("resumed: %t, session %v, want %v", s.Resumed(), s.ID(), id)
	}
	a.Close()
	if Leased(store) != 1 {
		t.Error("who held a session before has released it")
	}
	// In place of one that cannot be resumed after all another one begins.
	if s, err := other.NewInitiator(other.config); err != nil || s.Resumed() || Leased(store) != 0 {
		t.Errorf("%v, %d sessions are held", err, Leased(store))
	}
}

// A session is in the store before the handshake that makes it is complete. Whoever finds it there
// must leave it alone.
func TestASessionIsHeldFromItsBeginning(t *testing.T) {
	store := &savingStore{Store: channel.NewMemoryStore(0)}
	a, b := newEnd(t, "a", storing(store)), newEnd(t, "b", nil)
	saved := 0
	store.saved = func(channel.SessionID) {
		saved++
		if found, err := store.FindByPeer(t.Context(), "peer"); err != nil || len(found) != 1 || Leased(store) != 1 {
			t.Errorf("save %d: %d sessions are found, %d held; %v", saved, len(found), Leased(store), err)
		}
		other := newEnd(t, "a", storing(store))
		other.config.Identity = a.config.Identity
		if s := resumable(t, other); s.Resumed() {
			t.Errorf("save %d: the session is resumed", saved)
		}
	}
	begin(t, a, b)
	deliver(t, a, b)
	if !a.State().HandshakeComplete || saved == 0 {
		t.Errorf("%d saves", saved)
	}
}

// unhashable is a store that cannot be told from another by comparison.
type unhashable struct {
	channel.Store
	_ []int
}

func TestStoreThatCannotBeComparedIsNoFault(t *testing.T) {
	store := unhashable{Store: channel.NewMemoryStore(0)}
	a, b := newEnd(t, "a", storing(store)), newEnd(t, "b", nil)
	connect(t, a, b)
	other := newEnd(t, "a", storing(store))
	other.config.Identity = a.config.Identity
	if s := resumable(t, other); !s.Resumed() || s.ID() != a.State().SessionID {
		t.Errorf("resumed: %t, session %v", s.Resumed(), s.ID())
	}
}
