package identity

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// maxFileSize bounds the files that are read, in octets.
const maxFileSize = 16 << 20

var (
	// ErrPermissions means that others can read or change a file that holds a private key.
	ErrPermissions = errors.New("identity: permissions are too wide")
	// ErrFileSize means that a file is larger than any that this package reads.
	ErrFileSize = errors.New("identity: file is too large")
)

// readFile returns what a file holds. verify looks at the file that was opened, which is
// not always the one that has the name a moment later; nil is no check. Errors are of type
// [*FileError].
func readFile(path string, verify func(fs.FileInfo) error) ([]byte, error) {
	text, err := read(path, verify)
	if err != nil {
		return nil, &FileError{Path: path, Err: withoutPath(err)}
	}
	return text, nil
}

func read(path string, verify func(fs.FileInfo) error) ([]byte, error) {
	// Before it is opened: to open a named pipe waits for somebody who writes.
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, notRegular(info)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, notRegular(info)
	}
	if verify != nil {
		if err := verify(info); err != nil {
			return nil, err
		}
	}
	if info.Size() > maxFileSize {
		return nil, fmt.Errorf("%w: %d octets, want %d at the most", ErrFileSize, info.Size(), maxFileSize)
	}
	// One buffer that does not grow, so that no other copy of a key is left behind.
	text := make([]byte, info.Size()+1)
	n, err := io.ReadFull(file, text)
	switch {
	case err == nil:
		clear(text)
		return nil, errors.New("the file grows while it is read")
	case err != io.ErrUnexpectedEOF && err != io.EOF:
		clear(text)
		return nil, err
	}
	return text[:n:n], nil
}

func notRegular(info fs.FileInfo) error { return fmt.Errorf("not a regular file: %v", info.Mode()) }
