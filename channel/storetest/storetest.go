// Package storetest checks implementations of [channel.Store], in their own tests:
//
//	func TestStore(t *testing.T) {
//		storetest.Test(t, func(t *testing.T) channel.Store { return newStore(t, t.TempDir()) })
//	}
//
// What it cannot check is that Save is durable: that what it has saved is there
// after the process was killed, or the power cut.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/mendlink/mendlink/channel"
)

// Test checks the rules of [channel.Store]. new returns an empty store each time, with room
// for 100 sessions at the least.
func Test(t *testing.T, new func(t *testing.T) channel.Store) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, channel.Store)
	}{
		{"an empty store has nothing", emptiness},
		{"sessions are kept", sessions},
		{"each save has another version", versions},
		{"saves that name another version are conflicts", conflicts},
		{"data is neither kept nor shared", ownership},
		{"sessions are found by their label, the newest first", labels},
		{"what is deleted is gone", deletion},
		{"data and labels may be long, or empty", sizes},
		{"one of several savers wins", concurrency},
		{"a cancelled context leaves nothing half done", cancellation},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, new(t)) })
	}
}

func id(n byte) channel.SessionID { return channel.SessionID{n, 31: n} }

func emptiness(t *testing.T, s channel.Store) {
	wantNone(t, s, id(1))
	wantFound(t, s, "")
	wantFound(t, s, "nobody")
	remove(t, s, id(1)) // no error
}

func sessions(t *testing.T, s channel.Store) {
	data := map[byte][]byte{1: {1, 2, 3}, 2: {0, 0xff, 0}, 3: []byte("three")}
	versions := map[byte]uint64{}
	for n, d := range data {
		versions[n] = save(t, s, channel.StoredSession{ID: id(n), Peer: string(d), Data: d})
	}
	for n, d := range data {
		want(t, s, channel.StoredSession{ID: id(n), Peer: string(d), Version: versions[n], Data: d})
	}
	changed := channel.StoredSession{ID: id(2), Peer: string(data[2]), Version: versions[2], Data: []byte{9}}
	changed.Version = save(t, s, changed)
	want(t, s, changed)
	want(t, s, channel.StoredSession{ID: id(1), Peer: string(data[1]), Version: versions[1], Data: data[1]})
}

func versions(t *testing.T, s channel.Store) {
	seen := map[uint64]bool{0: true} // which is never a version
	session := channel.StoredSession{ID: id(1), Peer: "p", Data: []byte("the same each time")}
	for range 5 {
		version := save(t, s, session)
		if seen[version] {
			t.Errorf("version %d, which is zero or was there before", version)
		}
		seen[version], session.Version = true, version
		want(t, s, session)
	}
}

func conflicts(t *testing.T, s channel.Store) {
	first := save(t, s, channel.StoredSession{ID: id(1), Peer: "p", Data: []byte("1")})
	second := save(t, s, channel.StoredSession{ID: id(1), Peer: "p", Version: first, Data: []byte("2")})
	for what, conflicting := range map[string]channel.StoredSession{
		"adding what is there":        {ID: id(1)},
		"replacing an older version":  {ID: id(1), Version: first},
		"replacing a later version":   {ID: id(1), Version: second + 1},
		"replacing what is not there": {ID: id(2), Version: second},
	} {
		conflicting.Peer, conflicting.Data = "q", []byte("x")
		wantConflict(t, s, what, conflicting)
		want(t, s, channel.StoredSession{ID: id(1), Peer: "p", Version: second, Data: []byte("2")})
		wantNone(t, s, id(2))
		wantFound(t, s, "p", id(1))
		wantFound(t, s, "q")
	}
}

func ownership(t *testing.T, s channel.Store) {
	session := channel.StoredSession{ID: id(1), Peer: "p", Data: []byte("secret")}
	session.Version = save(t, s, session)
	clear(session.Data) // as its owner does
	session.Data = []byte("secret")
	want(t, s, session)
	got, other := load(t, s, id(1)), load(t, s, id(1))
	clear(got.Data)
	if string(other.Data) != "secret" {
		t.Error("two callers of Load share memory")
	}
	want(t, s, session)
	save(t, s, channel.StoredSession{ID: id(1), Peer: "p", Version: session.Version, Data: []byte("other.")})
	remove(t, s, id(1))
	if string(other.Data) != "secret" {
		t.Error("a later call has changed what Load returned")
	}
}

func labels(t *testing.T, s channel.Store) {
	// A label may be the beginning of another one.
	versions := make(map[byte]uint64)
	for n := range byte(12) {
		peer := []string{"host:7000", "host:70", "host:7000/"}[n%3]
		versions[n] = save(t, s, channel.StoredSession{ID: id(50 - n), Peer: peer, Data: []byte{n}})
	}
	found := map[string][]channel.SessionID{
		"host:7000":  {id(41), id(44), id(47), id(50)},
		"host:70":    {id(40), id(43), id(46), id(49)},
		"host:7000/": {id(39), id(42), id(45), id(48)},
		"host:7":     nil,
		"":           nil,
	}
	for peer, ids := range found {
		wantFound(t, s, peer, ids...)
	}
	// Being used does not make a session newer.
	save(t, s, channel.StoredSession{ID: id(50), Peer: "host:7000", Version: versions[0], Data: []byte("later")})
	wantFound(t, s, "host:7000", found["host:7000"]...)
}

