package bolt

import (
	"bytes"
	"context"
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/channel/storetest"
	"github.com/mendlink/mendlink/store/seal"
	"go.etcd.io/bbolt"
)

func TestStoreKeepsTheRules(t *testing.T) {
	storetest.Test(t, func(t *testing.T) channel.Store { return openStore(t, newPath(t), nil) })
}

func TestSessionsAreThereWhenTheFileIsOpenedAgain(t *testing.T) {
	path := newPath(t)
	s := openStore(t, path, nil)
	want := channel.StoredSession{ID: id(1), Peer: "p", Data: []byte("state")}
	want.Version = save(t, s, want)
	save(t, s, channel.StoredSession{ID: id(2), Peer: "p"})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, path, nil)
	got, err := s.Load(t.Context(), id(1))
	if err != nil || got.Version != want.Version || got.Peer != "p" || string(got.Data) != "state" {
		t.Errorf("loaded %+v, %v", got, err)
	}
	if ids, err := s.FindByPeer(t.Context(), "p"); err != nil || !slices.Equal(ids, []channel.SessionID{id(2), id(1)}) {
		t.Errorf("found %v, %v", ids, err)
	}
	if later := save(t, s, got); later <= want.Version {
		t.Errorf("version %d after %d", later, want.Version)
	}
	if s.counts != (counts{sessions: 2}) {
		t.Errorf("counted %+v", s.counts)
	}
}

func TestAFileHasOneUser(t *testing.T) {
	path := newPath(t)
	openStore(t, path, nil)
	if _, err := Open(path, &Config{Keys: keyring(t, 1), LockTimeout: time.Millisecond}); !errors.Is(err, ErrLocked) {
		t.Errorf("%v, want ErrLocked", err)
	}
}

func TestAFileIsItsOwnersAlone(t *testing.T) {
	path := newPath(t)
	s := openStore(t, path, nil)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	s.Close()
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	_, err := Open(path, &Config{Keys: keyring(t, 1)})
	if runtime.GOOS != "windows" && !errors.Is(err, seal.ErrExposed) {
		t.Errorf("%v, want ErrExposed", err)
	}
}

func TestAClosedStoreSaysSo(t *testing.T) {
	s := openStore(t, newPath(t), nil)
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	_, loading := s.Load(t.Context(), id(1))
	_, saving := s.Save(t.Context(), channel.StoredSession{ID: id(1)})
	_, finding := s.FindByPeer(t.Context(), "p")
	for _, err := range []error{loading, saving, finding, s.Delete(t.Context(), id(1))} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%v, want ErrClosed", err)
		}
	}
}

func TestConfigNeedsKeys(t *testing.T) {
	for _, config := range []*Config{nil, {}} {
		if s, err := Open(newPath(t), config); err == nil {
			s.Close()
			t.Error("opened without keys")
		}
	}
}

// Of what is in the file, only IDs, versions and times can be told without the key.
func TestTheFileShowsNeitherDataNorLabels(t *testing.T) {
	path := newPath(t)
	s := openStore(t, path, nil)
	data, label := []byte("the private keys of a session"), "replica-7.example:7000"
	v := save(t, s, channel.StoredSession{ID: id(1), Peer: label, Data: data})
	save(t, s, channel.StoredSession{ID: id(1), Peer: label, Data: data, Version: v})
	s.Close()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(file, data[:8]) || bytes.Contains(file, []byte(label)[:8]) {
		t.Error("it does")
	}
	key := id(1)
	if !bytes.Contains(file, key[:]) {
		t.Error("the session is not in the file: the test looks at the wrong one")
	}
}

// change writes into the file behind the store's back.
func tamper(t *testing.T, s *Store, write func(*transaction) error) {
	t.Helper()
	if err := s.commit(t.Context(), write); err != nil {
		t.Fatal(err)
	}
}

