// Package traffic has what an io.Copy that is measured reads from and writes to.
package traffic

import (
	"errors"
	"io"
)

// Copy copies so many octets, from nothing that takes time, to w.
func Copy(w io.Writer, octets int64) error {
	_, err := io.Copy(w, &zeros{left: octets})
	return err
}

// Drain copies so many octets from r, which goes on behind them.
func Drain(r io.Reader, octets int64) error {
	_, err := io.Copy(&sink{left: octets}, r)
	if err == errFull {
		return nil
	}
	return err
}

// Read reads so many octets from r, at most len(p) at once.
func Read(r io.Reader, p []byte, octets int64) error {
	for octets > 0 {
		n, err := r.Read(p)
		if err != nil {
			return err
		}
		octets -= int64(n)
	}
	return nil
}

// Write writes so many octets to w, len(p) at once.
func Write(w io.Writer, p []byte, octets int64) error {
	for sent := int64(0); sent < octets; sent += int64(len(p)) {
		if _, err := w.Write(p); err != nil {
			return err
		}
	}
	return nil
}

// zeros is a reader that gives as much as there is room for, as a file does.
type zeros struct{ left int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.left == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), z.left))
	clear(p[:n])
	z.left -= int64(n)
	return n, nil
}

// errFull ends an io.Copy, as it ends in a stream that goes on.
var errFull = errors.New("all that was expected is here")

type sink struct{ left int64 }

func (s *sink) Write(p []byte) (int, error) {
	if s.left -= int64(len(p)); s.left <= 0 {
		return len(p), errFull
	}
	return len(p), nil
}
