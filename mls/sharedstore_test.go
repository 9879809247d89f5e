package mls

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"sync"
	"testing"
)

// twin returns the same device in another process.
func (d *device) twin() *device {
	d.f.t.Helper()
	other := *d
	other.c = d.newClient()
	var err error
	if other.m, err = other.c.Open(background, d.m.GroupID()); err != nil {
		d.f.t.Fatal(err)
	}
	return &other
}

// Two processes have the same membership open. Whichever moves first moves it: the
// other has a conflict, changes nothing, and goes on once it has opened it anew.
func TestOnlyOneOfTwoProcessesMovesAGroup(t *testing.T) {
	forEachOperation(t, func(t *testing.T, f *fleet, a *attempt) {
		d := a.d
		if d.m == nil {
			return // there is no group yet
		}
		other, m := d.twin(), d.m
		if err := other.m.EraseExpired(background); err != nil {
			t.Fatal(err)
		}
		remembered, stored := d.remembers(), d.stored()
		err := a.do()
		if err != nil {
			wantError(t, "the operation", err, ErrConflict)
			d.sameAs("a conflict", remembered, stored)
			d.reopen()
			m = d.m
			if err := a.do(); err != nil {
				t.Fatal(err)
			}
		}
		if d.stored()[m.head()] == stored[m.head()] {
			return // it was not about this group
		}
		if err == nil && d.m == m {
			t.Fatal("the membership was moved on from a state that was not the last")
		}
		a.done()

		remembered, stored = other.remembers(), d.stored()
		wantError(t, "an operation of the other process", other.m.EraseExpired(background), ErrConflict)
		other.sameAs("a conflict", remembered, stored)
		if _, there := stored[m.head()]; !there {
			other.m.Close()
			_, err := other.c.Open(background, m.GroupID())
			wantError(t, "opening", err, ErrNotStored)
			return
		}
		other.keys = d.keys
		other.reopen()
		if !bytes.Equal(other.remembers(), d.remembers()) {
			t.Error("the two processes open different states")
		}
	})
}

func TestAKeyPackageServesForOneGroup(t *testing.T) {
	f, g := newFleet(t, 1), otherFleet(t, 1)
	joiner := f.newDevice()
	joiner.cfg.Rand = rand.Reader // for both at once
	joiner.c = joiner.newClient()
	add := joiner.keyPackage()
	second := &device{client: joiner.client, f: f, keys: joiner.keys, memory: joiner.memory, store: joiner.store}
	second.c = second.newClient()
	toF := f.devices[0].commit(CommitOptions{Proposals: []Proposal{add}})
	toG := g.devices[0].commit(CommitOptions{Proposals: []Proposal{add}})

	// The two processes read the key package at the same time.
	var read sync.WaitGroup
	read.Add(2)
	joiner.store.Store = &readFirst{joiner.memory, &read}
	var joining sync.WaitGroup
	var errs [2]error
	joining.Go(func() { joiner.m, errs[0] = joiner.c.Join(background, toF.Welcome, nil) })
	joining.Go(func() { second.m, errs[1] = second.c.Join(background, toG.Welcome, nil) })
	joining.Wait()
	if errs[0] == nil {
		errs[0], errs[1] = errs[1], errs[0]
	}
	wantError(t, "the one", errs[1], nil)
	wantError(t, "the other", errs[0], ErrConflict)
	if broken := (*Error)(nil); errors.As(errs[0], &broken) {
		t.Errorf("the key package is gone, and the client hears of rule %s", broken.Check)
	}
	ids, err := joiner.c.Groups(background)
	if err != nil || len(ids) != 1 {
		t.Errorf("the client is in groups %x, %v", ids, err)
	}
	for _, welcome := range [][]byte{toF.Welcome, toG.Welcome} {
		_, err = joiner.c.Join(background, welcome, nil)
		wantError(t, "joining later", err, ErrNotStored)
	}
}

// readFirst lets nobody write before all who have announced it have read.
type readFirst struct {
	*MemoryStore
	reading *sync.WaitGroup
}

func (s *readFirst) Get(ctx context.Context, name string) (Record, error) {
	defer s.reading.Done()
	return s.MemoryStore.Get(ctx, name)
}

func (s *readFirst) Update(ctx context.Context, changes []Change) error {
	s.reading.Wait()
	return s.MemoryStore.Update(ctx, changes)
}

