package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/mendlink/mendlink/store/seal"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// create makes the file at path if there is none. A process that is killed
// meanwhile must not leave half a file there: it gets its name when it is complete.
func create(path string, config Config) error {
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return nil // what else there is to say about it shows when it is opened
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*")
	if err != nil {
		return fmt.Errorf("bolt: making %s: %w", path, err)
	}
	defer os.Remove(f.Name())
	if err := f.Close(); err != nil {
		return fmt.Errorf("bolt: making %s: %w", path, err)
	}
	s, err := open(f.Name(), config)
	if err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	// A link does not replace what another process may have made meanwhile. Where
	// there are no links, bbolt makes the file.
	if err := os.Link(f.Name(), path); err != nil {
		return nil
	}
	if err := seal.SyncDirectory(filepath.Dir(path)); err != nil {
		return fmt.Errorf("bolt: making %s: %w", path, err)
	}
	return nil
}

// open opens a file, which bbolt makes if there is none.
func open(path string, config Config) (*Store, error) {
	s := &Store{config: config, writer: make(chan struct{}, 1)}
	if err := guarded(func() error { return s.openDB(path) }); err != nil {
		if s.file != nil {
			s.file.Close() // if bbolt has not: it panicked
		}
		return nil, err
	}
	if err := s.prepare(); err != nil {
		return nil, errors.Join(fmt.Errorf("bolt: opening %s: %w", path, err), s.Close())
	}
	return s, nil
}

func (s *Store) openDB(path string) (err error) {
	// The list of free pages is written with each transaction, which costs a page,
	// and saves reading all pages when the file is opened.
	options := &bbolt.Options{Timeout: s.config.LockTimeout, FreelistType: bbolt.FreelistMapType, NoStatistics: true, OpenFile: s.openFile}
	s.db, err = bbolt.Open(path, 0o600, options)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, bolterrors.ErrTimeout):
		return fmt.Errorf("%w: %s is open already, here or in another process", ErrLocked, path)
	case errors.Is(err, seal.ErrExposed):
		return err
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch), isShort(path):
		return fmt.Errorf("%w: %s: %w", ErrCorrupt, path, err)
	}
	return fmt.Errorf("bolt: opening %s: %w", path, err)
}

// isShort reports whether a file is too short for bbolt's first two pages.
func isShort(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Size() < int64(2*os.Getpagesize())
}

// openFile refuses a file that others could read, before anything is done with it.
func (s *Store) openFile(path string, flag int, mode os.FileMode) (*os.File, error) {
	f, err := os.OpenFile(path, flag, mode)
	if err != nil {
		return nil, err
	}
	if err := seal.CheckMode(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	s.file = f
	return f, nil
}

// prepare makes the buckets of a new file, or checks those of an old one.
func (s *Store) prepare() error {
	return s.commit(context.Background(), func(tx *transaction) (err error) {
		s.index, err = tx.prepare(s.config.Keys, s.file)
		return err
	})
}
