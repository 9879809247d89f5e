package channel

import (
	"errors"
	"slices"
	"sync"
	"testing"
)

func id(n byte) SessionID { return SessionID{n} }

func TestMemoryStoreComparesVersions(t *testing.T) {
	m := NewMemoryStore(0)
	if _, err := m.Load(ctx, id(1)); !errors.Is(err, ErrNoSession) {
		t.Errorf("Load of nothing: %v", err)
	}
	if _, err := m.Save(ctx, StoredSession{ID: id(1), Version: 5}); !errors.Is(err, ErrConflict) {
		t.Errorf("replacing nothing: %v", err)
	}
	data := []byte("first")
	v1, err := m.Save(ctx, StoredSession{ID: id(1), Peer: "p", Data: data})
	if err != nil || v1 == 0 {
		t.Fatalf("version %d, %v", v1, err)
	}
	clear(data)
	s := must(m.Load(ctx, id(1)))
	if s.Version != v1 || s.Peer != "p" || string(s.Data) != "first" {
		t.Errorf("loaded %+v", s)
	}
	clear(s.Data)
	if _, err := m.Save(ctx, StoredSession{ID: id(1)}); !errors.Is(err, ErrConflict) {
		t.Errorf("adding what is there: %v", err)
	}
	v2 := must(m.Save(ctx, StoredSession{ID: id(1), Peer: "p", Version: v1, Data: []byte("second")}))
	if _, err := m.Save(ctx, StoredSession{ID: id(1), Version: v1}); !errors.Is(err, ErrConflict) || v1 == v2 {
		t.Errorf("replacing an old version: %v", err)
	}
	if s := must(m.Load(ctx, id(1))); string(s.Data) != "second" {
		t.Errorf("loaded %q", s.Data)
	}
	for range 2 {
		if err := m.Delete(ctx, id(1)); err != nil {
			t.Error(err)
		}
	}
	if _, err := m.Save(ctx, StoredSession{ID: id(1), Version: v2}); !errors.Is(err, ErrConflict) {
		t.Errorf("replacing what was deleted: %v", err)
	}
}

func TestMemoryStoreFindsNewestFirst(t *testing.T) {
	m := NewMemoryStore(0)
	var versions []uint64
	for n := range byte(3) {
		versions = append(versions, must(m.Save(ctx, StoredSession{ID: id(n), Peer: "p"})))
	}
	must(m.Save(ctx, StoredSession{ID: id(9), Peer: "q"}))
	// Being used does not make a session newer.
	must(m.Save(ctx, StoredSession{ID: id(0), Peer: "p", Version: versions[0]}))
	if got, want := must(m.FindByPeer(ctx, "p")), []SessionID{id(2), id(1), id(0)}; !slices.Equal(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}
	if got := must(m.FindByPeer(ctx, "nobody")); len(got) != 0 {
		t.Errorf("found %v", got)
	}
}

func TestMemoryStoreErasesWhatItDrops(t *testing.T) {
	m := NewMemoryStore(1)
	v := must(m.Save(ctx, StoredSession{ID: id(1), Data: []byte("replaced")}))
	replaced := m.sessions[id(1)].Data
	must(m.Save(ctx, StoredSession{ID: id(1), Version: v, Data: []byte("evicted")}))
	evicted := m.sessions[id(1)].Data
	must(m.Save(ctx, StoredSession{ID: id(2), Data: []byte("deleted")}))
	deleted := m.sessions[id(2)].Data
	if err := m.Delete(ctx, id(2)); err != nil {
		t.Fatal(err)
	}
	for i, data := range [][]byte{replaced, evicted, deleted} {
		if !isZero(data) {
			t.Errorf("data %d is still %q", i, data)
		}
	}
}

func TestMemoryStoreIsBounded(t *testing.T) {
	m := NewMemoryStore(2)
	versions := map[byte]uint64{}
	for n := range byte(100) {
		versions[n] = must(m.Save(ctx, StoredSession{ID: id(n)}))
		if m.Len() > 2 || len(m.evicted) > 2*evictedFactor || len(m.evictions) > 2*evictedFactor {
			t.Fatalf("%d sessions, %d and %d evicted", m.Len(), len(m.evicted), len(m.evictions))
		}
	}
	if _, err := m.Load(ctx, id(97)); !errors.Is(err, ErrNoSession) {
		t.Errorf("Load of an evicted session: %v", err)
	}
	// Who uses an evicted session puts it back, if it is the last to have done so.
	if _, err := m.Save(ctx, StoredSession{ID: id(97), Version: versions[97] - 1}); !errors.Is(err, ErrConflict) {
		t.Errorf("replacing an older version: %v", err)
	}
	if _, err := m.Save(ctx, StoredSession{ID: id(97)}); !errors.Is(err, ErrConflict) {
		t.Errorf("adding an evicted session: %v", err)
	}
	must(m.Save(ctx, StoredSession{ID: id(97), Version: versions[97]}))
	if _, err := m.Load(ctx, id(97)); err != nil || m.Len() != 2 {
		t.Errorf("the session is not back: %v", err)
	}
}

