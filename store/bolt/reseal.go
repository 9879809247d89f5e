package bolt

import (
	"bytes"
	"context"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/store/seal"
)

// resealEach is how many records are looked at in one transaction.
const resealEach = 64

// Reseal seals all records that are under another key under the current one, and
// returns how many. After it the other keys can be destroyed, and with them go all remains of older records in
// the file and on the disk. A record that does not open stays as it is, and Config.Unreadable is told. It may
// be called while the store is in use, and again if it was interrupted.
func (s *Store) Reseal(ctx context.Context) (n int, err error) {
	next := []byte{} // the first ID that was not looked at
	for next != nil {
		var resealed int
		var unreadable map[channel.SessionID]error
		if err := s.commit(ctx, func(tx *transaction) (err error) {
			next, resealed, unreadable, err = tx.reseal(next, s.config.Keys)
			return err
		}); err != nil {
			return n, err
		}
		n += resealed
		for id, err := range unreadable {
			s.config.Unreadable(id, err)
		}
	}
	return n, nil
}

// reseal seals some records anew, beginning with the ID from, and returns where to go on, nil at the end.
func (t *transaction) reseal(from []byte, keys *seal.Keyring) (next []byte, n int, unreadable map[channel.SessionID]error, err error) {
	unreadable = make(map[channel.SessionID]error)
	anew := make(map[channel.SessionID]row)
	c := t.sessions.Cursor()
	key, value := c.Seek(from)
	for range resealEach {
		if key == nil {
			break
		}
		r, err := parseRow(value)
		if err != nil {
			return nil, 0, nil, err
		}
		if id := channel.SessionID(key); !keys.IsCurrent(r.sealed) {
			if s, err := keys.OpenSession(id, r.version, r.sealed); err != nil {
				unreadable[id] = err
			} else {
				r.sealed = keys.Session(s)
				clear(s.Data)
				anew[id] = r
			}
		}
		key, value = c.Next()
	}
	next = bytes.Clone(key)
	// A cursor does not survive changes.
	for id, r := range anew {
		if err := t.sessions.Put(id[:], r.marshal()); err != nil {
			return nil, 0, nil, err
		}
	}
	return next, len(anew), unreadable, nil
}
