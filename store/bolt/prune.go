package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/mendlink/mendlink/channel"
)

const (
	// pruneEach is how many sessions make room with each that is saved, at the most.
	pruneEach = 4
	// evictedFactor says of how many evicted sessions, in multiples of
	// Config.MaxSessions, the versions are kept.
	evictedFactor = 8
)

// Prune removes all sessions that are too old or too many, and returns how many. Saves do
// so by themselves, a few at a time: it is for a program that saves rarely, and after MaxSessions
// was lowered.
func (s *Store) Prune(ctx context.Context) (n int, err error) {
	for {
		pruned := 0
		err := s.commit(ctx, func(tx *transaction) (err error) {
			pruned, err = tx.prune(maxChanges, s.config.Time().Add(-s.config.MaxAge), s.config.MaxSessions)
			return err
		})
		if err != nil {
			return n, err
		}
		if n += pruned; pruned < maxChanges {
			return n, nil
		}
	}
}

// prune evicts up to most sessions: those that were saved before a time, and of more than
// capacity those that were saved the longest time ago. It returns how many.
func (t *transaction) prune(most int, before time.Time, capacity int) (n int, err error) {
	for n < most {
		version, saved := t.saves.Cursor().First()
		if version == nil {
			break
		}
		if len(version) != 8 || len(saved) != 8+idSize {
			return n, fmt.Errorf("%w: a save of %d and %d octets", ErrCorrupt, len(version), len(saved))
		}
		at := time.Unix(int64(binary.BigEndian.Uint64(saved)), 0)
		if t.counts.sessions <= capacity && !at.Before(before) {
			break
		}
		if err := t.evict(channel.SessionID(saved[8:]), bytes.Clone(version)); err != nil {
			return n, err
		}
		n++
	}
	for range 2 * most {
		version, _ := t.evictions.Cursor().First()
		if version == nil || t.counts.evicted <= evictedFactor*capacity {
			break
		}
		if err := t.forget(bytes.Clone(version)); err != nil {
			return n, err
		}
	}
	return n, nil
}

// evict removes a session, and keeps its version.
func (t *transaction) evict(id channel.SessionID, version []byte) error {
	if err := t.delete(id); err != nil {
		return err
	}
	t.counts.evicted++
	if err := t.evicted.Put(id[:], version); err != nil {
		return err
	}
	return t.evictions.Put(version, bytes.Clone(id[:]))
}

// forget removes the version of an evicted session.
func (t *transaction) forget(version []byte) error {
	id := bytes.Clone(t.evictions.Get(version))
	if id == nil {
		return fmt.Errorf("%w: eviction %x is not there", ErrCorrupt, version)
	}
	t.counts.evicted--
	if err := t.evicted.Delete(id); err != nil {
		return err
	}
	return t.evictions.Delete(version)
}