// A group that names itself as its successor cannot be continued by clients, who are in
// it: neither while its records are there nor after another process has deleted them.
func TestAMembershipIsNotItsOwnSuccessor(t *testing.T) {
	for _, deleted := range []bool{false, true} {
		f := newFleet(t, 3)
		f.commit(0, CommitOptions{Proposals: []Proposal{&ReInit{GroupID: f.devices[0].m.GroupID(), Version: MLS10, CipherSuite: f.suite.ID()}}})
		var keyPackages []*KeyPackage
		for _, d := range f.devices[1:] {
			keyPackages = append(keyPackages, d.keyPackage().KeyPackage)
		}
		founding, err := f.devices[0].m.state.group.ReInitialize(SuccessorOptions{KeyPackages: keyPackages})
		if err != nil {
			t.Fatal(err)
		}
		d := f.devices[1]
		if deleted {
			twin := d.twin()
			twin.do("forgets the group", func() error { return twin.m.Forget(background) })
		}
		remembered, stored := d.remembers(), d.stored()
		_, err = d.m.JoinSuccessor(background, founding.Welcome(), nil)
		wantError(t, "joining", err, ErrConflict)
		wantCheck(t, err, CheckGroupIDUnique)
		_, _, err = d.m.ReInitialize(background, SuccessorOptions{KeyPackages: []*KeyPackage{f.devices[0].keyPackage().KeyPackage, keyPackages[1]}})
		wantError(t, "founding", err, ErrConflict)
		wantCheck(t, err, CheckGroupIDUnique)
		d.sameAs("conflicts", remembered, stored)
	}
}

// A client that has missed its removal and is invited anew keeps its key package,
// until it gives the old membership up.
func TestAMembershipIsNotOverwrittenByAnother(t *testing.T) {
	f := newFleet(t, 2)
	d := f.devices[1]
	out := f.devices[0].commit(CommitOptions{Proposals: []Proposal{&Remove{Removed: 1}, d.keyPackage()}})
	f.devices[0].accept()
	remembered, stored := d.remembers(), d.stored()
	_, err := d.c.Join(background, out.Welcome, nil)
	wantError(t, "joining", err, ErrConflict)
	wantCheck(t, err, CheckGroupIDUnique)
	d.store.after = 3 // when it looks what the conflict is with
	_, err = d.c.Join(background, out.Welcome, nil)
	wantError(t, "joining", err, ErrConflict)
	wantError(t, "joining", err, errFault)
	_, err = d.c.CreateGroup(background, GroupOptions{Suite: f.suite.ID(), Identity: d.id, GroupID: d.m.GroupID()})
	wantError(t, "creating a group of this ID", err, ErrConflict)
	wantCheck(t, err, CheckGroupIDUnique)
	info, err := f.devices[0].m.GroupInfo(GroupInfoOptions{})
	if err != nil {
		t.Fatal(err)
	}
	other := f.newClient().id
	_, _, err = d.c.JoinExternal(background, info, ExternalJoinOptions{Identity: other})
	wantError(t, "joining from outside", err, ErrConflict)
	wantCheck(t, err, CheckGroupIDUnique)
	d.sameAs("conflicts", remembered, stored)

	d.do("forgets the group", func() error { return d.m.Forget(background) })
	d.join(out.Welcome, nil)
	f.checkAgreement()
	f.checkMessages()
}

// A membership that cannot be read any more, or whose signature key is gone, can
// still be replaced. What is left of it goes, and of no other group.
func TestAnUnreadableMembershipIsReplaced(t *testing.T) {
	for name, spoil := range map[string]func(d *device){
		"another version": func(d *device) {
			record, err := d.memory.Get(background, d.m.head())
			if err != nil {
				d.f.t.Fatal(err)
			}
			record.Value[0] = 0xff
			if err := d.memory.Update(background, []Change{{Name: d.m.head(), Version: record.Version, Value: record.Value, Next: record.Version + 1}}); err != nil {
				d.f.t.Fatal(err)
			}
		},
		"no signer":                       func(d *device) { d.keys = nil },
		"no signer of the pending commit": func(d *device) { d.keys = d.keys[:1] },
	} {
		t.Run(name, func(t *testing.T) {
			f := ready(t)
			d := f.devices[1]
			d.commit(CommitOptions{Leaf: d.newKey()})
			neighbour := append(d.m.GroupID(), 1)
			if _, err := d.c.CreateGroup(background, GroupOptions{Suite: f.suite.ID(), Identity: d.id, GroupID: neighbour}); err != nil {
				t.Fatal(err)
			}
			spoil(d)
			d.m.Close()
			d.c = d.newClient()
			_, err := d.c.Open(background, d.m.GroupID())
			if err == nil || errors.Is(err, ErrNotStored) {
				t.Fatalf("opening: %v", err)
			}

			d.keys = keyring{d.id.Signer}
			a := f.joiningFromOutside(d, ExternalJoinOptions{
				Identity: d.id, Resync: func(leaf *LeafNode) bool { return leaf.Credential.Equal(d.id.Credential) },
			})
			if err := a.do(); err != nil {
				t.Fatal(err)
			}
			a.done()
			records := len(d.stored())
			if want := 2 + 2; records != want { // head and epoch of both groups
				t.Errorf("%d records are stored, want %d", records, want)
			}
			d.restart()
			if _, err := d.c.Open(background, neighbour); err != nil {
				t.Error(err)
			}
		})
	}
}

