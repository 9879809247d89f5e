package record

import (
	"encoding/binary"
	"fmt"
)

// Sizes in octets. RFC 8446, Section 5.
const (
	HeaderSize    = 5
	MaxPlaintext  = 1 << 14                  // of the content of one record
	MaxCiphertext = MaxPlaintext + 256       // of all that follows a protected record's header
	TagSize       = 16                       // of every AEAD in use
	Overhead      = HeaderSize + 1 + TagSize // of a record that is not padded
	MaxRecord     = HeaderSize + MaxCiphertext
)

const legacyVersion = 0x0303

// ContentType says what a record carries. RFC 8446, Section 5.1.
type ContentType uint8

// The content types in use.
const (
	ContentAlert           ContentType = 21
	ContentHandshake       ContentType = 22 // two-party messages
	ContentApplicationData ContentType = 23 // in the clear part of a header: a protected record
)

func (t ContentType) String() string {
	switch t {
	case ContentAlert:
		return "alert"
	case ContentHandshake:
		return "handshake"
	case ContentApplicationData:
		return "application_data"
	case ContentEpochEnd:
		return "epoch_end"
	}
	return fmt.Sprintf("ContentType(%d)", uint8(t))
}

// A Header is the part of a record that is always in the clear.
type Header struct {
	Type   ContentType
	Length int // of what follows the header
}

// A HeaderError says that what should be a record does not begin like one.
type HeaderError struct {
	Header [HeaderSize]byte
	Reason string
}

func (e *HeaderError) Error() string {
	return fmt.Sprintf("record: header % x: %s", e.Header[:], e.Reason)
}

// Unwrap returns [ErrUnexpected].
func (e *HeaderError) Unwrap() error { return ErrUnexpected }

// ParseHeader reads a record's header from the beginning of b, which must hold at
// least HeaderSize octets. It fails with a [HeaderError], or with [ErrOverflow] if
// the length is more than a record of that type may have: nobody needs to make
// room for such a record.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderSize {
		return Header{}, fmt.Errorf("record: %d octets, a header has %d", len(b), HeaderSize)
	}
	h := Header{Type: ContentType(b[0]), Length: int(binary.BigEndian.Uint16(b[3:5]))}
	limit := MaxPlaintext
	switch h.Type {
	case ContentApplicationData:
		limit = MaxCiphertext
	case ContentHandshake, ContentAlert:
	default:
		return Header{}, headerError(b, "unknown content type %d", b[0])
	}
	if v := binary.BigEndian.Uint16(b[1:3]); v != legacyVersion {
		return Header{}, headerError(b, "version %#04x, want %#04x", v, legacyVersion)
	}
	if h.Length > limit {
		return Header{}, fmt.Errorf("%w: %v record of %d octets, at most %d allowed", ErrOverflow, h.Type, h.Length, limit)
	}
	return h, nil
}

// AppendPlaintext appends one unprotected record to dst. Content may have at most
// [MaxPlaintext] octets; more is [ErrOverflow], and dst is returned as it was.
// RFC 8446, Section 5.1.
func AppendPlaintext(dst []byte, t ContentType, content []byte) ([]byte, error) {
	if len(content) > MaxPlaintext {
		return dst, fmt.Errorf("%w: content of %d octets, at most %d fit", ErrOverflow, len(content), MaxPlaintext)
	}
	return append(appendHeader(dst, t, len(content)), content...), nil
}

func appendHeader(dst []byte, t ContentType, length int) []byte {
	return append(dst, byte(t), legacyVersion>>8, legacyVersion&0xff, byte(length>>8), byte(length))
}

func headerError(b []byte, format string, args ...any) error {
	return &HeaderError{Header: [HeaderSize]byte(b), Reason: fmt.Sprintf(format, args...)}
}