func TestRecordsThatWereMovedOrRolledBackDoNotOpen(t *testing.T) {
	var told []channel.SessionID
	config := &Config{Unreadable: func(id channel.SessionID, err error) {
		if !errors.Is(err, seal.ErrForged) {
			t.Errorf("told of %v", err)
		}
		told = append(told, id)
	}}
	s := openStore(t, newPath(t), config)
	v := save(t, s, channel.StoredSession{ID: id(1), Peer: "p", Data: []byte("1")})
	save(t, s, channel.StoredSession{ID: id(2), Peer: "p", Data: []byte("2")})
	var former, other row
	tamper(t, s, func(tx *transaction) error {
		former, _ = tx.row(id(1))
		other, _ = tx.row(id(2))
		former.sealed, other.sealed = bytes.Clone(former.sealed), bytes.Clone(other.sealed)
		return nil
	})
	v = save(t, s, channel.StoredSession{ID: id(1), Peer: "p", Data: []byte("later"), Version: v})
	for what, sealed := range map[string][]byte{"an older record": former.sealed, "another session's record": other.sealed, "a short one": {1}, "nothing": nil} {
		told = nil
		tamper(t, s, func(tx *transaction) error {
			r, _ := tx.row(id(1))
			r.sealed = sealed
			key := id(1)
			return tx.sessions.Put(key[:], r.marshal())
		})
		if _, err := s.Load(t.Context(), id(1)); !errors.Is(err, channel.ErrNoSession) || !errors.Is(err, seal.ErrForged) {
			t.Errorf("%s: %v, want an error that matches ErrNoSession and ErrForged", what, err)
		}
		if !slices.Equal(told, []channel.SessionID{id(1)}) {
			t.Errorf("%s: told of %v", what, told)
		}
	}
	// It does not stand in the way: whoever has it in memory goes on.
	save(t, s, channel.StoredSession{ID: id(1), Peer: "p", Data: []byte("4"), Version: v})
	if got, err := s.Load(t.Context(), id(1)); err != nil || string(got.Data) != "4" {
		t.Errorf("loaded %+v, %v", got, err)
	}
}

func TestAKeyIsReplaced(t *testing.T) {
	path := newPath(t)
	s := openStore(t, path, nil)
	const sessions = 2*resealEach + 5
	for n := range sessions {
		save(t, s, channel.StoredSession{ID: id(n), Peer: "p", Data: []byte{byte(n)}})
	}
	s.Close()

	if _, err := Open(path, &Config{Keys: keyring(t, 2)}); !errors.Is(err, seal.ErrUnknownKey) || !strings.Contains(err.Error(), path) {
		t.Fatalf("opened under another key: %v, want ErrUnknownKey and the file", err)
	}
	s = openStore(t, path, &Config{Keys: keyring(t, 2, 1)})
	fresh, err := s.Load(t.Context(), id(7))
	if err != nil {
		t.Fatal(err)
	}
	fresh.Version = save(t, s, fresh) // under the new key already
	if n, err := s.Reseal(t.Context()); err != nil || n != sessions-1 {
		t.Errorf("%d records resealed, %v, want %d", n, err, sessions-1)
	}
	if n, err := s.Reseal(t.Context()); err != nil || n != 0 {
		t.Errorf("once more: %d records, %v", n, err)
	}
	s.Close()

	s = openStore(t, path, &Config{Keys: keyring(t, 2)})
	for n := range sessions {
		got, err := s.Load(t.Context(), id(n))
		if err != nil || !bytes.Equal(got.Data, []byte{byte(n)}) {
			t.Fatalf("session %d: %+v, %v", n, got, err)
		}
		save(t, s, got)
	}
	if ids, err := s.FindByPeer(t.Context(), "p"); err != nil || len(ids) != sessions || ids[0] != id(sessions-1) {
		t.Errorf("found %d sessions, %v", len(ids), err)
	}
}

