// Package storetest checks implementations of [mls.Store], in their own tests:
//
//	func TestStore(t *testing.T) {
//		storetest.Test(t, func() mls.Store { return newStore(t.TempDir()) })
//	}
//
// What it cannot check is that Update is durable: that what it has saved is there
// after the power was cut, and nothing of what it has not.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/mendlink/mendlink/mls"
)

// Test checks the rules of [mls.Store]. new returns an empty store each time.
func Test(t *testing.T, new func() mls.Store) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, mls.Store)
	}{
		{"an empty store has nothing", emptiness},
		{"records are kept", records},
		{"a record has the version that the last change said", versions},
		{"changes that name another version are conflicts", conflicts},
		{"an update is made as a whole or not at all", atomicity},
		{"values are neither kept nor shared", ownership},
		{"names are found by prefix", names},
		{"names and values may be long", sizes},
		{"one of several writers wins", concurrency},
		{"a cancelled context leaves nothing half done", cancellation},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, new()) })
	}
}

func emptiness(t *testing.T, s mls.Store) {
	wantNone(t, s, "group/01")
	wantNames(t, s, "")
	update(t, s) // no changes
}

func records(t *testing.T, s mls.Store) {
	// A name may be the beginning of another one.
	values := map[string][]byte{"group/01": {1, 2, 3}, "group/01/epoch": {0, 0xff}, "group/01/past/7": {7}, "keypackage/abc": {}}
	var changes []mls.Change
	for name, value := range values {
		changes = append(changes, mls.Change{Name: name, Value: value})
	}
	update(t, s, changes...)
	for name, value := range values {
		want(t, s, name, value, 1)
	}
	update(t, s,
		mls.Change{Name: "group/01", Version: 1, Value: []byte{4}},
		mls.Change{Name: "group/01/epoch", Version: 1},
		mls.Change{Name: "group/01/pending", Value: []byte{5}})
	want(t, s, "group/01", []byte{4}, 2)
	wantNone(t, s, "group/01/epoch")
	want(t, s, "group/01/pending", []byte{5}, 1)
	want(t, s, "group/01/past/7", []byte{7}, 1)
	want(t, s, "keypackage/abc", nil, 1) // an empty value is a value
}

func versions(t *testing.T, s mls.Store) {
	for version := range uint64(5) {
		update(t, s, mls.Change{Name: "a", Version: version, Value: []byte{byte(version)}})
		want(t, s, "a", []byte{byte(version)}, version+1)
	}
	update(t, s, mls.Change{Name: "a", Version: 5, Value: []byte{4}}) // the same value is a change
	want(t, s, "a", []byte{4}, 6)
	update(t, s, mls.Change{Name: "a", Version: 6})
	wantNone(t, s, "a")
	update(t, s, mls.Change{Name: "a", Value: []byte("anew")})
	want(t, s, "a", []byte("anew"), 1)
	const drawn = 1<<63 - 3 // as new records may have
	update(t, s, mls.Change{Name: "b", Value: []byte("first"), Next: drawn})
	want(t, s, "b", []byte("first"), drawn)
	update(t, s, mls.Change{Name: "b", Version: drawn, Value: []byte("second")})
	want(t, s, "b", []byte("second"), drawn+1)
}

func conflicts(t *testing.T, s mls.Store) {
	update(t, s, mls.Change{Name: "a", Value: []byte("1")})
	update(t, s, mls.Change{Name: "a", Version: 1, Value: []byte("2")})
	for what, change := range map[string]mls.Change{
		"creating what is there":         {Name: "a", Value: []byte("x")},
		"replacing an older version":     {Name: "a", Version: 1, Value: []byte("x")},
		"replacing a later version":      {Name: "a", Version: 3, Value: []byte("x")},
		"deleting an older version":      {Name: "a", Version: 1},
		"replacing what is not there":    {Name: "b", Version: 1, Value: []byte("x")},
		"deleting what is not there":     {Name: "b", Version: 1},
		"deleting what is there, unseen": {Name: "a"},
	} {
		wantConflict(t, s, what, change)
		want(t, s, "a", []byte("2"), 2)
		wantNone(t, s, "b")
	}
}

func atomicity(t *testing.T, s mls.Store) {
	update(t, s, mls.Change{Name: "kept", Value: []byte("1")}, mls.Change{Name: "deleted", Value: []byte("1")})
	good := []mls.Change{
		{Name: "kept", Version: 1, Value: []byte("2")},
		{Name: "deleted", Version: 1},
		{Name: "new", Value: []byte("1")},
	}
	for at := range len(good) + 1 {
		changes := slices.Insert(slices.Clone(good), at, mls.Change{Name: "bad", Version: 1, Value: []byte("x")})
		wantConflict(t, s, fmt.Sprintf("change %d of %d", at+1, len(changes)), changes...)
		want(t, s, "kept", []byte("1"), 1)
		want(t, s, "deleted", []byte("1"), 1)
		wantNone(t, s, "new")
		wantNone(t, s, "bad")
	}
	update(t, s, good...)
	wantNames(t, s, "", "kept", "new")
}

func ownership(t *testing.T, s mls.Store) {
	value := []byte("secret")
	update(t, s, mls.Change{Name: "a", Value: value})
	clear(value) // as its owner does
	want(t, s, "a", []byte("secret"), 1)
	got, err := s.Get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	other, err := s.Get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	clear(got.Value)
	if string(other.Value) != "secret" {
		t.Error("two callers of Get share memory")
	}
	want(t, s, "a", []byte("secret"), 1)
	update(t, s, mls.Change{Name: "a", Version: 1, Value: []byte("other.")})
	if string(other.Value) != "secret" {
		t.Error("an Update has changed what Get returned")
	}
}

