package etcd

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/store/seal"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// ErrUnavailable means that the cluster did not answer in time. A Save or Delete that failed
// with it may have taken effect.
var ErrUnavailable = errors.New("etcd: cluster is unavailable")

const (
	// DefaultPrefix is that of [Config.Prefix].
	DefaultPrefix = "mendlink/"
	// DefaultTimeout is that of [Config.Timeout].
	DefaultTimeout = 5 * time.Second
)

// A Config says how a [Store] keeps sessions. Client and Keys have no default. Stores
// that share sessions have the same Prefix, and keys that open one another's records.
type Config struct {
	// Client is connected to the cluster. The caller closes it, after the last use of the Store. Required.
	Client *clientv3.Client
	// Keys has the operator's keys. Required.
	Keys *seal.Keyring
	// Prefix is what all keys in etcd begin with. Default: DefaultPrefix.
	Prefix string
	// MaxAge is how long after its last save a session is kept at least: up to a 24th more, as leases are
	// shared. More than the channel's MaxSessionAge is of no use. Default:
	// channel.DefaultMaxSessionAge.
	MaxAge time.Duration
	// Timeout bounds each call, with all its attempts. An election of etcd's takes a second or two. Default:
	// DefaultTimeout.
	Timeout time.Duration
	// Unreadable is told of a record that does not open, because its key is
	// not there or because it was tampered with. To channels such a session is one that is not there. It is
	// called by Load and Reseal, maybe by several goroutines at once. Default: nobody is told.
	Unreadable func(id channel.SessionID, err error)
}

func (c *Config) withDefaults() (Config, error) {
	if c == nil || c.Client == nil || c.Keys == nil {
		return Config{}, errors.New("etcd: Config needs a Client and Keys")
	}
	d := *c
	if d.Prefix == "" {
		d.Prefix = DefaultPrefix
	}
	if d.MaxAge <= 0 {
		d.MaxAge = channel.DefaultMaxSessionAge
	}
	if d.Timeout <= 0 {
		d.Timeout = DefaultTimeout
	}
	if d.Unreadable == nil {
		d.Unreadable = func(channel.SessionID, error) {}
	}
	return d, nil
}

// A Store is a [channel.Store] in an etcd cluster. It is safe for concurrent use, by any number
// of processes. It has no goroutines, and needs no closing. A session keeps the label that it was first
// saved with.
type Store struct {
	config Config
	index  *seal.Index
	lease  lease
}

var _ channel.Store = (*Store)(nil)