// What is read while another process writes is not put together.
func TestRecordsOfDifferentMomentsAreNotMixed(t *testing.T) {
	f := ready(t)
	d := f.devices[1]
	d.commit(CommitOptions{})
	before := maps.Clone(d.memory.records)
	for name, r := range before {
		before[name] = Record{bytes.Clone(r.Value), r.Version}
	}
	f.commit(0, CommitOptions{})
	d.commit(CommitOptions{})
	after := d.memory.records
	past := func(epoch uint64) string { return d.m.past(epoch) }
	for name, test := range map[string]struct {
		change func(map[string]Record)
		want   error
	}{
		"nothing is changed":                  {func(map[string]Record) {}, nil},
		"the epoch of before":                 {func(r map[string]Record) { r[d.m.epochRecord()] = before[d.m.epochRecord()] }, ErrConflict},
		"the head of before":                  {func(r map[string]Record) { r[d.m.head()] = before[d.m.head()] }, ErrConflict},
		"the pending commit of before":        {func(r map[string]Record) { r[d.m.pendingRecord()] = before[d.m.pendingRecord()] }, ErrConflict},
		"another past epoch":                  {func(r map[string]Record) { r[past(1)] = r[past(2)] }, ErrConflict},
		"no epoch":                            {func(r map[string]Record) { delete(r, d.m.epochRecord()) }, ErrConflict},
		"no pending commit":                   {func(r map[string]Record) { delete(r, d.m.pendingRecord()) }, ErrConflict},
		"no past epoch":                       {func(r map[string]Record) { delete(r, past(1)) }, ErrConflict},
		"no head":                             {func(r map[string]Record) { delete(r, d.m.head()) }, ErrNotStored},
		"a head of a later version":           {func(r map[string]Record) { r[d.m.head()].Value[0] = 0xff }, ErrUnsupported},
		"a state of a later version":          {func(r map[string]Record) { r[d.m.head()].Value[2+8] = 0xff }, ErrUnsupported},
		"an epoch of a later version":         {func(r map[string]Record) { r[d.m.epochRecord()].Value[0] = 0xff }, ErrUnsupported},
		"a pending commit of a later version": {func(r map[string]Record) { r[d.m.pendingRecord()].Value[0] = 0xff }, ErrUnsupported},
		"a past epoch of a later version":     {func(r map[string]Record) { r[past(2)].Value[0] = 0xff }, ErrUnsupported},
	} {
		other := d.with(t, after)
		test.change(other.memory.records)
		m, err := other.c.Open(background, d.m.GroupID())
		if test.want == nil {
			wantError(t, name, err, nil)
		} else if m != nil || !errors.Is(err, test.want) {
			t.Errorf("%s: %v, error %v, want %v", name, m, err, test.want)
		}
	}
}

// A process that has slept through the end of a membership does not take another
// one in the same group for it, however few steps that has made.
func TestAMembershipThatWasMadeAnewIsAnotherOne(t *testing.T) {
	f := newFleet(t, 1)
	d := f.devices[0]
	sleeper, groupID := d.twin(), d.m.GroupID()
	if err := d.m.Forget(background); err != nil {
		t.Fatal(err)
	}
	var err error
	if d.m, err = d.c.CreateGroup(background, GroupOptions{Suite: suite1, Identity: d.id, GroupID: groupID}); err != nil {
		t.Fatal(err)
	}
	stored := d.stored()
	_, err = sleeper.m.Protect(background, []byte("good morning"), nil)
	wantError(t, "the sleeper's message", err, ErrConflict)
	if !maps.Equal(d.stored(), stored) {
		t.Error("the sleeper has changed the store")
	}
}
