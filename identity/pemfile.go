package identity

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// ErrPEM means that a file is not whole PEM blocks.
var ErrPEM = errors.New("identity: malformed PEM")

// A pemBlock is a block and the line on which it begins.
type pemBlock struct {
	kind string
	der  []byte
	line int
}

var (
	pemBegin = []byte("-----BEGIN ")
	pemEnd   = []byte("-----END ")
)

// pemBlocks returns the blocks of a file. Text between them is passed over, as what
// programs print there is for people; a block that is cut short or damaged is an error, where
// encoding/pem would pass over it.
func pemBlocks(path string, text []byte) (blocks []pemBlock, err error) {
	defer func() {
		if err != nil {
			eraseBlocks(blocks)
		}
	}()
	line := 1
	for {
		at := nextBegin(text)
		if at < 0 {
			return blocks, nil
		}
		line += bytes.Count(text[:at], []byte("\n"))
		text = text[at:]
		block, rest := pem.Decode(text)
		consumed := text[:len(text)-len(rest)]
		if block == nil || nextBegin(consumed[len(pemBegin):]) >= 0 { // it took a later one
			if block != nil {
				clear(block.Bytes)
			}
			return blocks, &FileError{Path: path, Line: line, Field: "PEM block", Err: ErrPEM}
		}
		blocks = append(blocks, pemBlock{kind: block.Type, der: block.Bytes, line: line})
		line += bytes.Count(consumed, []byte("\n"))
		text = rest
	}
}

// eraseBlocks overwrites what the blocks hold.
func eraseBlocks(blocks []pemBlock) {
	for _, b := range blocks {
		clear(b.der)
	}
}

// nextBegin returns where the next line is that begins a block, -1 if there is none.
func nextBegin(text []byte) int {
	if bytes.HasPrefix(text, pemBegin) {
		return 0
	}
	at := bytes.Index(text, append([]byte("\n"), pemBegin...))
	if at < 0 {
		return -1
	}
	return at + 1
}

// isPrivateKey reports whether blocks of a kind hold a private key, in any format, or what
// goes with one.
func isPrivateKey(kind string) bool {
	return strings.HasSuffix(kind, "PRIVATE KEY") || kind == "EC PARAMETERS"
}

// wrongBlock says that a block is not of the kind that a file should hold.
func wrongBlock(path string, b pemBlock, want string) error {
	return &FileError{Path: path, Line: b.line, Field: "PEM block", Err: fmt.Errorf("%w: %q, want %q", ErrPEM, b.kind, want)}
}
