package record

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// Sizes in octets of the records of a stream.
const (
	StreamHeaderSize = 3                              // uint8 epoch; uint16 length
	StreamOverhead   = StreamHeaderSize + 1 + TagSize // of a record that is not padded
	MaxStreamRecord  = StreamHeaderSize + MaxCiphertext
)

// ContentEpochEnd is the type of the last record of an epoch on a stream. It has no content.
const ContentEpochEnd ContentType = 0xE5

// A StreamHeader is the part of a stream's record that is always in the clear:
//
//	struct { uint8 epoch; uint16 length; } StreamHeader;
type StreamHeader struct {
	Epoch  uint8 // the last octet of its number
	Length int   // of what follows the header
}

// ParseStreamHeader reads the header at the beginning of b, which must hold at least
// StreamHeaderSize octets. It fails with [ErrOverflow] if the length is more than a record may
// have, and with [ErrUnexpected] if it is less.
func ParseStreamHeader(b []byte) (StreamHeader, error) {
	if len(b) < StreamHeaderSize {
		return StreamHeader{}, fmt.Errorf("record: %d octets, a stream's header has %d", len(b), StreamHeaderSize)
	}
	h := StreamHeader{Epoch: b[0], Length: int(binary.BigEndian.Uint16(b[1:3]))}
	switch {
	case h.Length > MaxCiphertext:
		return StreamHeader{}, fmt.Errorf("%w: record of %d octets, at most %d allowed", ErrOverflow, h.Length, MaxCiphertext)
	case h.Length < 1+TagSize:
		return StreamHeader{}, fmt.Errorf("%w: record of %d octets, at least %d needed", ErrUnexpected, h.Length, 1+TagSize)
	}
	return h, nil
}

// A StreamProtection seals or opens the records of one direction of one stream in one
// epoch, in order. It is not safe for concurrent use.
type StreamProtection struct {
	epoch uint64
	key   expandedKey // of inner
	inner Protection
}

// Epoch returns the number of the epoch.
func (p *StreamProtection) Epoch() uint64 { return p.epoch }

// Seal is [Protection.Seal] for a stream's record. It does not allocate if dst has
// [StreamOverhead] + len(content) octets to spare. The last record of a key is not for application
// data, but for what ends the stream or its epoch.
func (p *StreamProtection) Seal(dst []byte, t ContentType, content []byte) ([]byte, error) {
	if err := p.inner.mayHold(content); err != nil {
		return dst, err
	}
	if t == ContentApplicationData && p.inner.Remaining() == 1 {
		return dst, fmt.Errorf("%w: the last record is not for data", ErrKeyExhausted)
	}
	start, length := len(dst), len(content)+1+TagSize
	dst = slices.Grow(dst, StreamHeaderSize+length)
	dst = append(dst, byte(p.epoch), byte(length>>8), byte(length))
	return p.inner.sealBehind(dst, start, t, content), nil
}

// Open is [Protection.Open] for one whole record of a stream, header included. To open it in place, pass
// record[StreamHeaderSize:StreamHeaderSize] as dst. A record of another epoch
// fails with [ErrAuthentication].
func (p *StreamProtection) Open(dst, record []byte) (ContentType, []byte, error) {
	h, err := ParseStreamHeader(record)
	switch {
	case err != nil:
		return 0, nil, err
	case len(record) != StreamHeaderSize+h.Length:
		return 0, nil, fmt.Errorf("record: %d octets for a record of %d", len(record), StreamHeaderSize+h.Length)
	case h.Epoch != byte(p.epoch):
		return 0, nil, fmt.Errorf("%w: record of epoch ...%02x, want %d", ErrAuthentication, h.Epoch, p.epoch)
	}
	if err := p.inner.ready(); err != nil {
		return 0, nil, err
	}
	inner, err := p.inner.key.Open(dst, p.inner.nextNonce(), record[StreamHeaderSize:], record[:StreamHeaderSize])
	if err != nil {
		return 0, nil, ErrAuthentication
	}
	return p.inner.opened(inner[len(dst):])
}

// MaxContent returns how many octets of content a record may have.
func (p *StreamProtection) MaxContent() int { return p.inner.MaxContent() }

// NeedsUpdate reports that half of the key's records are used.
func (p *StreamProtection) NeedsUpdate() bool { return p.inner.NeedsUpdate() }

// Erase forgets the key, like [Protection.Erase].
func (p *StreamProtection) Erase() {
	p.inner.Erase()
	p.key.AEAD = nil
}
