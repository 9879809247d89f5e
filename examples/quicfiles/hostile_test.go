package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/mendlink/mendlink/quicmls"
)

// hostile is a receiver in a directory of its own inside another, and the connection of a sender that
// does what it wants.
type hostile struct {
	outside, dir string
	conn         *quicmls.Conn
}

func newHostile(t *testing.T, limit int64) *hostile {
	t.Helper()
	h := &hostile{outside: t.TempDir()}
	h.dir = filepath.Join(h.outside, "inside")
	sc, rc, err := newConfigs()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*quicmls.Config{sc, rc} {
		c.QUIC = c.QUIC.Clone()
		c.QUIC.MaxIdleTimeout = time.Minute // nobody connects again here if a busy machine takes 2 s
	}
	address := serveWith(t, newTestReceiver(t, h.dir, limit), rc)
	if h.conn, err = quicmls.Dial(testContext(t), address, sc); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.conn.CloseWithError(0, "") })
	return h
}

// begin opens a stream and announces a file.
func (h *hostile) begin(t *testing.T, announced header) *quicmls.Stream {
	t.Helper()
	stream, err := h.conn.OpenStreamSync(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Write(announced.appendTo(nil)); err != nil {
		t.Fatal(err)
	}
	return stream
}

// send sends a file, whatever was announced, and returns the receiver's answer and the error behind it.
func (h *hostile) send(t *testing.T, announced header, content []byte) ([]byte, error) {
	t.Helper()
	stream := h.begin(t, announced)
	stream.Write(content) // it may be refused meanwhile
	stream.Close()
	return io.ReadAll(stream)
}

func announce(name string, content []byte) header {
	return header{name: name, size: int64(len(content)), sum: sha256.Sum256(content)}
}

func requireCode(t *testing.T, what string, err error, want quic.StreamErrorCode) {
	t.Helper()
	if reset, ok := errors.AsType[*quic.StreamError](err); !ok || !reset.Remote || reset.ErrorCode != want {
		t.Errorf("%s: got %v, want code %d", what, err, want)
	}
}

// requireEmpty fails the test if there is any file below dir.
func requireEmpty(t *testing.T, dir string) {
	t.Helper()
	for _, f := range filesIn(t, dir) {
		t.Errorf("there is a file %q of %d octets", f.name, f.size)
	}
}

func TestNoNameLeadsOutside(t *testing.T) {
	h := newHostile(t, 1<<20)
	content := []byte("hostile")
	for _, name := range []string{
		"", ".", "..", "../x", "a/../../x", "./x", "a//x", "x/", "/x", "/tmp/x", h.outside + "/x", "a\x00b",
		partialPrefix + "x", ".PARTIAL-x/y", string(bytes.Repeat([]byte{'x'}, maxName+1)),
	} {
		_, err := h.send(t, announce(name, content), content)
		requireCode(t, name, err, codeRefused)
	}
	requireEmpty(t, h.outside)

	// A link that somebody has put there is not followed out of the directory either.
	if err := os.Symlink(h.outside, filepath.Join(h.dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"link", "link/x"} {
		if _, err := h.send(t, announce(name, content), content); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
	for _, f := range filesIn(t, h.outside) {
		if filepath.Dir(f.name) != "inside" {
			t.Errorf("there is a file %q", f.name)
		}
	}
}

func TestContentHasToBeWhatWasAnnounced(t *testing.T) {
	h := newHostile(t, 1<<20)
	content := bytes.Repeat([]byte("content"), 1000)
	for name, sent := range map[string][]byte{
		"short": content[:6000],
		"long":  append(bytes.Clone(content), '!'),
		"other": append(bytes.Clone(content[:6999]), '!'),
		"none":  nil,
	} {
		_, err := h.send(t, announce(name, content), sent)
		requireCode(t, name, err, codeWrong)
	}
	_, err := h.send(t, header{name: "negative", size: -1}, nil)
	requireCode(t, "negative", err, codeRefused)
	requireEmpty(t, h.outside)

	answer, err := h.send(t, announce("good", content), content)
	if err != nil || binary.BigEndian.Uint64(answer) != 0 {
		t.Errorf("%x, %v", answer, err)
	}
	// The same file again is there already.
	answer, err = h.send(t, announce("good", content), nil)
	if err != nil || binary.BigEndian.Uint64(answer) != uint64(len(content)) {
		t.Errorf("%x, %v", answer, err)
	}
	// Another file under its name takes its place, and one below it is refused.
	for _, other := range [][]byte{content[1:], bytes.ToUpper(content[1:])} {
		if _, err = h.send(t, announce("good", other), other); err != nil {
			t.Error(err)
		}
		if got, err := os.ReadFile(filepath.Join(h.dir, "good")); err != nil || !bytes.Equal(got, other) {
			t.Errorf("%d octets, %v", len(got), err)
		}
	}
	_, err = h.send(t, announce("good/below", content), content)
	requireCode(t, "below a file", err, codeRefused)
}

func TestNoMoreThanTheLimit(t *testing.T) {
	const files = 3
	h := newHostile(t, files*(fileCost+1000))
	_, err := h.send(t, header{name: "huge", size: 1 << 62}, make([]byte, 10))
	requireCode(t, "huge", err, codeRefused)
	content := make([]byte, 1000)
	for i := range files {
		if _, err := h.send(t, announce(string(rune('a'+i)), content), content); err != nil {
			t.Error(err)
		}
	}
	for _, size := range []int{1, 0} {
		_, err = h.send(t, announce("more", content[:size]), content[:size])
		requireCode(t, "more", err, codeRefused)
	}
}

func TestOneNameOnOneStreamAtATime(t *testing.T) {
	h := newHostile(t, 1<<20)
	content := bytes.Repeat([]byte("content"), 1000)
	first := h.begin(t, announce("name", content))
	var has [8]byte
	if _, err := io.ReadFull(first, has[:]); err != nil { // so it is the receiver's turn to wait
		t.Fatal(err)
	}
	_, err := h.send(t, announce("name", content), content)
	requireCode(t, "second", err, codeRefused)

	// A stream that is given up leaves what has come of the file.
	first.Write(content[:5000])
	first.Close()
	if _, err := io.ReadAll(first); err == nil {
		t.Error("a part was taken for the whole")
	}
	if _, err := h.send(t, announce("name", content), content); err != nil {
		t.Error(err)
	}
}

// Whatever the octets, a header is one that is written the same way, or an error.
func FuzzReadHeader(f *testing.F) {
	good := announce("some/name", []byte("content"))
	f.Add(good.appendTo(nil))
	f.Add([]byte{0xff, 0xff, 'x'})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := readHeader(bytes.NewReader(b))
		if err != nil {
			return
		}
		if again := h.appendTo(nil); !bytes.HasPrefix(b, again) {
			t.Errorf("%x was read as %+v", b, h)
		}
	})
}
