package record

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

func newDatagramPair(t testing.TB) (sender, receiver *DatagramProtection) {
	t.Helper()
	a, b := newEpochSecrets(t, 1, 7)
	sender, err := a.Datagrams()
	if err != nil {
		t.Fatal(err)
	}
	if receiver, err = b.Datagrams(); err != nil {
		t.Fatal(err)
	}
	return sender, receiver
}

func TestDatagrams(t *testing.T) {
	p, q := newDatagramPair(t)
	for _, content := range []string{"", "x", "a datagram", string(make([]byte, 1200))} {
		b, err := p.Seal([]byte("before"), []byte(content))
		if err != nil {
			t.Fatal(err)
		}
		b = b[len("before"):]
		if len(b) != DatagramOverhead+len(content) {
			t.Errorf("%d octets for %d", len(b), len(content))
		}
		again := bytes.Clone(b)
		if got, err := q.Open(b); err != nil || string(got) != content {
			t.Errorf("%q, %v", got, err)
		}
		if _, err := q.Open(again); !errors.Is(err, ErrReplayed) {
			t.Errorf("the same again: %v", err)
		}
	}
	for _, p := range []*DatagramProtection{p, q} {
		p.Erase()
		if _, err := p.Seal(nil, nil); !errors.Is(err, ErrErased) {
			t.Errorf("Seal after Erase: %v", err)
		}
		if _, err := p.Open(make([]byte, DatagramOverhead)); !errors.Is(err, ErrErased) {
			t.Errorf("Open after Erase: %v", err)
		}
	}
}

func TestDatagramLimit(t *testing.T) {
	p, q := newDatagramPair(t)
	p.inner.LimitRecords(4)
	var last []byte
	for i := range 4 {
		if p.NeedsUpdate() != (i >= 2) {
			t.Errorf("worn after %d datagrams: %t", i, p.NeedsUpdate())
		}
		var err error
		if last, err = p.Seal(nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.Seal(nil, nil); !errors.Is(err, ErrKeyExhausted) {
		t.Errorf("Seal: %v", err)
	}
	q.inner.LimitRecords(3)
	if _, err := q.Open(last); !errors.Is(err, ErrReplayed) {
		t.Errorf("a counter behind the limit: %v", err)
	}
}

// The replay window is a set of the counters that were seen, of which it forgets none that it
// would accept.
func TestReplayWindowIsASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p DatagramProtection
		p.inner.limit = MaxRecords
		seen := make(map[uint64]bool)
		newest := int64(-1)
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			near := rapid.Int64Range(newest-replayWindow-3, newest+3)
			far := rapid.Int64Range(0, newest+3*replayWindow)
			counter := max(0, rapid.OneOf(near, near, far, rapid.Just(newest+replayWindow), rapid.Just(newest+replayWindow+1)).Draw(t, "counter"))
			want := seen[uint64(counter)] || newest-counter >= replayWindow
			if got := p.replayed(uint64(counter)); got != want {
				t.Fatalf("counter %d behind %d: replayed %t, want %t", counter, newest, got, want)
			}
			if !want {
				p.note(uint64(counter))
				seen[uint64(counter)] = true
				newest = max(newest, counter)
			}
		}
	})
}

// Nothing is opened but what was sealed, each of it once.
func FuzzDatagramOpen(f *testing.F) {
	p, _ := newDatagramPair(f)
	var good [][]byte
	for _, content := range []string{"zero", "one", ""} {
		b, err := p.Seal(nil, []byte(content))
		if err != nil {
			f.Fatal(err)
		}
		good = append(good, b)
		f.Add(b)
		f.Add(b[:len(b)-1])
	}
	f.Add([]byte{7, 0, 0, 0, 1})
	f.Add(bytes.Repeat([]byte{7}, DatagramOverhead))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, q := newDatagramPair(t)
		known := false
		for _, g := range good {
			known = known || bytes.Equal(b, g)
		}
		if _, err := q.Open(bytes.Clone(b)); known != (err == nil) {
			t.Fatalf("%x: %v", b, err)
		}
		for _, g := range good {
			_, err := q.Open(bytes.Clone(g))
			if again := bytes.Equal(b, g); again && !errors.Is(err, ErrReplayed) || !again && err != nil {
				t.Fatalf("after %x, %x: %v", b, g, err)
			}
		}
	})
}
