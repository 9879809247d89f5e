package record

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"hash"
	"runtime"
	"testing"
	"weak"

	"golang.org/x/crypto/chacha20poly1305"
	"pgregory.net/rapid"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

func newSuite(t testing.TB, id ciphersuite.ID) *ciphersuite.Suite {
	t.Helper()
	s, err := ciphersuite.Default().Lookup(id)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func testSecret(s *ciphersuite.Suite) []byte { return bytes.Repeat([]byte{0x5a}, s.HashSize()) }

// newPair returns the two ends of one direction.
func newPair(t testing.TB) (sealer, opener *Protection) {
	t.Helper()
	s := newSuite(t, 1)
	var ends [2]*Protection
	for i := range ends {
		p, err := NewProtection(s, testSecret(s))
		if err != nil {
			t.Fatal(err)
		}
		ends[i] = p
	}
	return ends[0], ends[1]
}

func seal(t testing.TB, p *Protection, ct ContentType, content []byte) []byte {
	t.Helper()
	b, err := p.Seal(nil, ct, content)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func open(p *Protection, record []byte) (ContentType, []byte, error) {
	record = bytes.Clone(record)
	if len(record) < HeaderSize {
		return p.Open(nil, record)
	}
	return p.Open(record[HeaderSize:HeaderSize], record)
}

// reference computes a record with nothing but the standard library and x/crypto:
// RFC 8446, Sections 5.2, 5.3, 7.1 and 7.3, once more.
func reference(t *testing.T, h func() hash.Hash, newAEAD func([]byte) (cipher.AEAD, error), keySize int, secret []byte, updates int, sequence uint64, inner []byte) []byte {
	t.Helper()
	expand := func(secret []byte, label string, length int) []byte {
		info := []byte{byte(length >> 8), byte(length), byte(6 + len(label))}
		info = append(append(append(info, "tls13 "...), label...), 0)
		out, err := hkdf.Expand(h, secret, string(info), length)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for range updates {
		secret = expand(secret, "traffic upd", h().Size())
	}
	aead, err := newAEAD(expand(secret, "key", keySize))
	if err != nil {
		t.Fatal(err)
	}
	nonce := expand(secret, "iv", 12)
	for i, b := range binary.BigEndian.AppendUint64(nil, sequence) {
		nonce[4+i] ^= b
	}
	n := len(inner) + aead.Overhead()
	header := []byte{23, 3, 3, byte(n >> 8), byte(n)}
	return aead.Seal(header, nonce, inner, header)
}

func newGCM(key []byte) (cipher.AEAD, error) {
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(b)
}

func TestSealMatchesIndependentComputation(t *testing.T) {
	for _, c := range []struct {
		suite   ciphersuite.ID
		hash    func() hash.Hash
		aead    func([]byte) (cipher.AEAD, error)
		keySize int
	}{
		{1, sha256.New, newGCM, 16},
		{3, sha256.New, chacha20poly1305.New, 32},
		{5, sha512.New, newGCM, 32},
	} {
		s := newSuite(t, c.suite)
		p, err := NewProtection(s, testSecret(s))
		if err != nil {
			t.Fatal(err)
		}
		for updates := range 3 {
			for sequence := range uint64(300) { // past the nonce's last octet
				content := []byte("some content")
				got := seal(t, p, ContentApplicationData, content)
				if sequence%99 > 1 {
					continue
				}
				want := reference(t, c.hash, c.aead, c.keySize, testSecret(s), updates, sequence, append(content, 23))
				if !bytes.Equal(got, want) {
					t.Fatalf("%v, update %d, record %d: got %x, want %x", s, updates, sequence, got, want)
				}
			}
			if err := p.Update(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestOpenRemovesPadding(t *testing.T) {
	s := newSuite(t, 1)
	for _, c := range []struct {
		name  string
		inner []byte
		want  string
		err   error
	}{
		{"no padding", []byte("abc\x17"), "abc", nil},
		{"padding", append([]byte("abc\x17"), make([]byte, 100)...), "abc", nil},
		{"padded empty content", append([]byte("\x17"), make([]byte, 100)...), "", nil},
		{"content that ends with zeros", []byte("abc\x00\x00\x17\x00"), "abc\x00\x00", nil},
		{"longest", append(make([]byte, MaxPlaintext), 23), string(make([]byte, MaxPlaintext)), nil},
		{"one octet too long", append(make([]byte, MaxPlaintext+1), 23), "", ErrOverflow},
		{"padded past the limit", append([]byte("abc\x17"), make([]byte, MaxPlaintext)...), "", ErrOverflow},
		{"nothing but padding", make([]byte, 100), "", ErrUnexpected},
		{"nothing", nil, "", ErrUnexpected},
	} {
		_, opener := newPair(t)
		record := reference(t, sha256.New, newGCM, 16, testSecret(s), 0, 0, c.inner)
		ct, got, err := open(opener, record)
		if !errors.Is(err, c.err) || string(got) != c.want || err == nil && ct != ContentApplicationData {
			t.Errorf("%s: got %v, %d octets, %v; want %d octets, %v", c.name, ct, len(got), err, len(c.want), c.err)
		}
	}
}

func TestRecordsRoundTrip(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		sealer, opener := newPair(t)
		for range rapid.IntRange(1, 10).Draw(r, "records") {
			content := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(r, "content")
			ct := rapid.SampledFrom([]ContentType{ContentAlert, ContentHandshake, ContentApplicationData}).Draw(r, "type")
			record, err := sealer.Seal([]byte("before"), ct, content)
			if err != nil || string(record[:6]) != "before" {
				r.Fatalf("Seal: %q, %v", record, err)
			}
			record = record[6:]
			if len(record) != Overhead+len(content) {
				r.Fatalf("record has %d octets, want %d", len(record), Overhead+len(content))
			}
			// Half of them elsewhere, half in place.
			dst := make([]byte, 0, len(record))
			if rapid.Bool().Draw(r, "in place") {
				dst = record[HeaderSize:HeaderSize]
			}
			gotType, got, err := opener.Open(dst, record)
			if err != nil || gotType != ct || !bytes.Equal(got, content) {
				r.Fatalf("Open: %v, %x, %v; want %v, %x", gotType, got, err, ct, content)
			}
			if rapid.IntRange(0, 4).Draw(r, "update") == 0 {
				if err := errors.Join(sealer.Update(), opener.Update()); err != nil {
					r.Fatal(err)
				}
			}
		}
	})
}

func TestOpenRefusesEveryChangedOctet(t *testing.T) {
	sealer, opener := newPair(t)
	record := seal(t, sealer, ContentApplicationData, []byte("attack at dawn"))
	for i := range record {
		for bit := range 8 {
			changed := bytes.Clone(record)
			changed[i] ^= 1 << bit
			if _, got, err := open(opener, changed); err == nil {
				t.Fatalf("octet %d, bit %d changed: opened as %q", i, bit, got)
			}
		}
	}
	if _, _, err := open(opener, record); err != nil {
		t.Fatalf("the right record after all those: %v", err)
	}
}

func TestOpenRefusesEveryTruncation(t *testing.T) {
	sealer, opener := newPair(t)
	record := seal(t, sealer, ContentApplicationData, []byte("attack at dawn"))
	for n := range record {
		if _, _, err := open(opener, record[:n]); err == nil {
			t.Fatalf("cut to %d octets: opened", n)
		}
		if n < HeaderSize {
			continue
		}
		short := bytes.Clone(record[:n])
		binary.BigEndian.PutUint16(short[3:], uint16(n-HeaderSize))
		if _, _, err := open(opener, short); !errors.Is(err, ErrAuthentication) {
			t.Fatalf("cut to %d octets, with the length to match: %v", n, err)
		}
	}
	if _, _, err := open(opener, append(bytes.Clone(record), 0)); err == nil {
		t.Fatal("one octet too many: opened")
	}
}

func TestOpenRefusesReorderingReplayAndReflection(t *testing.T) {
	sealer, opener := newPair(t)
	first := seal(t, sealer, ContentApplicationData, []byte("first"))
	second := seal(t, sealer, ContentApplicationData, []byte("second"))
	check := func(name string, record []byte, want error) {
		t.Helper()
		if _, _, err := open(opener, record); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	check("second before first", second, ErrAuthentication)
	check("first", first, nil)
	check("first again", first, ErrAuthentication)
	check("second", second, nil)
	if err := opener.Update(); err != nil {
		t.Fatal(err)
	}
	check("old key after an update", seal(t, sealer, ContentApplicationData, nil), ErrAuthentication)
}

func TestOpenRefusesUnprotectedRecords(t *testing.T) {
	_, opener := newPair(t)
	for _, ct := range []ContentType{ContentAlert, ContentHandshake} {
		record, err := AppendPlaintext(nil, ct, make([]byte, 40))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := open(opener, record); !errors.Is(err, ErrUnexpected) {
			t.Errorf("%v: %v, want ErrUnexpected", ct, err)
		}
	}
}

// countingAEAD fails the test when a nonce comes twice under one key.
type countingAEAD struct {
	cipher.AEAD
	t    *testing.T
	seen map[string]bool
}

func (a countingAEAD) Seal(dst, nonce, plaintext, ad []byte) []byte {
	if a.seen[string(nonce)] {
		a.t.Fatalf("nonce %x comes twice", nonce)
	}
	a.seen[string(nonce)] = true
	return a.AEAD.Seal(dst, nonce, plaintext, ad)
}

func TestNoNonceComesTwiceAndTheKeyEndsAtItsLimit(t *testing.T) {
	sealer, opener := newPair(t)
	const limit = 1000
	sealer.limit, opener.limit = limit, limit
	sealer.key = &expandedKey{countingAEAD{sealer.key, t, make(map[string]bool)}}
	var last []byte
	for i := range limit {
		if got, want := sealer.NeedsUpdate(), i >= limit/2; got != want {
			t.Fatalf("after %d records NeedsUpdate is %v", i, got)
		}
		if got := sealer.Remaining(); got != uint64(limit-i) {
			t.Fatalf("after %d records %d remain", i, got)
		}
		// A failing Seal must not use up a nonce, nor lead to one used twice.
		if _, err := sealer.Seal(nil, ContentApplicationData, make([]byte, MaxPlaintext+1)); !errors.Is(err, ErrOverflow) {
			t.Fatalf("too much content: %v", err)
		}
		last = seal(t, sealer, ContentApplicationData, []byte("x"))
		if _, _, err := open(opener, last); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := sealer.Seal([]byte("dst"), ContentApplicationData, nil); !errors.Is(err, ErrKeyExhausted) || string(got) != "dst" {
		t.Fatalf("at the limit Seal gives %q, %v", got, err)
	}
	if _, _, err := open(opener, last); !errors.Is(err, ErrKeyExhausted) {
		t.Fatalf("at the limit Open gives %v", err)
	}
	if sealer.sequence != limit {
		t.Fatalf("sequence is %d, want %d", sealer.sequence, limit)
	}
	if err := errors.Join(sealer.Update(), opener.Update()); err != nil {
		t.Fatal(err)
	}
	if _, got, err := open(opener, seal(t, sealer, ContentApplicationData, []byte("on"))); err != nil || string(got) != "on" {
		t.Fatalf("after an update: %q, %v", got, err)
	}
}

// At rest a Protection keeps no expanded key from being collected, and goes on as if
// nothing had happened, whether or not one was.
func TestAKeyAtRestIsCollectedAndMadeAgain(t *testing.T) {
	sealer, opener := newPair(t)
	for i := range 3 {
		for _, p := range []*Protection{sealer, opener} {
			expanded := weak.Make(p.key)
			p.Rest()
			p.Rest() // twice does no harm
			if i == 1 {
				continue
			}
			if runtime.GC(); expanded.Value() != nil {
				t.Fatal("the expanded key is still there")
			}
		}
		for _, want := range []string{"before", "and after"} {
			if _, got, err := open(opener, seal(t, sealer, ContentApplicationData, []byte(want))); err != nil || string(got) != want {
				t.Fatalf("%q, %v; want %q", got, err, want)
			}
		}
		if sealer.sequence != 2*uint64(i+1) {
			t.Fatalf("sequence %d after %d records", sealer.sequence, 2*(i+1))
		}
	}
	for _, p := range []*Protection{sealer, opener} {
		p.Rest()
		if err := p.Update(); err != nil {
			t.Fatal(err)
		}
	}
	if _, got, err := open(opener, seal(t, sealer, ContentApplicationData, []byte("on"))); err != nil || string(got) != "on" {
		t.Fatalf("after an update: %q, %v", got, err)
	}
	sealer.Rest()
	sealer.Erase()
	if _, err := sealer.Seal(nil, ContentAlert, nil); !errors.Is(err, ErrErased) {
		t.Errorf("erased at rest: %v, want ErrErased", err)
	}
}

func TestEraseLeavesNoSecret(t *testing.T) {
	p, _ := newPair(t)
	record := seal(t, p, ContentApplicationData, nil)
	before := p.secret
	if err := p.Update(); err != nil {
		t.Fatal(err)
	}
	after := p.secret
	p.Erase()
	p.Erase() // twice does no harm
	zero := make([]byte, 64)
	for name, b := range map[string][]byte{"old secret": before, "secret": after, "iv": p.iv[:], "nonce": p.nonce[:]} {
		if !bytes.Equal(b, zero[:len(b)]) {
			t.Errorf("%s is still there: %x", name, b)
		}
	}
	_, sealErr := p.Seal(nil, ContentAlert, nil)
	_, _, openErr := open(p, record)
	for op, err := range map[string]error{"Seal": sealErr, "Open": openErr, "Update": p.Update()} {
		if !errors.Is(err, ErrErased) {
			t.Errorf("%s: %v, want ErrErased", op, err)
		}
	}
}

func TestNewProtectionWantsASecretOfTheRightSize(t *testing.T) {
	s := newSuite(t, 1)
	for _, n := range []int{0, 31, 33} {
		if _, err := NewProtection(s, make([]byte, n)); err == nil {
			t.Errorf("a secret of %d octets is taken", n)
		}
	}
	secret := testSecret(s)
	p, err := NewProtection(s, secret)
	if err != nil {
		t.Fatal(err)
	}
	p.Erase()
	if !bytes.Equal(secret, testSecret(s)) {
		t.Error("Erase reached the caller's copy")
	}
}

func TestSealAndOpenDoNotAllocate(t *testing.T) {
	sealer, opener := newPair(t)
	content := make([]byte, MaxPlaintext)
	buf := make([]byte, 0, MaxRecord)
	dst := make([]byte, 0, MaxRecord)
	inPlace := true
	if n := testing.AllocsPerRun(100, func() {
		sealer.Rest()
		opener.Rest()
		record, err := sealer.Seal(buf, ContentApplicationData, content)
		if err != nil {
			t.Fatal(err)
		}
		into := dst
		if inPlace = !inPlace; inPlace {
			into = record[HeaderSize:HeaderSize]
		}
		if _, _, err := opener.Open(into, record); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations per record, want 0", n)
	}
}

func FuzzOpen(f *testing.F) {
	sealer, _ := newPair(f)
	good := seal(f, sealer, ContentApplicationData, []byte("hello"))
	f.Add(good)
	f.Add(good[:7])
	f.Add(append(bytes.Clone(good), 1))
	f.Add([]byte{23, 3, 3, 0, 0})
	f.Add([]byte{23, 3, 3, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, record []byte) {
		_, opener := newPair(t)
		_, _, err := open(opener, record)
		if err == nil && !bytes.Equal(record, good) {
			t.Fatalf("forged: %x", record)
		}
		if err != nil && opener.sequence != 0 {
			t.Fatal("a record that failed was counted")
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	p, _ := newPair(b)
	p.limit = 1 << 62
	content, buf := make([]byte, MaxPlaintext), make([]byte, 0, MaxRecord)
	b.SetBytes(MaxPlaintext)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Seal(buf, ContentApplicationData, content); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	sealer, p := newPair(b)
	record := seal(b, sealer, ContentApplicationData, make([]byte, MaxPlaintext))
	dst := make([]byte, 0, MaxRecord)
	b.SetBytes(MaxPlaintext)
	b.ReportAllocs()
	for b.Loop() {
		p.sequence = 0
		if _, _, err := p.Open(dst, record); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNewProtection(b *testing.B) {
	s := newSuite(b, 1)
	secret := testSecret(s)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := NewProtection(s, secret); err != nil {
			b.Fatal(err)
		}
	}
}
