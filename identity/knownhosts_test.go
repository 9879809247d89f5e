package identity

import (
	"bytes"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mendlink/mendlink/mls"
)

// newKey returns an encoded public key, and how a line of a known hosts file goes on with it.
func newKey(t testing.TB) (key []byte, line string) {
	t.Helper()
	key = newEd25519Key(t).Public().(ed25519.PublicKey)
	return key, "ed25519 " + base64.StdEncoding.EncodeToString(key)
}

func knownHosts(t testing.TB, path string, options KnownHostsOptions) *KnownHosts {
	t.Helper()
	k, err := OpenKnownHosts(path, options)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func peerOf(t testing.TB, k *KnownHosts, name string) mls.AuthenticationService {
	t.Helper()
	v, err := k.Peer(name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func keyed(key []byte) *mls.LeafNode { return &mls.LeafNode{SignatureKey: key} }

func TestKnownHostsPermitTheKeysThatAreListed(t *testing.T) {
	a, lineA := newKey(t)
	b, lineB := newKey(t)
	stranger, _ := newKey(t)
	p256 := newECDSAKey(t, elliptic.P256())
	ec, err := EncodePublicKey(&p256.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	salt := []byte("salt")
	hashed := "|sha256|" + base64.StdEncoding.EncodeToString(salt) + "|" + base64.StdEncoding.EncodeToString(hashName(salt, "hidden.example:1"))
	place := newPlace(t)
	path := place.write("known_hosts", []byte(strings.Join([]string{
		"# who is who",
		"",
		"db.example:7400 " + lineA + " the old one, and a comment",
		"  DB.example:7400\t" + lineB,
		"web.example:443 " + lineB,
		"ec.example:1 ecdsa-p256 " + base64.StdEncoding.EncodeToString(ec),
		hashed + " " + lineA,
		"lost.example:1 " + lineA,
		"@revoked lost.example:1 " + lineA + " was stolen there",
	}, "\n")))
	k := knownHosts(t, path, KnownHostsOptions{})
	for _, c := range []struct {
		name string
		key  []byte
		want error
		line int
	}{
		{"db.example:7400", a, nil, 0},
		{"db.example:7400", b, nil, 0},
		{"DB.EXAMPLE:7400", b, nil, 0},
		{"db.example:7400", stranger, ErrHostKeyChanged, 3},
		{"db.example:7401", a, ErrUnknownHost, 0},
		{"db.example", a, ErrUnknownHost, 0},
		{"web.example:443", b, nil, 0},
		{"web.example:443", a, ErrHostKeyChanged, 5},
		{"ec.example:1", ec, nil, 0},
		{"hidden.example:1", a, nil, 0},
		{"hidden.example:1", b, ErrHostKeyChanged, 7},
		{"hidden.example:2", a, ErrUnknownHost, 0},
		{"lost.example:1", a, ErrRevoked, 9},
		{"lost.example:1", b, ErrHostKeyChanged, 8},
	} {
		err := peerOf(t, k, c.name).ValidateLeaf(keyed(c.key), nil)
		var refused *HostKeyError
		if c.want == nil {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if !errors.Is(err, c.want) || !errors.As(err, &refused) || refused.Line != c.line || refused.Path != path ||
			refused.Fingerprint != Fingerprint(c.key) || !strings.Contains(err.Error(), Fingerprint(c.key)) {
			t.Errorf("%s: %v, want %v at line %d", c.name, err, c.want, c.line)
		}
	}
	// A changed key shows both.
	err = peerOf(t, k, "db.example:7400").ValidateLeaf(keyed(stranger), nil)
	var refused *HostKeyError
	if !errors.As(err, &refused) || !slices.Equal(refused.Listed, []string{Fingerprint(a), Fingerprint(b)}) || !strings.Contains(err.Error(), Fingerprint(b)) {
		t.Errorf("a changed key: %v", err)
	}
	// For all names.
	if err := k.Revoke("*", b); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"db.example:7400", "web.example:443", "new.example:1"} {
		if err := peerOf(t, k, name).ValidateLeaf(keyed(b), nil); !errors.Is(err, ErrRevoked) {
			t.Errorf("%s: %v, want ErrRevoked", name, err)
		}
	}
	for _, name := range []string{"", "two words", "@x", "#x", "|x", "*", "tab\t", "new\nline", "\xc3\xa9", strings.Repeat("x", 256)} {
		if _, err := k.Peer(name); !errors.Is(err, ErrKnownHosts) {
			t.Errorf("a peer of the name %q: %v", name, err)
		}
	}
}

func TestNamedTakesTheNameFromTheCredential(t *testing.T) {
	key, line := newKey(t)
	other, _ := newKey(t)
	place := newPlace(t)
	k := knownHosts(t, place.write("known_hosts", []byte("alice "+line)), KnownHostsOptions{FirstUse: TrustOnFirstUse})
	v := k.Named()
	for _, c := range []struct {
		credential mls.Credential
		key        []byte
		want       error
	}{
		{mls.BasicCredential([]byte("alice")), key, nil},
		{mls.BasicCredential([]byte("alice")), other, ErrHostKeyChanged},
		{mls.BasicCredential([]byte("bob")), other, ErrUnknownHost}, // whatever the options say
		{mls.BasicCredential([]byte("bob")), key, ErrUnknownHost},
		{mls.BasicCredential(nil), key, ErrKnownHosts},
		{mls.BasicCredential([]byte("alice\n")), key, ErrKnownHosts},
		{mls.Credential{Type: mls.CredentialX509}, key, mls.ErrCredentialType},
	} {
		err := v.ValidateLeaf(&mls.LeafNode{SignatureKey: c.key, Credential: c.credential}, nil)
		if !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%q: %v, want %v", c.credential.Identity, err, c.want)
		}
	}
}

func TestTrustOnFirstUseIsAChoiceAndNoMore(t *testing.T) {
	first, _ := newKey(t)
	second, _ := newKey(t)
	path := filepath.Join(t.TempDir(), "known_hosts")
	if _, err := OpenKnownHosts(path, KnownHostsOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	for _, hash := range []bool{false, true} {
		k := knownHosts(t, path, KnownHostsOptions{FirstUse: TrustOnFirstUse, Hash: hash})
		name := fmt.Sprintf("db-%t.example:1", hash)
		v := peerOf(t, k, name)
		for range 2 {
			if err := v.ValidateLeaf(keyed(first), nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := v.ValidateLeaf(keyed(second), nil); !errors.Is(err, ErrHostKeyChanged) {
			t.Errorf("another key: %v", err)
		}
		if err := v.ValidateLeaf(keyed(second), keyed(first)); !errors.Is(err, ErrHostKeyChanged) {
			t.Errorf("another key within a session: %v", err)
		}
		// A name that is not listed any more is not new within a session.
		if err := peerOf(t, k, "gone.example:1").ValidateLeaf(keyed(second), keyed(first)); !errors.Is(err, ErrUnknownHost) {
			t.Errorf("not listed, within a session: %v", err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte(name)) == hash {
			t.Errorf("hashed: %t, and the file is\n%s", hash, text)
		}
		// Others see it, and are as strict as they are.
		if err := peerOf(t, knownHosts(t, path, KnownHostsOptions{}), name).ValidateLeaf(keyed(first), nil); err != nil {
			t.Errorf("read again: %v", err)
		}
	}
	if text, _ := os.ReadFile(path); bytes.Count(text, []byte("\n")) != 2 {
		t.Errorf("the file is\n%s", text)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
	// Somebody may be asked.
	no := errors.New("the person says no")
	var asked string
	k := knownHosts(t, path, KnownHostsOptions{FirstUse: func(name string, key []byte) error {
		asked = name + " " + Fingerprint(key)
		return no
	}})
	if err := peerOf(t, k, "new.example:1").ValidateLeaf(keyed(first), nil); !errors.Is(err, no) || !errors.Is(err, ErrUnknownHost) || asked != "new.example:1 "+Fingerprint(first) {
		t.Errorf("asked about %q: %v", asked, err)
	}
	if err := peerOf(t, k, "new.example:1").ValidateLeaf(keyed(first), nil); !errors.Is(err, no) {
		t.Errorf("what was refused is listed: %v", err)
	}
	// A key that is of no known kind is not listed.
	k = knownHosts(t, path, KnownHostsOptions{FirstUse: TrustOnFirstUse})
	if err := peerOf(t, k, "new.example:1").ValidateLeaf(keyed([]byte("short")), nil); !errors.Is(err, ErrKey) {
		t.Errorf("a key of no kind: %v", err)
	}
}

func TestRotationsAreFollowedOnlyWhereThatIsChosen(t *testing.T) {
	first, line := newKey(t)
	second, _ := newKey(t)
	third, _ := newKey(t)
	revoked, revokedLine := newKey(t)
	place := newPlace(t)
	path := place.write("known_hosts", []byte("db "+line+"\n@revoked * "+revokedLine))
	v := peerOf(t, knownHosts(t, path, KnownHostsOptions{FollowRotations: true}), "db")
	if err := v.ValidateLeaf(keyed(second), nil); !errors.Is(err, ErrHostKeyChanged) {
		t.Errorf("another key in a new session: %v", err)
	}
	if err := v.ValidateLeaf(keyed(second), keyed(third)); !errors.Is(err, ErrHostKeyChanged) {
		t.Errorf("after a key that is not listed: %v", err)
	}
	if err := v.ValidateLeaf(keyed(revoked), keyed(first)); !errors.Is(err, ErrRevoked) {
		t.Errorf("to a revoked key: %v", err)
	}
	if err := v.ValidateLeaf(keyed(second), keyed(first)); err != nil {
		t.Errorf("a rotation: %v", err)
	}
	for _, key := range [][]byte{first, second} { // the change may have failed
		if err := v.ValidateLeaf(keyed(key), nil); err != nil {
			t.Errorf("after the rotation: %v", err)
		}
	}
}

func TestErrorsOfKnownHostsNameFileLineAndField(t *testing.T) {
	_, good := newKey(t)
	encoded := strings.Fields(good)[1]
	place := newPlace(t)
	for text, want := range map[string]struct {
		line  int
		field string
	}{
		"db":                                       {1, "line"},
		"\n# x\n\ndb ed25519":                      {4, "line"},
		"@revoked db ed25519":                      {1, "line"},
		"@trusted db " + good:                      {1, "marker"},
		"* " + good:                                {1, "name"},
		"|sha1|x|y " + good:                        {1, "name"},
		"|sha256|eA== " + good:                     {1, "name"},
		"|sha256|!|eA== " + good:                   {1, "name"},
		"|sha256|eA==|! " + good:                   {1, "name"},
		"|sha256|eA==|eA== " + good:                {1, "name"},
		"caf\xc3\xa9 " + good:                      {1, "name"},
		"db ed25519 !":                             {1, "key"},
		"db ed25519 AAAA":                          {1, "key"},
		"db ssh-ed25519 " + encoded:                {1, "key type"},
		"a " + good + "\ndb ecdsa-p256 " + encoded: {2, "key type"},
		strings.Repeat("x", 1<<17):                 {0, ""},
	} {
		path := place.write("known_hosts", []byte(text))
		_, err := OpenKnownHosts(path, KnownHostsOptions{})
		var at *FileError
		if !errors.Is(err, ErrKnownHosts) || !errors.As(err, &at) || at.Path != path || at.Line != want.line || at.Field != want.field {
			t.Errorf("%.40q: %v, want line %d, %q", text, err, want.line, want.field)
		}
	}
}

// A file that becomes unreadable lets nobody in, and is not written over.
func TestADamagedKnownHostsFilePermitsNobodyAndStays(t *testing.T) {
	key, line := newKey(t)
	place := newPlace(t)
	path := place.write("known_hosts", []byte("db "+line+"\n"))
	k := knownHosts(t, path, KnownHostsOptions{FirstUse: TrustOnFirstUse})
	damaged := []byte("db " + line + "\nhalf")
	place.write("known_hosts", damaged)
	for _, name := range []string{"db", "new"} {
		if err := peerOf(t, k, name).ValidateLeaf(keyed(key), nil); !errors.Is(err, ErrKnownHosts) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := k.Add("new", key); !errors.Is(err, ErrKnownHosts) {
		t.Errorf("Add: %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || !bytes.Equal(text, damaged) {
		t.Errorf("the file is %q, %v", text, err)
	}
	if runtime.GOOS == "windows" {
		return
	}
	place.write("known_hosts", []byte("db "+line+"\n"))
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := peerOf(t, k, "db").ValidateLeaf(keyed(key), nil); !errors.Is(err, ErrPermissions) {
		t.Errorf("a file that everybody can write: %v", err)
	}
	if err := k.Add("new", key); !errors.Is(err, ErrPermissions) {
		t.Errorf("Add: %v", err)
	}
}

// Another file with the same size and date is another file.
func TestKnownHostsAreReadAgainWhenReplaced(t *testing.T) {
	a, lineA := newKey(t)
	b, lineB := newKey(t)
	place := newPlace(t)
	path := place.write("known_hosts", []byte("db "+lineA+"\n"))
	date := time.Unix(1_800_000_000, 0)
	if err := os.Chtimes(path, date, date); err != nil {
		t.Fatal(err)
	}
	v := peerOf(t, knownHosts(t, path, KnownHostsOptions{}), "db")
	if err := v.ValidateLeaf(keyed(a), nil); err != nil {
		t.Error(err)
	}
	place.write("next", []byte("db "+lineB+"\n"))
	if err := errors.Join(os.Chtimes(place.path("next"), date, date), os.Rename(place.path("next"), path)); err != nil {
		t.Fatal(err)
	}
	if err := v.ValidateLeaf(keyed(a), nil); !errors.Is(err, ErrHostKeyChanged) {
		t.Errorf("the key of the old file: %v", err)
	}
	if err := v.ValidateLeaf(keyed(b), nil); err != nil {
		t.Errorf("the key of the new file: %v", err)
	}
}

func TestKnownHostsKeepLinksModesAndLines(t *testing.T) {
	key, line := newKey(t)
	place := newPlace(t)
	path := place.write("real", []byte("# mine\nold "+line)) // without a newline at the end
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	link := place.path("link")
	if err := os.Symlink("real", link); err != nil {
		t.Fatal(err)
	}
	k := knownHosts(t, link, KnownHostsOptions{})
	for range 2 { // once is enough
		if err := k.Add("New", key); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "# mine\nold "+line+"\nnew "+line+"\n" {
		t.Errorf("the file is %q, %v", text, err)
	}
	target, err := os.Readlink(link)
	info, statErr := os.Stat(path)
	if err != nil || target != "real" || statErr != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o640 {
		t.Errorf("the link leads to %q, %v; the file has mode %v, %v", target, err, info.Mode(), statErr)
	}
	if err := k.Revoke("new", key); err != nil {
		t.Fatal(err)
	}
	if err := k.Add("new", key); !errors.Is(err, ErrRevoked) {
		t.Errorf("adding a revoked key: %v", err)
	}
	left, err := filepath.Glob(filepath.Join(place.dir, "*.new"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
	// Where no file can be written, it says so and the old one stays.
	if os.Getuid() != 0 {
		if err := os.Chmod(place.dir, 0o500); err != nil {
			t.Fatal(err)
		}
		defer os.Chmod(place.dir, 0o700)
		if err := k.Add("other", key); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("a directory that cannot be written: %v", err)
		}
	}
}

const addKeysOf = "MENDLINK_TEST_ADD_KNOWN_HOSTS"

// Several processes, with several goroutines each, list keys at the same time. None is lost.
func TestProcessesDoNotLoseEachOthersLines(t *testing.T) {
	const processes, goroutines, each = 4, 3, 5
	if path := os.Getenv(addKeysOf); path != "" { // one of the processes
		k := knownHosts(t, path, KnownHostsOptions{FirstUse: TrustOnFirstUse})
		var wg sync.WaitGroup
		for g := range goroutines {
			wg.Go(func() {
				for i := range each {
					key, _ := newKey(t)
					if err := peerOf(t, k, fmt.Sprintf("%d-%d-%d", os.Getpid(), g, i)).ValidateLeaf(keyed(key), nil); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		return
	}
	path := filepath.Join(t.TempDir(), "known_hosts")
	var wg sync.WaitGroup
	for range processes {
		wg.Go(func() {
			command := exec.Command(os.Args[0], "-test.run", "^TestProcessesDoNotLoseEachOthersLines$")
			command.Env = append(os.Environ(), addKeysOf+"="+path)
			if out, err := command.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	wg.Wait()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	hosts, err := parseHosts(path, text)
	if err != nil || len(hosts) != processes*goroutines*each {
		t.Errorf("%d lines, want %d; %v", len(hosts), processes*goroutines*each, err)
	}
}

// Two processes meet a name for the first time at once, with different keys: only one is
// believed.
func TestOnlyOneKeyIsTheFirst(t *testing.T) {
	path := filepath.Join(t.TempDir(), "known_hosts")
	var mu sync.Mutex
	believed := 0
	var wg sync.WaitGroup
	for range 8 {
		k := knownHosts(t, path, KnownHostsOptions{FirstUse: TrustOnFirstUse})
		key, _ := newKey(t)
		wg.Go(func() {
			err := peerOf(t, k, "db").ValidateLeaf(keyed(key), nil)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				believed++
			} else if !errors.Is(err, ErrHostKeyChanged) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if believed != 1 {
		t.Errorf("%d keys are believed", believed)
	}
}

func FuzzKnownHosts(f *testing.F) {
	key, line := newKey(f)
	salt := []byte("salt")
	f.Add([]byte("# comment\ndb.example:1 " + line + " comment\n@revoked * " + line + "\n"))
	f.Add([]byte("|sha256|" + base64.StdEncoding.EncodeToString(salt) + "|" + base64.StdEncoding.EncodeToString(hashName(salt, "db")) + " " + line))
	f.Add([]byte("db ecdsa-p256 BA=="))
	f.Fuzz(func(t *testing.T, text []byte) {
		hosts, err := parseHosts("file", text)
		if err != nil {
			var at *FileError
			if !errors.As(err, &at) || !errors.Is(err, ErrKnownHosts) {
				t.Fatalf("%v is no FileError", err)
			}
			return
		}
		before := hosts.check("file", "new.example", key)
		// A line more is read back, and changes nothing about other names.
		k := &KnownHosts{}
		more, err := k.line("", "other.example", key)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseHosts("file", []byte(string(text)+"\n"+more))
		if err != nil || len(again) != len(hosts)+1 {
			t.Fatalf("with another line: %d of %d, %v", len(again), len(hosts), err)
		}
		if after := again.check("file", "new.example", key); (before == nil) != (after == nil) {
			t.Fatalf("another name: %v, then %v", before, after)
		}
		if err := again.check("file", "other.example", key); err != nil && !errors.Is(err, ErrRevoked) {
			t.Fatalf("the new line: %v", err)
		}
	})
}
