//go:build unix

package identity

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// ownerOnly refuses a file with which others can do anything.
func ownerOnly(info fs.FileInfo) error { return within(info, 0o700) }

// ownerAndGroup lets the group read as well.
func ownerAndGroup(info fs.FileInfo) error { return within(info, 0o740) }

func within(info fs.FileInfo, most fs.FileMode) error {
	if mode := info.Mode().Perm(); mode&^most != 0 {
		return fmt.Errorf("%w: %#o, want %#o at the most", ErrPermissions, mode, most)
	}
	return nil
}

// notWritableByOthers refuses a file that anybody but its owner and group can change.
func notWritableByOthers(info fs.FileInfo) error { return within(info, 0o775) }

// syncDirectory makes a change of names in a directory outlive a crash.
func syncDirectory(path string) error {
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}
