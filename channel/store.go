package channel

import (
	"cmp"
	"container/list"
	"context"
	"encoding/hex"
	"slices"
	"sync"
)

// A SessionID names a session for its whole life, through all resumptions. It
// is the MLS group_id, random and known to both ends, and not secret.
type SessionID [32]byte

// String returns the ID in hexadecimal.
func (id SessionID) String() string { return hex.EncodeToString(id[:]) }

// A StoredSession is what a [Store] keeps of a session.
type StoredSession struct {
	ID SessionID
	// Peer is the label under which [Store.FindByPeer] finds the session.
	Peer string
	// Version changes with each save and is never zero for what is stored.
	Version uint64
	// Data holds private keys: whoever reads it can take the session over.
	Data []byte
}

// A Store keeps sessions between connections. Several connections, and several
// processes that share a store, may use it at once: Save compares versions, so that only one of them
// can move a session on. Package storetest checks that an implementation does what it should.
//
// A state must be durable when Save returns, as the peer is told afterwards. A store that falls back to an older state breaks sessions
// (they end, and a full handshake follows), but reveals nothing.
//
// ctx is that of the connection, and a method returns soon after it has ended. Until then what else needs the session waits,
// whatever contexts and deadlines of its own it has: a store that may be out of reach bounds its calls.
type Store interface {
	// Load returns a session. An error that matches [ErrNoSession] means that
	// there is none with this ID.
	Load(ctx context.Context, id SessionID) (StoredSession, error)
	// Save replaces the session of the same ID whose version is s.Version, or
	// adds a new one if s.Version is zero, and returns its new version. An
	// error that matches [ErrConflict] means that the stored version is
	// another one, or that the session is gone. Save must not keep s.Data.
	Save(ctx context.Context, s StoredSession) (version uint64, err error)
	// Delete removes a session. It is no error if there is none.
	Delete(ctx context.Context, id SessionID) error
	// FindByPeer returns the sessions with this label, the newest first.
	FindByPeer(ctx context.Context, peer string) ([]SessionID, error)
}

// DefaultMemorySessions is the capacity of a [MemoryStore] that was made without one.
const DefaultMemorySessions = 4096

// evictedFactor says of how many evicted sessions, in multiples of its
// capacity, a [MemoryStore] remembers the versions.
const evictedFactor = 8

// A MemoryStore is a [Store] in memory. If it is full, a session of the peer that has
// the most makes room for a new one, so that a peer which makes many takes nobody else's place: of these the one
// that was saved the longest time ago. Should a connection be
// using that one, it comes back with the connection's next save. What is dropped
// is erased. It is safe for concurrent use.
type MemoryStore struct {
	capacity int

	mu       sync.Mutex
	sessions map[SessionID]*storedInMemory
	saves    list.List      // of *storedInMemory, that with the oldest save first
	peers    map[string]int // how many sessions each has, by label
	clock    uint64         // counts saves: the source of versions and of their order
	// evicted has the versions of sessions that made room, in the order of
	// evictions. Without them, a connection that goes on could not be told from
	// one that was superseded.
	evicted   map[SessionID]uint64
	evictions []eviction
}

// An eviction says which version of a session made room. The session may have come
// back since, and even have been evicted again.
type eviction struct {
	id      SessionID
	version uint64
}

type storedInMemory struct {
	StoredSession
	created uint64
	at      *list.Element // in saves
}

var _ Store = (*MemoryStore)(nil)

// NewMemoryStore returns a store for so many sessions. Default, if capacity is
// not positive: [DefaultMemorySessions].
func NewMemoryStore(capacity int) *MemoryStore {
	if capacity <= 0 {
		capacity = DefaultMemorySessions
	}
	return &MemoryStore{
		capacity: capacity,
		sessions: make(map[SessionID]*storedInMemory),
		peers:    make(map[string]int),
		evicted:  make(map[SessionID]uint64),
	}
}