func TestResealPassesOverWhatDoesNotOpen(t *testing.T) {
	path := newPath(t)
	s := openStore(t, path, nil)
	save(t, s, channel.StoredSession{ID: id(1), Data: []byte("1")})
	s.Close()
	s = openStore(t, path, &Config{Keys: keyring(t, 2, 1)})
	save(t, s, channel.StoredSession{ID: id(2), Data: []byte("2")})
	s.Close()
	var told []channel.SessionID
	s = openStore(t, path, &Config{Keys: keyring(t, 3, 2), Unreadable: func(id channel.SessionID, err error) {
		if !errors.Is(err, seal.ErrUnknownKey) {
			t.Errorf("told of %v", err)
		}
		told = append(told, id)
	}})
	if n, err := s.Reseal(t.Context()); err != nil || n != 1 {
		t.Errorf("%d records, %v", n, err)
	}
	if !slices.Equal(told, []channel.SessionID{id(1)}) {
		t.Errorf("told of %v", told)
	}
}

func TestTheOldestMakeRoom(t *testing.T) {
	s := openStore(t, newPath(t), &Config{MaxSessions: 3})
	versions := map[int]uint64{}
	for n := range 100 {
		versions[n] = save(t, s, channel.StoredSession{ID: id(n), Peer: "p"})
		if s.counts.sessions > 3 || s.counts.evicted > 3*evictedFactor {
			t.Fatalf("%+v", s.counts)
		}
	}
	if ids, err := s.FindByPeer(t.Context(), "p"); err != nil || !slices.Equal(ids, []channel.SessionID{id(99), id(98), id(97)}) {
		t.Errorf("found %v, %v", ids, err)
	}
	if _, err := s.Load(t.Context(), id(90)); !errors.Is(err, channel.ErrNoSession) {
		t.Errorf("Load of an evicted session: %v", err)
	}
	// Who uses an evicted session puts it back, if it is the last to have done so.
	for _, stale := range []uint64{0, versions[90] - 1, versions[91]} {
		if _, err := s.Save(t.Context(), channel.StoredSession{ID: id(90), Version: stale}); !errors.Is(err, channel.ErrConflict) {
			t.Errorf("replacing version %d: %v", stale, err)
		}
	}
	save(t, s, channel.StoredSession{ID: id(90), Version: versions[90]})
	if _, err := s.Load(t.Context(), id(90)); err != nil {
		t.Error(err)
	}
	if err := s.Delete(t.Context(), id(91)); err != nil {
		t.Error(err)
	}
	if _, err := s.Save(t.Context(), channel.StoredSession{ID: id(91), Version: versions[91]}); !errors.Is(err, channel.ErrConflict) {
		t.Errorf("replacing what was evicted and deleted: %v", err)
	}
	// What is in the file agrees with what was counted.
	had := s.counts
	if err := s.view(t.Context(), func(tx *transaction) error {
		if err := tx.count(); err != nil {
			return err
		}
		if tx.counts != had {
			t.Errorf("counted %+v, there are %+v", had, tx.counts)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestOldSessionsAreRemoved(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s := openStore(t, newPath(t), &Config{MaxAge: time.Hour, Time: func() time.Time { return now }})
	var used uint64
	for n := range 20 {
		if v := save(t, s, channel.StoredSession{ID: id(n)}); n == 5 {
			used = v
		}
	}
	now = now.Add(40 * time.Minute)
	save(t, s, channel.StoredSession{ID: id(5), Version: used}) // which makes it young
	now = now.Add(40 * time.Minute)
	save(t, s, channel.StoredSession{ID: id(50)})
	if s.counts.sessions != 21-pruneEach {
		t.Errorf("%d sessions after one save, want %d", s.counts.sessions, 21-pruneEach)
	}
	if n, err := s.Prune(t.Context()); err != nil || n != 19-pruneEach {
		t.Errorf("%d pruned, %v", n, err)
	}
	for n, kept := range map[int]bool{0: false, 4: false, 5: true, 6: false, 19: false, 50: true} {
		if _, err := s.Load(t.Context(), id(n)); kept != (err == nil) {
			t.Errorf("session %d: %v", n, err)
		}
	}
}

func TestPruneAfterTheLimitWasLowered(t *testing.T) {
	path := newPath(t)
	s := openStore(t, path, nil)
	const sessions = maxChanges + 50
	var wg sync.WaitGroup
	for n := range sessions {
		wg.Go(func() {
			if _, err := s.Save(t.Context(), channel.StoredSession{ID: id(n)}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s.Close()
	s = openStore(t, path, &Config{MaxSessions: 2})
	if n, err := s.Prune(t.Context()); err != nil || n != sessions-2 || s.counts.sessions != 2 {
		t.Errorf("%d pruned, %v; %+v", n, err, s.counts)
	}
}

// Calls that come together share transactions, and none is hurt by another's conflict.
func TestSavesShareTransactions(t *testing.T) {
	s := openStore(t, newPath(t), nil)
	save(t, s, channel.StoredSession{ID: id(0)})
	before := transactions(t, s)
	s.writer <- struct{}{} // while a transaction is written
	var wg sync.WaitGroup
	const savers = 50
	for n := range savers {
		wg.Go(func() {
			_, err := s.Save(t.Context(), channel.StoredSession{ID: id(n), Data: []byte{byte(n)}})
			if conflict := n == 0; conflict != errors.Is(err, channel.ErrConflict) || !conflict && err != nil {
				t.Errorf("session %d: %v", n, err)
			}
		})
	}
	waitFor(t, s, savers)
	<-s.writer
	wg.Wait()
	if n := transactions(t, s) - before; n != 1 {
		t.Errorf("%d transactions for %d saves", n, savers)
	}
	for n := 1; n < savers; n++ {
		if got, err := s.Load(t.Context(), id(n)); err != nil || !bytes.Equal(got.Data, []byte{byte(n)}) {
			t.Errorf("session %d: %+v, %v", n, got, err)
		}
	}
}

// waitFor returns when so many changes wait.
func waitFor(t *testing.T, s *Store, n int) {
	t.Helper()
	for range 60_000 {
		s.mu.Lock()
		waiting := len(s.waiting)
		s.mu.Unlock()
		if waiting == n {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("%d changes never wait", n)
}

func transactions(t *testing.T, s *Store) (n int) {
	t.Helper()
	if err := s.db.View(func(tx *bbolt.Tx) error { n = tx.ID(); return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestASaveThatIsCancelledWhileItWaitsDoesNothing(t *testing.T) {
	s := openStore(t, newPath(t), nil)
	s.writer <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error)
	go func() {
		_, err := s.Save(ctx, channel.StoredSession{ID: id(1)})
		result <- err
	}()
	waitFor(t, s, 1)
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	<-s.writer
	if _, err := s.Load(t.Context(), id(1)); !errors.Is(err, channel.ErrNoSession) {
		t.Errorf("the session: %v", err)
	}
	save(t, s, channel.StoredSession{ID: id(1)})
}

func TestCloseWaitsForWhatIsWrittenAndRefusesTheRest(t *testing.T) {
	path := newPath(t)
	s := openStore(t, path, nil)
	var wg sync.WaitGroup
	var mu sync.Mutex
	saved := map[int]bool{}
	for n := range 100 {
		wg.Go(func() {
			_, err := s.Save(t.Context(), channel.StoredSession{ID: id(n)})
			if err == nil {
				mu.Lock()
				saved[n] = true
				mu.Unlock()
			} else if !errors.Is(err, ErrClosed) {
				t.Errorf("%v", err)
			}
		})
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	s = openStore(t, path, nil)
	for n := range 100 {
		if _, err := s.Load(t.Context(), id(n)); saved[n] != (err == nil) {
			t.Errorf("session %d was saved: %t; %v", n, saved[n], err)
		}
	}
}

func TestAnErrorDoesNotShowWhatIsStored(t *testing.T) {
	s := openStore(t, newPath(t), nil)
	save(t, s, channel.StoredSession{ID: id(1), Peer: "label", Data: []byte("secret")})
	_, err := s.Save(t.Context(), channel.StoredSession{ID: id(1), Peer: "label", Data: []byte("secret")})
	if strings.Contains(err.Error(), "label") || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}