func names(t *testing.T, s mls.Store) {
	all := []string{"group/0a", "group/0a/epoch", "group/0ab", "group/0ab/epoch", "groups", "keypackage/1", "keypackage/2"}
	for _, name := range all {
		update(t, s, mls.Change{Name: name, Value: []byte(name)})
	}
	for prefix, found := range map[string][]string{
		"":             all,
		"g":            all[:5],
		"group/":       all[:4],
		"group/0a":     all[:4],
		"group/0a/":    all[1:2],
		"group/0b":     nil,
		"keypackage/":  all[5:],
		"keypackage/2": all[6:],
		"roup":         nil,
	} {
		wantNames(t, s, prefix, found...)
	}
	update(t, s, mls.Change{Name: "group/0a", Version: 1})
	wantNames(t, s, "group/0a", all[1:4]...)
}

func sizes(t *testing.T, s mls.Store) {
	long := "group/" + string(bytes.Repeat([]byte("0a"), 255)) // a group ID of 255 octets
	value := bytes.Repeat([]byte{0, 1, 2, 3}, 1<<18)
	update(t, s, mls.Change{Name: long, Value: value}, mls.Change{Name: long + "/epoch", Value: value[1:]})
	want(t, s, long, value, 1)
	want(t, s, long+"/epoch", value[1:], 1)
	wantNames(t, s, long, long, long+"/epoch")
}

func concurrency(t *testing.T, s mls.Store) {
	const writers, rounds = 4, 25
	update(t, s, mls.Change{Name: "counter", Value: []byte{0}}, mls.Change{Name: "copy", Value: []byte{0}})
	t.Run("writers", func(t *testing.T) {
		for range writers {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				for range rounds {
					increment(t, s)
				}
			})
		}
	})
	want(t, s, "counter", []byte{writers * rounds}, writers*rounds+1)
	want(t, s, "copy", []byte{writers * rounds}, writers*rounds+1)
}

// increment adds one to two records, after as many conflicts as it takes.
func increment(t *testing.T, s mls.Store) {
	t.Helper()
	for {
		r, err := s.Get(t.Context(), "counter")
		if err != nil {
			t.Fatal(err)
		}
		value := []byte{r.Value[0] + 1}
		err = s.Update(t.Context(), counted([]mls.Change{{Name: "copy", Version: r.Version, Value: value}, {Name: "counter", Version: r.Version, Value: value}}))
		if err == nil {
			return
		}
		if !errors.Is(err, mls.ErrConflict) {
			t.Fatalf("a writer that was overtaken: error %v, want one that matches ErrConflict", err)
		}
	}
}

func cancellation(t *testing.T, s mls.Store) {
	update(t, s, mls.Change{Name: "a", Value: []byte("1")})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	version, value := uint64(1), []byte("1")
	err := s.Update(ctx, counted([]mls.Change{{Name: "a", Version: 1, Value: []byte("2")}, {Name: "b", Value: []byte("1")}}))
	if err == nil { // a store may be too quick to notice
		version, value = 2, []byte("2")
		want(t, s, "b", []byte("1"), 1)
	} else {
		if errors.Is(err, mls.ErrConflict) || errors.Is(err, mls.ErrNotStored) {
			t.Errorf("error %v, which means something else", err)
		}
		wantNone(t, s, "b")
	}
	want(t, s, "a", value, version)
}

// counted gives changes that do not say a version the next one.
func counted(changes []mls.Change) []mls.Change {
	changes = slices.Clone(changes)
	for i, c := range changes {
		if c.Next == 0 && c.Value != nil {
			changes[i].Next = c.Version + 1
		}
	}
	return changes
}

func update(t *testing.T, s mls.Store, changes ...mls.Change) {
	t.Helper()
	if err := s.Update(t.Context(), counted(changes)); err != nil {
		t.Fatalf("Update: %v", err)
	}
}

func want(t *testing.T, s mls.Store, name string, value []byte, version uint64) {
	t.Helper()
	r, err := s.Get(t.Context(), name)
	if err != nil {
		t.Fatalf("Get %s: %v", name, err)
	}
	if !bytes.Equal(r.Value, value) || r.Version != version {
		t.Errorf("%s is %.40x in version %d, want %.40x in version %d", name, r.Value, r.Version, value, version)
	}
}

func wantNone(t *testing.T, s mls.Store, name string) {
	t.Helper()
	if r, err := s.Get(t.Context(), name); !errors.Is(err, mls.ErrNotStored) {
		t.Errorf("Get %s: %.40x, error %v, want one that matches ErrNotStored", name, r.Value, err)
	}
}

func wantNames(t *testing.T, s mls.Store, prefix string, want ...string) {
	t.Helper()
	got, err := s.Names(t.Context(), prefix)
	if err != nil {
		t.Fatalf("Names %q: %v", prefix, err)
	}
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Errorf("names with prefix %q are %q, want %q", prefix, got, want)
	}
}

func wantConflict(t *testing.T, s mls.Store, what string, changes ...mls.Change) {
	t.Helper()
	if err := s.Update(t.Context(), counted(changes)); !errors.Is(err, mls.ErrConflict) {
		t.Errorf("%s: error %v, want one that matches ErrConflict", what, err)
	}
}
