package main

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// maxEntries bounds what the server remembers. The runner never frees key packages
// that nobody used, external signers, the states of those who join again or found a
// branch: the oldest entry gives way.
const maxEntries = 1 << 14

// An idSpace numbers what the RPCs refer to, from 1 on. States, transactions and
// signers share one, since StorePSK has one field for the first two.
type idSpace struct {
	entries      map[uint32]entry
	last, oldest uint32
}

// An entry is a *state, a *transaction or an *externalSigner.
type entry interface {
	kind() string // the same for each value of a type, nil included
	erase()       // the secrets
}

func (ids *idSpace) add(e entry) (id uint32) {
	for len(ids.entries) >= maxEntries {
		ids.remove(ids.oldest)
		ids.oldest++
	}
	ids.last++
	ids.entries[ids.last] = e
	return ids.last
}

// remove erases an entry and forgets it, if there is one with this id.
func (ids *idSpace) remove(id uint32) {
	if e, ok := ids.entries[id]; ok {
		e.erase()
		delete(ids.entries, id)
	}
}

// find returns the entry of a type that has the given id.
func find[T entry](ids *idSpace, id uint32) (T, error) {
	e, ok := ids.entries[id].(T)
	if !ok {
		return e, status.Errorf(codes.NotFound, "there is no %s with the id %d", e.kind(), id)
	}
	return e, nil
}
