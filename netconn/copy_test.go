package netconn

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/iotest"
	"time"

	"github.com/mendlink/mendlink/channel"
)

func TestCopyingFromAndTo(t *testing.T) {
	checkGoroutines(t)
	data := pattern(3<<20 + 17)
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"whole":      func(r io.Reader) io.Reader { return struct{ io.Reader }{r} },
		"halves":     iotest.HalfReader,
		"early end":  iotest.DataErrReader,
		"few octets": func(r io.Reader) io.Reader { return iotest.OneByteReader(io.LimitReader(r, 2000)) },
	} {
		want, err := io.ReadAll(wrap(bytes.NewReader(data)))
		if err != nil {
			t.Fatal(err)
		}
		client, server := newConnPair(t)
		go func() {
			n, err := io.Copy(client, wrap(bytes.NewReader(data)))
			if n != int64(len(want)) || err != nil {
				t.Errorf("%s: sent %d of %d, %v", name, n, len(want), err)
			}
			client.CloseWrite()
		}()
		var got bytes.Buffer
		n, err := io.Copy(struct{ io.Writer }{&got}, server)
		if n != int64(len(want)) || err != nil || !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s: received %d of %d, %v", name, n, len(want), err)
		}
	}
}

var errOfReader, errOfWriter = errors.New("of the reader"), errors.New("of the writer")

func TestErrorsOfCopying(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	if n, err := client.ReadFrom(io.MultiReader(bytes.NewReader([]byte("abc")), iotest.ErrReader(errOfReader))); n != 3 || err != errOfReader {
		t.Errorf("ReadFrom: %d, %v", n, err)
	}
	if n, err := server.WriteTo(refusing{}); n != 2 || err != errOfWriter {
		t.Errorf("WriteTo: %d, %v", n, err)
	}
	if n, err := client.ReadFrom(bytes.NewReader([]byte("abc"))); n != 3 || err != nil {
		t.Errorf("ReadFrom: %d, %v", n, err)
	}
	if n, err := server.WriteTo(short{}); n != 2 || err != io.ErrShortWrite {
		t.Errorf("WriteTo: %d, %v", n, err)
	}
	server.SetReadDeadline(time.Now().Add(time.Millisecond))
	if n, err := server.WriteTo(io.Discard); n != 0 || !isTimeout(err) {
		t.Errorf("WriteTo: %d, %v", n, err)
	}
	server.SetReadDeadline(time.Time{})
	server.Close()
	if n, err := server.WriteTo(io.Discard); n != 0 || err == nil {
		t.Errorf("WriteTo: %d, %v", n, err)
	}
	client.Close()
	if n, err := client.ReadFrom(bytes.NewReader([]byte("abc"))); n != 0 || err == nil {
		t.Errorf("ReadFrom: %d, %v", n, err)
	}
}

// refusing and short take 2 octets of what they are given.
type refusing struct{}

func (refusing) Write(p []byte) (int, error) { return 2, errOfWriter }

type short struct{}

func (short) Write(p []byte) (int, error) { return 2, nil }

// A WriteTo that waits holds no buffer, and an update goes on while it does.
func TestWriteToHoldsNothingWhileItWaits(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	received := make(chan int, 1)
	go server.WriteTo(notify(received))
	if _, err := client.Write([]byte("some")); err != nil {
		t.Fatal(err)
	}
	within(t, "receiving", func() { <-received })
	update(t, client)
	within(t, "coming to rest", func() {
		for server.receiver.readers.Load() == 0 {
			time.Sleep(time.Millisecond)
		}
	})
	if _, err := client.Write([]byte("more")); err != nil {
		t.Fatal(err)
	}
	within(t, "receiving", func() { <-received })
}

type notify chan int

func (c notify) Write(p []byte) (int, error) {
	c <- len(p)
	return len(p), nil
}

// What WriteTo waits for is opened where it is to go, and a message alone does not keep a buffer waiting.
func TestWriteToOpensWhatHasComeAndNoMore(t *testing.T) {
	checkGoroutines(t)
	client, server := newConnPair(t)
	room := make([]byte, copySize)
	for _, c := range []struct {
		what string
		send func() error
		want string
		end  error
	}{
		{"a message", func() error { return client.UpdateKeys(false) }, "", nil},
		{"data", func() error { return second(client.Write([]byte("data"))) }, "data", nil},
		{"the end", client.CloseWrite, "", io.EOF},
	} {
		if err := c.send(); err != nil {
			t.Fatal(err)
		}
		within(t, c.what, func() {
			if err := server.await(); err != nil {
				t.Errorf("%s: waiting: %v", c.what, err)
			}
			if r := &server.receiver; len(r.unread) > 0 || !r.recordBuffered() {
				t.Errorf("%s: it is open already", c.what)
			}
			if n, err := server.receiver.readBuffered(room); string(room[:n]) != c.want || err != c.end {
				t.Errorf("%s: %q, %v; want %q, %v", c.what, room[:n], err, c.want, c.end)
			}
		})
	}
}

// A Read that comes before the pump has begun does its work. Nothing is left behind it.
func TestThePumpDoesNotWaitForARead(t *testing.T) {
	checkGoroutines(t)
	client, _ := newConnPair(t)
	r := &client.receiver
	r.readers.Add(1)
	r.mu.Lock() // as a Read that waits for the peer
	defer r.readers.Add(-1)
	defer r.mu.Unlock()
	within(t, "the pump", r.pump)
	if r.pumping.Load() {
		t.Error("it goes on")
	}
}

// offers is a source without end, so far, of what it is offered room for.
type offers []int

func (o *offers) Read(p []byte) (int, error) {
	*o = append(*o, len(p))
	if len(*o) == 3 {
		return 0, io.EOF
	}
	return len(p), nil
}

// A ReadFrom that comes before the handshake goes by the configuration that this chooses.
func TestReadFromGoesByTheConfigurationThatIsSelected(t *testing.T) {
	checkGoroutines(t)
	ic, rc := newConfigs(t)
	chosen := *rc
	chosen.PipelineWrites = true
	rc.Select = func(channel.ClientHello) (*Config, error) { return &chosen, nil }
	a, b := tcpPair(t)
	client, server := Client(a, ic), Server(b, rc)
	defer client.Close()
	defer server.Close()
	go io.Copy(io.Discard, client)
	var offered offers
	within(t, "ReadFrom", func() {
		if _, err := server.ReadFrom(&offered); err != nil {
			t.Error(err)
		}
	})
	if want := []int{smallBatchSize, pipelineSize, pipelineSize}; !slices.Equal(offered, want) {
		t.Errorf("offers room for %d, want %d", offered, want)
	}
}
