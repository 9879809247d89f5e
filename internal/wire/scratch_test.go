package wire

import (
	"bytes"
	"sync"
	"testing"
)

func TestLentWritersBeginEmptyAndLeaveNothingBehind(t *testing.T) {
	var memory []byte
	Lend(func(w *Writer) {
		w.Bytes(bytes.Repeat([]byte{0xA5}, 100))
		memory = w.Data()
	})
	if !bytes.Equal(memory, make([]byte, 100)) {
		t.Errorf("left %x behind", memory)
	}
	for range 10 {
		Lend(func(w *Writer) {
			if w.Len() != 0 {
				t.Errorf("begins with %x", w.Data())
			}
			w.Uint8(1)
		})
	}
}

func TestEncodeReturnsMemoryOfItsOwn(t *testing.T) {
	first := Encode(func(w *Writer) { w.String("first") })
	second := Encode(func(w *Writer) {
		w.Bytes(Encode(func(w *Writer) { w.String("inner") })) // one may be lent within another
		w.String("second")
	})
	if string(first) != "\x05first" || string(second) != "\x05inner\x06second" {
		t.Errorf("encoded %q and %q", first, second)
	}
}

func TestWritersAreLentToManyAtOnce(t *testing.T) {
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			want := bytes.Repeat([]byte{byte(i)}, 1000)
			for range 100 {
				if got := Encode(func(w *Writer) { w.Bytes(want) }); !bytes.Equal(got, want) {
					t.Errorf("encoded %x..., want %x...", got[:4], want[:4])
				}
			}
		})
	}
	group.Wait()
}
