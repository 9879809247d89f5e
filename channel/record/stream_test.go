package record

import (
	"bytes"
	"errors"
	"testing"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// newEpochSecrets returns equal secrets for two ends.
func newEpochSecrets(t testing.TB, id ciphersuite.ID, epoch uint64) (sender, receiver *EpochSecret) {
	t.Helper()
	suite := newSuite(t, id)
	for _, end := range []**EpochSecret{&sender, &receiver} {
		var err error
		if *end, err = NewEpochSecret(suite, epoch, testSecret(suite), MaxPlaintext); err != nil {
			t.Fatal(err)
		}
	}
	return sender, receiver
}

func newStreamPair(t testing.TB, id uint64) (sender, receiver *StreamProtection) {
	t.Helper()
	a, b := newEpochSecrets(t, 1, 7)
	sender, err := a.Stream(a.Epoch(), a.StreamKey(id))
	if err != nil {
		t.Fatal(err)
	}
	if receiver, err = b.Stream(b.Epoch(), b.StreamKey(id)); err != nil {
		t.Fatal(err)
	}
	return sender, receiver
}

func TestStreamRecords(t *testing.T) {
	for _, suite := range []ciphersuite.ID{1, 3, 5} {
		a, b := newEpochSecrets(t, suite, 0x1ff)
		p, err := a.Stream(a.Epoch(), a.StreamKey(4))
		if err != nil {
			t.Fatal(err)
		}
		q, err := b.Stream(b.Epoch(), b.StreamKey(4))
		if err != nil {
			t.Fatal(err)
		}
		if p.Epoch() != 0x1ff {
			t.Errorf("epoch %d", p.Epoch())
		}
		for _, size := range []int{0, 1, 1000, MaxPlaintext} {
			content := bytes.Repeat([]byte{byte(size)}, size)
			rec, err := p.Seal([]byte("before"), ContentApplicationData, content)
			if err != nil {
				t.Fatal(err)
			}
			rec = rec[len("before"):]
			if len(rec) != StreamOverhead+size || rec[0] != 0xff {
				t.Errorf("%d octets for %d, beginning with %x", len(rec), size, rec[0])
			}
			ct, got, err := q.Open(rec[StreamHeaderSize:StreamHeaderSize], rec)
			if err != nil || ct != ContentApplicationData || !bytes.Equal(got, content) {
				t.Errorf("%v, %d octets, %v", ct, len(got), err)
			}
		}
		if _, err := p.Seal(nil, ContentApplicationData, make([]byte, MaxPlaintext+1)); !errors.Is(err, ErrOverflow) {
			t.Errorf("Seal of too much: %v", err)
		}
		p.Erase()
		if _, err := p.Seal(nil, ContentApplicationData, nil); !errors.Is(err, ErrErased) {
			t.Errorf("Seal after Erase: %v", err)
		}
	}
}

func TestParseStreamHeader(t *testing.T) {
	for _, c := range []struct {
		header string
		want   StreamHeader
		err    error
	}{
		{"\x05\x00\x11", StreamHeader{5, 17}, nil},
		{"\xff\x41\x00and more", StreamHeader{255, MaxCiphertext}, nil},
		{"\x05\x00\x10", StreamHeader{}, ErrUnexpected},
		{"\x05\x41\x01", StreamHeader{}, ErrOverflow},
	} {
		if got, err := ParseStreamHeader([]byte(c.header)); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%x: %v, %v", c.header, got, err)
		}
	}
	if _, err := ParseStreamHeader([]byte{1, 2}); err == nil {
		t.Error("a part of a header is read")
	}
}

// Each stream, direction and epoch has a key of its own, and so have the datagrams.
func TestStreamKeysDiffer(t *testing.T) {
	seen := make(map[string]string)
	note := func(name string, key []byte) {
		if other, ok := seen[string(key)]; ok {
			t.Errorf("%s and %s have the same key", name, other)
		}
		seen[string(key)] = name
	}
	s, _ := newEpochSecrets(t, 1, 1)
	for _, id := range []uint64{0, 1, 4, 1 << 32, 1<<62 - 1} {
		note("stream", s.StreamKey(id))
	}
	note("the datagrams", s.derive("quic datagram", nil))
	if !bytes.Equal(s.StreamKey(4), s.StreamKey(4)) {
		t.Error("a stream has two keys")
	}
	key := s.StreamKey(8)
	if _, err := s.Stream(1, key); err != nil || !bytes.Equal(key, make([]byte, 28)) {
		t.Errorf("the key is not erased: %x, %v", key, err)
	}
	s.Erase()
	defer func() {
		if recover() == nil {
			t.Error("an erased secret gives keys")
		}
	}()
	s.StreamKey(4)
}