// New returns a Store. The error matches [ErrUnavailable], or [seal.ErrUnknownKey] if other
// stores of this prefix have keys that are not among config's.
func New(ctx context.Context, config *Config) (*Store, error) {
	c, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Store{config: c, lease: newLease(c.MaxAge)}
	if err := s.openIndex(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// In etcd there are these keys, behind the prefix:
//
//	index             the sealed key of the index
//	session/ID        Tag tag, and the sealed session
//	peer/tag/ID       nothing
//
// IDs and tags are in hexadecimal. A session's version is the one that etcd has of its key: it counts from 1.

func (s *Store) indexKey() string { return s.config.Prefix + "index" }

func (s *Store) sessionsPrefix() string { return s.config.Prefix + "session/" }

func (s *Store) sessionKey(id channel.SessionID) string { return s.sessionsPrefix() + id.String() }

func (s *Store) tagPrefix(tag seal.Tag) string {
	return s.config.Prefix + "peer/" + hex.EncodeToString(tag[:]) + "/"
}

const tagSize = len(seal.Tag{})

// parse divides what is kept under a session's key.
func parse(value []byte) (tag seal.Tag, sealed []byte, err error) {
	if len(value) < tagSize {
		return tag, nil, fmt.Errorf("%w: %w: %d octets", channel.ErrNoSession, seal.ErrForged, len(value))
	}
	return seal.Tag(value), value[tagSize:], nil
}

// openIndex takes over the index of the other stores, or makes it.
func (s *Store) openIndex(ctx context.Context) error {
	return s.try(ctx, "opening the index", func(ctx context.Context) error {
		key, fresh := s.indexKey(), seal.NewIndex()
		answer, err := s.config.Client.Txn(ctx).
			If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).
			Then(clientv3.OpPut(key, string(s.config.Keys.Index(fresh)))).
			Else(clientv3.OpGet(key)).
			Commit()
		if err != nil {
			return err
		}
		if answer.Succeeded {
			s.index = fresh
			return nil
		}
		found := answer.Responses[0].GetResponseRange().Kvs[0]
		if s.index, err = s.config.Keys.OpenIndex(found.Value); err != nil || s.config.Keys.IsCurrent(found.Value) {
			return err
		}
		// If another store has done this meanwhile, that is just as well.
		_, err = s.config.Client.Txn(ctx).
			If(clientv3.Compare(clientv3.ModRevision(key), "=", found.ModRevision)).
			Then(clientv3.OpPut(key, string(s.config.Keys.Index(s.index)))).
			Commit()
		return err
	})
}

// Load implements [channel.Store].
func (s *Store) Load(ctx context.Context, id channel.SessionID) (session channel.StoredSession, err error) {
	var answer *clientv3.GetResponse
	if err := s.try(ctx, "loading a session", func(ctx context.Context) (err error) {
		answer, err = s.config.Client.Get(ctx, s.sessionKey(id))
		return err
	}); err != nil {
		return channel.StoredSession{}, err
	}
	if len(answer.Kvs) == 0 {
		return channel.StoredSession{}, channel.ErrNoSession
	}
	session, err = s.open(id, answer.Kvs[0].Version, answer.Kvs[0].Value)
	if err != nil {
		s.config.Unreadable(id, err)
	}
	return session, err
}

func (s *Store) open(id channel.SessionID, version int64, value []byte) (channel.StoredSession, error) {
	_, sealed, err := parse(value)
	if err != nil {
		return channel.StoredSession{}, err
	}
	return s.config.Keys.OpenSession(id, uint64(version), sealed)
}

// Save implements [channel.Store].
func (s *Store) Save(ctx context.Context, session channel.StoredSession) (version uint64, err error) {
	key, tag, replaced := s.sessionKey(session.ID), s.index.Tag(session.Peer), int64(session.Version)
	if replaced < 0 || replaced+1 < 0 { // no version that etcd could have
		return 0, channel.ErrConflict
	}
	session.Version++
	value := append(tag[:], s.config.Keys.Session(session)...)
	err = s.try(ctx, "saving a session", func(ctx context.Context) error {
		lease, err := s.lease.get(ctx, s.config.Client)
		if err != nil {
			return err
		}
		answer, err := s.config.Client.Txn(ctx).
			If(clientv3.Compare(clientv3.Version(key), "=", replaced)).
			Then(clientv3.OpPut(key, string(value), clientv3.WithLease(lease)),
				clientv3.OpPut(s.tagPrefix(tag)+session.ID.String(), "", clientv3.WithLease(lease))).
			Else(clientv3.OpGet(key)).
			Commit()
		switch {
		case err != nil:
			s.lease.drop(lease, err)
			return err
		case answer.Succeeded:
			return nil
		}
		// An attempt that seemed to have failed may have got through. No other save has this value, as
		// each is sealed under a nonce of its own.
		if kvs := answer.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 && bytes.Equal(kvs[0].Value, value) {
			return nil
		}
		return channel.ErrConflict
	})
	if err != nil {
		return 0, err
	}
	return session.Version, nil
}

// Delete implements [channel.Store].
func (s *Store) Delete(ctx context.Context, id channel.SessionID) error {
	key := s.sessionKey(id)
	return s.try(ctx, "deleting a session", func(ctx context.Context) error {
		for {
			found, err := s.config.Client.Get(ctx, key)
			if err != nil || len(found.Kvs) == 0 {
				return err
			}
			deletions := []clientv3.Op{clientv3.OpDelete(key)}
			if tag, _, err := parse(found.Kvs[0].Value); err == nil {
				deletions = append(deletions, clientv3.OpDelete(s.tagPrefix(tag)+id.String()))
			}
			answer, err := s.config.Client.Txn(ctx).
				If(clientv3.Compare(clientv3.ModRevision(key), "=", found.Kvs[0].ModRevision)).
				Then(deletions...).
				Commit()
			if err != nil || answer.Succeeded {
				return err
			}
		}
	})
}

// FindByPeer implements [channel.Store].
func (s *Store) FindByPeer(ctx context.Context, peer string) (ids []channel.SessionID, err error) {
	prefix := s.tagPrefix(s.index.Tag(peer))
	var answer *clientv3.GetResponse
	if err := s.try(ctx, "looking for sessions", func(ctx context.Context) (err error) {
		answer, err = s.config.Client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly(),
			clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortDescend))
		return err
	}); err != nil {
		return nil, err
	}
	for _, kv := range answer.Kvs {
		id, err := parseID(string(kv.Key[len(prefix):]))
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

func parseID(text string) (channel.SessionID, error) {
	id, err := hex.DecodeString(text)
	if err != nil || len(id) != len(channel.SessionID{}) {
		return channel.SessionID{}, fmt.Errorf("etcd: a key names session %.80q, want %d octets in hexadecimal", text, len(channel.SessionID{}))
	}
	return channel.SessionID(id), nil
}
