package bolt

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/store/seal"
)

// keyring returns one whose current key consists of these numbers' octets.
func keyring(t testing.TB, current byte, former ...byte) *seal.Keyring {
	t.Helper()
	key := func(n byte) []byte { return bytes.Repeat([]byte{n, 0xa5}, seal.KeySize/2) }
	var others [][]byte
	for _, n := range former {
		others = append(others, key(n))
	}
	k, err := seal.NewKeyring(key(current), others...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func openStore(t testing.TB, path string, config *Config) *Store {
	t.Helper()
	if config == nil {
		config = new(Config)
	}
	if config.Keys == nil {
		config.Keys = keyring(t, 1)
	}
	s, err := Open(path, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing %s: %v", path, err)
		}
	})
	return s
}

func newPath(t testing.TB) string { return filepath.Join(t.TempDir(), "sessions.db") }

func id(n int) channel.SessionID { return channel.SessionID{byte(n), byte(n >> 8)} }

func save(t testing.TB, s *Store, session channel.StoredSession) uint64 {
	t.Helper()
	version, err := s.Save(t.Context(), session)
	if err != nil {
		t.Fatal(err)
	}
	return version
}
