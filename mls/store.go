package mls

import (
	"context"
	"errors"
)

var (
	// ErrNotStored means that a [Store] has no record of that name, and of a
	// [Client] that it is not in a group, or has no key package that fits.
	ErrNotStored = errors.New("mls: not stored")
	// ErrConflict means that a record in a [Store] is not of the version that
	// it should have: somebody else, who uses the same store, has changed it.
	ErrConflict = errors.New("mls: stored state was changed by another")
)

// A Store keeps what a [Client] has to remember: records, each of which has a
// name and a version. It is all that the client needs of a database, a
// key-value store or a directory of files:
//
//	CREATE TABLE records (name TEXT PRIMARY KEY, version INTEGER, value BLOB)
//
// A store is used from several goroutines at once. Several processes may share
// one: versions see to it that only one of them moves a group on. Package
// storetest checks that an implementation does what it should.
//
// Values hold private keys. Whoever can read them can read what the groups say,
// so that a store should encrypt what it writes; and what a store keeps of values
// that were replaced or deleted, in a log or a backup, takes the forward secrecy
// of the groups away for as long as it is kept.
type Store interface {
	// Get returns a record. An error that matches [ErrNotStored] means that
	// there is none of this name.
	Get(ctx context.Context, name string) (Record, error)
	// Update makes all changes, durably, or none of them if it returns an
	// error. One that matches [ErrConflict] means that a record's version is
	// not the one that its change names. Update must not keep the values.
	Update(ctx context.Context, changes []Change) error
	// Names returns the names that begin with prefix, in any order.
	Names(ctx context.Context, prefix string) ([]string, error)
}

// A Record is what a [Store] keeps under a name.
type Record struct {
	Value   []byte // the caller's to change
	Version uint64 // what the last change said; never 0
}

// A Change writes or deletes a record of a [Store]. Names consist of letters,
// digits and slashes.
type Change struct {
	Name string
	// Version is that of the record which is replaced or deleted, 0 if there
	// must be none.
	Version uint64
	// Value is the new one. Nil deletes the record.
	Value []byte
	// Next is the version that the record has afterwards, if it is not deleted:
	// Version+1, or for some new records a random number, so that one that is
	// deleted and made again cannot be taken for what it was.
	Next uint64
}
