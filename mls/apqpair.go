package mls

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/mendlink/mendlink/internal/wire"
)

// WireFormatAPQMessagePair is that of messages which hold two: one for each
// group of a pair. draft-ietf-mls-combiner, Section 6.
const WireFormatAPQMessagePair WireFormat = 0x0007

// apqPair is APQMessagePair: two messages of one kind.
//
//	struct {
//	    WireFormat wire_format;
//	    MLSMessage t_message;
//	    MLSMessage pq_message;
//	} APQMessagePair;
type apqPair struct {
	format       WireFormat
	t, pq        mlsMessage
	tData, pData []byte // each message, encoded
}

// joinPair returns the MLSMessage with a pair of messages, which are of one format.
func joinPair(t, pq []byte) []byte {
	return wire.Encode(func(w *wire.Writer) {
		w.Uint16(uint16(MLS10))
		w.Uint16(uint16(WireFormatAPQMessagePair))
		w.Bytes(t[2:4]) // wire_format, behind the version
		w.Bytes(t)
		w.Bytes(pq)
	})
}

// ParseAPQHeader is [ParseHeader] for messages to a pair of groups. Of a pair of
// messages, it reads the header of the one for the traditional group.
func ParseAPQHeader(message []byte) (Header, error) {
	if IsAPQMessagePair(message) && len(message) >= 6 {
		message = message[6:] // version and two wire formats
	}
	return ParseHeader(message)
}

// IsAPQMessagePair reports whether an MLSMessage holds a pair, without a look at
// what that is.
func IsAPQMessagePair(message []byte) bool {
	r := wire.NewReader(message)
	readVersion(r)
	return WireFormat(r.Uint16()) == WireFormatAPQMessagePair && r.Err() == nil
}

// parsePair decodes an MLSMessage that holds a pair of messages of a format, or
// of any if that is 0.
func (c *Config) parsePair(message []byte, want WireFormat) (*apqPair, error) {
	r := wire.NewReaderWithContext(bytes.Clone(message), c.proposals)
	readVersion(r)
	if f := WireFormat(r.Uint16()); r.Err() == nil && f != WireFormatAPQMessagePair {
		r.Fail(fmt.Errorf("mls: message is %v, want %v", f, WireFormatAPQMessagePair))
	}
	p := &apqPair{format: WireFormat(r.Uint16())}
	read := func(m *mlsMessage) []byte {
		before := r.Rest()
		m.decode(r)
		return before[:len(before)-len(r.Rest())]
	}
	if r.Err() == nil && p.format == WireFormatAPQMessagePair {
		r.Fail(invalid(CheckAPQPairNested, "a pair holds pairs"))
	}
	p.tData = read(&p.t)
	p.pData = read(&p.pq)
	if err := r.Finish(); err != nil {
		if broken := (*Error)(nil); errors.As(err, &broken) {
			return nil, broken
		}
		return nil, fmt.Errorf("mls: parsing a pair of messages: %w", err)
	}
	if p.t.wireFormat != p.format || p.pq.wireFormat != p.format {
		return nil, invalid(CheckAPQPairFormat, "a pair of %v holds %v and %v", p.format, p.t.wireFormat, p.pq.wireFormat)
	}
	if p.format == WireFormatPrivateMessage && (p.t.privateMessage.contentType == ContentApplication || p.pq.privateMessage.contentType == ContentApplication) {
		return nil, invalid(CheckAPQPairApplication, "a pair holds application data")
	}
	if want != 0 && p.format != want {
		return nil, fmt.Errorf("mls: pair of %v, want %v", p.format, want)
	}
	return p, nil
}
