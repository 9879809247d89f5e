package seal

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
)

// KeySize is the size of an operator's key, in octets.
const KeySize = 32

// maxKeyFile bounds what is read of a file, in octets: a wrapped key is the longest.
const maxKeyFile = 64 << 10

var (
	// ErrKey means that something is not a key of [KeySize] octets.
	ErrKey = errors.New("seal: not a key")
	// ErrExposed means that others than its owner can read or write a file that they should not.
	ErrExposed = errors.New("seal: file is open to others")
)

// A Source gives an operator's key, which whoever has called it erases.
type Source func(ctx context.Context) ([]byte, error)

// File is a key in a file: [KeySize] octets in hexadecimal or in base64, as
//
//	openssl rand -hex 32
//
// and [CreateFile] write it. The file must be open to its owner alone, or the error matches [ErrExposed]; of Windows, where permissions are
// different, that is not asked.
func File(path string) Source {
	return func(context.Context) ([]byte, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("seal: reading a key: %w", err)
		}
		defer f.Close()
		if err := CheckMode(f); err != nil {
			return nil, err
		}
		return readKey(f, path)
	}
}

// CheckMode returns an error that matches [ErrExposed] unless f is a regular file
// that its owner alone may read and write. On Windows only the former is asked.
func CheckMode(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: %s is %v, want a regular file", ErrExposed, f.Name(), info.Mode().Type())
	}
	if open := info.Mode().Perm() & 0o077; open != 0 && runtime.GOOS != "windows" {
		return fmt.Errorf("%w: %s has mode %04o, want at most 0600", ErrExposed, f.Name(), info.Mode().Perm())
	}
	return nil
}

// CreateFile makes a new key from random, which should be crypto/rand.Reader, and
// writes it into a new file that is open to its owner alone. There must be none at path.
func CreateFile(path string, random io.Reader) error {
	key := make([]byte, KeySize)
	defer clear(key)
	if _, err := io.ReadFull(random, key); err != nil {
		return fmt.Errorf("seal: making a key: %w", err)
	}
	text := append(hex.AppendEncode(nil, key), '\n')
	defer clear(text)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("seal: making a key: %w", err)
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close(), SyncDirectory(filepath.Dir(path))); err != nil {
		return fmt.Errorf("seal: making a key: %w", err)
	}
	return nil
}

// SyncDirectory makes a new file's name in a directory durable. On Windows, which
// has no such thing, it does nothing.
func SyncDirectory(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Environment is a key in an environment variable, in the form that [File]
// describes. Other programs of the same user, and those that this one starts, can read it.
func Environment(name string) Source {
	return func(context.Context) ([]byte, error) {
		text, ok := os.LookupEnv(name)
		if !ok {
			return nil, fmt.Errorf("%w: the environment has no variable %s", ErrKey, name)
		}
		return parseKey([]byte(text), "variable "+name)
	}
}

// Unwrapped is a key that a key management service has encrypted under one of
// its own, which it never gives away. The wrapped key stands in a file, in any form: the
// file is given to unwrap, which asks the service and returns [KeySize] octets. The file is no secret.
func Unwrapped(path string, unwrap func(ctx context.Context, wrapped []byte) ([]byte, error)) Source {
	return func(ctx context.Context) ([]byte, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("seal: reading a wrapped key: %w", err)
		}
		defer f.Close()
		wrapped, err := readBounded(f, path)
		if err != nil {
			return nil, err
		}
		key, err := unwrap(ctx, wrapped)
		if err != nil {
			return nil, fmt.Errorf("seal: unwrapping the key in %s: %w", path, err)
		}
		return key, nil
	}
}

func readKey(r io.Reader, path string) ([]byte, error) {
	text, err := readBounded(r, path)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	return parseKey(text, path)
}

// readBounded reads a file of at most maxKeyFile octets, and leaves no copy behind.
func readBounded(r io.Reader, path string) ([]byte, error) {
	buffer := make([]byte, maxKeyFile+1)
	n, err := io.ReadFull(r, buffer)
	switch {
	case err == nil:
		clear(buffer)
		return nil, fmt.Errorf("%w: %s is longer than %d octets", ErrKey, path, maxKeyFile)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return buffer[:n], nil
	}
	clear(buffer)
	return nil, fmt.Errorf("seal: reading a key: %w", err)
}

// parseKey reads a key in hexadecimal or base64. The error does not show it.
func parseKey(text []byte, from string) ([]byte, error) {
	text = bytes.TrimSpace(text)
	key := make([]byte, KeySize, KeySize+1)
	var n int
	var err error
	switch len(text) {
	case hex.EncodedLen(KeySize):
		n, err = hex.Decode(key, text)
	case base64.StdEncoding.EncodedLen(KeySize):
		n, err = base64.StdEncoding.Strict().Decode(key[:KeySize+1], text)
	default:
		return nil, fmt.Errorf("%w: %s has %d characters, want 64 of hexadecimal or 44 of base64", ErrKey, from, len(text))
	}
	if err != nil || n != KeySize {
		clear(key)
		return nil, fmt.Errorf("%w: %s is neither hexadecimal nor base64 of %d octets", ErrKey, from, KeySize)
	}
	return key, nil
}
