package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/quic-go/quic-go"
)

// For each file the sender opens a stream. It says which file it is, the receiver how many octets of it
// it has, and the sender sends the rest. At its end the receiver compares the hash: if that is right it
// ends the stream as well, and else resets it with one of these codes.
const (
	codeRefused quic.StreamErrorCode = 1 + iota // does not take such a file
	codeWrong                                   // the hash or the length is wrong
	codeFailed                                  // cannot write the file
	codeGone                                    // by the sender: cannot read the file
)

// maxName is how many octets the name of a file may have.
const maxName = 1024

// errRefused means that the receiver does not take a file.
var errRefused = errors.New("refused")

// A header says which file it is.
type header struct {
	name string // with slashes, relative to the directory that is sent
	size int64  // octets
	sum  [sha256.Size]byte
}

// appendTo appends the octets of h to b.
func (h *header) appendTo(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(h.name)))
	b = append(b, h.name...)
	b = binary.BigEndian.AppendUint64(b, uint64(h.size))
	return append(b, h.sum[:]...)
}

// readHeader reads what appendTo has made.
func readHeader(r io.Reader) (*header, error) {
	var b [max(maxName, 8+sha256.Size)]byte
	if _, err := io.ReadFull(r, b[:2]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(b[:]))
	if n > maxName {
		return nil, fmt.Errorf("%w: name of %d octets", errRefused, n)
	}
	if _, err := io.ReadFull(r, b[:n]); err != nil {
		return nil, err
	}
	h := &header{name: string(b[:n])}
	if _, err := io.ReadFull(r, b[:8+sha256.Size]); err != nil {
		return nil, err
	}
	h.size = int64(binary.BigEndian.Uint64(b[:]))
	if h.size < 0 {
		return nil, fmt.Errorf("%w: size of %d octets", errRefused, uint64(h.size))
	}
	copy(h.sum[:], b[8:])
	return h, nil
}

// partialPrefix is what the names of files begin with that are not complete. No other file may have such a name.
const partialPrefix = ".partial-"

// partial returns the name of the file while it is not complete. A file that has changed
// meanwhile has another one, so that the parts of two are never put together.
func (h *header) partial() string {
	sum := sha256.Sum256(h.appendTo(nil))
	return partialPrefix + hex.EncodeToString(sum[:])
}
