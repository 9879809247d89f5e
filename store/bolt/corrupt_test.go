package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/store/seal"
	"go.etcd.io/bbolt"
)

// filled returns the octets of a file with sessions.
func filled(t *testing.T, sessions int) []byte {
	t.Helper()
	path := newPath(t)
	s := openStore(t, path, nil)
	for n := range sessions {
		save(t, s, channel.StoredSession{ID: id(n), Peer: "p", Data: bytes.Repeat([]byte{byte(n)}, 900)})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func write(t *testing.T, file []byte) (path string) {
	t.Helper()
	path = newPath(t)
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// use reads all sessions and saves one. It returns the first error that is not one of a
// session's own.
func use(t *testing.T, path string, sessions int) error {
	t.Helper()
	s, err := Open(path, &Config{Keys: keyring(t, 1)})
	if err != nil {
		return err
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	for n := range sessions {
		got, err := s.Load(t.Context(), id(n))
		switch {
		case err == nil && !bytes.Equal(got.Data, bytes.Repeat([]byte{byte(n)}, 900)):
			t.Errorf("session %d has data that nobody has saved", n)
		case err != nil && !errors.Is(err, channel.ErrNoSession):
			return err
		}
	}
	if _, err := s.FindByPeer(t.Context(), "p"); err != nil {
		return err
	}
	_, err = s.Save(t.Context(), channel.StoredSession{ID: id(sessions + 1)})
	return err
}

func known(err error) bool {
	return errors.Is(err, ErrCorrupt) || errors.Is(err, ErrSchema) || errors.Is(err, seal.ErrForged) || errors.Is(err, seal.ErrUnknownKey)
}

func TestATruncatedFileIsCorrupt(t *testing.T) {
	const sessions = 60
	file := filled(t, sessions)
	if err := use(t, write(t, file), sessions); err != nil {
		t.Fatalf("the whole file: %v", err)
	}
	page := os.Getpagesize()
	for _, size := range []int{1, page - 1, page, 2 * page, 3 * page, 5*page + 100, len(file) / 4 / page * page} {
		if err := use(t, write(t, file[:size]), sessions); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%d of %d octets: %v, want ErrCorrupt", size, len(file), err)
		}
	}
}

func TestWhatIsNoStoreIsRefused(t *testing.T) {
	for what, file := range map[string][]byte{"text": []byte("# no sessions here\n"), "zeros": make([]byte, 1<<15)} {
		if err := use(t, write(t, file), 0); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", what, err)
		}
	}
	path := newPath(t)
	s := openStore(t, path, nil)
	if err := s.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(aboutName).Put(schemaKey, []byte{schema + 1}) }); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if err := use(t, path, 0); !errors.Is(err, ErrSchema) {
		t.Errorf("a later schema: %v, want ErrSchema", err)
	}
}

// Whatever part of a file is damaged: an error that says so, or the sessions whose
// records are whole. Never a crash, and never a session that nobody has saved.
func TestADamagedFileGivesNothingWrong(t *testing.T) {
	const sessions, damages = 60, 150
	file := filled(t, sessions)
	rng := rand.New(rand.NewPCG(1, 2))
	page := os.Getpagesize()
	noticed := 0
	for n := range damages {
		damaged := bytes.Clone(file)
		at := rng.IntN(len(damaged))
		if n%2 == 0 { // where pages say what they are
			at = at/page*page + rng.IntN(64)
		}
		size := min(1+rng.IntN(32), len(damaged)-at)
		for i := range size {
			damaged[at+i] = byte(rng.Uint32())
		}
		t.Run(fmt.Sprintf("%d octets at %d", size, at), func(t *testing.T) {
			if err := use(t, write(t, damaged), sessions); err != nil {
				noticed++
				if !known(err) {
					t.Errorf("error %v, which says something else", err)
				}
			}
		})
	}
	if noticed == 0 {
		t.Error("no damage was noticed: the test does none")
	}
}

func TestACorruptStoreIsNotUsedAnyMore(t *testing.T) {
	s := openStore(t, newPath(t), nil)
	save(t, s, channel.StoredSession{ID: id(1)})
	tamper(t, s, func(tx *transaction) error {
		key := id(1)
		return tx.sessions.Put(key[:], []byte("short"))
	})
	if _, err := s.Load(t.Context(), id(1)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("%v, want ErrCorrupt", err)
	}
	if _, err := s.Save(t.Context(), channel.StoredSession{ID: id(2)}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a Save afterwards: %v, want ErrCorrupt", err)
	}
}
