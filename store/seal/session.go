package seal

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/mendlink/mendlink/channel"
	"github.com/mendlink/mendlink/internal/wire"
)

// What is sealed of a session, bound to its ID and version:
//
//	struct { opaque peer<V>; opaque data<V>; } StoredSession;

// Session seals a session for the place of s.ID in the version s.Version, which has to
// be the one that it will have there.
func (k *Keyring) Session(s channel.StoredSession) []byte {
	const lengths = 8 // those of both vectors
	sealed, room := k.begin(lengths + len(s.Peer) + len(s.Data))
	w := wire.NewWriter(room)
	w.String(s.Peer)
	w.Opaque(s.Data)
	return k.finish(sealed, w.Data(), sessionPlace(s.ID, s.Version))
}

// OpenSession opens what was found in the place of a session, in this version there. It matches [channel.ErrNoSession] besides what
// [Keyring.Open] says: a session that cannot be read is of no use, and both ends go on to a full handshake.
func (k *Keyring) OpenSession(id channel.SessionID, version uint64, sealed []byte) (channel.StoredSession, error) {
	s := channel.StoredSession{ID: id, Version: version}
	plaintext, err := k.Open(sealed, sessionPlace(id, version))
	if err != nil {
		return channel.StoredSession{}, fmt.Errorf("%w: %v, version %d: %w", channel.ErrNoSession, id, version, err)
	}
	r := wire.NewReader(plaintext)
	s.Peer, s.Data = string(r.Opaque()), r.Opaque()
	if err := r.Finish(); err != nil {
		clear(plaintext)
		return channel.StoredSession{}, fmt.Errorf("%w: %v, version %d: %w: %w", channel.ErrNoSession, id, version, ErrForged, err)
	}
	return s, nil
}

func sessionPlace(id channel.SessionID, version uint64) []byte {
	return append(binary.BigEndian.AppendUint64([]byte("session"), version), id[:]...)
}

// A Tag stands for a label: the same one for the same label, and nothing that could be told of the
// label without the [Index].
type Tag [16]byte

// An Index makes tags of labels, under a key of its own. That is drawn when a store
// is made, and kept there in sealed form, so that tags stay as they are when the operator's key is replaced.
type Index struct {
	key [sha256.Size]byte
}

// NewIndex returns an Index with a new key.
func NewIndex() *Index {
	x := new(Index)
	rand.Read(x.key[:]) // never fails
	return x
}

var indexPlace = []byte("index")

// Index seals the key of an Index.
func (k *Keyring) Index(x *Index) []byte { return k.Seal(x.key[:], indexPlace) }

// OpenIndex opens the sealed key of an Index. Its errors are those of [Keyring.Open].
func (k *Keyring) OpenIndex(sealed []byte) (*Index, error) {
	key, err := k.Open(sealed, indexPlace)
	if err != nil {
		return nil, fmt.Errorf("seal: opening the key of the index: %w", err)
	}
	defer clear(key)
	if len(key) != sha256.Size {
		return nil, fmt.Errorf("%w: an index key of %d octets, want %d", ErrForged, len(key), sha256.Size)
	}
	return &Index{key: [sha256.Size]byte(key)}, nil
}

// Tag returns the tag of a label.
func (x *Index) Tag(peer string) Tag {
	h := hmac.New(sha256.New, x.key[:])
	h.Write([]byte(peer))
	return Tag(h.Sum(nil)[:len(Tag{})])
}
