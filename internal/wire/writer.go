package wire

import (
	"encoding/binary"
	"fmt"
)

// MaxLength is the largest length that a vector can have.
const MaxLength = 1<<30 - 1

// A Writer encodes values by appending them to a buffer. The zero value is
// ready for use.
type Writer struct {
	buf    []byte
	secret bool // overwrite what it outgrows
}

// NewWriter returns a Writer that appends to b, which may be nil.
func NewWriter(b []byte) *Writer { return &Writer{buf: b} }

// Data returns what was written, including what [NewWriter] was given.
func (w *Writer) Data() []byte { return w.buf }

// Len returns the length of [Writer.Data].
func (w *Writer) Len() int { return len(w.buf) }

// Grow makes room for n more octets, so that writing them copies nothing.
func (w *Writer) Grow(n int) { w.reserve(n) }

// Bytes writes b as it is, without a length header.
func (w *Writer) Bytes(b []byte) {
	w.reserve(len(b))
	w.buf = append(w.buf, b...)
}

// Uint8 writes a uint8.
func (w *Writer) Uint8(v uint8) {
	w.reserve(1)
	w.buf = append(w.buf, v)
}

// Uint16 writes a uint16.
func (w *Writer) Uint16(v uint16) {
	w.reserve(2)
	w.buf = binary.BigEndian.AppendUint16(w.buf, v)
}

// Uint24 writes a uint24; v must be below 2^24.
func (w *Writer) Uint24(v uint32) {
	if v >= 1<<24 {
		panic(fmt.Sprintf("wire: %d does not fit a uint24", v))
	}
	w.reserve(3)
	w.buf = append(w.buf, byte(v>>16), byte(v>>8), byte(v))
}

// Uint32 writes a uint32.
func (w *Writer) Uint32(v uint32) {
	w.reserve(4)
	w.buf = binary.BigEndian.AppendUint32(w.buf, v)
}

// Uint64 writes a uint64.
func (w *Writer) Uint64(v uint64) {
	w.reserve(8)
	w.buf = binary.BigEndian.AppendUint64(w.buf, v)
}

// Length writes a vector's length header (RFC 9420, Section 2.1.2).
// It panics above [MaxLength], which only a caller's own data can reach.
func (w *Writer) Length(n int) {
	switch lengthSize(n) {
	case 1:
		w.Uint8(uint8(n))
	case 2:
		w.Uint16(0x4000 | uint16(n))
	case 4:
		w.Uint32(0x80000000 | uint32(n))
	}
}

// Opaque writes an opaque<V>: b behind its length header.
func (w *Writer) Opaque(b []byte) {
	w.Length(len(b))
	w.Bytes(b)
}

// String writes an opaque<V> that holds s.
func (w *Writer) String(s string) {
	w.Length(len(s))
	w.reserve(len(s))
	w.buf = append(w.buf, s...)
}

// Vector writes what content writes, behind its length header.
func (w *Writer) Vector(content func()) {
	// One octet is reserved; a longer header moves the content. Vectors of
	// less than 64 octets, the common case, are written once.
	start := len(w.buf)
	w.Uint8(0)
	content()
	n := len(w.buf) - start - 1
	size := lengthSize(n)
	if size > 1 {
		w.reserve(size - 1)
		w.buf = w.buf[:start+size+n]
		copy(w.buf[start+size:], w.buf[start+1:start+1+n])
	}
	header := Writer{buf: w.buf[:start:len(w.buf)]}
	header.Length(n)
}

// Optional writes the presence octet of an optional value
// (RFC 9420, Section 2.1.1).
func (w *Writer) Optional(present bool) {
	if present {
		w.Uint8(1)
	} else {
		w.Uint8(0)
	}
}

// reserve makes room for n more octets.
func (w *Writer) reserve(n int) {
	if cap(w.buf)-len(w.buf) >= n {
		return
	}
	old := w.buf
	w.buf = append(make([]byte, 0, 2*cap(old)+n+32), old...)
	if w.secret {
		clear(old)
	}
}

// lengthSize is the size of the shortest length header for n.
func lengthSize(n int) int {
	switch {
	case n < 0 || n > MaxLength:
		panic(fmt.Sprintf("wire: vector length %d out of range", n))
	case n < 1<<6:
		return 1
	case n < 1<<14:
		return 2
	default:
		return 4
	}
}
