package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/store/seal"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

var (
	// ErrLocked means that another process, or another [Store] of this one, has the file open.
	ErrLocked = errors.New("bolt: file is in use")
	// ErrCorrupt means that the file is not what a [Store] has written: it is
	// damaged, or something else. If it is found while a Store is open, all its methods return it from then on.
	ErrCorrupt = errors.New("bolt: file is corrupt")
	// ErrSchema means that the file is of another version of this package.
	ErrSchema = errors.New("bolt: file of another version")
	// ErrClosed means that the Store is closed.
	ErrClosed = errors.New("bolt: store is closed")
)

const (
	// DefaultMaxSessions is that of [Config.MaxSessions].
	DefaultMaxSessions = 65536
	// DefaultLockTimeout is that of [Config.LockTimeout].
	DefaultLockTimeout = time.Second
)

// A Config says how a [Store] keeps sessions. Only Keys has no default.
type Config struct {
	// Keys has the operator's keys. Required.
	Keys *seal.Keyring
	// MaxSessions is how many sessions are kept. If there are more, those that were saved the longest time ago
	// make room. One whose connection still lives comes back with its next save. Default: DefaultMaxSessions.
	MaxSessions int
	// MaxAge is how long after its last save a session is kept. More than the
	// channel's MaxSessionAge is of no use. Default: channel.DefaultMaxSessionAge.
	MaxAge time.Duration
	// LockTimeout is how long Open waits for another process to close the file. Default:
	// DefaultLockTimeout.
	LockTimeout time.Duration
	// Unreadable is told of a record that does not open, because its key is
	// not there or because it was tampered with. To channels such a session is one that is not there. It is
	// called by Load and Reseal, maybe by several goroutines at once. Default: nobody is told.
	Unreadable func(id channel.SessionID, err error)
	// Time returns the current time. Default: time.Now.
	Time func() time.Time
}

func (c *Config) withDefaults() (Config, error) {
	if c == nil || c.Keys == nil {
		return Config{}, errors.New("bolt: Config needs Keys")
	}
	d := *c
	if d.MaxSessions <= 0 {
		d.MaxSessions = DefaultMaxSessions
	}
	if d.MaxAge <= 0 {
		d.MaxAge = channel.DefaultMaxSessionAge
	}
	if d.LockTimeout <= 0 {
		d.LockTimeout = DefaultLockTimeout
	}
	if d.Unreadable == nil {
		d.Unreadable = func(channel.SessionID, error) {}
	}
	if d.Time == nil {
		d.Time = time.Now
	}
	return d, nil
}

// A Store is a [channel.Store] in a file. It is safe for concurrent use, by one process: the file
// is locked. It has no goroutines.
type Store struct {
	config Config
	index  *seal.Index
	file   *os.File
	db     *bbolt.DB

	writer chan struct{} // holds a token while a transaction is written
	counts counts        // the writer's

	mu      sync.Mutex
	waiting []*change
	err     error // final: closed or corrupt
}

var _ channel.Store = (*Store)(nil)

// Open opens the file at path, or makes one that is open to its owner alone. The
// error matches [ErrLocked], [ErrCorrupt], [ErrSchema], [seal.ErrExposed] if others can read or write the file, [seal.ErrUnknownKey]
// if the file's index is sealed under none of the keys, or it is one of the system's.
func Open(path string, config *Config) (*Store, error) {
	c, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := create(path, c); err != nil {
		return nil, err
	}
	return open(path, c)
}

// Close closes the file, after the transaction that is being written. Calls that wait
// for one fail with [ErrClosed], as do later ones.
func (s *Store) Close() error {
	broken := s.end(ErrClosed)
	switch {
	case errors.Is(broken, ErrClosed):
		return nil
	case broken != nil:
		// A transaction that has met nonsense may have left bbolt's locks locked.
		if err := s.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			return fmt.Errorf("bolt: closing: %w", err)
		}
		return nil
	}
	s.writer <- struct{}{}
	defer func() { <-s.writer }()
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("bolt: closing: %w", err)
	}
	return nil
}

// end makes err what all methods return, unless there is something already, which it returns.
func (s *Store) end(err error) (before error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
		return nil
	}
	return s.err
}

func (s *Store) ended() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Load implements [channel.Store].
func (s *Store) Load(ctx context.Context, id channel.SessionID) (channel.StoredSession, error) {
	var found row
	if err := s.view(ctx, func(tx *transaction) (err error) {
		found, err = tx.row(id)
		found.sealed = append([]byte(nil), found.sealed...) // it is the transaction's
		return err
	}); err != nil {
		return channel.StoredSession{}, err
	}
	if found.version == 0 {
		return channel.StoredSession{}, channel.ErrNoSession
	}
	session, err := s.config.Keys.OpenSession(id, found.version, found.sealed)
	if err != nil {
		s.config.Unreadable(id, err)
	}
	return session, err
}

// Save implements [channel.Store].
func (s *Store) Save(ctx context.Context, session channel.StoredSession) (version uint64, err error) {
	now := s.config.Time()
	err = s.commit(ctx, func(tx *transaction) error {
		if version, err = tx.save(session, s.index.Tag(session.Peer), now, s.config.Keys); err != nil {
			return err
		}
		// More than one is pruned for one that is saved, so that it comes to an end.
		_, err := tx.prune(pruneEach, now.Add(-s.config.MaxAge), s.config.MaxSessions)
		return err
	})
	if err != nil {
		return 0, err
	}
	return version, nil
}

// Delete implements [channel.Store].
func (s *Store) Delete(ctx context.Context, id channel.SessionID) error {
	return s.commit(ctx, func(tx *transaction) error { return tx.delete(id) })
}

// FindByPeer implements [channel.Store].
func (s *Store) FindByPeer(ctx context.Context, peer string) (ids []channel.SessionID, err error) {
	err = s.view(ctx, func(tx *transaction) (err error) {
		ids, err = tx.find(s.index.Tag(peer))
		return err
	})
	return ids, err
}

// view reads the file.
func (s *Store) view(ctx context.Context, read func(*transaction) error) error {
	if err := errors.Join(ctx.Err(), s.ended()); err != nil {
		return err
	}
	return s.noting(guarded(func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			buckets, err := s.transaction(tx)
			if err != nil {
				return err
			}
			return read(buckets)
		})
	}))
}

// noting keeps the store from using a file that was found corrupt.
func (s *Store) noting(err error) error {
	switch {
	case errors.Is(err, ErrCorrupt):
		s.end(err)
	case errors.Is(err, bolterrors.ErrDatabaseNotOpen):
		return ErrClosed
	}
	return err
}