func deletion(t *testing.T, s channel.Store) {
	one := channel.StoredSession{ID: id(1), Peer: "p", Data: []byte("1")}
	two := channel.StoredSession{ID: id(2), Peer: "p", Data: []byte("2")}
	one.Version, two.Version = save(t, s, one), save(t, s, two)
	for range 2 {
		remove(t, s, id(1))
		wantNone(t, s, id(1))
		wantFound(t, s, "p", id(2))
		want(t, s, two)
	}
	wantConflict(t, s, "replacing what was deleted", one)
	wantNone(t, s, id(1))
}

func sizes(t *testing.T, s channel.Store) {
	// The state of a session with large credentials, and a peer with a long name.
	large := channel.StoredSession{ID: id(1), Peer: strings.Repeat("long.name.", 100), Data: bytes.Repeat([]byte{0, 1, 2, 3}, 1<<16)}
	large.Version = save(t, s, large)
	want(t, s, large)
	wantFound(t, s, large.Peer, id(1))
	empty := channel.StoredSession{ID: channel.SessionID{}}
	empty.Version = save(t, s, empty)
	want(t, s, empty)
	wantFound(t, s, "", channel.SessionID{})
	// This is how a session is given up: an empty state settles whose it is.
	large.Data = nil
	large.Version = save(t, s, large)
	want(t, s, large)
}

const savers, rounds = 4, 20

func concurrency(t *testing.T, s channel.Store) {
	save(t, s, channel.StoredSession{ID: id(1), Peer: "p", Data: []byte{0}})
	t.Run("savers", func(t *testing.T) {
		for range savers {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				for range rounds {
					increment(t, s)
				}
			})
		}
	})
	if got := load(t, s, id(1)); !bytes.Equal(got.Data, []byte{savers * rounds}) {
		t.Errorf("%d increments took effect, want %d", got.Data, savers*rounds)
	}
	wantFound(t, s, "p", id(1))
}

// increment adds one to a session's data, after some conflicts: each of them is the
// success of another saver.
func increment(t *testing.T, s channel.Store) {
	t.Helper()
	for range savers * rounds {
		session := load(t, s, id(1))
		session.Data[0]++
		_, err := s.Save(t.Context(), session)
		if err == nil {
			return
		}
		if !errors.Is(err, channel.ErrConflict) {
			t.Fatalf("a saver that was overtaken: error %v, want one that matches ErrConflict", err)
		}
	}
	t.Error("there are more conflicts than saves that could cause them")
}

func cancellation(t *testing.T, s channel.Store) {
	session := channel.StoredSession{ID: id(1), Peer: "p", Data: []byte("1")}
	session.Version = save(t, s, session)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	changed := session
	changed.Data = []byte("2")
	version, err := s.Save(ctx, changed)
	if err == nil { // a store may be too quick to notice
		session, session.Version = changed, version
	} else if errors.Is(err, channel.ErrConflict) || errors.Is(err, channel.ErrNoSession) {
		t.Errorf("error %v, which means something else", err)
	}
	want(t, s, session)
	session.Data = []byte("3")
	session.Version = save(t, s, session) // and goes on
	want(t, s, session)
}

func save(t *testing.T, s channel.Store, session channel.StoredSession) uint64 {
	t.Helper()
	version, err := s.Save(t.Context(), session)
	if err != nil {
		t.Fatalf("Save: %v", err)
	}
	return version
}

func load(t *testing.T, s channel.Store, id channel.SessionID) channel.StoredSession {
	t.Helper()
	got, err := s.Load(t.Context(), id)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return got
}

func remove(t *testing.T, s channel.Store, id channel.SessionID) {
	t.Helper()
	if err := s.Delete(t.Context(), id); err != nil {
		t.Fatalf("Delete: %v", err)
	}
}

func want(t *testing.T, s channel.Store, want channel.StoredSession) {
	t.Helper()
	got := load(t, s, want.ID)
	if got.ID != want.ID || got.Peer != want.Peer || got.Version != want.Version || !bytes.Equal(got.Data, want.Data) {
		t.Errorf("loaded %v, label %.40q, version %d, data %.40x;\nwant %v, label %.40q, version %d, data %.40x",
			got.ID, got.Peer, got.Version, got.Data, want.ID, want.Peer, want.Version, want.Data)
	}
}

func wantNone(t *testing.T, s channel.Store, id channel.SessionID) {
	t.Helper()
	if got, err := s.Load(t.Context(), id); !errors.Is(err, channel.ErrNoSession) {
		t.Errorf("Load of what is not there: version %d, error %v, want one that matches ErrNoSession", got.Version, err)
	}
}

func wantFound(t *testing.T, s channel.Store, peer string, want ...channel.SessionID) {
	t.Helper()
	got, err := s.FindByPeer(t.Context(), peer)
	if err != nil {
		t.Fatalf("FindByPeer %.40q: %v", peer, err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("sessions with label %.40q are %v, want %v", peer, got, want)
	}
}

func wantConflict(t *testing.T, s channel.Store, what string, session channel.StoredSession) {
	t.Helper()
	if version, err := s.Save(t.Context(), session); !errors.Is(err, channel.ErrConflict) {
		t.Errorf("%s: version %d, error %v, want one that matches ErrConflict", what, version, err)
	}
}
