package wire

import (
	"bytes"
	"testing"
)

// A secret Writer leaves nothing behind in the buffers that it outgrows.
func TestSecretWriterOverwritesWhatItOutgrows(t *testing.T) {
	w := &Writer{secret: true} // as Lend lends it
	var outgrown [][]byte
	for range 200 {
		before := w.buf
		w.Vector(func() {
			w.Bytes([]byte{0xff, 0xff, 0xff})
			w.Uint64(1<<64 - 1)
			w.Uint8(0xff)
		})
		if len(before) > 0 && &before[0] != &w.buf[0] {
			outgrown = append(outgrown, before[:cap(before)])
		}
	}
	if len(outgrown) < 3 {
		t.Fatalf("%d buffers were outgrown, which is too few to show anything", len(outgrown))
	}
	for i, b := range outgrown {
		if !bytes.Equal(b, make([]byte, len(b))) {
			t.Errorf("outgrown buffer %d holds %x", i, b)
		}
	}
	want := bytes.Repeat(append([]byte{12}, bytes.Repeat([]byte{0xff}, 12)...), 200)
	if !bytes.Equal(w.Data(), want) {
		t.Error("what was written is not what was to be written")
	}
}
