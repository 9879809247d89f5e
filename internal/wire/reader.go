package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

var (
	// ErrTruncated means that the input ended inside a value.
	ErrTruncated = errors.New("wire: input ends inside a value")
	// ErrTrailing means that bytes follow the last value.
	ErrTrailing = errors.New("wire: bytes follow the last value")
	// ErrLength means that a vector's length header is reserved or not minimal.
	ErrLength = errors.New("wire: malformed vector length")
	// ErrOptional means that an optional value's presence octet is neither 0 nor 1.
	ErrOptional = errors.New("wire: presence octet is neither 0 nor 1")
)

// A Reader decodes values from the front of a byte slice.
//
// The first failure sticks: later calls return zero values, and [Reader.Err]
// and [Reader.Finish] report it. Slices that a Reader returns alias its input.
type Reader struct {
	rest    []byte
	err     error
	context any
}

// NewReader returns a Reader over b.
func NewReader(b []byte) *Reader { return &Reader{rest: b} }

// NewReaderWithContext returns a Reader over b that carries what its decoders
// have to know besides the input.
func NewReaderWithContext(b []byte, context any) *Reader { return &Reader{rest: b, context: context} }

// Context returns what the Reader carries for its decoders, nil if nothing.
func (r *Reader) Context() any { return r.context }

// Err returns the first error.
func (r *Reader) Err() error { return r.err }

// Finish returns the first error, or [ErrTrailing] if input is left.
func (r *Reader) Finish() error {
	if r.err == nil && len(r.rest) > 0 {
		r.err = fmt.Errorf("%w (%d)", ErrTrailing, len(r.rest))
	}
	return r.err
}

// Fail records err if nothing failed before. Decoders use it for values that
// are well-formed but not allowed.
func (r *Reader) Fail(err error) {
	if r.err == nil {
		r.err = err
		r.rest = nil
	}
}

// More reports whether input is left and nothing has failed.
func (r *Reader) More() bool { return r.err == nil && len(r.rest) > 0 }

// Rest returns all input that was not read yet, without reading it.
func (r *Reader) Rest() []byte { return r.rest }

// Bytes reads n octets.
func (r *Reader) Bytes(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n < 0 || n > len(r.rest) {
		r.Fail(ErrTruncated)
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

// Uint8 reads a uint8.
func (r *Reader) Uint8() uint8 {
	if b := r.Bytes(1); b != nil {
		return b[0]
	}
	return 0
}

// Uint16 reads a uint16.
func (r *Reader) Uint16() uint16 {
	if b := r.Bytes(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

// Uint24 reads a uint24.
func (r *Reader) Uint24() uint32 {
	if b := r.Bytes(3); b != nil {
		return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2])
	}
	return 0
}

// Uint32 reads a uint32.
func (r *Reader) Uint32() uint32 {
	if b := r.Bytes(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// Uint64 reads a uint64.
func (r *Reader) Uint64() uint64 {
	if b := r.Bytes(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// Length reads a vector's length header (RFC 9420, Section 2.1.2). Only the
// shortest form of a length is accepted.
func (r *Reader) Length() int {
	first := r.Uint8()
	if r.err != nil {
		return 0
	}
	n, value := 1<<(first>>6), uint32(first&0x3f)
	if n == 8 {
		r.Fail(ErrLength)
		return 0
	}
	for _, b := range r.Bytes(n - 1) {
		value = value<<8 | uint32(b)
	}
	if r.err == nil && lengthSize(int(value)) != n {
		r.Fail(ErrLength)
	}
	if r.err != nil {
		return 0
	}
	return int(value)
}

// Opaque reads an opaque<V>. The result is nil if and only if reading failed
// or the vector is empty.
func (r *Reader) Opaque() []byte {
	b := r.Bytes(r.Length())
	if len(b) == 0 {
		return nil
	}
	return b
}

// Vector reads a vector's length header and calls element with a Reader over
// the vector's content until that is used up. An element that reads nothing
// is an error, so that the loop is bounded by the input.
func (r *Reader) Vector(element func(*Reader)) {
	content := r.Bytes(r.Length())
	if r.err != nil {
		return
	}
	inner := Reader{rest: content, context: r.context}
	for len(inner.rest) > 0 {
		before := len(inner.rest)
		element(&inner)
		if inner.err == nil && len(inner.rest) == before {
			inner.Fail(ErrLength)
		}
		if inner.err != nil {
			r.Fail(inner.err)
			return
		}
	}
}

// Optional reads the presence octet of an optional value
// (RFC 9420, Section 2.1.1).
func (r *Reader) Optional() bool {
	switch r.Uint8() {
	case 0:
		return false
	case 1:
		return true
	}
	r.Fail(ErrOptional)
	return false
}
