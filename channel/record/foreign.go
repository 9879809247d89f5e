package record

import (
	"bytes"
	"fmt"
)

// A ForeignProtocolError says that the peer speaks another protocol: somebody
// connected to the wrong port, or with the wrong client.
type ForeignProtocolError struct {
	Protocol string // "TLS", "HTTP", "SSH"
	First    []byte // what came first, a few octets
}

func (e *ForeignProtocolError) Error() string {
	return fmt.Sprintf("record: the peer speaks %s (its first octets: %q)", e.Protocol, e.First)
}

// Unwrap returns [ErrUnexpected].
func (e *ForeignProtocolError) Unwrap() error { return ErrUnexpected }

// SniffSize is how many octets [CheckProtocol] looks at.
const SniffSize = HeaderSize + 1

// CheckProtocol looks at the very first octets of a connection, at most
// [SniffSize] of them, and fails with a [ForeignProtocolError] if they are those
// of TLS, HTTP or SSH. Fewer octets, down to HeaderSize, tell less but are enough
// for all but the TLS messages that come in a record with our own version number.
func CheckProtocol(first []byte) error {
	first = first[:min(len(first), SniffSize)]
	for _, p := range foreign {
		if bytes.HasPrefix(first, []byte(p.prefix)) {
			return &ForeignProtocolError{Protocol: p.name, First: bytes.Clone(first)}
		}
	}
	if isTLS(first) {
		return &ForeignProtocolError{Protocol: "TLS", First: bytes.Clone(first)}
	}
	return nil
}

var foreign = []struct{ prefix, name string }{
	{"HTTP/", "HTTP"}, {"GET ", "HTTP"}, {"POST ", "HTTP"}, {"PUT ", "HTTP"}, {"HEAD ", "HTTP"},
	{"PATCH", "HTTP"}, {"DELET", "HTTP"}, {"OPTIO", "HTTP"}, {"CONNE", "HTTP"}, {"TRACE", "HTTP"},
	{"PRI *", "HTTP"}, // the preface of HTTP/2
	{"SSH-", "SSH"},
}

// isTLS tells TLS records from ours. TLS gives its first records the version 3.1,
// as peers of old expect it, or begins with a message type that we do not use.
func isTLS(b []byte) bool {
	if len(b) < HeaderSize || b[0] < 20 || b[0] > 23 || b[1] != 3 || b[2] > 4 {
		return false
	}
	const clientHello, serverHello = 1, 2
	return b[2] != legacyVersion&0xff ||
		b[0] == byte(ContentHandshake) && len(b) > HeaderSize && (b[5] == clientHello || b[5] == serverHello)
}
