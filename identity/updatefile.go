package identity

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// updateFile puts another content in the place of a file's, as a whole, and lets no other
// process that uses updateFile in between. change is given what the file holds, nothing if it does
// not exist, and returns what it shall hold, nil to leave it alone. A file that did not exist is the
// owner's alone. Errors of the file system are of type [*FileError].
func updateFile(path string, change func([]byte) ([]byte, error)) error {
	failed := func(field string, err error) error {
		return &FileError{Path: path, Field: field, Err: withoutPath(err)}
	}
	// A link stays a link: what it points to is replaced.
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	} else if !errors.Is(err, fs.ErrNotExist) {
		return failed("", err)
	}
	unlock, err := lockFile(path + ".lock")
	if err != nil {
		return failed("lock", err)
	}
	defer unlock()

	mode := fs.FileMode(0o600)
	text, err := readFile(path, func(info fs.FileInfo) error {
		mode = info.Mode().Perm()
		return notWritableByOthers(info)
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if text, err = change(text); err != nil || text == nil {
		return err
	}
	if err := replaceFile(path, text, mode); err != nil {
		return failed("writing", err)
	}
	return nil
}

// replaceFile writes a file beside the old one and gives it the name once it is safe on
// the disk.
func replaceFile(path string, text []byte, mode fs.FileMode) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.new")
	if err != nil {
		return err
	}
	_, err = temporary.Write(text)
	if err == nil {
		err = temporary.Chmod(mode)
	}
	if err == nil {
		err = temporary.Sync()
	}
	err = errors.Join(err, temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary.Name()))
	}
	return syncDirectory(filepath.Dir(path))
}

// withoutPath drops what an error says of the path, where that is named already.
func withoutPath(err error) error {
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}
