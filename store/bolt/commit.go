package bolt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"

	"github.com/mendlink/mendlink/channel"
	"go.etcd.io/bbolt"
)

// maxChanges bounds how many changes share a transaction.
const maxChanges = 256

// A change is what one call wants to be written.
type change struct {
	apply func(*transaction) error
	done  chan struct{} // closed when err is set
	err   error
}

// commit makes a change durable. Changes that wait while another transaction is
// written are written together, by whoever is the first to get the writer's place: so none needs a
// goroutine of its own. If ctx ends before the change is under way, nothing has happened; afterwards it is waited for.
func (s *Store) commit(ctx context.Context, apply func(*transaction) error) error {
	c := &change{apply: apply, done: make(chan struct{})}
	if err := s.enqueue(ctx, c); err != nil {
		return err
	}
	for {
		select {
		case <-c.done:
			return c.err
		case s.writer <- struct{}{}:
			s.write(s.take())
			<-s.writer
		case <-ctx.Done():
			if s.withdraw(c) {
				return ctx.Err()
			}
			<-c.done
			return c.err
		}
	}
}

func (s *Store) enqueue(ctx context.Context, c *change) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.waiting = append(s.waiting, c)
	return nil
}

// take removes what is to be written next from those that wait.
func (s *Store) take() []*change {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(len(s.waiting), maxChanges)
	taken := slices.Clone(s.waiting[:n])
	s.waiting = slices.Delete(s.waiting, 0, n)
	return taken
}

// withdraw removes a change that nobody has taken yet, and reports whether it has.
func (s *Store) withdraw(c *change) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slices.Index(s.waiting, c)
	if at < 0 {
		return false
	}
	s.waiting = slices.Delete(s.waiting, at, at+1)
	return true
}

// write makes changes in one transaction, and tells those who wait. A conflict
// concerns its own change, which has written nothing; any other error undoes all of them.
func (s *Store) write(changes []*change) {
	if len(changes) == 0 {
		return
	}
	err := s.ended()
	if err == nil {
		err = s.noting(guarded(func() error { return s.update(changes) }))
	}
	for _, c := range changes {
		if err != nil {
			c.err = err
		}
		close(c.done)
	}
}

func (s *Store) update(changes []*change) error {
	var after counts
	err := s.db.Update(func(tx *bbolt.Tx) error {
		buckets, err := s.transaction(tx)
		if err != nil {
			return err
		}
		buckets.counts = s.counts
		for _, c := range changes {
			c.err = c.apply(buckets)
			if c.err != nil && !errors.Is(c.err, channel.ErrConflict) {
				return c.err
			}
		}
		after = buckets.counts
		return nil
	})
	if isNowhere(err) {
		err = fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if err != nil {
		return fmt.Errorf("bolt: writing: %w", err)
	}
	s.counts = after
	return nil
}

// isNowhere reports that a page was to be written to a place that no file has, as free pages of a
// damaged file can be.
func isNowhere(err error) bool {
	at, ok := errors.AsType[*fs.PathError](err)
	if !ok {
		return false
	}
	number, ok := errors.AsType[syscall.Errno](at.Err)
	return !ok || number == syscall.EFBIG || number == syscall.EINVAL // a negative offset is no system's error
}
