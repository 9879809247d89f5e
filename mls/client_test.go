package mls

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"time"

	"github.com/mendlink/mendlink/mls/ciphersuite"
)

// A restart before and after an operation makes no difference.
func TestEveryOperationOutlivesARestart(t *testing.T) {
	forEachOperation(t, func(t *testing.T, f *fleet, a *attempt) {
		member := a.d.m != nil
		a.d.restart()
		if err := a.do(); err != nil {
			t.Fatal(err)
		}
		if member && a.d.m.ended != nil { // it has left
			a.d.c = a.d.newClient()
		} else {
			a.d.restart()
		}
		f.restarting = true
		a.done()
	})
}

// A group goes through its life while all clients are restarted after all that
// they do.
func TestAGroupLivesOnStoredStates(t *testing.T) {
	for _, suite := range []ciphersuite.ID{suite1, ciphersuite.MLS_128_MLKEM768X25519_AES256GCM_SHA384_Ed25519} {
		t.Run(suite.String(), func(t *testing.T) {
			t.Parallel()
			f := &fleet{crowd: emptyCrowd(t, suite), restarting: true}
			f.psks["key"] = []byte("a pre-shared key")
			f.found(3)
			f.checkMessages()

			// Proposals by value and by reference, of which one is its sender's own leaf.
			updated := f.devices[1]
			var update []byte
			updated.do("proposes an update", func() (err error) {
				update, err = updated.m.ProposeUpdate(background, updated.newKey(), ProposeOptions{})
				return err
			})
			f.broadcast(updated, update)
			joiner := f.newDevice()
			psk := &PreSharedKey{PSK: PreSharedKeyID{Type: PSKExternal, ID: []byte("key")}}
			f.commit(0, CommitOptions{Proposals: []Proposal{joiner.keyPackage(), psk}}, joiner)
			f.checkMessages()

			// A commit that another one overtakes, and one that is dropped.
			f.devices[2].commit(CommitOptions{Leaf: f.devices[2].newKey()})
			f.commit(3, CommitOptions{Leaf: f.devices[3].newKey()})
			f.devices[2].commit(CommitOptions{})
			f.devices[2].do("drops its commit", func() error { return f.devices[2].m.Drop(background) })
			f.commit(2, CommitOptions{Leaf: f.devices[2].newKey()})
			f.checkMessages()

			// A resumption PSK of the epoch before.
			resumption := PreSharedKeyID{Type: PSKResumption, Usage: ResumptionApplication, Group: f.devices[0].m.GroupID(), Epoch: f.devices[0].view().Epoch() - 1}
			f.commit(0, CommitOptions{Proposals: []Proposal{&PreSharedKey{PSK: resumption}}})
			f.commit(1, CommitOptions{Proposals: []Proposal{&Remove{Removed: 0}}})
			f.checkMessages()

			creator := f.devices[0]
			f.commit(0, CommitOptions{Proposals: []Proposal{&ReInit{GroupID: []byte("next"), Version: MLS10, CipherSuite: suite}}})
			if creator.view().ReInit() == nil {
				t.Fatal("the group is not closed")
			}
			_, err := creator.m.Protect(background, nil, nil)
			wantError(t, "speaking in a closed group", err, ErrInactive)
			var o SuccessorOptions
			for _, d := range f.devices[1:] {
				o.KeyPackages = append(o.KeyPackages, d.keyPackage().KeyPackage)
			}
			var out *CommitOutput
			creator.do("re-initializes", func() error {
				next, successor, err := creator.m.ReInitialize(background, o)
				creator.m, out = next, successor
				return err
			})
			for _, d := range f.devices[1:] {
				d.do("joins the successor", func() error {
					next, err := d.m.JoinSuccessor(background, out.Welcome, nil)
					d.m = next
					return err
				})
			}
			f.checkAgreement()
			f.checkMessages()
			for _, d := range f.devices {
				ids, err := d.c.Groups(background)
				if err != nil || len(ids) != 2 || !slices.ContainsFunc(ids, func(id []byte) bool { return string(id) == "next" }) {
					t.Errorf("%s is in groups %q, %v", d.name, ids, err)
				}
			}
		})
	}
}