// A session that was evicted, came back and was evicted again is remembered for as long as
// any other: what was known of the first time has no say in that.
func TestEvictedSessionIsRememberedFromTheLastTimeOn(t *testing.T) {
	m := NewMemoryStore(1)
	next := byte(1)
	evict := func() { // whichever is stored
		next++
		must(m.Save(ctx, StoredSession{ID: id(next)}))
	}
	v := must(m.Save(ctx, StoredSession{ID: id(1)}))
	for range evictedFactor + 1 {
		evict()
		v = must(m.Save(ctx, StoredSession{ID: id(1), Version: v}))
	}
	for range evictedFactor {
		evict()
	}
	must(m.Save(ctx, StoredSession{ID: id(1), Version: v}))
	for range evictedFactor + 1 {
		evict()
	}
	if len(m.evicted) != evictedFactor {
		t.Errorf("the versions of %d sessions are known, want %d", len(m.evicted), evictedFactor)
	}
}

// Connections whose sessions do not all fit go on updating.
func TestEvictedSessionsOfLiveConnectionsComeBack(t *testing.T) {
	ha, hb := newHost(t, "alice"), newHost(t, "bob")
	hb.store.MemoryStore = NewMemoryStore(2)
	var ends [][2]*peer
	for range 6 {
		a, b := initiate(t, ha, hb)
		a.start(t)
		settle(t, a, b)
		ends = append(ends, [2]*peer{a, b})
	}
	for range 2 {
		for _, e := range ends {
			agree(t, e[0], e[1])
			canUpdate(t, e[0], e[1])
		}
	}
}

func TestMemoryStoreLetsOneOfManyWin(t *testing.T) {
	m := NewMemoryStore(0)
	v := must(m.Save(ctx, StoredSession{ID: id(1)}))
	var wg sync.WaitGroup
	results := make(chan error, 16)
	for range cap(results) {
		wg.Go(func() {
			_, err := m.Save(ctx, StoredSession{ID: id(1), Version: v})
			results <- err
		})
	}
	wg.Wait()
	close(results)
	won := 0
	for err := range results {
		if err == nil {
			won++
		} else if !errors.Is(err, ErrConflict) {
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d saves of one version took effect", won)
	}
}

// New sessions cost no more where each has to take the place of another.
func BenchmarkSaveWhenFull(b *testing.B) {
	m := NewMemoryStore(0)
	data := make([]byte, 2000)
	var next uint32
	add := func() {
		next++
		s := StoredSession{ID: SessionID{byte(next), byte(next >> 8), byte(next >> 16), byte(next >> 24)}, Data: data}
		must(m.Save(ctx, s))
	}
	for range DefaultMemorySessions {
		add()
	}
	b.ReportAllocs()
	for b.Loop() {
		add()
	}
}

// A peer that makes sessions without end takes nobody else's place, however many it has: others that come take
// its own, and it ends no connection of another's.
func TestAPeerWithManySessionsTakesNobodysPlace(t *testing.T) {
	const capacity = 4
	bob := newHost(t, "bob")
	bob.store.MemoryStore = NewMemoryStore(capacity)
	meet := func(h *host) (*peer, *peer) {
		a, b := initiate(t, h, bob)
		a.start(t)
		settle(t, a, b)
		agree(t, a, b)
		return a, b
	}
	greedy := newHost(t, "greedy")
	a, b := meet(newHost(t, "alice"))
	flood := func(sessions int) {
		for range sessions {
			x, y := meet(greedy)
			cut(x, y)
		}
	}
	flood(capacity)
	c, d := meet(newHost(t, "carol"))
	flood(capacity * (evictedFactor + 1))
	for _, ends := range [][2]*peer{{a, b}, {c, d}} {
		if _, err := bob.store.Load(ctx, ends[1].ID()); err != nil {
			t.Errorf("a session of %s: %v", ends[0].name, err)
		}
		canUpdate(t, ends[0], ends[1])
	}
	if n := bob.store.Len(); n != capacity {
		t.Errorf("%d sessions are stored, want %d", n, capacity)
	}
	for id := range bob.store.sessions {
		if err := bob.store.Delete(ctx, id); err != nil {
			t.Fatal(err)
		}
	}
	if len(bob.store.peers) != 0 {
		t.Errorf("an empty store counts %v", bob.store.peers)
	}
}
