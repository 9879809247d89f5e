package wire

import (
	"bytes"
	"sync"
)

// maxKept is the size up to which a lent Writer's memory is kept for the next use.
const maxKept = 1 << 20

var writers = sync.Pool{New: func() any { return new(Writer) }}

// Lend calls f with a Writer whose memory is used again afterwards: f must not keep
// the Writer, nor what its Data returns. What was written is erased.
func Lend(f func(w *Writer)) {
	w := writers.Get().(*Writer)
	w.secret = true
	f(w)
	clear(w.buf)
	if cap(w.buf) <= maxKept {
		w.buf = w.buf[:0]
		writers.Put(w)
	}
}

// Encode returns what f writes, of which there is no other copy.
func Encode(f func(w *Writer)) (data []byte) {
	Lend(func(w *Writer) {
		f(w)
		data = bytes.Clone(w.buf)
	})
	return data
}