func TestNewEpochSecretRefuses(t *testing.T) {
	suite := newSuite(t, 1)
	for _, c := range []struct{ secret, content int }{{31, 100}, {33, 100}, {32, 0}, {32, MaxPlaintext + 1}} {
		if _, err := NewEpochSecret(suite, 1, make([]byte, c.secret), c.content); err == nil {
			t.Errorf("a secret of %d octets with records of %d", c.secret, c.content)
		}
	}
}

// What a receiver does not accept is refused, though it is authentic.
func TestStreamContentLimit(t *testing.T) {
	suite := newSuite(t, 1)
	narrow, err := NewEpochSecret(suite, 7, testSecret(suite), 100)
	if err != nil {
		t.Fatal(err)
	}
	q, err := narrow.Stream(7, narrow.StreamKey(4))
	if err != nil {
		t.Fatal(err)
	}
	p, _ := newStreamPair(t, 4)
	if q.MaxContent() != 100 {
		t.Errorf("MaxContent: %d", q.MaxContent())
	}
	rec, err := p.Seal(nil, ContentApplicationData, make([]byte, 101))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := q.Open(nil, rec); !errors.Is(err, ErrOverflow) {
		t.Errorf("Open: %v", err)
	}
}

// The last record of a key is kept for what ends the stream or the epoch.
func TestLastStreamRecordOfAKey(t *testing.T) {
	for _, last := range []ContentType{ContentEpochEnd, ContentAlert} {
		p, q := newStreamPair(t, 4)
		p.inner.LimitRecords(3)
		q.inner.LimitRecords(3)
		var records [][]byte
		for range 2 {
			rec, err := p.Seal(nil, ContentApplicationData, []byte("x"))
			if err != nil {
				t.Fatal(err)
			}
			records = append(records, rec)
		}
		if !p.NeedsUpdate() {
			t.Error("the key is not worn")
		}
		if _, err := p.Seal(nil, ContentApplicationData, nil); !errors.Is(err, ErrKeyExhausted) {
			t.Errorf("Seal: %v", err)
		}
		rec, err := p.Seal(nil, last, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range append(records, rec) {
			if _, _, err := q.Open(nil, rec); err != nil {
				t.Errorf("Open: %v", err)
			}
		}
		if _, err := p.Seal(nil, last, nil); !errors.Is(err, ErrKeyExhausted) {
			t.Errorf("Seal: %v", err)
		}
	}
}

// Nothing but the next record is opened, and a record that fails does not count.
func FuzzStreamOpen(f *testing.F) {
	p, _ := newStreamPair(f, 4)
	good, err := p.Seal(nil, ContentApplicationData, []byte("content"))
	if err != nil {
		f.Fatal(err)
	}
	second, err := p.Seal(nil, ContentEpochEnd, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(second)
	f.Add(good[:len(good)-1])
	f.Add([]byte{7, 0, 17})
	f.Add(append([]byte{7, 0, 17}, make([]byte, 17)...))
	f.Add([]byte{7, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := ParseStreamHeader(b); err == nil && (h.Length > MaxCiphertext || h.Length < 1+TagSize || h.Epoch != b[0]) {
			t.Fatalf("header %v of %x", h, b[:StreamHeaderSize])
		}
		_, q := newStreamPair(t, 4)
		_, content, err := q.Open(nil, b)
		if isGood := bytes.Equal(b, good); isGood != (err == nil) || isGood && string(content) != "content" {
			t.Fatalf("%x opens to %q, %v", b, content, err)
		}
		if err == nil {
			return
		}
		if _, content, err := q.Open(nil, good); err != nil || string(content) != "content" {
			t.Fatalf("then %q, %v", content, err)
		}
	})
}
