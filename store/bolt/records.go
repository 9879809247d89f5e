package bolt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/store/seal"
	"go.etcd.io/bbolt"
)

// schema is the version of what the file looks like. All numbers are big-endian.
//
//	about      "schema"       -> uint8 schema
//	           "index"        -> the sealed key of the index
//	sessions   ID             -> uint64 version, uint64 created, Tag tag, the sealed session
//	peers      tag, created   -> ID
//	saves      version        -> uint64 seconds since 1970, ID
//	evicted    ID             -> uint64 version
//	evictions  version        -> ID
//
// Versions are taken from one sequence, so that they tell the order of saves, and never come twice. A session's created is
// its first version. What was evicted keeps its version for some time: without that, a connection that goes on could not be told from one that was superseded.
const schema = 1

var (
	aboutName = []byte("about")
	schemaKey = []byte("schema")
	indexKey  = []byte("index")

	sessionsName  = []byte("sessions")
	peersName     = []byte("peers")
	savesName     = []byte("saves")
	evictedName   = []byte("evicted")
	evictionsName = []byte("evictions")
)

const (
	idSize  = len(channel.SessionID{})
	tagSize = len(seal.Tag{})
)

// counts are numbers of entries, which bbolt would have to count anew each time.
type counts struct{ sessions, evicted int }

// A transaction is what is read or written at once.
type transaction struct {
	tx                                         *bbolt.Tx
	sessions, peers, saves, evicted, evictions *bbolt.Bucket
	counts                                     counts
}

// transaction returns the buckets of tx. They are nil before the file is prepared.
func (s *Store) transaction(tx *bbolt.Tx) (*transaction, error) {
	t := &transaction{tx: tx}
	t.open()
	if s.index != nil && (t.sessions == nil || t.peers == nil || t.saves == nil || t.evicted == nil || t.evictions == nil) {
		return nil, fmt.Errorf("%w: a bucket is missing", ErrCorrupt)
	}
	return t, nil
}

func (t *transaction) open() {
	t.sessions, t.peers, t.saves = t.tx.Bucket(sessionsName), t.tx.Bucket(peersName), t.tx.Bucket(savesName)
	t.evicted, t.evictions = t.tx.Bucket(evictedName), t.tx.Bucket(evictionsName)
}

// prepare makes the buckets of a new file, or checks those of an old one, and
// returns its index. The index's key is sealed under the current key afterwards.
func (t *transaction) prepare(keys *seal.Keyring, file *os.File) (*seal.Index, error) {
	about := t.tx.Bucket(aboutName)
	if about == nil {
		return t.create(keys)
	}
	if v := about.Get(schemaKey); !bytes.Equal(v, []byte{schema}) {
		return nil, fmt.Errorf("%w: schema %x, want %02x", ErrSchema, v, schema)
	}
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("bolt: %w", err)
	}
	if info.Size() < t.tx.Size() {
		return nil, fmt.Errorf("%w: %d octets, want %d", ErrCorrupt, info.Size(), t.tx.Size())
	}
	if t.sessions == nil || t.peers == nil || t.saves == nil || t.evicted == nil || t.evictions == nil {
		return nil, fmt.Errorf("%w: a bucket is missing", ErrCorrupt)
	}
	if err := t.count(); err != nil {
		return nil, err
	}
	sealed := about.Get(indexKey)
	index, err := keys.OpenIndex(sealed)
	if err == nil && !keys.IsCurrent(sealed) {
		err = about.Put(indexKey, keys.Index(index))
	}
	return index, err
}

func (t *transaction) create(keys *seal.Keyring) (*seal.Index, error) {
	about, err := t.tx.CreateBucket(aboutName)
	if err != nil {
		return nil, err
	}
	for _, name := range [][]byte{sessionsName, peersName, savesName, evictedName, evictionsName} {
		if _, err := t.tx.CreateBucket(name); err != nil {
			return nil, err
		}
	}
	t.open()
	index := seal.NewIndex()
	if err := about.Put(indexKey, keys.Index(index)); err != nil {
		return nil, err
	}
	return index, about.Put(schemaKey, []byte{schema})
}

