package etcd

import (
	"context"
	"errors"

	"github.com/mendlink/mendlink/channel"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// resealEach is how many records are asked for at once.
const resealEach = 64

// Reseal seals all records that are under another key under the current one, and
// returns how many. After it, and after etcd was compacted, the other keys can be destroyed. A record that does
// not open stays as it is, and Config.Unreadable is told. It may be called while the store is in use, and again
// if it was interrupted.
//
// It gives the sessions new versions: a living connection that has not saved since the current key became so ends at
// its next update, and is resumed. So call it when the connections have made their updates.
func (s *Store) Reseal(ctx context.Context) (n int, err error) {
	prefix := s.sessionsPrefix()
	end := clientv3.GetPrefixRangeEnd(prefix)
	for from := prefix; ; {
		var page *clientv3.GetResponse
		if err := s.try(ctx, "looking for records", func(ctx context.Context) (err error) {
			page, err = s.config.Client.Get(ctx, from, clientv3.WithRange(end), clientv3.WithLimit(resealEach))
			return err
		}); err != nil {
			return n, err
		}
		for _, kv := range page.Kvs {
			from = string(kv.Key) + "\x00"
			id, err := parseID(string(kv.Key[len(prefix):]))
			if err != nil {
				return n, err
			}
			if _, sealed, err := parse(kv.Value); err == nil && s.config.Keys.IsCurrent(sealed) {
				continue
			}
			session, err := s.open(id, kv.Version, kv.Value)
			if err != nil {
				s.config.Unreadable(id, err)
				continue
			}
			_, err = s.Save(ctx, session)
			clear(session.Data)
			if err == nil {
				n++
			} else if !isOvertaken(err) {
				return n, err
			}
		}
		if !page.More {
			return n, nil
		}
	}
}

// isOvertaken reports whether somebody else has saved the session meanwhile, under the current key.
func isOvertaken(err error) bool { return errors.Is(err, channel.ErrConflict) }