// Load implements [Store].
func (m *MemoryStore) Load(_ context.Context, id SessionID) (StoredSession, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	stored, ok := m.sessions[id]
	if !ok {
		return StoredSession{}, ErrNoSession
	}
	s := stored.StoredSession
	s.Data = slices.Clone(s.Data)
	return s, nil
}

// Save implements [Store].
func (m *MemoryStore) Save(_ context.Context, s StoredSession) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old, ok := m.sessions[s.ID]
	if current := m.version(s.ID); current != s.Version {
		return 0, ErrConflict
	}
	if !ok && len(m.sessions) >= m.capacity {
		m.evict(s.Peer)
	}
	m.clock++
	if ok {
		m.leave(old.Peer)
	} else {
		old = &storedInMemory{created: m.clock}
	}
	clear(old.Data)
	s.Version, s.Data = m.clock, append(old.Data[:0], s.Data...)
	old.StoredSession = s
	m.put(old)
	delete(m.evicted, s.ID)
	return m.clock, nil
}

// put makes s the session that was saved last.
func (m *MemoryStore) put(s *storedInMemory) {
	m.sessions[s.ID] = s
	m.peers[s.Peer]++
	if s.at != nil {
		m.saves.MoveToBack(s.at)
	} else {
		s.at = m.saves.PushBack(s)
	}
}

// Delete implements [Store].
func (m *MemoryStore) Delete(_ context.Context, id SessionID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop(id)
	delete(m.evicted, id)
	return nil
}

// FindByPeer implements [Store].
func (m *MemoryStore) FindByPeer(_ context.Context, peer string) ([]SessionID, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []*storedInMemory
	for _, s := range m.sessions {
		if s.Peer == peer {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, func(a, b *storedInMemory) int { return cmp.Compare(b.created, a.created) })
	ids := make([]SessionID, len(found))
	for i, s := range found {
		ids[i] = s.ID
	}
	return ids, nil
}

// Len returns the number of sessions.
func (m *MemoryStore) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.sessions)
}

// version returns the version of a session that is stored or was evicted, 0 if
// there is none.
func (m *MemoryStore) version(id SessionID) uint64 {
	if s, ok := m.sessions[id]; ok {
		return s.Version
	}
	return m.evicted[id]
}

// evict drops a session for one of a peer's.
func (m *MemoryStore) evict(peer string) {
	oldest := m.oldestOf(peer)
	m.evicted[oldest.ID] = oldest.Version
	m.evictions = append(m.evictions, eviction{oldest.ID, oldest.Version})
	if len(m.evictions) > evictedFactor*m.capacity {
		if first := m.evictions[0]; m.evicted[first.id] == first.version {
			delete(m.evicted, first.id)
		}
		m.evictions = m.evictions[1:]
	}
	m.drop(oldest.ID)
}

// oldestOf returns the session that was saved the longest time ago of the peer, or those, with the most sessions, the new
// one of a peer's included.
func (m *MemoryStore) oldestOf(peer string) *storedInMemory {
	most := m.peers[peer] + 1
	if len(m.peers) < len(m.sessions) { // else nobody has more than one
		for _, n := range m.peers {
			most = max(most, n)
		}
	}
	for at := m.saves.Front(); ; at = at.Next() {
		s := at.Value.(*storedInMemory)
		n := m.peers[s.Peer]
		if s.Peer == peer {
			n++
		}
		if n == most {
			return s
		}
	}
}

// leave says that a peer has one session less.
func (m *MemoryStore) leave(peer string) {
	if m.peers[peer]--; m.peers[peer] == 0 {
		delete(m.peers, peer)
	}
}

func (m *MemoryStore) drop(id SessionID) {
	if s, ok := m.sessions[id]; ok {
		m.leave(s.Peer)
		clear(s.Data)
		delete(m.sessions, id)
		m.saves.Remove(s.at)
	}
}
