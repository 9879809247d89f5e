package seal

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/mendlink/mendlink/channel"
)

func newKey() []byte {
	key := make([]byte, KeySize)
	rand.Read(key)
	return key
}

func newKeyring(t testing.TB, current []byte, former ...[]byte) *Keyring {
	t.Helper()
	k, err := NewKeyring(current, former...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func session() channel.StoredSession {
	return channel.StoredSession{ID: channel.SessionID{1, 2, 3}, Peer: "replica-7.example:7000", Version: 41, Data: []byte("the private keys of a session")}
}

func TestASessionOpensInItsPlaceOnly(t *testing.T) {
	k, s := newKeyring(t, newKey()), session()
	sealed := k.Session(s)
	got, err := k.OpenSession(s.ID, s.Version, sealed)
	if err != nil || got.ID != s.ID || got.Version != s.Version || got.Peer != s.Peer || !bytes.Equal(got.Data, s.Data) {
		t.Fatalf("opened %+v, %v", got, err)
	}
	for what, place := range map[string]channel.StoredSession{
		"another session":  {ID: channel.SessionID{1, 2, 4}, Version: s.Version},
		"a later version":  {ID: s.ID, Version: s.Version + 1},
		"an older version": {ID: s.ID, Version: s.Version - 1},
	} {
		if _, err := k.OpenSession(place.ID, place.Version, sealed); !errors.Is(err, ErrForged) || !errors.Is(err, channel.ErrNoSession) {
			t.Errorf("opened as %s: %v, want an error that matches ErrForged and ErrNoSession", what, err)
		}
	}
	if _, err := k.OpenIndex(sealed); !errors.Is(err, ErrForged) {
		t.Errorf("opened as the key of an index: %v", err)
	}
}

func TestEveryOctetOfARecordMatters(t *testing.T) {
	k, s := newKeyring(t, newKey()), session()
	sealed := k.Session(s)
	for i := range sealed {
		sealed[i] ^= 1
		if _, err := k.OpenSession(s.ID, s.Version, sealed); !errors.Is(err, channel.ErrNoSession) {
			t.Errorf("octet %d can be changed: %v", i, err)
		}
		sealed[i] ^= 1
		if _, err := k.OpenSession(s.ID, s.Version, sealed[:i]); !errors.Is(err, ErrForged) {
			t.Errorf("cut to %d octets: %v", i, err)
		}
	}
	if _, err := k.OpenSession(s.ID, s.Version, append(sealed, 0)); !errors.Is(err, ErrForged) {
		t.Errorf("an octet was added: %v", err)
	}
}

func TestARecordShowsNeitherDataNorLabelNorThatTwoAreTheSame(t *testing.T) {
	k, s := newKeyring(t, newKey()), session()
	first, second := k.Session(s), k.Session(s)
	if len(first) > Overhead+len(s.Peer)+len(s.Data)+8 {
		t.Errorf("%d octets", len(first))
	}
	for _, sealed := range [][]byte{first, second} {
		// What lies beyond the end of the slice counts as well.
		if all := sealed[:cap(sealed)]; bytes.Contains(all, s.Data[:8]) || bytes.Contains(all, []byte(s.Peer)[:8]) {
			t.Error("the record shows what it holds")
		}
	}
	if bytes.Equal(first[prefixSize:prefixSize+16], second[prefixSize:prefixSize+16]) || bytes.Equal(first[headerSize:prefixSize], second[headerSize:prefixSize]) {
		t.Error("two records of one session are the same")
	}
}

func TestAKeyIsReplacedByOpeningUnderBoth(t *testing.T) {
	old, fresh, s := newKey(), newKey(), session()
	before := newKeyring(t, old)
	during := newKeyring(t, fresh, old)
	after := newKeyring(t, fresh)
	former := before.Session(s)
	if got, err := during.OpenSession(s.ID, s.Version, former); err != nil || !bytes.Equal(got.Data, s.Data) {
		t.Errorf("under a former key: %+v, %v", got, err)
	}
	if during.IsCurrent(former) || !before.IsCurrent(former) {
		t.Error("IsCurrent takes the former key for the current one")
	}
	present := during.Session(s)
	if !during.IsCurrent(present) || !after.IsCurrent(present) {
		t.Error("IsCurrent does not know the current key")
	}
	if _, err := after.OpenSession(s.ID, s.Version, present); err != nil {
		t.Error(err)
	}
	for _, sealed := range [][]byte{former, before.Index(NewIndex())} {
		if _, err := after.Open(sealed, nil); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("under a key that is gone: %v, want ErrUnknownKey", err)
		}
	}
	if during.IsCurrent(nil) || during.IsCurrent(present[:headerSize-1]) {
		t.Error("IsCurrent for what is no record")
	}
}

func TestTagsAreThoseOfTheIndex(t *testing.T) {
	k, x := newKeyring(t, newKey()), NewIndex()
	again, err := k.OpenIndex(k.Index(x))
	if err != nil {
		t.Fatal(err)
	}
	if x.Tag("a") != again.Tag("a") {
		t.Error("an index that was stored makes other tags")
	}
	if x.Tag("a") == x.Tag("b") || x.Tag("a") == x.Tag("") || x.Tag("a") == NewIndex().Tag("a") {
		t.Error("tags do not depend on label and index")
	}
	if _, err := k.OpenIndex(k.Seal(make([]byte, 31), indexPlace)); !errors.Is(err, ErrForged) {
		t.Errorf("a key of 31 octets: %v", err)
	}
}

func TestAKeyringRefusesWhatIsNoKey(t *testing.T) {
	for what, key := range map[string][]byte{"none": nil, "short": newKey()[:31], "long": append(newKey(), 1), "zeros": make([]byte, KeySize)} {
		if _, err := NewKeyring(key); !errors.Is(err, ErrKey) {
			t.Errorf("current key %s: %v", what, err)
		}
		if _, err := NewKeyring(newKey(), key); !errors.Is(err, ErrKey) {
			t.Errorf("former key %s: %v", what, err)
		}
	}
}

func write(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestKeysAreReadInEveryForm(t *testing.T) {
	key := newKey()
	for what, text := range map[string]string{
		"hexadecimal":        hex.EncodeToString(key),
		"capitals":           strings.ToUpper(hex.EncodeToString(key)),
		"with a line end":    hex.EncodeToString(key) + "\r\n",
		"base64":             base64.StdEncoding.EncodeToString(key) + "\n",
		"with blanks around": "  " + base64.StdEncoding.EncodeToString(key) + " ",
	} {
		if got, err := File(write(t, text, 0o600))(t.Context()); err != nil || !bytes.Equal(got, key) {
			t.Errorf("%s in a file: %x, %v", what, got, err)
		}
		t.Setenv("SEAL_TEST_KEY", text)
		if got, err := Environment("SEAL_TEST_KEY")(t.Context()); err != nil || !bytes.Equal(got, key) {
			t.Errorf("%s in the environment: %x, %v", what, got, err)
		}
	}
}

func TestWhatIsNoKeyIsRefusedAndNotShown(t *testing.T) {
	valid := hex.EncodeToString(newKey())
	for what, text := range map[string]string{
		"nothing":        "",
		"too short":      valid[:62],
		"too long":       valid + "00",
		"no hexadecimal": valid[:62] + "zz",
		"no base64":      strings.Repeat("*", 44),
		"33 octets":      base64.StdEncoding.EncodeToString(make([]byte, 33)),
		"31 octets":      base64.StdEncoding.EncodeToString(make([]byte, 31)),
		"a huge file":    strings.Repeat(valid, maxKeyFile/64+1),
	} {
		_, err := File(write(t, text, 0o600))(t.Context())
		if !errors.Is(err, ErrKey) {
			t.Errorf("%s: %v, want ErrKey", what, err)
		} else if strings.Contains(err.Error(), valid[:16]) {
			t.Errorf("%s: the error shows the key: %v", what, err)
		}
	}
	if _, err := Environment("SEAL_TEST_UNSET")(t.Context()); !errors.Is(err, ErrKey) {
		t.Errorf("a variable that is not set: %v", err)
	}
	if _, err := File(filepath.Join(t.TempDir(), "none"))(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestAKeyFileIsItsOwnersAlone(t *testing.T) {
	text := hex.EncodeToString(newKey())
	for mode, good := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o640: false, 0o604: false, 0o620: false, 0o610: false} {
		good = good || runtime.GOOS == "windows"
		_, err := File(write(t, text, mode))(t.Context())
		if good != (err == nil) || !good && !errors.Is(err, ErrExposed) {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
	if _, err := File(t.TempDir())(t.Context()); err == nil {
		t.Error("a directory is taken for a key")
	}
}

func TestCreateFileMakesAKeyOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := CreateFile(path, rand.Reader); err != nil {
		t.Fatal(err)
	}
	first, err := File(path)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := CreateFile(path, rand.Reader); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second time: %v", err)
	}
	if again, err := File(path)(t.Context()); err != nil || !bytes.Equal(again, first) {
		t.Errorf("the key has changed: %v", err)
	}
	if err := CreateFile(path+"2", bytes.NewReader(first[:31])); err == nil {
		t.Error("a key of 31 random octets")
	}
}

func TestAWrappedKeyIsUnwrapped(t *testing.T) {
	key := newKey()
	path := write(t, "wrapped", 0o644)
	source := Unwrapped(path, func(_ context.Context, wrapped []byte) ([]byte, error) {
		if string(wrapped) != "wrapped" {
			t.Errorf("to be unwrapped: %q", wrapped)
		}
		return bytes.Clone(key), nil
	})
	k, err := LoadKeyring(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	s := session()
	if _, err := newKeyring(t, key).OpenSession(s.ID, s.Version, k.Session(s)); err != nil {
		t.Error(err)
	}
	refusal := errors.New("the service is down")
	refusing := Unwrapped(path, func(context.Context, []byte) ([]byte, error) { return nil, refusal })
	if _, err := LoadKeyring(t.Context(), source, refusing); !errors.Is(err, refusal) {
		t.Errorf("%v, want the service's error", err)
	}
}

func TestLoadKeyringErasesTheKeys(t *testing.T) {
	current, former := newKey(), newKey()
	give := func(key []byte) Source { return func(context.Context) ([]byte, error) { return key, nil } }
	if _, err := LoadKeyring(t.Context(), give(current), give(former)); err != nil {
		t.Fatal(err)
	}
	if zeros := make([]byte, KeySize); !bytes.Equal(current, zeros) || !bytes.Equal(former, zeros) {
		t.Error("keys are still there")
	}
}

// Whatever stands in a store, opening it is an error or a session, and what is
// a session can be sealed again.
func FuzzOpenSession(f *testing.F) {
	k, s := newKeyring(f, bytes.Repeat([]byte{1, 2}, KeySize/2)), session()
	f.Add(k.Session(s), false)
	f.Add([]byte("\x03abc\x04data"), true)
	f.Add([]byte("\x40\x01a\x00"), true)
	f.Add([]byte("\xff"), true)
	f.Fuzz(func(t *testing.T, data []byte, plaintext bool) {
		if plaintext { // as only whoever has the key can make it
			data = k.Seal(data, sessionPlace(s.ID, s.Version))
		}
		got, err := k.OpenSession(s.ID, s.Version, data)
		if err != nil {
			if !errors.Is(err, channel.ErrNoSession) {
				t.Errorf("error %v does not match ErrNoSession", err)
			}
			return
		}
		again, err := k.OpenSession(s.ID, s.Version, k.Session(got))
		if err != nil || again.Peer != got.Peer || !bytes.Equal(again.Data, got.Data) {
			t.Errorf("%+v became %+v, %v", got, again, err)
		}
	})
}

func FuzzParseKey(f *testing.F) {
	f.Add([]byte(hex.EncodeToString(bytes.Repeat([]byte{7}, KeySize))))
	f.Add([]byte(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, KeySize))))
	f.Fuzz(func(t *testing.T, text []byte) {
		if key, err := parseKey(text, "input"); (err == nil) != (len(key) == KeySize) || err != nil && !errors.Is(err, ErrKey) {
			t.Errorf("%x, %v", key, err)
		}
	})
}
