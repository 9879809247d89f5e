package mls

import (
	"bytes"
	"maps"
	"runtime"
	"slices"
	"testing"
)

// allocationsFor runs do and fails the test if it allocates out of proportion to
// the octets that it is given.
func allocationsFor(t *testing.T, octets int, do func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	if got, bound := after.TotalAlloc-before.TotalAlloc, uint64(1<<20+1<<10*octets); got > bound {
		t.Errorf("%d octets make it allocate %d", octets, got)
	}
}

// wantSame fails the test if what was restored is not what was written.
func wantSame(t *testing.T, written, restored []byte) {
	t.Helper()
	if !bytes.Equal(written, restored) {
		t.Errorf("%d octets were written, and other %d restored", len(written), len(restored))
	}
}

func FuzzRestorePendingCommit(f *testing.F) {
	c := newCrowd(f, suite1, 3)
	m := c.members[1]
	c.propose(0, &Remove{Removed: 2})
	for _, o := range []CommitOptions{{}, {WithoutPending: true, WireFormat: WireFormatPublicMessage}, {Proposals: []Proposal{c.invite(LeafOptions{})}, AuthenticatedData: []byte("more")}} {
		p, err := m.g.Commit(o)
		if err != nil {
			f.Fatal(err)
		}
		state, err := p.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(state)
	}
	f.Fuzz(func(t *testing.T, state []byte) {
		allocationsFor(t, len(state), func() {
			p, err := RestorePendingCommit(m.cfg, m.id.Signer, state)
			if err != nil {
				return
			}
			once, err := p.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			if p, err = RestorePendingCommit(m.cfg, m.id.Signer, once); err != nil {
				t.Fatal(err)
			}
			again, err := p.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			wantSame(t, once, again)
			p.Erase()
		})
	})
}

func FuzzRestoreKeyPackage(f *testing.F) {
	c := newCrowd(f, suite1, 1)
	c.invite(LeafOptions{Extensions: Extensions{{Type: 0xF0C0, Data: []byte("more")}}})
	joiner := c.invited[0]
	state, err := joiner.bundle.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(state)
	f.Fuzz(func(t *testing.T, state []byte) {
		allocationsFor(t, len(state), func() {
			b, err := RestoreKeyPackage(joiner.cfg, joiner.id.Signer, state)
			if err != nil {
				return
			}
			once, err := b.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			if b, err = RestoreKeyPackage(joiner.cfg, joiner.id.Signer, once); err != nil {
				t.Fatal(err)
			}
			again, err := b.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			wantSame(t, once, again)
			b.Erase()
		})
	})
}

// everything returns a device that has every kind of record, and messages to it of
// every kind.
func everything(t failer) (d *device, messages [][]byte) {
	t.Helper()
	f := ready(t)
	peer, d := f.devices[0], f.devices[1]
	messages = append(messages, peer.protect("late"), d.protect("own, late"))
	f.commit(2, CommitOptions{})
	keep := func(message []byte, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		messages = append(messages, message)
	}
	overtaken := peer.protect("overtaken")
	d.reads(peer.protect("in time"), "in time")
	messages = append(messages, overtaken, peer.protect("data"), d.protect("own"))
	messages = append(messages, d.commit(CommitOptions{}).Commit)
	keep(d.m.ProposeUpdate(background, d.newKey(), ProposeOptions{}))
	for _, format := range []WireFormat{WireFormatPublicMessage, WireFormatPrivateMessage} {
		o := ProposeOptions{WireFormat: format}
		keep(peer.m.ProposeUpdate(background, LeafChanges{}, o))
		keep(peer.m.Propose(background, &Remove{Removed: 2}, o))
		for _, proposals := range [][]Proposal{nil, {&Remove{Removed: 2}}, {&Remove{Removed: 1}}} {
			p, err := peer.m.CommitDetached(background, CommitOptions{Proposals: proposals, WithoutPending: true, WireFormat: format})
			if err != nil {
				t.Fatal(err)
			}
			keep(p.Message(), nil)
		}
	}
	d.keyPackage()
	return d, messages
}

// A membership that is restored from anything at all does not panic, nor allocate
// without measure. If it can be opened, then also once it is saved again.
func FuzzStoredMembership(f *testing.F) {
	d, _ := everything(f)
	stored := d.memory.records
	names := slices.Sorted(maps.Keys(stored))
	total := 0
	for i, name := range names {
		total += len(stored[name].Value)
		f.Add(uint8(i), bytes.Clone(stored[name].Value))
	}
	f.Fuzz(func(t *testing.T, which uint8, value []byte) {
		name := names[int(which)%len(names)]
		restored := d.with(t, stored)
		restored.memory.records[name] = Record{bytes.Clone(value), stored[name].Version}
		allocationsFor(t, len(value)+total, func() {
			m, err := restored.c.Open(background, d.m.GroupID())
			if err != nil {
				return
			}
			if err := m.EraseExpired(background); err != nil {
				t.Fatal(err)
			}
			before := m.remembers(t)
			m.Close()
			if m, err = restored.c.Open(background, d.m.GroupID()); err != nil {
				t.Fatal(err)
			}
			wantSame(t, before, m.remembers(t))
		})
	})
}

// Whatever is sent to a membership: either it is accepted, or nothing has changed.
func FuzzClientProcess(f *testing.F) {
	d, messages := everything(f)
	for _, message := range messages {
		f.Add(message)
	}
	stored := d.memory.records
	f.Fuzz(func(t *testing.T, message []byte) {
		member := d.with(t, stored)
		var err error
		if member.m, err = member.c.Open(background, d.m.GroupID()); err != nil {
			t.Fatal(err)
		}
		remembered, records := member.remembers(), member.stored()
		if _, err := member.m.Process(background, message); err != nil {
			member.sameAs("a refusal", remembered, records)
			return
		}
		if _, ok := member.stored()[d.m.head()]; ok {
			member.restart()
		}
	})
}

// with returns the device with a copy of what is stored.
func (d *device) with(t *testing.T, stored map[string]Record) *device {
	t.Helper()
	other := &device{client: d.client, f: &fleet{crowd: &crowd{t: t, suite: d.f.suite}}, keys: d.keys, memory: NewMemoryStore()}
	for name, r := range stored {
		other.memory.records[name] = Record{bytes.Clone(r.Value), r.Version}
	}
	other.store = &faultyStore{other.memory, &faults{after: -1}, &faults{after: -1}}
	other.c = other.newClient()
	return other
}
