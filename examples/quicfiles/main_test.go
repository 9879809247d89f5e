package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/mendlink/mendlink/examples/internal/keyfile"
	"github.com/mendlink/mendlink/quicmls"
)

// testContext bounds what a test waits for.
func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

var small = options{parallel: 4, rekey: 1 << 20, limit: 1 << 30}

// TestRun runs the whole program with less to send.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	from := filepath.Join(dir, "from")
	if err := makeUp(from, 50, 16<<20); err != nil {
		t.Fatal(err)
	}
	if err := run(testContext(t), from, filepath.Join(dir, "to"), &small); err != nil {
		t.Fatal(err)
	}
}

// TestTwoPrograms runs the sender as -dial does, with keys out of files. A second time there is
// nothing left to do.
func TestTwoPrograms(t *testing.T) {
	ctx, dir := testContext(t), t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	if err := makeUp(from, 20, 1<<20); err != nil {
		t.Fatal(err)
	}
	sender, receiver := filepath.Join(dir, "sender.pem"), filepath.Join(dir, "receiver.pem")
	for _, key := range []string{sender, receiver} {
		if _, _, err := keyfile.Generate(key); err != nil {
			t.Fatal(err)
		}
	}
	self, peers, err := keyfile.Load(receiver, sender+".pub")
	if err != nil {
		t.Fatal(err)
	}
	r := newTestReceiver(t, to, 1<<30)
	address := serveWith(t, r, newConfig(self, peers))
	o := small
	o.dir = from
	for range 2 {
		if err := runOneEnd(ctx, "", address, sender, receiver+".pub", &o); err != nil {
			t.Fatal(err)
		}
		requireSame(t, from, to)
	}
	if got, want := r.received.Load(), sizeOf(t, from); got != want {
		t.Errorf("%d octets were received for %d", got, want)
	}
	if err := runOneEnd(ctx, "", address, sender, sender+".pub", &o); err == nil {
		t.Error("sent to a receiver that it does not know")
	}
	if err := runOneEnd(ctx, "", address, sender, "", &o); err == nil {
		t.Error("ran without knowing who the other end is")
	}
}

// TestVerdictsCanFail shows that the program would notice what is missing.
func TestVerdictsCanFail(t *testing.T) {
	dir := t.TempDir()
	if err := makeUp(dir, 20, 1<<20); err != nil {
		t.Fatal(err)
	}
	good := func() (*sender, *receiver) {
		s, err := newSender(&quicmls.Config{}, "", dir, 1, 1<<10)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.close)
		s.stats.handshakes, s.stats.resumptions = 1, 1
		s.stats.continued.Store(1)
		s.stats.own.Store(1)
		s.stats.peer.Store(1)
		r := newTestReceiver(t, dir, 0)
		r.received.Store(s.stats.octets)
		return s, r
	}
	s, r := good()
	if err := verdict(s, r, 1); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(s *sender, r *receiver){
		"a file is missing":         func(s *sender, _ *receiver) { s.files = append(s.files, &file{header: header{name: "more"}}) },
		"a file is too many":        func(s *sender, _ *receiver) { s.files = s.files[1:] },
		"a hash is wrong":           func(s *sender, _ *receiver) { s.files[3].sum[31]++ },
		"a length is wrong":         func(s *sender, _ *receiver) { s.files[3].size++ },
		"octets came twice":         func(_ *sender, r *receiver) { r.received.Add(1) },
		"no resumption":             func(s *sender, _ *receiver) { s.stats.resumptions = 0 },
		"two full handshakes":       func(s *sender, _ *receiver) { s.stats.handshakes = 2 },
		"nothing continued":         func(s *sender, _ *receiver) { s.stats.continued.Store(0) },
		"no update of the sender":   func(s *sender, _ *receiver) { s.stats.own.Store(0) },
		"no update of the receiver": func(s *sender, _ *receiver) { s.stats.peer.Store(0) },
	} {
		s, r := good()
		if spoil(s, r); verdict(s, r, 1) == nil {
			t.Errorf("%s, and nobody notices", name)
		}
	}
	if verdict(s, r, 0) == nil {
		t.Error("there was no cut, and nobody notices")
	}
}

// A file that changes after it was looked at does not arrive, and the others do.
func TestFileThatChanges(t *testing.T) {
	for name, change := range map[string]func(file string) error{
		"other octets": func(file string) error {
			f, err := os.OpenFile(file, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt([]byte("changed"), 1<<19)
			return errors.Join(err, f.Close())
		},
		"less": func(file string) error { return os.Truncate(file, 1<<18) },
		"gone": os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
			if err := makeUp(from, 10, 1<<20); err != nil {
				t.Fatal(err)
			}
			sc, rc, err := newConfigs()
			if err != nil {
				t.Fatal(err)
			}
			s, err := newSender(sc, serveWith(t, newTestReceiver(t, to, 1<<30), rc), from, 2, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			if err := change(filepath.Join(from, "0-large")); err != nil {
				t.Fatal(err)
			}
			if err := s.run(testContext(t)); err == nil {
				t.Error("it was sent all the same")
			}
			if got := s.stats.done.Load(); got != s.stats.files-1 {
				t.Errorf("%d files of %d", got, s.stats.files)
			}
			if _, err := os.Stat(filepath.Join(to, "0-large")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("it arrived: %v", err)
			}
		})
	}
}

func newTestReceiver(t *testing.T, dir string, limit int64) *receiver {
	t.Helper()
	r, err := newReceiver(dir, limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	return r
}

// serveWith runs a receiver until the test ends, and returns its address.
func serveWith(t *testing.T, r *receiver, config *quicmls.Config) string {
	t.Helper()
	listener, err := quicmls.Listen("127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.serve(ctx, listener)
	}()
	t.Cleanup(func() {
		cancel()
		listener.Close()
		<-done
	})
	return listener.Addr().String()
}

func filesIn(t *testing.T, dir string) []*file {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	files, err := scan(root)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func requireSame(t *testing.T, want, got string) {
	t.Helper()
	if err := sameFiles(filesIn(t, want), filesIn(t, got)); err != nil {
		t.Error(err)
	}
}

func sizeOf(t *testing.T, dir string) (n int64) {
	t.Helper()
	for _, f := range filesIn(t, dir) {
		n += f.size
	}
	return n
}
