package quicmls

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"pgregory.net/rapid"

	"github.com/mendlink/mendlink/channel/record"
)

// Whatever is written and read in between, whenever epochs end, a stream is the octets that
// were written, and an end where it was closed.
func TestStreamIsItsOctets(t *testing.T) {
	checkGoroutines(t)
	// The connection itself is idle meanwhile, however long that takes.
	client, _ := newQUICPair(t, &quic.Config{KeepAlivePeriod: 5 * time.Second}, nil)
	rapid.Check(t, func(rt *rapid.T) {
		f := newFakeStream(t, client)
		var written, read []byte
		closed := false
		full := false
		sizes := rapid.OneOf(rapid.IntRange(1, 50), rapid.IntRange(1, 5_000), rapid.SampledFrom([]int{record.MaxPlaintext - 1, record.MaxPlaintext, record.MaxPlaintext + 1, 140_000}))
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"write", "write", "read", "read", "epoch", "room", "close"}).Draw(rt, "step") {
			case "write":
				if full {
					continue // it would wait
				}
				p := bytes.Repeat([]byte{byte(len(written)), 1, 2}, sizes.Draw(rt, "size"))
				n, err := f.send.Write(p)
				if closed != (err == ErrStreamClosed) || !closed && (n != len(p) || err != nil) {
					rt.Fatalf("Write: %d, %v", n, err)
				}
				written = append(written, p[:n]...)
			case "read":
				if len(read) == len(written) {
					continue // it would wait
				}
				p := make([]byte, sizes.Draw(rt, "room"))
				n, err := f.receive.Read(p)
				if n == 0 || err != nil {
					rt.Fatalf("Read: %d, %v", n, err)
				}
				read = append(read, p[:n]...)
			case "epoch":
				f.endEpoch()
			case "room":
				full = !full
				f.quic.limit(full)
			case "close":
				if rapid.IntRange(0, 5).Draw(rt, "close") == 0 {
					if err := f.send.Close(); err != nil {
						rt.Fatalf("Close: %v", err)
					}
					closed = true
				}
			}
		}
		f.quic.limit(false)
		if err := f.send.Close(); err != nil {
			rt.Fatalf("Close: %v", err)
		}
		rest, err := io.ReadAll(f.receive)
		if read = append(read, rest...); err != nil || !bytes.Equal(read, written) {
			rt.Fatalf("%d octets read, %v, %d written", len(read), err, len(written))
		}
		if sending, receiving := client.known(); sending > 0 || receiving > 0 {
			rt.Fatalf("%d and %d streams are known", sending, receiving)
		}
	})
}