// count counts sessions and evicted ones, and checks that each session is where
// its record says.
func (t *transaction) count() error {
	t.counts = counts{}
	if err := t.sessions.ForEach(func(key, value []byte) error {
		r, err := parseRow(value)
		if err != nil || len(key) != idSize {
			return fmt.Errorf("%w: session %x cannot be parsed", ErrCorrupt, key)
		}
		saved := t.saves.Get(number(r.version))
		if len(saved) != 8+idSize || !bytes.Equal(saved[8:], key) || !bytes.Equal(t.peers.Get(r.peerKey()), key) {
			return fmt.Errorf("%w: session %x is not indexed", ErrCorrupt, key)
		}
		t.counts.sessions++
		return nil
	}); err != nil {
		return err
	}
	return t.evictions.ForEach(func(key, id []byte) error {
		if !bytes.Equal(t.evicted.Get(id), key) {
			return fmt.Errorf("%w: eviction %x is not indexed", ErrCorrupt, key)
		}
		t.counts.evicted++
		return nil
	})
}

// A row is what the bucket of sessions has of one.
type row struct {
	version, created uint64
	tag              seal.Tag
	sealed           []byte
}

// row returns the row of a session, zero if there is none.
func (t *transaction) row(id channel.SessionID) (row, error) {
	value := t.sessions.Get(id[:])
	if value == nil {
		return row{}, nil
	}
	return parseRow(value)
}

func parseRow(value []byte) (row, error) {
	if len(value) < 16+tagSize {
		return row{}, fmt.Errorf("%w: a session of %d octets", ErrCorrupt, len(value))
	}
	r := row{binary.BigEndian.Uint64(value), binary.BigEndian.Uint64(value[8:]), seal.Tag(value[16 : 16+tagSize]), value[16+tagSize:]}
	if r.version == 0 {
		return row{}, fmt.Errorf("%w: a session of version 0", ErrCorrupt)
	}
	return r, nil
}

func (r row) marshal() []byte {
	value := append(number(r.version), number(r.created)...)
	return append(append(value, r.tag[:]...), r.sealed...)
}

func (r row) peerKey() []byte { return append(r.tag[:], number(r.created)...) }

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// save replaces the session whose version is s.Version, or adds a new one.
func (t *transaction) save(s channel.StoredSession, tag seal.Tag, now time.Time, keys *seal.Keyring) (uint64, error) {
	old, err := t.row(s.ID)
	if err != nil {
		return 0, err
	}
	current := old.version
	evicted := t.evicted.Get(s.ID[:])
	if evicted != nil {
		current = binary.BigEndian.Uint64(evicted)
	}
	if current != s.Version {
		return 0, channel.ErrConflict
	}
	if err := t.delete(s.ID); err != nil {
		return 0, err
	}
	if s.Version, err = t.sessions.NextSequence(); err != nil {
		return 0, err
	}
	r := row{version: s.Version, created: old.created, tag: tag, sealed: keys.Session(s)}
	if r.created == 0 {
		r.created = s.Version
	}
	t.counts.sessions++
	return s.Version, t.put(s.ID, r, now)
}

func (t *transaction) put(id channel.SessionID, r row, now time.Time) error {
	if err := t.sessions.Put(id[:], r.marshal()); err != nil {
		return err
	}
	if err := t.peers.Put(r.peerKey(), bytes.Clone(id[:])); err != nil {
		return err
	}
	return t.saves.Put(number(r.version), append(number(uint64(max(0, now.Unix()))), id[:]...))
}

// delete removes a session and all that is known of it.
func (t *transaction) delete(id channel.SessionID) error {
	if version := t.evicted.Get(id[:]); version != nil {
		if err := t.forget(bytes.Clone(version)); err != nil {
			return err
		}
	}
	r, err := t.row(id)
	if err != nil || r.version == 0 {
		return err
	}
	t.counts.sessions--
	if err := t.saves.Delete(number(r.version)); err != nil {
		return err
	}
	if err := t.peers.Delete(r.peerKey()); err != nil {
		return err
	}
	return t.sessions.Delete(id[:])
}

// find returns the sessions with a tag, the newest first.
func (t *transaction) find(tag seal.Tag) ([]channel.SessionID, error) {
	var ids []channel.SessionID
	c := t.peers.Cursor()
	for key, id := c.Seek(tag[:]); bytes.HasPrefix(key, tag[:]); key, id = c.Next() {
		if len(id) != idSize {
			return nil, fmt.Errorf("%w: a session ID of %d octets", ErrCorrupt, len(id))
		}
		ids = append(ids, channel.SessionID(id))
	}
	slices.Reverse(ids)
	return ids, nil
}
