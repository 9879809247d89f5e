package mls

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/mendlink/mendlink/internal/wire"
	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// An encoder writes itself in the TLS presentation language. Encoding cannot fail.
type encoder interface {
	encode(w *wire.Writer)
}

// A decoder reads itself. Failures stick to the Reader. What is read aliases
// the input, so whoever decodes a caller's bytes copies them once, before.
type decoder interface {
	decode(r *wire.Reader)
}

// marshal returns the encoding of v. There is no other copy, so that whoever
// erases it has erased the secrets in v's encoding.
func marshal(v encoder) []byte {
	return wire.Encode(v.encode)
}

// isEncodingOf reports whether encoded is the encoding of v.
func isEncodingOf(v encoder, encoded []byte) (is bool) {
	wire.Lend(func(w *wire.Writer) {
		v.encode(w)
		is = bytes.Equal(w.Data(), encoded)
	})
	return is
}

// haveSameEncoding reports whether a and b differ in nothing that is encoded.
func haveSameEncoding(a, b encoder) (same bool) {
	wire.Lend(func(w *wire.Writer) {
		a.encode(w)
		same = isEncodingOf(b, w.Data())
	})
	return same
}

// refHashOf returns the hash that names v. RFC 9420, Section 5.2.
func refHashOf(s *ciphersuite.Suite, label string, v encoder) (ref []byte) {
	wire.Lend(func(w *wire.Writer) {
		v.encode(w)
		ref = s.RefHash(label, w.Data())
	})
	return ref
}

// unmarshal decodes all of b into v. The result does not alias b.
func unmarshal(b []byte, v decoder) error {
	return unmarshalAliased(bytes.Clone(b), v)
}

// unmarshal is the function unmarshal for what may hold proposals, of which the
// Config knows the types.
func (c *Config) unmarshal(b []byte, v decoder) error {
	r := wire.NewReaderWithContext(bytes.Clone(b), c.proposals)
	v.decode(r)
	return r.Finish()
}

// unmarshalAliased is unmarshal for bytes that are known to stay as they are.
func unmarshalAliased(b []byte, v decoder) error {
	r := wire.NewReader(b)
	v.decode(r)
	return r.Finish()
}

// detach moves what a decoder has read to memory of its own, all of it to one piece: what lives
// on must not keep the whole message that it came in.
func detach(fields ...*[]byte) {
	size := 0
	for _, f := range fields {
		size += len(*f)
	}
	own := make([]byte, 0, size)
	for _, f := range fields {
		if n := len(own); *f != nil {
			own = append(own, *f...)
			*f = own[n:len(own):len(own)]
		}
	}
}

// writeVector writes elements as T values<V>.
func writeVector[T any, P interface {
	*T
	encoder
}](w *wire.Writer, elements []T) {
	w.Vector(func() {
		for i := range elements {
			P(&elements[i]).encode(w)
		}
	})
}

// readVector reads T values<V>.
func readVector[T any, P interface {
	*T
	decoder
}](r *wire.Reader) []T {
	var elements []T
	r.Vector(func(r *wire.Reader) {
		size := len(r.Rest())
		var blank T
		elements = append(elements, blank)
		P(&elements[len(elements)-1]).decode(r)
		if len(elements) == 1 {
			// The others may well be as long as the first.
			rest := len(r.Rest())
			elements = slices.Grow(elements, rest/max(1, size-rest))
		}
	})
	return elements
}

// writeUint16s writes a vector of code points.
func writeUint16s[T ~uint16](w *wire.Writer, values []T) {
	w.Length(2 * len(values))
	for _, v := range values {
		w.Uint16(uint16(v))
	}
}

// readUint16s reads a vector of code points.
func readUint16s[T ~uint16](r *wire.Reader) []T {
	encoded := r.Opaque()
	if len(encoded)%2 != 0 {
		r.Fail(wire.ErrTruncated)
	}
	if r.Err() != nil || len(encoded) == 0 {
		return nil
	}
	values := make([]T, len(encoded)/2)
	for i := range values {
		values[i] = T(binary.BigEndian.Uint16(encoded[2*i:]))
	}
	return values
}