// newKey returns changes that give the device another signature key.
func (d *device) newKey() LeafChanges {
	d.f.t.Helper()
	signer, err := d.f.suite.GenerateSigner(d.f.rand)
	if err != nil {
		d.f.t.Fatal(err)
	}
	d.keys = append(d.keys, signer)
	return LeafChanges{Identity: &Identity{Credential: d.id.Credential, Signer: signer}}
}

// The signature key that an Update brings takes effect with the commit of another
// member, whether the client was restarted since it has proposed that or not.
func TestANewSignatureKeyTakesEffectAfterARestart(t *testing.T) {
	f := newFleet(t, 2)
	d := f.devices[1]
	update, err := d.m.ProposeUpdate(background, d.newKey(), ProposeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	d.restart()
	f.broadcast(d, update)
	f.commit(0, CommitOptions{})
	f.checkMessages()
	d.keys = d.keys[1:]
	d.restart()
	f.checkMessages()
}

func TestOpenReturnsTheMembershipThatIsInUse(t *testing.T) {
	f := newFleet(t, 2)
	d := f.devices[1]
	m, err := d.c.Open(background, d.m.GroupID())
	if err != nil || m != d.m {
		t.Fatalf("opened %p, %v; want %p", m, err, d.m)
	}
	m.Close()
	m.Close()
	_, err = m.Protect(background, nil, nil)
	wantError(t, "speaking after Close", err, ErrErased)
	_, err = m.View()
	wantError(t, "a view after Close", err, ErrErased)
	wantError(t, "forgetting after Close", m.Forget(background), ErrErased)
	if d.m, err = d.c.Open(background, m.GroupID()); err != nil || d.m == m {
		t.Fatalf("opened %p again, %v", d.m, err)
	}
	f.checkAgreement()
	f.checkMessages()
	_, err = d.c.Open(background, []byte("another"))
	wantError(t, "opening a group that is not there", err, ErrNotStored)
}

func TestClientsNeedAStoreSignersAndAConfig(t *testing.T) {
	f := newFleet(t, 1)
	d := f.devices[0]
	good := ClientOptions{Config: d.cfg, Store: d.store, Signers: d.keys.lookup}
	if _, err := NewClient(good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*ClientOptions){
		"no Config":  func(o *ClientOptions) { o.Config = nil },
		"no Now":     func(o *ClientOptions) { o.Config = &Config{AuthenticationService: acceptAll{}} },
		"no Store":   func(o *ClientOptions) { o.Store = nil },
		"no Signers": func(o *ClientOptions) { o.Signers = nil },
	} {
		o := good
		spoil(&o)
		if c, err := NewClient(o); c != nil || err == nil {
			t.Errorf("%s: a client, %v", name, err)
		}
	}
}

func TestAJoinThatFailsLeavesTheKeyPackage(t *testing.T) {
	f := newFleet(t, 1)
	joiner := f.newDevice()
	add := joiner.keyPackage()
	out := f.devices[0].commit(CommitOptions{Proposals: []Proposal{add}, WithoutTree: true})
	f.devices[0].accept()
	stored := joiner.stored()
	spoilt := bytes.Clone(out.Welcome)
	spoilt[len(spoilt)-1] ^= 1
	for name, try := range map[string]func() error{
		"without the tree": func() error { _, err := joiner.c.Join(background, out.Welcome, nil); return err },
		"a spoilt Welcome": func() error { _, err := joiner.c.Join(background, spoilt, out.RatchetTree); return err },
		"no Welcome":       func() error { _, err := joiner.c.Join(background, out.Commit, out.RatchetTree); return err },
		"nothing":          func() error { _, err := joiner.c.Join(background, nil, nil); return err },
	} {
		if err := try(); err == nil {
			t.Errorf("%s: joined", name)
		}
		joiner.sameAs(name, nil, stored)
	}
	other := f.newDevice()
	_, err := other.c.Join(background, out.Welcome, out.RatchetTree)
	wantError(t, "joining with another's Welcome", err, ErrNotStored)

	joiner.join(out.Welcome, out.RatchetTree)
	f.devices = append(f.devices, joiner)
	f.checkAgreement()
	f.checkMessages()
	_, err = joiner.c.Join(background, out.Welcome, out.RatchetTree)
	wantError(t, "joining again", err, ErrNotStored)
}

func TestExpiredKeyPackagesAreErased(t *testing.T) {
	f := newFleet(t, 1)
	d := f.newDevice()
	long, err := d.c.NewKeyPackage(background, KeyPackageOptions{Suite: f.suite.ID(), Identity: d.id, Leaf: LeafOptions{
		Lifetime: Lifetime{NotBefore: uint64(f.now.Unix()), NotAfter: uint64(f.now.Add(30 * 24 * time.Hour).Unix())},
	}})
	if err != nil {
		t.Fatal(err)
	}
	short := d.keyPackage().KeyPackage.LeafNode.Lifetime
	old := d.newKey().Identity
	d.keys = nil // of the keys that these are for, none is left
	erase := func(at time.Time, want, left int) {
		t.Helper()
		f.now = at
		if got, err := d.c.EraseExpiredKeyPackages(background); err != nil || got != want || len(d.stored()) != left {
			t.Errorf("erased %d key packages, %v, and kept %d; want %d and %d", got, err, len(d.stored()), want, left)
		}
	}
	erase(f.now, 0, 2)
	erase(time.Unix(int64(short.NotAfter), 0), 0, 2)
	erase(time.Unix(int64(short.NotAfter)+1, 0), 1, 1)
	erase(f.now, 0, 1)

	// The one that is left still works, once its key is found.
	d.keys = append(d.keys, old.Signer)
	add, err := d.c.ParseAdd(long)
	if err != nil {
		t.Fatal(err)
	}
	f.devices[0].keyPackage()
	out := f.devices[0].commit(CommitOptions{Proposals: []Proposal{add}})
	_, err = d.c.Join(background, out.Welcome, nil)
	if err == nil {
		t.Error("joined with a signature key that is not there")
	}
	d.keys = append(d.keys, d.id.Signer)
	f.broadcast(nil, out.Commit)
	d.join(out.Welcome, nil)
	f.devices = append(f.devices, d)
	f.checkAgreement()
}

// A key package that another process uses up meanwhile does not stop the others
// from being erased.
func TestErasingKeyPackagesToleratesThatTheyGo(t *testing.T) {
	f := newFleet(t, 1)
	d := f.newDevice()
	for range 3 {
		d.keyPackage()
	}
	f.now = f.now.Add(8 * 24 * time.Hour)
	d.store.Store = &vanishing{MemoryStore: d.memory}
	if got, err := d.c.EraseExpiredKeyPackages(background); err != nil || got != 1 {
		t.Errorf("erased %d key packages, %v; want 1", got, err)
	}
	if n := len(d.stored()); n != 0 {
		t.Errorf("%d records are left", n)
	}
}

// A vanishing store loses its first record before it is read, and its second one
// before it is deleted.
type vanishing struct {
	*MemoryStore
	gets, updates int
}

func (s *vanishing) Get(ctx context.Context, name string) (Record, error) {
	s.gets++
	if s.gets == 1 {
		if err := s.lose(ctx, name); err != nil {
			return Record{}, err
		}
	}
	return s.MemoryStore.Get(ctx, name)
}

func (s *vanishing) Update(ctx context.Context, changes []Change) error {
	s.updates++
	if s.updates == 1 {
		if err := s.lose(ctx, changes[0].Name); err != nil {
			return err
		}
	}
	return s.MemoryStore.Update(ctx, changes)
}

func (s *vanishing) lose(ctx context.Context, name string) error {
	record, err := s.MemoryStore.Get(ctx, name)
	if err != nil {
		return err
	}
	return s.MemoryStore.Update(ctx, []Change{{Name: name, Version: record.Version}})
}
