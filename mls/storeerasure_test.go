package mls

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// secrets returns the memory that holds the secrets of a membership.
func (s *memberState) secrets() map[string][]byte {
	all := make(map[string][]byte)
	collect := func(where string, memory map[string][]byte) {
		for path, b := range memory {
			all[where+path] = b
		}
	}
	if s.group != nil {
		collect("group", s.group.secretsForTest())
	}
	if s.pending != nil {
		collect("pending", s.pending.next.secretsForTest())
	}
	for i, p := range s.past {
		collect(fmt.Sprint("past ", i), reachable(p.senderDataSecret, p.secrets))
	}
	return all
}

// storedSecrets returns where in a device's store the octets of secret are.
func (d *device) storedSecrets(secret []byte) (where []string) {
	for name, value := range d.stored() {
		if strings.Contains(value, string(secret)) {
			where = append(where, name)
		}
	}
	slices.Sort(where)
	return where
}

// copies returns what memory holds now.
func copies(memory map[string][]byte) map[string][]byte {
	copied := make(map[string][]byte)
	for path, b := range memory {
		copied[path] = bytes.Clone(b)
	}
	return copied
}

// What an operation replaces is overwritten, in the client's memory and in a
// MemoryStore.
func TestWhatAnOperationReplacesIsErased(t *testing.T) {
	forEachOperation(t, func(t *testing.T, f *fleet, a *attempt) {
		d := a.d
		member := d.m
		var secrets map[string][]byte
		if member != nil {
			secrets = member.state.secrets()
		}
		before := maps.Clone(d.memory.records)
		if err := a.do(); err != nil {
			t.Fatal(err)
		}
		kept := make(map[*byte]bool)
		if member != nil {
			for _, b := range member.state.secrets() {
				kept[&b[0]] = true
			}
		}
		for path, b := range secrets {
			if kept[&b[0]] {
				continue
			}
			if !isZero(b) {
				t.Errorf("%s is replaced, and not erased", path)
			}
		}
		for name, r := range before {
			if d.memory.records[name].Version == r.Version {
				continue
			}
			if !isZero(r.Value) {
				t.Errorf("the store has replaced %s, and not erased it", name)
			}
		}
		a.done()
	})
}

// A capturingStore remembers the memory that goes in and out.
type capturingStore struct {
	*MemoryStore
	written, read [][]byte
}

func (s *capturingStore) Get(ctx context.Context, name string) (Record, error) {
	r, err := s.MemoryStore.Get(ctx, name)
	s.read = append(s.read, r.Value)
	return r, err
}

func (s *capturingStore) Update(ctx context.Context, changes []Change) error {
	for _, c := range changes {
		s.written = append(s.written, c.Value)
	}
	return s.MemoryStore.Update(ctx, changes)
}

// What is written is not left in memory, whatever the store says.
func TestWhatWasWrittenIsErased(t *testing.T) {
	forEachOperation(t, func(t *testing.T, f *fleet, a *attempt) {
		captured := &capturingStore{MemoryStore: a.d.memory}
		a.d.store.Store = captured
		a.d.store.saves.after = 0
		wantError(t, "the operation", a.do(), errFault)
		for i, value := range captured.written {
			if !isZero(value) {
				t.Errorf("value %d of %d is not erased", i, len(captured.written))
			}
		}
		if len(captured.written) == 0 {
			t.Error("nothing was written")
		}
	})
}

// What is read is kept where it is public. What is secret is erased at once or with
// the epoch.
func TestWhatWasReadIsErasedWithTheEpoch(t *testing.T) {
	f := ready(t)
	d := f.devices[1]
	f.commit(1, CommitOptions{})
	if _, err := d.m.ProposeUpdate(background, d.newKey(), ProposeOptions{}); err != nil {
		t.Fatal(err)
	}
	d.commit(CommitOptions{})
	captured := &capturingStore{MemoryStore: d.memory}
	d.store.Store = captured
	d.restart()
	secrets := copies(d.m.state.secrets())
	check := func(what string, exempt func(path string) bool) {
		t.Helper()
		for path, secret := range secrets {
			if exempt(path) {
				continue
			}
			for _, b := range captured.read {
				if bytes.Contains(b, secret) {
					t.Errorf("%s: %s is still in the memory that was read", what, path)
				}
			}
		}
	}
	// Those of the key schedule live there as long as the epoch does.
	schedule := regexp.MustCompile(`^(group|pending)(\.[A-Z]\w*|\[\]\.secret'*)$|^past \d+$`)
	check("after opening", schedule.MatchString)
	d.m.Close()
	check("after closing", func(string) bool { return false })
	if len(secrets) < 30 {
		t.Errorf("%d secrets are too few to show anything", len(secrets))
	}
}

