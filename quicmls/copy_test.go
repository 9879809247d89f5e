package quicmls

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/iotest"
	"time"
)

// pattern returns octets of which no two stretches are alike.
func pattern(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{'c'}).Read(b)
	return b
}

func TestCopyingFromAndTo(t *testing.T) {
	data := pattern(3<<20 + 17)
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"whole":      func(r io.Reader) io.Reader { return struct{ io.Reader }{r} },
		"halves":     iotest.HalfReader,
		"early end":  iotest.DataErrReader,
		"few octets": func(r io.Reader) io.Reader { return iotest.OneByteReader(io.LimitReader(r, 2000)) },
	} {
		t.Run(name, func(t *testing.T) {
			checkGoroutines(t)
			want, err := io.ReadAll(wrap(bytes.NewReader(data)))
			if err != nil {
				t.Fatal(err)
			}
			client, server := newConnPair(t)
			a, b := openPair(t, client, server)
			within(t, "copying", func() {
				go func() {
					n, err := io.Copy(a, wrap(bytes.NewReader(data)))
					if n != int64(len(want)) || err != nil {
						t.Errorf("sent %d of %d, %v", n, len(want), err)
					}
					a.Close()
				}()
				go func() {
					if err := client.Update(t.Context()); err != nil {
						t.Error(err)
					}
				}()
				var got bytes.Buffer
				n, err := io.Copy(struct{ io.Writer }{&got}, b)
				if n != int64(len(want)) || err != nil || !bytes.Equal(got.Bytes(), want) {
					t.Errorf("received %d of %d, %v", n, len(want), err)
				}
			})
			update(t, client)
		})
	}
}

// io.Copy to a stream needs no more QUIC writes than large Writes do.
func TestCopyingNeedsFewQUICWrites(t *testing.T) {
	checkGoroutines(t)
	client, _ := newConnPair(t)
	f := newFakeStream(t, client)
	const octets = 8 * copySize
	if n, err := io.Copy(f.send, struct{ io.Reader }{bytes.NewReader(make([]byte, octets))}); n != octets || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	if most := 8 + 2; f.quic.writes > most { // the first 2 KiB are by themselves
		t.Errorf("%d octets in %d writes, at most %d wanted", octets, f.quic.writes, most)
	}
}

var errOfReader, errOfWriter = errors.New("of the reader"), errors.New("of the writer")

func TestErrorsOfCopying(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	a, b := openPair(t, client, server)
	if n, err := a.ReadFrom(io.MultiReader(bytes.NewReader([]byte("abc")), iotest.ErrReader(errOfReader))); n != 3 || err != errOfReader {
		t.Errorf("ReadFrom: %d, %v", n, err)
	}
	if n, err := b.WriteTo(refusing{}); n != 2 || err != errOfWriter {
		t.Errorf("WriteTo: %d, %v", n, err)
	}
	if n, err := a.ReadFrom(bytes.NewReader([]byte("abc"))); n != 3 || err != nil {
		t.Errorf("ReadFrom: %d, %v", n, err)
	}
	if n, err := b.WriteTo(short{}); n != 2 || err != io.ErrShortWrite {
		t.Errorf("WriteTo: %d, %v", n, err)
	}
	b.SetReadDeadline(time.Now().Add(time.Millisecond))
	if n, err := b.WriteTo(io.Discard); n != 0 || !isTimeout(err) {
		t.Errorf("WriteTo: %d, %v", n, err)
	}
	b.SetReadDeadline(time.Time{})
	b.CancelRead(7)
	_, err := b.WriteTo(io.Discard)
	cancelled(t, "WriteTo", err, 7, false)
	closeAll(t, a)
	if n, err := a.ReadFrom(bytes.NewReader([]byte("abc"))); n != 0 || err == nil {
		t.Errorf("ReadFrom: %d, %v", n, err)
	}
	// An end that nobody has authenticated is none.
	raw := openRaw(t, client)
	raw.data("cut")
	raw.Close()
	if n, err := accept(t, server).WriteTo(io.Discard); n != 3 || err != io.ErrUnexpectedEOF {
		t.Errorf("WriteTo of what was cut: %d, %v", n, err)
	}
}

// refusing and short take 2 octets of what they are given.
type refusing struct{}

func (refusing) Write([]byte) (int, error) { return 2, errOfWriter }

type short struct{}

func (short) Write([]byte) (int, error) { return 2, nil }

// A WriteTo that waits holds a small buffer, also behind the end of an epoch.
func TestWriteToHoldsLittleWhileItWaits(t *testing.T) {
	checkGoroutines(t)
	client, _ := newConnPair(t)
	f := newFakeStream(t, client)
	received := make(chan int, 1)
	done := make(chan error, 1)
	go func() {
		_, err := f.receive.WriteTo(notify(received))
		done <- err
	}()
	await := func() {
		t.Helper()
		within(t, "receiving", func() { <-received })
	}
	send(t, f.send, "some")
	await()
	f.endEpoch()
	eventually(t, "the end of the epoch is read", func() bool {
		f.conn.receiving.mu.Lock()
		defer f.conn.receiving.mu.Unlock()
		return f.receive.epoch == f.epoch
	})
	eventually(t, "WriteTo waits without a buffer of its own", func() bool {
		stacks := make([]byte, 1<<18)
		return bytes.Contains(stacks[:runtime.Stack(stacks, true)], []byte(".awaitContent("))
	})
	send(t, f.send, "more")
	await()
	f.quic.end()
	within(t, "WriteTo", func() {
		if err := <-done; err != io.ErrUnexpectedEOF {
			t.Errorf("WriteTo: %v", err)
		}
	})
}

type notify chan int

func (c notify) Write(p []byte) (int, error) {
	c <- len(p)
	return len(p), nil
}