func TestAUsedKeyPackageIsErasedWhereItWasRead(t *testing.T) {
	f := newFleet(t, 1)
	joiner := f.newDevice()
	add := joiner.keyPackage()
	b, _, err := joiner.c.keyPackage(background, keyPackageRecord(add.KeyPackage.Ref(f.suite)))
	if err != nil {
		t.Fatal(err)
	}
	secrets := map[string][]byte{"init key": b.initKey.Bytes(), "leaf key": b.encryptionKey.Bytes()}
	for name, secret := range secrets {
		if joiner.storedSecrets(secret) == nil {
			t.Errorf("the %s is not stored", name)
		}
	}
	captured := &capturingStore{MemoryStore: joiner.memory}
	joiner.store.Store = captured
	out := f.devices[0].commit(CommitOptions{Proposals: []Proposal{add}})
	joiner.join(out.Welcome, nil)
	for name, secret := range secrets {
		for _, value := range captured.read {
			if bytes.Contains(value, secret) {
				t.Errorf("the %s is still in the memory that was read", name)
			}
		}
	}
	if where := joiner.storedSecrets(secrets["init key"]); where != nil {
		t.Errorf("the init key is still stored in %s", where)
	}
}

// Whoever steals the store finds nothing of what is over: no keys of messages that
// were read or sent, no secrets of an epoch that is not kept, and of one that is
// kept only what its messages need.
func TestAStolenStoreDoesNotReadThePast(t *testing.T) {
	f := ready(t)
	peer, d := f.devices[0], f.devices[1]
	var messages [][]byte
	talk := func() {
		t.Helper()
		from, to := peer.protect("to the victim"), d.protect("from the victim")
		d.reads(from, "to the victim")
		peer.reads(to, "from the victim")
		messages = append(messages, from, to)
	}
	gone := func(what string, secrets map[string][]byte, kept ...string) {
		t.Helper()
		for path, secret := range secrets {
			if slices.ContainsFunc(kept, func(k string) bool { return strings.Contains(path, k) }) {
				continue
			}
			if where := d.storedSecrets(secret); where != nil {
				t.Errorf("%s: %s is still in %s", what, path, where)
			}
		}
	}

	// Ratchet secrets and keys go with their use.
	talk()
	ratchets := copies(reachable(d.m.state.group.secrets))
	talk()
	used := 0
	for _, secret := range ratchets {
		if d.storedSecrets(secret) == nil {
			used++
		}
	}
	if used != 2 { // the application ratchets of the two
		t.Errorf("%d ratchet secrets are gone, want 2", used)
	}

	// Of an epoch that is over, its messages' keys are kept, and its resumption PSK.
	epoch := copies(reachable(d.m.state.group.epoch))
	all := copies(d.m.state.group.secretsForTest())
	f.commit(1, CommitOptions{})
	gone("after a commit", epoch, "SenderDataSecret", "ResumptionPSK")
	for range DefaultPastEpochs {
		talk()
		f.commit(2, CommitOptions{})
	}
	gone("when the epoch is not kept any more", all, "ResumptionPSK")
	f.commit(1, CommitOptions{})
	f.commit(1, CommitOptions{})
	gone("when its resumption PSK is not kept any more", all)

	// The thief opens what there is, with the victim's signature key.
	thief := &device{client: d.client, f: f, keys: d.keys, memory: NewMemoryStore(), random: d.random}
	for name, r := range d.memory.records {
		thief.memory.records[name] = Record{bytes.Clone(r.Value), r.Version}
	}
	thief.store = &faultyStore{thief.memory, &faults{after: -1}, &faults{after: -1}}
	thief.m = d.m.client.newMembership(d.m.groupID)
	thief.reopen()
	for _, message := range messages {
		thief.refuses(message, nil)
	}
	late := peer.protect("not read yet")
	thief.reads(late, "not read yet") // the search is one that finds something
}
